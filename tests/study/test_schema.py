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
