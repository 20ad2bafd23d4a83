"""The exploration of a small tree: what is written, and that it can be trusted."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rescan.files import read_table, write_json, write_table
from rescan.paths import Paths
from rescan.reporting import explore as exploration
from rescan.reporting import grids, overview_figures

GRIDS = {"samples_raw.png", "samples_prepared.png", "augmented.png", "augmentations.png", "groups.png"}
WRITTEN = {"class_distribution.png", "tsne.png", *GRIDS}


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
    assert list(points) == ["item", "sample", "label", "part", "x_40", "y_40", "x_10", "y_10"]  # 80 is above 232 / 3
    places = points[["x_40", "y_40"]].to_numpy()
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
        assert [image.shape[:2] for image in images] == [(64, 64), (48, 48)] * 3
    assert [title for title, _, _ in rows_of["augmented.png"]] == study.data.classes
    for _, images, captions in rows_of["augmented.png"]:
        assert captions[0] == "original"
        assert not any(np.array_equal(images[0], image) for image in images[1:])
    ((_, images, captions),) = rows_of["augmentations.png"]
    assert captions == ["original\n", "shear\n0.2", "zoom\n0.8–1.2", "flip horizontal\n0.5"]
    assert np.array_equal(images[3], images[0][:, ::-1])


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
    write_json(tmp_path / paths.audit, {"mixed_label_groups": []})
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
    assert ("x_" in "".join(table)) == (n >= 5)
    assert (tmp_path / "tsne.png").is_file()


def test_grades_with_unlabeled_and_extra_samples(graded, monkeypatch):
    folder, study = graded
    monkeypatch.chdir(folder)
    beside = []
    original = overview_figures.class_distribution
    monkeypatch.setattr(
        overview_figures, "class_distribution", lambda *given: (beside.append(given[3]), original(*given))
    )
    with recorded() as rows_of:
        exploration.explore(study)
    paths = Paths(study.scale, study.name)
    assert beside == [["and 6 images without a label", "and 10 of more_eyes, for training only"]]
    points = read_table(f"{paths.explore}/tsne.csv")
    assert set(points["part"]) == {"train", "validation", "test"}
    assert len(points) == 5 * 58
    assert list(points)[4:] == ["x_40", "y_40", "x_10", "y_10", "x_80", "y_80"]
    for _, images, captions in rows_of["samples_prepared.png"]:
        assert captions[:4] == ["raw", "cropped", "enhanced", "prepared"]
        assert len(images) == 4
        raw, cropped, _, prepared = images
        assert raw.shape[:2] == (64, 64)
        assert cropped.max() == raw.max()
        assert (prepared[0, 0] == 128).all()  # outside of the circle


def test_what_changes_only_in_size_is_not_shown_twice():
    images = [np.full((side, side), side, np.uint8) for side in (90, 60, 50, 40, 30)]

    def captions(*steps):
        return list(exploration._looks(list(zip(("raw", *steps), images))))

    assert captions("crop_brain", "resize") == ["raw", "prepared"]
    assert captions("crop_gray", "resize", "enhance", "resize") == ["raw", "cropped", "prepared"]
    assert captions("resize", "crop_circle", "enhance", "circle_mask") == ["raw", "cropped", "enhanced", "prepared"]
    assert captions("resize") == ["raw", "prepared"]


def test_large_images_become_vectors_of_256_pixels_and_small_ones_stay():
    random = np.random.default_rng(0)
    small, large = (random.integers(0, 255, (2, side, side, 3), np.uint8) for side in (48, 512))
    assert exploration._gray(small, [0, 1]).shape == (2, 48 * 48)
    assert exploration._gray(large, [1]).shape == (1, 256 * 256)
    expected = small[0] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(exploration._gray(small, [0])[0], expected.ravel(), atol=1)
