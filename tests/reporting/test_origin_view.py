"""The page says which code made which numbers."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import Environment
from sample_predictions import make_study

from rescan.paths import Paths
from rescan.reporting.page.origin_view import origin_view
from rescan.reporting.page.report import environment
from rescan.results.provenance_file import CodeUsed, MachineUsed, Provenance, provenance_path

OLD = CodeUsed(commit="a" * 40, changes="none", checksum="1" * 16)
NEW = CodeUsed(commit="b" * 40, changes="none", checksum="2" * 16)
CHANGED = CodeUsed(commit="b" * 40, changes="some", checksum="3" * 16)
UNKNOWN = CodeUsed(commit="", changes="unknown", checksum="4" * 16)


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return make_study()


def write(study, step, *code, name=None, image=None):
    paths = Paths(study.scale, study.name)
    call = Provenance(
        done=step,
        command=[step],
        study=study.name,
        name=name,
        fold=None,
        seed=None,
        seeds=[0],
        key="",
        code=list(code),
        versions={"rescan": "0.1.0", "python": "3.11.7"},
        machine=MachineUsed(system="Linux x86_64", image=image, device=None, threads=None),
        started="2026-01-01T00:00:00+00:00",
        seconds=1,
        cpu_seconds=1,
        peak_memory=1,
        inputs=[],
        outputs=[],
    )
    call.write(provenance_path(step, paths, name))


def text(view) -> str:
    templates: Environment = environment()
    macro = templates.get_template("page_origin.html").module.origin
    return str(macro({"origin": view}))


def test_without_provenance_it_is_unknown(study):
    view = origin_view(study)
    assert view.sentence == "Which version of the code made these numbers is unknown: no provenance is there."
    assert "<table>" not in text(view)


def test_one_commit_made_all(study):
    arm = next(iter(study.arms))
    for step, name in (("index", None), ("train", arm), ("evaluate", arm)):
        write(study, step, OLD, name=name)
    write(study, "report", NEW)  # made no number
    write(study, "train", NEW, name="removed_arm")
    view = origin_view(study)
    assert view.sentence == f"All numbers of this page were made with one version of the code, commit {'a' * 12}."
    assert view.cautions == []
    assert [dict(row.made) for row in view.rows] == [{"index": [], "train": [arm], "evaluate": [arm]}]


def test_several_versions_are_told_apart_with_what_each_made(study):
    arm = next(iter(study.arms))
    write(study, "train", OLD, CHANGED, name=arm)  # resumed
    write(study, "evaluate", CHANGED, name=arm, image="cu113")
    view = origin_view(study)
    assert view.sentence == "All numbers of this page were made with 2 versions of the code:"
    assert "may differ for that alone" in " ".join(view.cautions)
    assert "in no commit" in " ".join(view.cautions)
    assert [dict(row.made) for row in view.rows] == [{"train": [arm]}, {"train": [arm], "evaluate": [arm]}]
    assert view.rows[1].machine == "Linux x86_64, image cu113"
    page = text(view)
    assert f"train ({arm}); evaluate ({arm})" in page
    assert f"Commit {'b' * 12} with changes" in page


def test_numbers_without_provenance_are_named(study):
    arm = next(iter(study.arms))
    write(study, "index", OLD)
    metrics = Path(Paths(study.scale, study.name).arm(arm).metrics)
    metrics.parent.mkdir(parents=True)
    metrics.touch()
    view = origin_view(study)
    assert view.sentence.startswith("These numbers were made with one version of the code, commit")
    assert view.cautions == [f"Which code made 1 file is unknown: {arm}/metrics.json."]


def test_commits_that_hold_the_same_code_are_one_version(study):
    write(study, "index", OLD)
    write(study, "split", OLD.model_copy(update={"commit": "c" * 40}))
    view = origin_view(study)
    assert view.sentence.endswith(f"the code, commit {'a' * 12} and commit {'c' * 12}.")
    assert len(view.rows) == 1


def test_an_unknown_commit_and_damaged_provenance_are_said(study):
    write(study, "index", UNKNOWN)
    Path(provenance_path("split", Paths(study.scale, study.name))).write_text("{")
    view = origin_view(study)
    assert "an unknown commit" in view.sentence
    assert view.cautions == ["1 file of provenance cannot be read: rescan verify says which."]
    assert "4" * 16 in text(view)
