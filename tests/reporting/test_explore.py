"""The exploration of a small tree: what is written, and that it can be trusted."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_files import read_table, write_audit, write_groups, write_manifest, write_source, write_splits, write_store

from rescan.data.gray_levels import stretched
from rescan.figure_folders import ExploreFolder
from rescan.files import write_table
from rescan.paths import Paths
from rescan.reporting.figures import explore as exploration
from rescan.reporting.figures import grids, looks, overview_figures
from rescan.study import Settings
from rescan.study.file import load

GRIDS = {"samples_raw.png", "samples_prepared.png", "augmented.png", "augmentations.png", "groups.png"}
WRITTEN = {"class_distribution.png", "tsne.png", *GRIDS}
VECTORS = {f"{name}.{kind}" for name in ("class_distribution", "tsne") for kind in ("svg", "pdf")}
VOLUMES = """
title: Volumes
data: {source: {path: raw}, layout: table, classes: [low, high]}
preparations:
  volume: {reads: volume, channels: gray, steps: [{name: clip_percentiles, low: 0, high: 100},
    {name: resize_volume, size: [10, 12, 16]}]}
  flat: {channels: gray, steps: [{name: resize, size: [12, 16]}]}
recipe:
  preparation: volume
  network: {encoder: cnn5_3d, weights: none}
  normalization: unit
  augmentation: {flip_depth: 1, rotation: 20}
  stages: {main: {epochs: 1, optimizer: adam}}
arms:
  plain: {augmentation: {flip_depth: null, rotation: null}}
  flat: {preparation: flat, network: {encoder: cnn5}, augmentation: {flip_depth: null, rotation: null, shear: 5}}
  turned: {}
"""
SHAPE = (20, 24, 32)  # depth, height, width


@contextmanager
def recorded():
    """Yield the rows of each grid that is drawn in the meantime, by file name."""
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
    assert {path.name for path in Path(paths.explore).iterdir()} == WRITTEN | VECTORS | {"tsne.csv"}
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


def test_copies_of_several_patients_are_shown_though_their_labels_agree(explored, tmp_path):
    study, _ = explored
    (tmp_path / "data").symlink_to(Path("data").absolute())
    paths = Paths(study.scale, study.name)
    copies = read_table(paths.groups).query("group == 'g0000'")["sample"].tolist()
    for table in (paths.manifest, paths.splits, paths.groups):
        rows = read_table(table)
        if table != paths.groups:
            rows["patient"] = [f"p{copies.index(name) % 2}" if name in copies else name for name in rows["sample"]]
        write_table(tmp_path / table, rows)
    with pytest.MonkeyPatch.context() as patch, recorded() as rows_of:
        patch.chdir(tmp_path)
        write_audit(paths, several_patient_groups=[copies])
        exploration.explore(study)
    assert [(title, captions) for title, _, captions in rows_of["groups.png"]] == [
        ("g0000: 3 samples, glioma, 2 patients", ["train"] * 3),
    ]


def test_no_groups_and_no_augmentation_leave_a_note(explored, tmp_path):
    study, _ = explored
    plain = {arm: recipe.model_copy(update={"augmentation": {}}) for arm, recipe in study.arms.items()}
    (tmp_path / "data").symlink_to(Path("data").absolute())
    paths = Paths(study.scale, study.name)
    for table in (paths.manifest, paths.splits, paths.groups):
        rows = read_table(table)
        if table != paths.manifest:
            rows["group"] = rows["sample"]
        if table == paths.splits:
            rows["linked"] = 0
        write_table(tmp_path / table, rows)
    with pytest.MonkeyPatch.context() as patch, recorded() as rows_of:
        patch.chdir(tmp_path)
        write_audit(paths)
        exploration.explore(study.model_copy(update={"arms": plain}))
    assert {path.name for path in (tmp_path / paths.explore).glob("*.png")} == WRITTEN
    assert set(rows_of) == {"samples_raw.png", "samples_prepared.png"}


@pytest.mark.parametrize("n", [1, 4, 6])
def test_tsne_of_very_few_images(full_tree, tmp_path, n):
    images = np.random.default_rng(0).integers(0, 255, (n, 8, 8, 3), np.uint8)
    items = pd.DataFrame({"item": range(n), "sample": [str(i) for i in range(n)], "label": "glioma", "part": "train"})
    exploration._tsne(images, items, full_tree[1], ExploreFolder(tmp_path))
    table = read_table(tmp_path / "tsne.csv")
    assert ("x_" in "".join(table)) == (n >= 5)
    assert (tmp_path / "tsne.png").is_file()


def test_grades_with_unlabeled_and_extra_samples(graded, monkeypatch):
    folder, study = graded
    monkeypatch.chdir(folder)
    beside = []
    original = overview_figures.class_distribution
    monkeypatch.setattr(
        overview_figures, "class_distribution", lambda *arguments: (beside.append(arguments[3]), original(*arguments))
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
        return list(looks.at_stages(list(zip(("raw", *steps), images))))

    assert captions("crop_brain", "resize") == ["raw", "prepared"]
    assert captions("crop_gray", "resize", "enhance", "resize") == ["raw", "cropped", "prepared"]
    assert captions("resize", "crop_circle", "enhance", "circle_mask") == ["raw", "cropped", "enhanced", "prepared"]
    assert captions("resize") == ["raw", "prepared"]
    assert captions("crop_center", "patches", "clahe", "resize_volume") == ["raw", "cropped", "first patch"]
    assert captions("crop_retina", "keep_layers", "project") == ["raw", "cropped", "one slab", "prepared"]


def test_large_images_become_vectors_of_256_pixels_and_small_ones_stay():
    random = np.random.default_rng(0)
    small, large = (random.integers(0, 255, (2, side, side, 3), np.uint8) for side in (48, 512))
    assert exploration._gray(small, [0, 1]).shape == (2, 48 * 48)
    assert exploration._gray(large, [1]).shape == (1, 256 * 256)
    expected = small[0] @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(exploration._gray(small, [0])[0], expected.ravel(), atol=1)


def volume(number):
    """A ball above the middle (low) or below it, further right the higher the number."""
    d, h, w = np.ogrid[tuple(slice(size) for size in SHAPE)]
    ball = (d - (5, 14)[number % 2]) ** 2 + (h - 12) ** 2 + (w - 10 - number) ** 2 < 20
    return (40 + 160 * ball + np.random.default_rng(number).normal(0, 4, SHAPE)).astype(np.uint8)


def volumes_tree(kind):
    """A study of ten volumes of 2 × 3 × 6 mm in the current folder, as NIfTI files or as folders of B-scans."""
    Path("volumes.yaml").write_text(VOLUMES)
    study = load("volumes.yaml", Settings("full"))
    paths, store = Paths("full", "volumes"), Path(Paths("full", "volumes").store("volume"))
    prepared = np.empty((10, 10, 12, 16, 1), np.uint8)
    for number in range(10):
        whole = volume(number)
        if kind == "stack":
            for scan in range(SHAPE[1]):
                Path(f"raw/v{number}").mkdir(parents=True, exist_ok=True)
                Image.fromarray(whole[:, scan]).save(f"raw/v{number}/{scan + 1}.png")
        else:
            Path("raw").mkdir(exist_ok=True)
            sizes = np.diag([-6 / 32, -3 / 24, 2 / 20, 1])  # i to the left, j to the back: as a slice is looked at
            nibabel.save(nibabel.Nifti1Image(whole.T.astype(np.int16) * 9 - 300, sizes), f"raw/v{number}.nii.gz")
        prepared[number, ..., 0] = whole.reshape(10, 2, 12, 2, 16, 2).mean(axis=(1, 3, 5))
    samples = pd.DataFrame({"sample": [f"v{number}" for number in range(10)], "label": ["low", "high"] * 5})
    write_store(store, prepared, samples[["sample"]])
    place = [f"v{number}" + ("" if kind == "stack" else ".nii.gz") for number in range(10)]
    extent = "2 3 6" if kind == "stack" else ""
    write_manifest(paths, samples.assign(path=place, extent=extent, layers="", published_part=[""] * 6 + ["test"] * 4))
    write_source(paths)
    group = ["g0", "g1", "g0", *(f"g{number}" for number in range(3, 10))]
    write_groups(paths, samples[["sample"]].assign(group=group))
    part = ["train"] * 4 + ["validation"] * 2 + ["test"] * 4
    write_splits(paths, samples.assign(group=group, part=part))
    write_audit(paths)
    return study


@pytest.mark.parametrize("kind", ["stack", "nifti"])
def test_volumes_are_shown_by_projections_and_slices(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = volumes_tree(kind)
    with recorded() as rows_of:
        exploration.explore(study)
    out = Path(Paths("full", "volumes").explore)
    assert {path.name for path in out.glob("*.png")} == WRITTEN

    for title, pictures, captions in rows_of["samples_raw.png"]:
        assert captions == [*(looks.STACK if kind == "stack" else looks.OTHER)] * 3
        # Millimeters: 3 × 6 seen from above, as are NIfTI slices; B-scans 2 × 6. The long side has 420 pixels.
        assert all(picture.shape == (210, 420) for picture in pictures[::2])
        assert all(picture.shape == ((140, 420) if kind == "stack" else (210, 420)) for picture in pictures[1::2])
        assert {(picture.min(), picture.max()) for picture in pictures[::2]} == {(0, 255)}
        if kind == "stack":  # the ball lies above or below the middle
            assert all((side[:70].mean() > side[70:].mean()) == (title == "low") for side in pictures[1::2])
    for _, pictures, captions in rows_of["samples_prepared.png"]:
        assert captions == ["raw", "prepared"] * 3
        assert all(picture.dtype == np.uint8 and picture.ndim == 2 for picture in pictures)

    views = looks.STACK if kind == "stack" else looks.FRONT
    assert [title for title, _, _ in rows_of["augmented.png"]] == [f"{n}: {v}" for n in ("low", "high") for v in views]
    for _, (first, *others), _ in rows_of["augmented.png"][1::2]:
        assert len(others) == 5
        for other in others:  # all are upside down
            assert np.argmax(other.sum(axis=1)) == pytest.approx(9 - np.argmax(first.sum(axis=1)), abs=1)
    above, side = rows_of["augmentations.png"]  # of the arms of volumes only: no shear
    assert above[2] == side[2] == ["original\n", "rotation\n20", "flip\ndepth\n1"]
    assert np.array_equal(above[1][2], above[1][0])
    assert np.array_equal(side[1][2], side[1][0][::-1])
    ((title, pictures, _),) = rows_of["groups.png"]
    assert title == "g0: 2 samples, low"
    assert [picture.shape for picture in pictures] == [(210, 420)] * 2


def test_of_several_patches_the_first_is_embedded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = volumes_tree("stack")
    study = study.model_copy(update={"arms": {"flat": study.arms["flat"]}})
    paths = Paths("full", "volumes")
    items = pd.DataFrame({"item": range(20), "sample": [f"v{n // 2}" for n in range(20)], "patch": [0, 1] * 10})
    images = np.random.default_rng(0).integers(0, 255, (20, 12, 16, 1), np.uint8)
    write_store(paths.store("flat"), images, items)
    for number in range(10):
        Image.fromarray(volume(number)[:, 12]).save(f"raw/v{number}.png")
    manifest = read_table(paths.manifest)
    write_table(paths.manifest, manifest.assign(path=manifest["sample"] + ".png"))
    with recorded() as rows_of:
        exploration.explore(study)
    assert read_table(Path(paths.explore, "tsne.csv"))["item"].tolist() == list(range(0, 20, 2))
    originals = {row[1][0].tobytes() for row in rows_of["augmented.png"]}
    assert originals <= {image.tobytes() for image in images[::2]}


def test_projections_become_vectors_in_finer_steps():
    random = np.random.default_rng(0)
    whole = random.integers(0, 256, (2, 7, 6, 5, 1), np.uint8)
    expected = whole[..., 0].mean(axis=1).reshape(2, -1) * 257
    np.testing.assert_allclose(exploration._gray(whole, [0, 1]), expected, atol=0.51)
    fine = whole.astype(np.uint16) * 257
    np.testing.assert_allclose(exploration._gray(fine, [0, 1]), expected, atol=0.51)
    np.testing.assert_array_equal(exploration._gray(fine[:, 0], [1])[0], fine[1, 0].ravel())
    large = np.full((1, 3, 300, 520, 1), 200, np.uint8)
    np.testing.assert_array_equal(exploration._gray(large, [0]), np.full((1, 148 * 256), 200 * 257))


def test_large_volumes_are_averaged_over_blocks():
    item = np.random.default_rng(0).integers(0, 256, (200, 97, 40, 1), np.uint8)
    small = looks.small(item)
    assert small.shape == (66, 48, 40, 1)
    assert small.dtype == np.uint8
    np.testing.assert_allclose(small[5, 7, 9, 0], item[15:18, 14:16, 9].mean(), atol=0.51)
    assert looks.small(item[:96, :96]).shape == (96, 96, 40, 1)
    assert looks.small(item[0]).shape == (97, 40, 1)


def test_a_picture_is_stretched_as_another_and_holes_are_black():
    ramp = np.linspace(-500, 500, 1001).reshape(7, 143)
    gray = stretched(ramp)
    assert (gray.min(), gray.max()) == (0, 255)
    assert gray.ravel()[500] == pytest.approx(127.5, abs=1)
    np.testing.assert_allclose(stretched(ramp / 2, ramp).ravel()[[250, 500, 750]], [96, 128, 159], atol=1)
    ramp[3, 3] = np.nan
    assert stretched(ramp)[3, 3] == 0
    assert not stretched(np.full((4, 5), 9)).any()
    assert not stretched(np.full((4, 5), np.nan)).any()
