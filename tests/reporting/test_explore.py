"""The exploration of a small tree: what is written, and that it can be trusted."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rescan.files import read_table, write_table
from rescan.paths import Paths
from rescan.reporting import explore as exploration
from rescan.reporting import grids

WRITTEN = {
    f"{name}.png" for name in ("class_distribution", "samples_raw", "samples_prepared", "augmented", "groups", "tsne")
}


@contextmanager
def recorded():
    """Yield the rows of each grid that is drawn meanwhile, by file name."""
    rows_of = {}
    original = grids.grid

    def grid(rows, out, columns):
        rows_of[Path(out).name] = rows
        original(rows, out, columns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grids, "grid", grid)
        yield rows_of


@pytest.fixture(scope="module")
def explored(full_tree):
    """The study, in whose folder the tests run, and the rows of its grids."""
    folder, study = full_tree
    with pytest.MonkeyPatch.context() as patch, recorded() as rows_of:
        patch.chdir(folder)
        exploration.explore(study)
        yield study, rows_of


def test_everything_is_written(explored):
    paths = Paths(explored[0].scale, explored[0].name)
    assert {path.name for path in Path(paths.explore).iterdir()} == WRITTEN | {"tsne.csv"}
    for name in WRITTEN:
        Image.open(Path(paths.explore, name)).verify()


def test_tsne_finds_the_classes_and_is_the_same_again(explored):
    study, _ = explored
    paths = Paths(study.scale, study.name)
    splits, path = read_table(paths.splits), Path(paths.explore, "tsne.csv")
    points = read_table(path)
    for column in ("sample", "label", "part"):
        assert points[column].tolist() == splits[column].tolist()
    places = points[["x", "y"]].to_numpy()
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + np.diag(np.full(len(places), np.inf))
    assert (points["label"].to_numpy()[distances.argmin(1)] == points["label"]).mean() > 0.95
    before = path.read_bytes()
    exploration.explore(study)
    assert path.read_bytes() == before


def test_samples_raw_prepared_and_augmented(explored):
    study, rows_of = explored
    assert [title for title, _, _ in rows_of["samples_raw.png"]] == study.data.classes
    for _, images, captions in rows_of["samples_prepared.png"]:
        assert captions == ["raw", "prepared"] * 3
        assert [image.shape[0] for image in images] == [64, 48] * 3
    for _, images, captions in rows_of["augmented.png"]:
        assert captions[0] == "original"
        assert not any(np.array_equal(images[0], image) for image in images[1:])


def test_groups_of_mixed_labels_come_first(explored):
    assert [(title, captions) for title, _, captions in explored[1]["groups.png"]] == [
        ("g0005: 2 samples, labels differ", ["glioma", "menin & gioma"]),
        ("g0007: 2 samples, labels differ", ["glioma", "pituitary"]),
        ("g0000: 3 samples, glioma", ["train"] * 3),
    ]


def test_no_groups_and_no_augmentation_leave_a_note(explored, tmp_path):
    study, _ = explored
    plain = {arm: recipe.model_copy(update={"augmentation": {}}) for arm, recipe in study.arms.items()}
    (tmp_path / "data").symlink_to(Path("data").absolute())
    paths = Paths(study.scale, study.name)
    for table in (paths.manifest, paths.splits, paths.groups):
        rows = read_table(table)
        if table == paths.groups:
            rows["group"] = rows["sample"]
        write_table(tmp_path / table, rows)
    with pytest.MonkeyPatch.context() as patch, recorded() as rows_of:
        patch.chdir(tmp_path)
        exploration.explore(study.model_copy(update={"arms": plain}))
    assert {path.name for path in (tmp_path / paths.explore).glob("*.png")} == WRITTEN
    assert set(rows_of) == {"samples_raw.png", "samples_prepared.png"}


@pytest.mark.parametrize("n", [1, 4, 6])
def test_tsne_of_very_few_images(full_tree, tmp_path, n):
    images = np.random.default_rng(0).integers(0, 255, (n, 8, 8, 3), np.uint8)
    items = pd.DataFrame({"item": range(n), "sample": [str(i) for i in range(n)], "label": "glioma", "part": "train"})
    exploration._tsne(images, items, full_tree[1], tmp_path)
    table = read_table(tmp_path / "tsne.csv")
    assert table["x"].notna().all() == (n >= 5)
    assert (tmp_path / "tsne.png").is_file()
