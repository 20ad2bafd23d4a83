"""The JSON Schema agrees with the models."""

from pathlib import Path

import pytest

from rescan.study.file import read_yaml
from rescan.study.schema import schema

STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.yaml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_the_schema_takes_the_shipped_studies(path):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    jsonschema.Draft202012Validator.check_schema(validator.schema)
    assert [error.message for error in validator.iter_errors(read_yaml(path))] == []
    assert not validator.is_valid({**read_yaml(path), "titel": "x"})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("name: resize, size: [64, 64]", "name: resize, size: [64, 0]"),
        ("name: resize, size: [64, 64]", "name: resize, size: [64]"),
        ("name: resize, size: [64, 64]", "name: resize, sizes: [64, 64]"),
        ("name: resize, size: [64, 64]", "name: project, slab: middle"),
        ("name: adam, lr: 1e-4", "name: adam, momentum: 0.9"),
        ("name: adam, lr: 1e-4", "name: sgd, momentum: 1"),
        ("name: adam, lr: 1e-4", "name: adamm"),
        ("recipe:\n", "recipe:\n  augmentation: {crop_and_pad: 0.5}\n"),
        ("recipe:\n", "recipe:\n  augmentation: {zoom: 2}\n"),
    ],
)
def test_the_schema_knows_each_names_options_and_bounds(minimal, write, old, new):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    assert old in minimal
    assert validator.is_valid(read_yaml(write(minimal)))
    assert not validator.is_valid(read_yaml(write(minimal.replace(old, new))))


@pytest.mark.parametrize(
    ("split", "sound"),
    [
        ("{test: {site: kyoto}, folds: {by: fov, values: [3, [a, 7]]}}", True),
        ("{test: {patients_file: test.txt}, folds: 5}", True),
        ("{test: 0.2}", True),
        ("{test: {site: []}}", False),
        ("{folds: {by: site}}", False),
    ],
)
def test_the_schema_knows_what_may_be_held_out(minimal, write, split, sound):
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(schema())
    assert validator.is_valid(read_yaml(write(f"{minimal}split: {split}\n"))) == sound
