from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rescan.data.audit import duplicates
from rescan.errors import RescanError
from rescan.phantoms.fundus.fundus import TRANSFORMS, make

GRADES = ["none", "mild", "möderate", "severe", "proliferative"]


def phantom(folder: Path, samples: int = 60, size: int = 72, unlabeled: int = 0, **options) -> pd.DataFrame:
    """Make a phantom; return its truth, with the grades as numbers in `grade` and `true_grade` (-1 = none said)."""
    make(folder, GRADES, samples=samples, size=size, unlabeled=unlabeled, **options)
    truth = pd.read_csv(folder / "phantom.csv", keep_default_na=False)
    assert sorted(truth["path"]) == sorted(p.relative_to(folder).as_posix() for p in folder.glob("t*/*"))
    numbers = {"": -1, **{name: number for number, name in enumerate(GRADES)}}
    return truth.assign(grade=truth["label"].map(numbers), true_grade=truth["true_label"].map(numbers))


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


def mask_of(folder: Path, path: str) -> Path:
    return folder / "masks" / f"{Path(path).stem}.png"


def rows_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def leak(truth: pd.DataFrame) -> float:
    """The largest correlation of width, height and aspect with the grade."""
    shape = {"width": truth["width"], "height": truth["height"], "aspect": truth["width"] / truth["height"]}
    return max(abs(np.corrcoef(values, truth["grade"])[0, 1]) for values in shape.values())


def test_the_layout_of_aptos(tmp_path):
    truth = phantom(tmp_path, samples=60, unlabeled=7).set_index("path")
    assert {p.name for p in tmp_path.iterdir()} == {
        *("train.csv", "test.csv", "train_images", "test_images", "masks", "phantom.csv")
    }
    head, *train = rows_of(tmp_path / "train.csv")
    assert head == ["id_code", "diagnosis"]
    assert len(train) == 60
    assert train == sorted(train)
    for name, grade in train:
        assert re.fullmatch("[0-9a-f]{12}", name)
        assert GRADES[int(grade)] == truth.loc[f"train_images/{name}.png", "label"]
    head, *test = rows_of(tmp_path / "test.csv")
    assert head == ["id_code"]
    assert len(test) == 7
    assert {truth.loc[f"test_images/{name}.png", "label"] for (name,) in test} == {""}
    assert {truth.loc[f"test_images/{name}.png", "true_label"] for (name,) in test} <= set(GRADES)
    for path, row in truth.iterrows():
        image = Image.open(tmp_path / path)
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (row["width"], row["height"]))


def test_aptos_without_unlabeled_images_has_no_table_of_them(tmp_path):
    phantom(tmp_path, samples=12)
    assert not list(tmp_path.glob("test*"))


def test_the_layout_of_eyepacs(tmp_path):
    truth = phantom(tmp_path, samples=60, unlabeled=7, layout="eyepacs", duplicates=0.2).set_index("path")
    assert {p.name for p in tmp_path.iterdir()} == {"trainLabels.csv", "train", "masks", "phantom.csv"}
    head, *rows = rows_of(tmp_path / "trainLabels.csv")
    assert head == ["image", "level"]
    assert len(rows) == 60 == len(truth)
    for name, grade in rows:
        row = truth.loc[f"train/{name}.jpeg"]
        assert Image.open(tmp_path / f"train/{name}.jpeg").format == "JPEG"
        assert re.fullmatch("[0-9]+_" + row["eye"], name)
        assert GRADES[int(grade)] == row["label"]
    originals = truth[truth["duplicate_of"] == ""]
    numbers = originals.index.str.extract("/([0-9]+)_")[0].to_numpy()
    assert all(len(set(patients)) == 1 for _, patients in originals.groupby(numbers)["patient"])
    assert (originals.groupby("patient")["eye"].nunique() == 2).all()
    copies = truth.index[truth["duplicate_of"] != ""].str.extract("/([0-9]+)_")[0]
    assert copies.is_unique
    assert not set(copies) & set(numbers)


@pytest.mark.parametrize("samples", [10, 11, 17, 60, 200])
def test_every_grade_is_there_in_about_its_share(tmp_path, samples):
    truth = phantom(tmp_path, samples=samples, size=64, duplicates=0.0)
    counts = truth["grade"].value_counts().reindex(range(5))
    assert counts.sum() == samples
    assert counts.min() >= 2
    if samples >= 60:
        assert np.abs(counts / samples - [0.45, 0.12, 0.25, 0.08, 0.10]).max() < 0.02
        assert counts.min() / samples >= 0.06


def test_the_two_eyes_of_a_patient_are_mirrored_and_alike(tmp_path):
    truth = phantom(tmp_path, samples=81, duplicates=0.0, contrast=0.0, confound=0.0)
    eyes = truth.groupby("patient")["eye"].agg(sorted)
    assert sorted(eyes.str.len()) == [1] + [2] * 40
    assert all(both == ["left", "right"] for both in eyes if len(both) == 2)
    grades = np.array([pair for pair in truth.groupby("patient")["grade"].agg(list) if len(pair) == 2])
    assert np.corrcoef(grades.T)[0, 1] > 0.5
    for path, eye in zip(
        truth["path"], truth["eye"]
    ):  # the disc is the place with most blue light, but for stray light
        blue = pixels(tmp_path / path)[..., 2]
        inner = np.abs(np.linspace(-1, 1, blue.shape[0])) < 0.4
        left, right = (np.percentile(half, 99) for half in np.array_split(blue[inner], 2, axis=1))
        truth.loc[truth["path"] == path, "agrees"] = float((left > right) == (eye == "left"))
    assert truth["agrees"].mean() > 0.9


def test_masks_are_there_exactly_for_lesions_and_lie_on_them(tmp_path):
    truth = phantom(tmp_path / "with", unlabeled=10)
    phantom(tmp_path / "without", unlabeled=10, contrast=0.0)  # the same eyes: only the lesions' contrast differs
    areas = pd.Series(0.0, truth.index)
    for row in truth.itertuples():
        mask_file = mask_of(tmp_path / "with", row.path)
        assert mask_file.exists() == (row.true_grade > 0)
        difference = np.abs(pixels(tmp_path / "with" / row.path) - pixels(tmp_path / "without" / row.path)).max(axis=2)
        if not mask_file.exists():
            assert difference.max() == 0
            continue
        mask = np.asarray(Image.open(mask_file))
        assert mask.shape == difference.shape
        assert set(np.unique(mask)) == {0, 255}
        assert difference[mask > 0].mean() > 8
        assert difference[mask > 0].mean() > 5 * difference[mask == 0].mean()
        areas[row.Index] = (mask > 0).mean()
    assert areas.max() < 0.3
    assert len(list((tmp_path / "with" / "masks").iterdir())) == (truth["true_grade"] > 0).sum()


def test_the_higher_the_grade_the_more_lesions(tmp_path):
    truth = phantom(tmp_path, samples=150, duplicates=0.0, confound=0.0)
    areas = [
        (np.asarray(Image.open(mask_of(tmp_path, path))) > 0).mean() if grade else 0.0
        for path, grade in zip(truth["path"], truth["grade"])
    ]
    mean = pd.Series(areas).groupby(truth["grade"]).mean()
    assert mean[0] == 0
    assert mean.is_monotonic_increasing
    assert mean[1] < 0.01 < mean[2] < 0.05 < mean[3]


def test_null_has_no_lesion_and_labels_that_mean_nothing(tmp_path):
    options = {"samples": 200, "size": 64, "confound": 0.0, "label_noise": 0.5}
    truth = phantom(tmp_path / "null", null=True, **options)
    lesions = phantom(tmp_path / "lesions", contrast=0.0, **{**options, "label_noise": 0.0})
    assert not (tmp_path / "null" / "masks").exists()
    assert set(truth["true_label"]) == {""}
    assert (truth["path"] == lesions["path"]).all()
    original = truth["duplicate_of"] == ""
    assert (truth["grade"][original].value_counts() == lesions["grade"][original].value_counts()).all()
    assert abs(np.corrcoef(truth["grade"][original], lesions["grade"][original])[0, 1]) < 4 / np.sqrt(original.sum())
    for path in truth["path"][:20]:  # the same nuisances: the eyes are the same
        assert (tmp_path / "null" / path).read_bytes() == (tmp_path / "lesions" / path).read_bytes()


@pytest.mark.parametrize("layout", ["aptos", "eyepacs"])
def test_duplicates_and_conflicts_are_planted_as_stated(tmp_path, layout):
    truth = phantom(tmp_path, samples=80, layout=layout, duplicates=0.3, conflicts=0.5).set_index("path")
    copies = truth[truth["duplicate_of"] != ""]
    assert len(copies) == 24
    assert copies["transform"].value_counts().to_dict() == {"identical": 12, "mirrored": 4, "gain": 4, "resized": 4}
    assert set(truth["transform"]) == {"", *TRANSFORMS}
    steps = []
    for path, row in copies.iterrows():
        source = truth.loc[row["duplicate_of"]]
        assert source["duplicate_of"] == ""
        assert (source["true_label"], source["patient"]) == (row["true_label"], row["patient"])
        steps.append(abs(source["grade"] - row["grade"]))
        assert (source["eye"] == row["eye"]) == (row["transform"] != "mirrored")
        image, original = Image.open(tmp_path / path), Image.open(tmp_path / row["duplicate_of"])
        same = (tmp_path / path).read_bytes() == (tmp_path / row["duplicate_of"]).read_bytes()
        assert same == (row["transform"] == "identical")
        assert image.size == (row["width"], row["height"])
        ratio = np.divide(image.size, original.size)
        assert np.all((ratio > 0.65) & (ratio < 0.95)) if row["transform"] == "resized" else np.all(ratio == 1)
        image = np.asarray(image.resize(original.size)).astype(float)
        image = image[:, ::-1] if row["transform"] == "mirrored" else image
        original = np.asarray(original).astype(float)
        assert np.corrcoef(image.ravel(), original.ravel())[0, 1] > 0.95
        if row["transform"] == "gain":
            assert 0.6 < image.mean() / original.mean() < 0.9
        if row["true_grade"] > 0:
            masks = [np.asarray(Image.open(mask_of(tmp_path, name))) for name in (path, row["duplicate_of"])]
            masks[0] = masks[0][:, ::-1] if row["transform"] == "mirrored" else masks[0]
            if row["transform"] == "resized":
                assert masks[0].shape == (row["height"], row["width"])
                assert 0.8 < masks[0].mean() / masks[1].mean() < 1.25
            else:
                assert (masks[0] == masks[1]).all()
    assert sum(step > 0 for step in steps) == 12
    assert sum(step == 1 for step in steps) >= 9


def test_the_audit_finds_the_duplicates_and_nothing_else(tmp_path):
    truth = phantom(tmp_path, samples=150, size=96, confound=1.0, duplicates=0.2)
    where = {path: number for number, path in enumerate(truth["path"])}
    source = [where[copied or path] for path, copied in zip(truth["path"], truth["duplicate_of"])]
    planted = {(i, j) for j in range(150) for i in range(j) if source[i] == source[j]}
    images = [np.asarray(Image.open(tmp_path / path)) for path in truth["path"]]
    pairs = duplicates.near_duplicates(np.stack([duplicates.thumbnail(image) for image in images]))
    pairs = set(map(tuple, pairs[:, :2].tolist()))
    assert len(pairs & planted) >= 0.95 * len(planted)
    assert len(pairs & planted) >= 0.99 * len(pairs)


def test_confound(tmp_path):
    free = phantom(tmp_path / "free", samples=200, size=64, confound=0.0, duplicates=0.0)
    full = phantom(tmp_path / "full", samples=200, size=64, confound=1.0, duplicates=0.0)
    null = phantom(tmp_path / "null", samples=200, size=64, confound=1.0, duplicates=0.0, null=True)
    assert leak(free) < 4 / np.sqrt(200)
    for truth in (full, null):
        assert truth.groupby("grade")[["width", "height"]].nunique().max(axis=None) == 1
        assert leak(truth) > 0.95
    size = pd.Series([(tmp_path / "full" / path).stat().st_size for path in full["path"]])
    assert size.groupby(full["grade"]).mean().is_monotonic_increasing
    assert 0.8 * 64 - 1 <= free["height"].min() < 0.85 * 64
    assert 1.35 * 64 < free["height"].max() <= 1.4 * 64 + 1


def test_images_have_a_black_border_and_some_fields_are_cut(tmp_path):
    truth = phantom(tmp_path, confound=0.0)
    cut = []
    for path in truth["path"]:
        bright = pixels(tmp_path / path).max(axis=2) > 20
        corners = bright[:3, :3] | bright[-3:, :3] | bright[:3, -3:] | bright[-3:, -3:]
        assert not corners.any()
        assert 0.3 < bright.mean() < 0.95
        cut.append(bright[:2].any() and bright[-2:].any())
    assert 0.15 < np.mean(cut) < 0.7


def test_label_noise_moves_labels_by_one_grade(tmp_path):
    truth = phantom(tmp_path, samples=100, size=64, duplicates=0.0, label_noise=0.2)
    away = (truth["grade"] - truth["true_grade"]).abs()
    assert away.value_counts().to_dict() == {0: 80, 1: 20}


def test_patient_effect_makes_eyes_of_a_patient_alike(tmp_path):
    def alike(effect: float) -> tuple[float, float]:
        """The correlations between a patient's eyes of the color (log of red over green), and of the grade."""
        options = {"duplicates": 0.0, "confound": 0.0, "contrast": 0.0, "size": 64}
        truth = phantom(tmp_path / str(effect), samples=120, patient_effect=effect, **options)
        means = np.array([pixels(tmp_path / str(effect) / path).mean(axis=(0, 1)) for path in truth["path"]])
        truth["color"] = np.log(means[:, 0] / means[:, 1])
        pairs = [np.stack(truth.groupby("patient")[name].agg(list)) for name in ("color", "grade")]
        return tuple(np.corrcoef(pair.T)[0, 1] for pair in pairs)

    without, usual = alike(0.0), alike(1.0)
    for before, after in zip(without, usual):
        assert abs(before) < 4 / np.sqrt(60)
        assert after > 0.6


@pytest.mark.parametrize("layout", ["aptos", "eyepacs"])
def test_it_is_a_function_of_the_seed(tmp_path, layout):
    content = {}
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        phantom(tmp_path / run, samples=16, unlabeled=4, seed=seed, layout=layout, duplicates=0.3)
        files = sorted(p for p in (tmp_path / run).rglob("*") if p.is_file())
        content[run] = {p.relative_to(tmp_path / run).as_posix(): p.read_bytes() for p in files}
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_fewer_grades_the_smallest_set_and_great_effects(tmp_path):
    make(tmp_path, ["a", "b"], samples=4, size=64, duplicates=0.0, unlabeled=1, patient_effect=1e6, contrast=1e6)
    assert sorted(grade for _, grade in rows_of(tmp_path / "train.csv")[1:]) == ["0", "0", "1", "1"]
    truth = pd.read_csv(tmp_path / "phantom.csv", keep_default_na=False)
    assert set(truth["true_label"]) <= {"a", "b"}


def test_options_out_of_range_are_all_named(tmp_path):
    shares = {"duplicates": 1.5, "confound": 2.0, "conflicts": float("nan"), "label_noise": -0.1}
    amounts = {"contrast": float("inf"), "patient_effect": -1.0, "seed": -1, "unlabeled": -3}
    wrong = {**shares, **amounts, "size": 8, "samples": 3, "layout": "eyepac"}
    with pytest.raises(RescanError) as raised:
        make(tmp_path, [*GRADES, "sixth"], **wrong)
    lines = str(raised.value).splitlines()
    assert len(lines) == len(wrong) + 1
    for option in wrong:
        assert sum(line.startswith(f"data.phantom: {option}: ") for line in lines) == 1
    assert "data.phantom: layout: no layout 'eyepac'; did you mean 'eyepacs'?" in lines
    assert any("2 to 5 classes, not 6" in line for line in lines)
    assert not list(tmp_path.iterdir())
