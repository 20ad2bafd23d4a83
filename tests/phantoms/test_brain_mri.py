from __future__ import annotations

import dataclasses
import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rescan import catalogue
from rescan.errors import RescanError
from rescan.phantoms.brain_mri.brain_mri import KINDS, TRANSFORMS, make

CLASSES = ["g l", "meningiöma", "none", "pituitary"]
LESION_CLASSES = {"g l", "meningiöma", "pituitary"}


def phantom(folder: Path, samples: int = 64, size: int = 80, **options) -> pd.DataFrame:
    make(folder, CLASSES, samples=samples, size=size, **options)
    truth = pd.read_csv(folder / "phantom.csv", keep_default_na=False)
    assert sorted(truth["path"]) == sorted(p.relative_to(folder).as_posix() for p in folder.glob("T*/*/*.jpg"))
    return truth


def gray(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")).astype(float)


def mask_of(folder: Path, path: str) -> Path:
    return (folder / "masks" / path).with_suffix(".png")


@pytest.mark.parametrize("name", catalogue.PHANTOMS)
def test_the_table_of_names_has_the_options_of_the_function(name):
    make = catalogue.resolve("phantom", name)
    assert list(inspect.signature(make).parameters) == ["folder", "classes", "options"]
    fields = dataclasses.fields(import_module(make.__module__).Options)
    defaults = {
        field.name: list(field.default) if isinstance(field.default, tuple) else field.default for field in fields
    }
    assert defaults == catalogue.PHANTOMS[name].defaults


def test_classes_parts_and_files(tmp_path):
    truth = phantom(tmp_path, samples=96)
    originals = truth[truth["duplicate_of"] == ""]
    assert len(truth) == 96
    assert originals["label"].value_counts().max() - originals["label"].value_counts().min() <= 1
    part = originals["path"].str.split("/").str[0]
    assert 0.2 < (part == "Testing").mean() < 0.3
    assert (originals.groupby("patient")["path"].agg(lambda paths: paths.str.split("/").str[0].nunique()) == 1).all()
    assert set(originals["patient"].value_counts()) <= {1, 2, 3, 4}
    assert set(truth["plane"]) == {"axial", "axial_base", "coronal", "sagittal"}
    images = [Image.open(tmp_path / path) for path in truth["path"]]
    assert {image.mode for image in images} == {"L", "RGB"}
    heights = [image.height for image in images]
    assert min(heights) >= 0.8 * 80 - 1
    assert max(heights) <= 1.4 * 80 + 1
    assert len({image.size for image in images}) > 20


def test_masks_are_there_exactly_for_lesions_and_lie_on_them(tmp_path):
    truth = phantom(tmp_path / "with")
    phantom(tmp_path / "without", contrast=0.0)  # the same heads: only the lesions' contrast differs
    for row in truth.itertuples():
        mask_file = mask_of(tmp_path / "with", row.path)
        assert mask_file.exists() == (row.true_label in LESION_CLASSES)
        if mask_file.exists():
            mask = np.asarray(Image.open(mask_file))
            difference = np.abs(gray(tmp_path / "with" / row.path) - gray(tmp_path / "without" / row.path))
            assert mask.shape == difference.shape
            assert set(np.unique(mask)) == {0, 255}
            assert 0.002 < (mask > 0).mean() < 0.2
            assert difference[mask > 0].mean() > 5 * difference[mask == 0].mean()


def test_null_has_no_lesion_and_labels_that_mean_nothing(tmp_path):
    truth = phantom(tmp_path / "null", samples=160, null=True)
    lesions = phantom(tmp_path / "lesions", samples=160, contrast=0.0)
    assert not (tmp_path / "null" / "masks").exists()
    assert set(truth["true_label"]) == {""}
    assert (truth["patient"] == lesions["patient"]).all()
    agreement = (truth["label"] == lesions["true_label"]).mean()
    assert abs(agreement - 0.25) < 4 * np.sqrt(0.25 * 0.75 / 160)
    for now, before in zip(truth["path"][:20], lesions["path"][:20]):  # the same nuisances: the heads are the same
        assert (gray(tmp_path / "null" / now) == gray(tmp_path / "lesions" / before)).all()


def test_duplicates_are_planted_as_stated(tmp_path):
    truth = phantom(tmp_path, samples=80, duplicates=0.3).set_index("path")
    copies = truth[truth["duplicate_of"] != ""]
    assert len(copies) == 24
    assert set(copies["transform"]) == set(TRANSFORMS)
    crossing = 0
    for path, row in copies.iterrows():
        source = truth.loc[row["duplicate_of"]]
        assert source["duplicate_of"] == ""
        assert source["true_label"] == row["true_label"]
        crossing += path.split("/")[0] != row["duplicate_of"].split("/")[0]
        undo = {"mirrored": np.fliplr, "rotated": lambda image: image[::-1, ::-1]}.get(row["transform"], np.asarray)
        image, original = undo(gray(tmp_path / path)), gray(tmp_path / row["duplicate_of"])
        assert np.corrcoef(image.ravel(), original.ravel())[0, 1] > 0.95
        if row["transform"] == "gain":
            assert 0.6 < image.mean() / original.mean() < 0.9
        if row["true_label"] in LESION_CLASSES:
            masks = [np.asarray(Image.open(mask_of(tmp_path, p))) for p in (path, row["duplicate_of"])]
            assert (undo(masks[0]) == masks[1]).all()
    assert 0 < crossing < 24


def test_confound(tmp_path):
    shapes = {}
    for confound in (0.0, 1.0):
        truth = phantom(tmp_path / str(confound), confound=confound)
        sizes = [Image.open(tmp_path / str(confound) / path).size for path in truth["path"]]
        shapes[confound] = pd.Series(sizes).groupby(truth["true_label"]).nunique()
    assert (shapes[1.0] == 1).all()
    assert (shapes[0.0] > 5).all()


def test_label_noise(tmp_path):
    truth = phantom(tmp_path, samples=100, label_noise=0.2)
    assert (truth["label"] != truth["true_label"]).sum() == 20
    assert all(path.split("/")[1] == label for path, label in zip(truth["path"], truth["label"]))


def test_patient_effect_makes_slices_of_a_patient_alike(tmp_path):
    def share_between(effect: float) -> float:
        """Intraclass correlation of the images' mean signal (one-way analysis of variance)."""
        truth = phantom(tmp_path / str(effect), samples=120, duplicates=0.0, patient_effect=effect, contrast=0.0)
        truth["signal"] = [np.percentile(gray(tmp_path / str(effect) / path), 90) for path in truth["path"]]
        within = truth.groupby("patient")["signal"].var().mean()
        return 1 - within / truth.groupby("plane")["signal"].var().mean()

    assert share_between(2.0) > share_between(0.0) + 0.2


def test_it_is_a_function_of_the_seed(tmp_path):
    content = {}
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        phantom(tmp_path / run, samples=16, seed=seed)
        files = sorted(p for p in (tmp_path / run).rglob("*") if p.is_file())
        content[run] = {p.relative_to(tmp_path / run).as_posix(): p.read_bytes() for p in files}
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_fewer_classes_and_the_smallest_set(tmp_path):
    make(tmp_path, ["a", "b"], samples=4, size=40, duplicates=0.0)
    assert {p.relative_to(tmp_path).parent.as_posix() for p in tmp_path.glob("T*/*/*.jpg")} == {
        f"{part}/{label}" for part in ("Training", "Testing") for label in ("a", "b")
    }


def test_options_out_of_range_are_all_named(tmp_path):
    options = {"samples": 3, "size": 8, "contrast": -1.0, "confound": 2.0, "duplicates": -0.5, "label_noise": 1.1}
    with pytest.raises(RescanError) as raised:
        make(tmp_path, [*CLASSES, "fifth"], patient_effect=-1.0, seed=-1, **options)
    lines = str(raised.value).splitlines()
    for text in (*options, "patient_effect", "seed", f"at most {len(KINDS)} classes"):
        assert sum(text in line for line in lines) >= 1
    assert not list(tmp_path.iterdir())
