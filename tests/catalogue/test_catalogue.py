"""Every record resolves, and tells the truth about its options."""

import inspect
import subprocess
import sys

import pytest

from rescan import catalogue
from rescan.catalogue.normalizations import IMAGENET_STD
from rescan.catalogue.record import Option, Record

ALL = [record for table in catalogue.KINDS.values() for record in table.values()]
IMPLEMENTED = [record for record in ALL if record.where]
# What the implementations of a kind are called with, beside their options.
ARGUMENTS = {"operator": {"image", "mask", "scan"}, "phantom": set(), "layout": {"root", "data"}}
ARGUMENTS["loss"] = {"logits", "outputs", "targets", "wanted", "expected", "weights"}
ARGUMENTS["schedule"] = {"at"}


def by_kind_and_name(record):
    return f"{record.kind}-{record.name}"


def parameters_of(record):
    implementation = record.implementation
    if record.kind == "phantom":  # takes the fields of its module's options
        implementation = sys.modules[implementation.__module__].Options
    return inspect.signature(implementation).parameters


@pytest.mark.parametrize("record", IMPLEMENTED, ids=by_kind_and_name)
def test_a_record_resolves_to_something_callable_with_its_options(record):
    parameters = parameters_of(record)
    for name, option in record.options.items():
        if (record.kind, name) == ("loss", "weight"):
            continue  # `total` takes it
        assert name in parameters
        default = parameters[name].default
        if record.kind != "optimizer" and default is not inspect.Parameter.empty:
            assert default == option.value or list(default) == option.value


@pytest.mark.parametrize("record", [record for record in ALL if record.kind in ARGUMENTS], ids=by_kind_and_name)
def test_a_record_has_every_option_of_its_implementation(record):
    parameters = set(parameters_of(record))
    assert parameters - ARGUMENTS[record.kind] == set(record.options) - ({"weight"} if record.kind == "loss" else set())


@pytest.mark.parametrize("record", ALL, ids=by_kind_and_name)
def test_a_record_takes_its_own_defaults_and_says_them(record):
    assert record.fill(record.defaults) == {"name": record.name, **record.defaults}
    if record.kind != "augmentation":
        sentence = record.say(record.defaults)
        assert sentence
        assert "{" not in sentence


def test_options_that_a_sentence_lacks_follow_in_brackets_unless_they_are_off():
    options = {"size": Option(3), "rate": Option(0.5), "off": Option(False), "mode": Option("a", apart=True)}
    record = Record("new_thing", sentence="new thing", options=options)
    assert record.say(record.defaults) == "new thing (size 3, rate 0.5)"


@pytest.mark.parametrize("record", ALL, ids=by_kind_and_name)
def test_a_record_has_its_sentence(record):
    assert record.about or record.kind in ("optimizer", "column")
    assert record.sentence or record.kind in ("encoder", "metric", "column", "layout", "phantom")


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no encoder 'vg19'; did you mean 'vgg19'\?"):
        catalogue.check("encoder", "vg19")
    with pytest.raises(ValueError, match="known: avg, avg\\+max, flatten, max"):
        catalogue.check("neck", "zzz")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (Option(1.0), "1", r"x must be like 1.0, not '1'"),
        (Option(1.0), True, r"x must be like 1.0, not True"),
        (Option(1), 1.0, r"x must be like 1, not 1.0"),
        (Option(False), 1, r"x must be like False, not 1"),
        (Option(1.0), -1, r"x must not be negative, but is -1.0"),
        (Option(0.0, below=1), 1, r"x must be below 1, but is 1.0"),
        (Option(1.0, above=0), 0, r"x must be above 0, but is 0.0"),
        (Option((1, 1), above=0), [1, 0], r"x must be above 0, but is \[1, 0\]"),
        (Option((0.0, 1.0)), [0, -1], r"x must not be negative, but is \[0.0, -1.0\]"),
        (Option((1, 1)), [1], r"x must be like \[1, 1\], not \[1\]"),
        (Option("a", choices={"a": "", "b": ""}), "c", r"x must be one of a, b, not 'c'"),
    ],
)
def test_an_option_refuses_what_does_not_fit(option, value, message):
    with pytest.raises(ValueError, match=message):
        option.check("x", value)


def test_an_option_takes_what_fits():
    assert Option(1.0).check("x", 2) == 2.0
    assert Option(1.0, least=-5).check("x", -2) == -2.0
    assert Option((0.0, 1.0)).check("x", [0, 2]) == [0.0, 2.0]
    assert Option("a", choices={"a": "", "b": ""}).check("x", "b") == "b"


def test_normalizations_undo_the_published_conventions():
    """(x / 255 - mean) / std on [0, 255] is what torchvision's V1 weights were trained with."""

    def white(name):
        record = catalogue.NORMALIZATIONS[name]
        return [(record.scale * 1.0 - m) / s for m, s in zip(record.mean, record.std)]

    assert white("imagenet") == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-3)
    # A Caffe-style network expects x - mean on [0, 255]. Fed plain [0, 1], it sees x: in torch's units, x / 255 / std.
    assert white("caffe_fed_unit") == pytest.approx([1 / 255 / s for s in IMAGENET_STD])


@pytest.mark.parametrize(
    "module",
    [
        "rescan.catalogue",
        "rescan.study.file",
        "rescan.workflow.plan",
        "rescan.workflow.inputs",
        "rescan.workflow.reruns",
        "rescan.data.audit.audit",
        "rescan.preparation.preprocess",
        "rescan.evaluation.evaluate",
        "rescan.reporting.page.report",
    ],
)
def test_light_jobs_do_not_import_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
