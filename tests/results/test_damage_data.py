"""A damaged file of the data steps gives one line with the file and the step that makes it, or a right result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from damages import Damage, faults, of_csv, of_json
from PIL import Image

from rescan.data.audit import confounds
from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.sources.download import download
from rescan.data.split import split
from rescan.evaluation.compare import compare
from rescan.paths import Paths
from rescan.preparation import preprocess as preprocessing
from rescan.preparation.preprocess import preprocess
from rescan.reporting.figures import embedding, explore, grids, overview_figures
from rescan.reporting.page.data_view import data_view
from rescan.study import Run, Study
from rescan.training.loader import read_items

PATHS = Paths("demo", "pets")
STORE = (PATHS.store("small").images, PATHS.store("small").items, PATHS.store("small").preparation)
EACH = 14  # samples per class
MANIFEST_VALUES = [("label", "bird"), ("label", ""), ("published_part", "holdout"), ("origin", "elsewhere")]
EXTENT = ("extent", "1 2 wide")
GROUPS_VALUES = [("sample", "x"), ("group", ""), ("bytes", -1), ("conflict", 2)]
SPLITS_VALUES = [("sample", "x"), ("label", "bird"), ("label", ""), ("part", "dev"), ("fold", 7), ("linked", 2)]


def write_images() -> None:
    """Write raw/samples.csv and its images of noise, of which two are alike, and more/samples.csv with two others."""
    random, rows = np.random.default_rng(0), []
    for number in range(2 * EACH + 2):
        name, label = f"{number:02d}.png", ("cat", "dog")[number % 2]
        part = "unlabeled" if number >= 2 * EACH else ""
        pixels = random.integers(0, 255, (24, 24 + number % 3), dtype=np.uint8)
        rows.append([name, "" if part else label, f"p{number}", part, "3mm" if number % 4 else "6mm", "1 2 3"])
        Path("raw").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(f"raw/{name}")
        if number < 2:
            Path("more").mkdir(exist_ok=True)
            Image.fromarray(pixels.T[::-1] // 2).save(f"more/{name}")
    columns = ["path", "label", "patient", "part", "fov", "extent"]
    table = pd.DataFrame(rows, columns=columns)
    table.to_csv("raw/samples.csv", index=False)
    table.loc[:1, ["path", "label", "fov"]].to_csv("more/samples.csv", index=False)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A study whose data steps have run: with an extra source, unlabeled samples and a column of the manifest."""
    stage = {"epochs": 1, "optimizer": "adam", "class_weights": {"within": "fov"}, "samples": ["own", "more"]}
    study = Study.model_validate(
        {
            "name": "pets",
            "scale": "demo",
            "title": "Pets",
            "data": {
                "source": {"path": "raw"},
                "layout": "table",
                "classes": ["cat", "dog"],
                "extra": {"more": {"source": {"path": "more"}, "layout": "table"}},
            },
            "split": {"test": 0.3, "validation": 0.3},
            "preparations": {"small": {"steps": [{"name": "resize", "size": [16, 16]}], "channels": "gray"}},
            "arms": {"a": {"preparation": "small", "network": {"encoder": "resnet18"}, "stages": {"s": stage}}},
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("damaged"))
        patch.setattr(preprocessing, "time", SimpleNamespace(monotonic=lambda: 0.0))  # its duration is in a file
        patch.setattr(confounds, "_predictions", lambda _, codes, __: codes)  # forests take long
        write_images()
        download(study)
        index(study)
        audit(study, 1)
        split(study)
        preprocess(study, "small", 1)
        yield study


def check(file: str, damages: list[Damage], step: Callable[[], object], maker: str, *results: str) -> list[str]:
    """The damages that a step meets with anything but one line or its results; what it returns is one of them."""
    returned = Path(f"{PATHS.results}/returned.txt")

    def run() -> None:
        returned.write_text(repr(step()))

    run()
    return faults(Path(file), damages, run, [returned, *map(Path, results)], maker)


def loaded(study: Study) -> str:
    images, items = read_items(Run(study, "a", 0, 0))
    return f"{images.shape} {items.to_csv()}"


@pytest.fixture
def explored(study: Study, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """A function that runs `explore` and returns its numbers; drawing takes longer than reading."""
    drawn: list[str] = []
    for module, names in (
        (grids, ("grid",)),
        (overview_figures, ("class_distribution", "note")),
        (embedding, ("scatter",)),
        (explore, ("_augmented",)),
    ):
        for name in names:
            monkeypatch.setattr(module, name, lambda *arguments, **_: drawn.append(repr(arguments[:1])))

    def run() -> list[str]:
        drawn.clear()
        explore.explore(study)
        return drawn

    return run


def test_source(study: Study, explored: Callable[[], list[str]]) -> None:
    file = PATHS.source
    damages = list(of_json(Path(file).read_bytes()))
    bad = check(file, damages, lambda: index(study), "download", PATHS.manifest, PATHS.dropped)
    bad += check(file, damages, lambda: audit(study, 1), "download", PATHS.audit, PATHS.groups)
    bad += check(file, damages, lambda: preprocess(study, "small", 1), "download", *STORE)
    bad += check(file, damages, explored, "download")
    there = [damage for damage in damages if damage[0] != "missing"]  # a page of a partial run has none
    bad += check(file, there, lambda: data_view(study), "download")
    bad += check(file, there, lambda: compare(study, []), "download", PATHS.comparison)
    assert "\n".join(bad) == ""


def test_dropped(study: Study) -> None:
    damages = of_json(Path(PATHS.dropped).read_bytes())
    bad = check(PATHS.dropped, list(damages), lambda: audit(study, 1), "index", PATHS.audit, PATHS.groups)
    assert "\n".join(bad) == ""


def test_manifest(study: Study, explored: Callable[[], list[str]]) -> None:
    file = PATHS.manifest
    # Any text may stand in these columns, and these columns need not be there.
    harmless = ("eye many", "study many", "mask many", "without fov", "without extent")
    damages = [damage for damage in of_csv(Path(file).read_bytes(), MANIFEST_VALUES) if damage[0] not in harmless]
    bad = check(file, damages, lambda: audit(study, 1), "index", PATHS.audit, PATHS.groups)
    bad += check(file, damages, lambda: split(study), "index", PATHS.splits)
    damages += [damage for damage in of_csv(Path(file).read_bytes(), [EXTENT]) if damage[0] == " ".join(EXTENT)]
    bad += check(file, damages, lambda: preprocess(study, "small", 1), "index", *STORE)
    bad += check(file, damages, explored, "index")
    assert "\n".join(bad) == ""


def test_groups(study: Study, explored: Callable[[], list[str]]) -> None:
    file = PATHS.groups
    damages = [damage for damage in of_csv(Path(file).read_bytes(), GROUPS_VALUES) if damage[0] != "problem many"]
    bad = check(file, damages, lambda: split(study), "audit", PATHS.splits)
    bad += check(file, damages, lambda: preprocess(study, "small", 1), "audit", *STORE)
    bad += check(file, damages, explored, "audit")
    assert "\n".join(bad) == ""


def test_audit(study: Study, explored: Callable[[], list[str]]) -> None:
    damages = list(of_json(Path(PATHS.audit).read_bytes()))
    bad = check(PATHS.audit, damages, explored, "audit")
    there = [damage for damage in damages if damage[0] != "missing"]
    bad += check(PATHS.audit, there, lambda: data_view(study), "audit")
    assert "\n".join(bad) == ""


def test_splits(study: Study, explored: Callable[[], list[str]]) -> None:
    file = PATHS.splits
    harmless = ("eye many", "study many")
    damages = [damage for damage in of_csv(Path(file).read_bytes(), SPLITS_VALUES) if damage[0] not in harmless]
    # An extra sample may be missing: it is left out where a relative of it is held out.
    last = f"without line {len(Path(file).read_bytes().splitlines())}"
    bad = check(file, [damage for damage in damages if damage[0] != last], lambda: loaded(study), "split")
    bad += check(file, damages, explored, "split")
    # The page only counts the rows.
    counted = [damage for damage in damages if damage[0] != "missing" and not damage[0].startswith("without line")]
    bad += check(file, counted, lambda: data_view(study).counts, "split")
    assert "\n".join(bad) == ""
