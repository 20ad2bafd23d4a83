"""`make reference` says which numbers moved, and what it compares."""

import json
import shutil

import pytest
from tests import reference

from rescan.results.metrics_file import Estimate, Metrics, Scores
from rescan.study import Settings
from rescan.study.file import load


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A study of two arms at demo, and its written reference; the working folder is theirs."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "results/demo/eyes/plain", accuracy=0.75, auroc=0.8)
    write(tmp_path / "results/demo/eyes/other", accuracy=0.5, auroc=None)
    assert reference.main(["--write"]) == 0
    return tmp_path / "results"


def write(folder, *, n=40, runs=((0, 0),), seed_sd=None, **values):
    """An arm's metrics.json, of the test part by image."""
    estimates = {
        name: Estimate(value=value, low=value and value - 0.1, high=value and value + 0.1, method="wilson",
                       runs=[value], seed_sd=seed_sd)
        for name, value in values.items()
    }  # fmt: skip
    scores = {"test": {"image": Scores(n=n, groups=n, metrics=estimates)}}
    told = {"arm": folder.name, "metric": "accuracy", "parts": scores}
    told["runs"] = [{"fold": fold, "seed": seed} for fold, seed in runs]
    metrics = Metrics.model_validate({**EMPTY, **told})
    folder.mkdir(parents=True, exist_ok=True)
    metrics.write(folder / "metrics.json")


EMPTY = {
    "study": "eyes",
    "result_key": "",
    "head": "classification",
    "positive_class": None,
    "classes": ["a", "b"],
    "interval_units": "group",
    "curves": {"run": {"fold": 0, "seed": 0}, "roc": {}},
    "warnings": [],
    "diagnosis": [],
    **{key: {} for key in ("endpoints", "heads", "before_temperature", "confusion", "subgroups", "baselines")},
    "subgroups_of_studies": {},
    "subgroups_out_of_fold": {},
}


def lines(capsys, code):
    """What a comparison says, with its exit code checked; a word per column of each line of the table."""
    capsys.readouterr()
    assert reference.main([]) == code
    return [line.split() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.usefixtures("results")
def test_equal_results_have_not_moved(capsys):
    said = lines(capsys, 0)
    assert said[0] == ["demo/eyes:", "the", "same", "environment"]
    assert ["eyes", "plain", "test", "image", "auroc", "0.8000", "0.8000", "none"] in said
    assert ["eyes", "other", "test", "image", "auroc", "–", "–", "none"] in said
    assert said[-1] == ["0", "of", "4", "numbers", "moved"]


@pytest.mark.parametrize(
    ("changed", "row"),
    [
        ({"accuracy": 0.75, "auroc": 0.8001}, ["auroc", "0.8000", "0.8001", "none", "MOVED"]),
        ({"accuracy": 0.75, "auroc": None}, ["auroc", "0.8000", "–", "none", "MOVED"]),
        ({"accuracy": 0.75}, ["auroc", "0.8000", "–", "MOVED"]),
        (
            {"accuracy": 0.75, "auroc": 0.8, "n": 39},
            ["auroc", "0.8000", "0.8000", "of", "39", "instead", "of", "40", "none", "MOVED"],
        ),
    ],
)
def test_in_the_same_environment_any_change_is_a_move(results, capsys, changed, row):
    write(results / "demo/eyes/plain", **changed)
    assert ["eyes", "plain", "test", "image", *row] in lines(capsys, 1)


def test_in_another_environment_a_number_may_be_off_by_the_tolerance(results, capsys, monkeypatch):
    """Of 40 items, one; a second run of both arms was .02 off each, so SD = .02 / √2, and t = 4.303 of 2 arms."""
    for arm, accuracy in (("plain", 0.77), ("other", 0.52)):
        write(results.parent / "again/demo/eyes" / arm, accuracy=accuracy, auroc=0.8)
    assert reference.main(["--write", "--beside", str(results.parent / "again/demo")]) == 0
    tolerances = {(row["arm"], row["metric"]): row["tolerance"] for row in read(results)["numbers"]}
    assert tolerances["plain", "accuracy"] == tolerances["other", "accuracy"] == 0.0861
    assert tolerances["plain", "auroc"] == 1 / 40  # the second run had the same
    monkeypatch.setattr(reference, "_processor", lambda: "another")
    write(results / "demo/eyes/plain", accuracy=0.785, auroc=0.8)
    write(results / "demo/eyes/other", accuracy=0.6, auroc=None)
    said = lines(capsys, 1)
    assert said[0][:4] == ["demo/eyes:", "another", "environment", "than"]
    assert ["eyes", "plain", "test", "image", "accuracy", "0.7500", "0.7850", "0.0861", "within"] in said
    assert ["eyes", "other", "test", "image", "accuracy", "0.5000", "0.6000", "0.0861", "MOVED"] in said


def read(results):
    return json.loads((results / "reference/demo/eyes.json").read_text())


def test_a_tolerance_that_was_measured_is_kept_when_references_are_written_anew(results):
    write(results.parent / "again/demo/eyes/plain", accuracy=0.77, auroc=0.8)
    reference.main(["--write", "--beside", str(results.parent / "again/demo")])
    measured = read(results)["spread"]
    write(results / "demo/eyes/plain", accuracy=0.9, auroc=0.95, runs=[(0, 0), (0, 1)], seed_sd=0.3)
    reference.main(["--write"])
    assert read(results)["spread"] == measured
    assert max(row["value"] for row in read(results)["numbers"] if row["metric"] == "accuracy") == 0.9


def test_seeds_tell_a_tolerance_where_there_was_no_second_run_and_the_interval_where_there_is_one_seed(results):
    assert read(results)["numbers"][-1]["tolerance"] == 0.1  # half the interval
    write(results / "demo/eyes/plain", accuracy=0.75, auroc=0.8, runs=[(0, 0), (0, 1)], seed_sd=0.04)
    reference.main(["--write"])
    assert read(results)["spread"]["accuracy"] == {"sd": 0.028284, "freedom": 1, "source": "seeds"}  # .04 / √2
    assert {row["tolerance"] for row in read(results)["numbers"]} == {0.5082}  # t = 12.71


def test_what_is_missing_is_said_and_no_failure_unless_nothing_is_there(results, capsys):
    (results / "demo/eyes/other").rename(results / "demo/eyes/new")
    write(results / "demo/eyes/new", accuracy=0.5, auroc=None)
    (results / "reference/small").mkdir()
    shutil.copy(results / "reference/demo/eyes.json", results / "reference/small")
    said = [" ".join(words) for words in lines(capsys, 0)]
    assert "demo/eyes: arm other of the reference is not among the results" in said
    assert "demo/eyes: arm new has no reference yet" in said
    assert "small/eyes: no results in results/small/eyes" in said
    (results / "demo").rename(results / "elsewhere")
    assert reference.main([]) == 1
    assert reference.main(["--write"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "Nothing to compare in results: run `make demo`, or scale=small",
        "Nothing to write of in results: run `make demo`, or scale=small",
    ]


def test_a_damaged_file_is_one_line(results, capsys):
    (results / "demo/eyes/plain/metrics.json").write_text("{")
    assert reference.main([]) == 1
    assert capsys.readouterr().err.startswith("results/demo/eyes/plain/metrics.json: ")
    (results / "reference/demo/eyes.json").write_text("{")
    assert reference.main([]) == 1
    said = capsys.readouterr().err
    assert said.startswith("results/reference/demo/eyes.json: not valid JSON")
    assert said.endswith("; delete it and run make reference UPDATE=1 again\n")


def test_the_references_of_the_project_have_a_tolerance_for_every_number_and_the_arms_of_the_demo():
    files = sorted((reference.ROOT / "results/reference").glob("*/*.json"))
    read = [reference.Reference.read(file) for file in files]
    assert [(own.scale, own.study) for own in read] == [(file.parent.name, file.stem) for file in files]
    assert all(0 < row.tolerance < 0.5 for own in read for row in own.numbers if row.value is not None)
    demos = {own.study: {row.arm for row in own.numbers} for own in read if own.scale == "demo"}
    studies = [load(path, Settings("demo")) for path in sorted((reference.ROOT / "studies").glob("*.yaml"))]
    assert demos == {study.name: set(study.arms) for study in studies}
