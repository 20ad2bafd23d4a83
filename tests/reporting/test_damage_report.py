"""A damaged file gives one line with the file and the step that makes it, or a page; never a traceback."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from damages import faults, of_bytes, of_csv, of_json

from rescan.errors import RescanError
from rescan.paths import ArmFolder, Paths
from rescan.reporting.page.report import report
from rescan.study import Study


@pytest.fixture(scope="module")
def study(full_tree: tuple[Path, Study], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A study with all its files, in whose folder the tests run."""
    folder, study = full_tree
    copy = tmp_path_factory.mktemp("damaged")
    for name in ("results", "data"):
        shutil.copytree(folder / name, copy / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)
        yield study


def check(study: Study, file: str, maker: str) -> None:
    path = Path(file)
    damages = {".csv": of_csv, ".json": of_json}.get(path.suffix, of_bytes)(path.read_bytes())
    assert "\n".join(faults(path, damages, lambda: report(study), [], maker)) == ""


@pytest.mark.parametrize(
    ("file", "maker"),
    [
        ("source", "download"),
        ("audit", "audit"),
        ("splits", "split"),
        ("comparison", "compare"),
    ],
)
def test_files_of_the_study(study: Study, file: str, maker: str) -> None:
    check(study, getattr(Paths(study.scale, study.name), file), maker)


@pytest.mark.parametrize(("file", "maker"), [("metrics", "evaluate"), ("posttraining", "posttrain")])
def test_files_of_an_arm(study: Study, file: str, maker: str) -> None:
    check(study, getattr(Paths(study.scale, study.name).arm("resnet18"), file), maker)


def test_other_files(study: Study) -> None:
    paths = Paths(study.scale, study.name)
    arm: ArmFolder = paths.arm("resnet18")
    check(study, paths.store("small").preparation, "preprocess")
    check(study, arm.figures.confusion, "evaluate")
    check(study, arm.gradcam.summary, "gradcam")
    check(study, arm.gradcam.sheet, "gradcam")
    check(study, paths.comparison_figures.forest, "compare")


@pytest.mark.parametrize("content", ["null", "[]", '"text"', "3"])
def test_results_that_are_no_object_are_damaged_and_not_an_arm_that_did_not_run(study: Study, content: str) -> None:
    path = Path(Paths(study.scale, study.name).arm("resnet18").metrics)
    before = path.read_bytes()
    path.write_text(content)
    try:
        with pytest.raises(RescanError, match=r"metrics\.json: input should be an object, not .*run evaluate again"):
            report(study)
    finally:
        path.write_bytes(before)
