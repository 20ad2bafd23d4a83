"""The files of the evaluation come back as they were written, and keep their layout on disk."""

from __future__ import annotations

import json

from rescan.results.comparison import Comparison, read_comparison, write_comparison
from rescan.results.curve_points import RocCurve
from rescan.results.metrics_file import Finding
from rescan.results.posttraining import Fits, NetworkFile, Posttraining
from rescan.study import Inference


def test_comparison_rows_come_back_with_none_for_what_is_unknown(tmp_path):
    rows = [
        Comparison("published", "one", metric="accuracy", n=80, value=0.1 + 0.2, published=0.75, verdict="not run"),
        Comparison("arms", "two", against="one", metric="accuracy", verdict="lower", reason="one seed"),
    ]
    write_comparison(tmp_path / "comparison.csv", rows)
    assert read_comparison(tmp_path / "comparison.csv") == rows
    assert (
        (tmp_path / "comparison.csv").read_text().splitlines()[1].startswith("published,one,,,accuracy,test,image,80,")
    )


def test_no_rows_at_all(tmp_path):
    write_comparison(tmp_path / "comparison.csv", [])
    assert read_comparison(tmp_path / "comparison.csv") == []


def test_posttraining_holds_all_settings_of_inference_and_no_cuts_where_there_are_none(tmp_path):
    posttraining = Posttraining(
        head="regression",
        fit_on="crossfit",
        n=4,
        classes=3,
        temperatures={"classification": Fits(whole=1.5, crossfit=[1.0] * 5)},
        runs=[],
        models=[NetworkFile(file="fold0_seed0/model.safetensors", inference=Inference())],
        ensemble=False,
        trim=0.0,
    )
    posttraining.write(tmp_path / "posttraining.json")
    content = json.loads((tmp_path / "posttraining.json").read_text())
    assert content["models"][0]["inference"] == {"original": True, "copies": 0, "augmentation": {}}
    assert content["temperatures"]["classification"] == {"whole": 1.5, "crossfit": [1.0] * 5}
    assert not {"linear", "cuts"} & set(content)
    assert Posttraining.read(tmp_path / "posttraining.json") == posttraining


def test_unset_fields_are_not_written():
    assert RocCurve().model_dump(exclude_unset=True) == {}
    finding = Finding(finding="collapsed", label="b", text="collapsed")
    content = finding.model_dump(exclude_unset=True, by_alias=True)
    assert content == {"finding": "collapsed", "class": "b", "text": "collapsed"}
