"""A JSON file comes back as it was written; a damaged one gives one line with file, fault and step."""

import json
from typing import ClassVar, Optional

import pytest
from pydantic import Field

from rescan.errors import RescanError
from rescan.results.json_result import JsonResult, Part


class Score(Part):
    value: Optional[float]
    low: Optional[float] = None


class Scores(JsonResult):
    step: ClassVar[str] = "evaluate"
    arm: str
    n: int
    scores: dict[str, Score] = Field(default={})


def test_a_file_comes_back_and_unset_fields_are_not_written(tmp_path):
    scores = Scores(arm="a", n=3, scores={"accuracy": Score(value=0.1 + 0.2), "auroc": Score(value=None, low=None)})
    scores.write(tmp_path / "s.json")
    assert json.loads((tmp_path / "s.json").read_text()) == {
        "arm": "a",
        "n": 3,
        "scores": {"accuracy": {"value": 0.1 + 0.2}, "auroc": {"value": None, "low": None}},
    }
    assert Scores.read(tmp_path / "s.json") == scores
    assert Scores.read_if_there(tmp_path / "t.json") is None


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "not valid JSON"),
        (b'{"arm": "a", "n": 3', "not valid JSON"),
        (b"\xff\xfe\x00\x01", "not valid JSON"),
        (b"[]", "input should be an object"),
        (b'{"arm": "a"}', "n is missing"),
        (b'{"arm": "a", "n": "3"}', "n: input should be a valid integer, not '3'"),
        (b'{"arm": "a", "n": 3, "mood": 1}', "unknown key mood"),
        (b'{"arm": "a", "n": 3, "arm": "b"}', "the key 'arm' is there twice"),
        (b'{"arm": "a", "n": 3, "scores": {"auroc": {}}}', "scores.auroc.value is missing"),
        (b'{"arm": "a", "n": 3, "scores": {"auroc": {"value": NaN}}}', "scores.auroc.value"),
    ],
)
def test_a_damaged_file_gives_one_line(tmp_path, content, fault):
    path = tmp_path / "s.json"
    path.write_bytes(content)
    with pytest.raises(RescanError) as error:
        Scores.read(path)
    line = str(error.value)
    assert line.startswith(f"{path}: ")
    assert fault in line
    assert line.endswith("; delete it and run evaluate again")
    assert "\n" not in line


def test_a_missing_file_names_the_step(tmp_path):
    with pytest.raises(RescanError, match=r"s\.json: no such file; run evaluate first"):
        Scores.read(tmp_path / "s.json")
