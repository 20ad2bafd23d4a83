"""Every number of a study file, a configuration and the catalogue's options has both bounds, and is no flag."""

import typing

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

import rescan.study.study  # noqa: F401 - all sections
from rescan import catalogue
from rescan.errors import RescanError
from rescan.study import Strict, Study
from rescan.study.bounds import NUMBER, Count
from rescan.study.schema import schema
from rescan.study.study_file import StudyFile
from rescan.workflow.config import Config

RECORDS = [record for kind in catalogue.KINDS.values() for record in kind.values()]


def unbounded(node, path=()):
    """The paths of numbers in a JSON Schema that lack a bound."""
    if isinstance(node, list):
        return [found for place, part in enumerate(node) for found in unbounded(part, (*path, place))]
    if not isinstance(node, dict):
        return []
    low, high = {"minimum", "exclusiveMinimum"} & set(node), {"maximum", "exclusiveMaximum"} & set(node)
    own = [path] if node.get("type") in ("integer", "number") and not (low and high) else []
    return own + [found for key, part in node.items() for found in unbounded(part, (*path, key))]


def test_every_number_has_both_bounds():
    assert unbounded({"properties": {"epochs": {"type": "integer", "minimum": 1}}}) == [("properties", "epochs")]
    assert unbounded(schema()) == []
    assert unbounded(Study.model_json_schema()) == []
    assert unbounded(Config.model_json_schema()) == []
    assert [record.name for record in RECORDS if unbounded(record.schema())] == []


def marks(annotation, own=()):
    """What each number inside an annotation is marked with."""
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *more = typing.get_args(annotation)
        return marks(inner, more)
    if annotation in (int, float):
        return [own]
    return [found for part in typing.get_args(annotation) for found in marks(part)]


def models(base=Strict):
    return [model for sub in base.__subclasses__() for model in (sub, *models(sub))]


def test_no_flag_is_taken_for_a_number():
    class Wrong(BaseModel):
        count: typing.Optional[int] = None

    def loose(model):
        fields = model.model_fields.items()
        return [name for name, field in fields for own in marks(field.annotation, field.metadata) if NUMBER not in own]

    assert loose(Wrong) == ["count"]
    assert {Config, Study, StudyFile} <= set(models())
    assert {model.__name__: names for model in models() if (names := loose(model))} == {}
    with pytest.raises(ValidationError, match="needs a number, not true"):
        TypeAdapter(Count).validate_python(True)


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: f"{record.kind}-{record.name}")
def test_no_option_takes_a_number_without_sense(record):
    for name, option in record.options.items():
        if option.is_number:
            for wrong in (float("nan"), float("inf"), 10**30, -(10**30), True):
                value = [wrong] * len(option.default) if isinstance(option.default, tuple) else wrong
                with pytest.raises(ValueError, match=name):
                    option.check(name, value)
            assert option.check(name, option.value) == option.value


@pytest.mark.parametrize("record", catalogue.AUGMENTATIONS.values(), ids=lambda record: record.name)
def test_no_augmentation_takes_a_strength_without_sense(record):
    for wrong in (float("nan"), float("inf"), 10**30, -1, True):
        with pytest.raises(ValueError, match=record.name):
            record.check([0, wrong] if record.form == "range" else wrong)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "epochs: 5",
            "epochs: 1000000000000000000000000000000",
            "recipe.stages.main.epochs: input should be less than",
        ),
        ("epochs: 5", "epochs: true", "recipe.stages.main.epochs: needs a number, not true"),
        ("epochs: 5", "epochs: 5, clip_norm: true", "clip_norm: needs a number, not true"),
        ("epochs: 5", "epochs: 5, clip_norm: 1e300", "clip_norm: input should be less than or equal to 1000000000"),
        *(
            ("base: {}", f"base: {{network: {{norm_momentum: {wrong}}}}}", f"norm_momentum: {message}")
            for wrong, message in (
                ("0", "input should be greater than 0"),
                ("1.5", "input should be less than or equal to 1"),
                ("true", "needs a number, not true"),
            )
        ),
        ("lr: 1e-4", "lr: 1e308", "optimizer: lr must be at most 1000, but is 1e+308"),
        ("lr: 1e-4", "lr: .nan", "line 11: .nan is no finite number"),
        ("size: [64, 64]", "size: [100000, 100000]", "size must be at most 16384, but is [100000, 100000]"),
        ("arms:", "split: {folds: 1000000000000000000000000000000}\narms:", "split.folds: input should be less than"),
        ("arms:", "split: {seeds: [99999999999]}\narms:", "split.seeds.0: input should be less than"),
        (
            "classes: [no, yes]",
            "classes: [1, 2]",
            "data.classes.0: needs text, not 1; if it is meant so, write it in quotes",
        ),
    ],
)
def test_numbers_out_of_bounds_are_refused(load, minimal, old, new, message):
    assert old in minimal
    with pytest.raises(RescanError) as caught:
        load(minimal.replace(old, new), "full")
    assert message in str(caught.value)
