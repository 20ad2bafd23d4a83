"""Every name resolves, and its line in the table tells the truth about its options."""

import inspect
import subprocess
import sys

import pytest

from rescan import names

ALL = [(kind, name) for kind, table in names.TABLES.items() for name in table]


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_name_resolves_to_something_callable_with_its_options(kind, name):
    implementation = names.resolve(kind, name)
    parameters = inspect.signature(implementation).parameters
    if kind == "augmentation":
        assert names.AUGMENTATIONS[name].options["value"] in ("amount", "range", "probability")
        return
    for option, default in names.TABLES[kind][name].options.items():
        if (kind, option) == ("loss", "weight"):
            continue  # `total` takes it
        assert option in parameters, f"{kind} {name}: no parameter {option}"
        given = parameters[option].default
        if kind != "optimizer" and given is not inspect.Parameter.empty:
            assert given == default or list(given) == default


def test_every_option_of_a_phantom_and_an_operator_is_in_the_table():
    for kind, implicit in (("phantom", {"folder", "classes"}), ("operator", {"image", "mask", "scan"})):
        for name, entry in names.TABLES[kind].items():
            parameters = set(inspect.signature(names.resolve(kind, name)).parameters)
            assert parameters - implicit == set(entry.options), f"{kind} {name}"


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ValueError, match=r"no encoder 'vg19'; did you mean 'vgg19'\?"):
        names.check("encoder", "vg19")
    with pytest.raises(ValueError, match="known: avg, avg\\+max, flatten, max"):
        names.check("neck", "zzz")


def test_normalizations_undo_the_published_conventions():
    """(x / 255 - mean) / std on [0, 255] is what torchvision's V1 weights were trained with."""
    scale, mean, std = names.NORMALIZATIONS["imagenet"]
    assert [(scale * 1.0 - m) / s for m, s in zip(mean, std)] == pytest.approx([2.2489, 2.4286, 2.64], abs=1e-3)
    # A Caffe-style network expects x - mean on [0, 255]. Fed plain [0, 1], it sees x: in torch's units, x / 255 / std.
    scale, mean, std = names.NORMALIZATIONS["caffe_fed_unit"]
    assert [(scale * 1.0 - m) / s for m, s in zip(mean, std)] == pytest.approx(
        [1 / 255 / s for s in names.IMAGENET_STD]
    )


@pytest.mark.parametrize(
    "module",
    [
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
