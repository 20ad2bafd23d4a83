from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rescan.data.audit import confounds, duplicates
from rescan.errors import RescanError
from rescan.phantoms.radiograph.radiograph import LABELS, TRANSFORMS, make
from rescan.phantoms.radiograph.radiograph_anatomy import PARTS
from rescan.phantoms.radiograph.radiograph_lesions import LESIONS

CLASSES = ["normäl", "ab normal"]
PATH = re.compile(
    r"MURA-v1\.1/(train|valid)/XR_([A-Z]+)/(patient\d{5})/(study[1-9])_(negative|positive)/image[1-4]\.png"
)


def phantom(folder: Path, samples: int = 70, size: int = 72, **options) -> pd.DataFrame:
    """Make a phantom; return its truth, with the folder (train or valid) of each image."""
    make(folder, CLASSES, samples=samples, size=size, **options)
    truth = pd.read_csv(folder / "phantom.csv", keep_default_na=False)
    images = [p for part in ("train", "valid") for p in (folder / "MURA-v1.1" / part).rglob("*.png")]
    assert sorted(truth["path"]) == sorted(p.relative_to(folder).as_posix() for p in images)
    return truth.assign(folder=truth["path"].str.split("/").str[1])


def gray(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("L")).astype(float)


def mask_of(folder: Path, path: str) -> Path:
    return folder / path.replace("MURA-v1.1/", "MURA-v1.1/masks/")


def studies_of(truth: pd.DataFrame) -> pd.DataFrame:
    return truth[truth["duplicate_of"] == ""].drop_duplicates(["patient", "body_part", "study"])


def lines_of(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def metadata(folder: Path, truth: pd.DataFrame) -> dict:
    """What the audit says of the files' metadata."""
    files = [folder / path for path in truth["path"]]
    columns = {"mode": [Image.open(file).mode for file in files], "bytes": [file.stat().st_size for file in files]}
    return confounds.metadata_baseline(truth.assign(group=truth["patient"], **columns), list(LABELS), ordered=False)


def test_the_csvs_the_folders_and_the_truth_agree(tmp_path):
    truth = phantom(tmp_path, samples=120, label_noise=0.1, duplicates=0.1)
    assert {p.name for p in tmp_path.iterdir()} == {"MURA-v1.1", "phantom.csv"}
    lists = {f"{part}_{name}.csv" for part in ("train", "valid") for name in ("image_paths", "labeled_studies")}
    assert {p.name for p in (tmp_path / "MURA-v1.1").iterdir()} == {"train", "valid", "masks", *lists}
    assert len(truth) == 120
    for folder, own_rows in truth.groupby("folder"):
        assert lines_of(tmp_path / f"MURA-v1.1/{folder}_image_paths.csv") == sorted(own_rows["path"])
        rows = dict(line.split(",") for line in lines_of(tmp_path / f"MURA-v1.1/{folder}_labeled_studies.csv"))
        studies = own_rows["path"].str.rpartition("/")[0] + "/"
        assert set(rows) == set(studies)
        assert all(
            rows[study] == ("1" if label == "positive" else "0") for study, label in zip(studies, own_rows["label"])
        )
    for row in truth.itertuples():
        assert PATH.fullmatch(row.path).groups() == (row.folder, row.body_part, row.patient, row.study, row.label)
        image = Image.open(tmp_path / row.path)
        assert (image.format, image.size) == ("PNG", (row.width, row.height))
    assert (truth["folder"] == "valid").sum() == 30


@pytest.mark.parametrize("samples", [56, 57, 150, 500])
def test_patients_studies_views_and_labels_are_like_the_real_ones(tmp_path, samples):
    truth = phantom(tmp_path, samples=samples, size=64, duplicates=0.0)
    assert len(truth) == samples
    assert (truth.groupby("patient")["folder"].agg(set).str.len() == 1).all()
    studies = studies_of(truth)
    assert (studies.groupby(["folder", "body_part"])["label"].nunique() == 2).all()
    assert studies.groupby(["folder", "body_part"]).ngroups == 2 * len(PARTS)
    views = truth.groupby(["patient", "body_part", "study"])["path"].count()
    assert set(views) <= {1, 2, 3, 4}
    counts = studies.groupby("patient").size()
    assert set(counts) <= {1, 2, 3}
    for _, paths in truth.groupby(["patient", "body_part", "study"])["path"]:
        assert sorted(Path(path).stem for path in paths) == [f"image{n}" for n in range(1, len(paths) + 1)]
    if samples == 500:
        assert 0.38 < (studies["label"] == "positive").mean() < 0.47
        assert (counts == 1).mean() > 0.6
        assert 0.08 < (studies.groupby("patient")["label"].nunique() == 2).mean() < 0.25
        assert 0.02 < (studies.groupby("patient")["body_part"].agg(set).str.len() > 1).mean() < 0.15
        assert set(counts) == {1, 2, 3}
        assert set(views) == {1, 2, 3, 4}


def test_sizes_and_modes_vary(tmp_path):
    truth = phantom(tmp_path, samples=150, size=80, confound=0.0, duplicates=0.0)
    height, aspect = truth["height"], truth["width"] / truth["height"]
    assert 0.7 * 80 - 1 <= height.min() < 0.75 * 80
    assert 1.25 * 80 < height.max() <= 1.3 * 80 + 1
    assert 0.58 < aspect.min() < 0.65
    assert 1.3 < aspect.max() < 1.53
    images = [Image.open(tmp_path / path) for path in truth["path"]]
    assert {image.mode for image in images} == {"L", "RGB"}
    for image in images:
        if image.mode == "RGB":
            channels = np.asarray(image)
            assert (channels == channels[..., :1]).all()
    black = [(np.asarray(image.convert("L")) == 0).mean() > 0.1 for image in images]
    assert 0.15 < np.mean(black) < 0.85  # the collimator's edges are seen in some


def test_masks_are_there_exactly_for_lesions_and_lie_on_them(tmp_path):
    options = {"samples": 150, "size": 96, "duplicates": 0.0}
    truth = phantom(tmp_path / "with", **options)
    phantom(tmp_path / "without", contrast=0.0, **options)  # the same limbs: only the lesions' contrast differs
    assert set(truth["lesion"]) == {"", *LESIONS}
    for row in truth.itertuples():
        mask_file = mask_of(tmp_path / "with", row.path)
        assert mask_file.exists() == (row.lesion != "")
        difference = np.abs(gray(tmp_path / "with" / row.path) - gray(tmp_path / "without" / row.path))
        if not row.lesion:
            assert difference.max() == 0
            continue
        assert row.true_label == "positive"
        mask = np.asarray(Image.open(mask_file))
        assert mask.shape == difference.shape
        assert set(np.unique(mask)) == {0, 255}
        assert 0.0005 < (mask > 0).mean() < 0.25
        assert difference[mask > 0].mean() > 5
        assert difference[mask > 0].mean() > 5 * difference[mask == 0].mean()
    positive = truth[truth["true_label"] == "positive"]
    shows = (positive["lesion"] != "").groupby([positive["patient"], positive["body_part"], positive["study"]])
    assert shows.any().all()
    assert 0.85 < (positive["lesion"] != "").mean() < 1
    kinds = positive[positive["lesion"] != ""].groupby(["patient", "body_part", "study"])["lesion"].nunique()
    assert (kinds == 1).all()
    assert len(list((tmp_path / "with/MURA-v1.1/masks").rglob("*.png"))) == (truth["lesion"] != "").sum()


def test_metal_is_bright_and_the_other_lesions_are_dark(tmp_path):
    truth = phantom(tmp_path / "with", samples=150, size=96, duplicates=0.0)
    phantom(tmp_path / "without", samples=150, size=96, duplicates=0.0, contrast=0.0)
    for row in truth[truth["lesion"] != ""].itertuples():
        change = gray(tmp_path / "with" / row.path) - gray(tmp_path / "without" / row.path)
        change = change[np.asarray(Image.open(mask_of(tmp_path / "with", row.path))) > 0].mean()
        assert (change > 0) == (row.lesion == "hardware")


def test_a_greater_contrast_is_more_visible(tmp_path):
    truth = phantom(tmp_path / "0", contrast=0.0)
    changes = []
    for contrast in (0.3, 0.6, 1.0):
        phantom(tmp_path / str(contrast), contrast=contrast)
        pairs = [(gray(tmp_path / str(contrast) / path), gray(tmp_path / "0" / path)) for path in truth["path"]]
        changes.append(np.mean([np.abs(now - before).mean() for now, before in pairs]))
    assert changes[0] < changes[1] < changes[2]


def test_null_has_no_lesion_and_labels_that_mean_nothing(tmp_path):
    options = {"samples": 300, "size": 64, "confound": 0.0, "duplicates": 0.0}
    truth = phantom(tmp_path / "null", null=True, **options)
    lesions = phantom(tmp_path / "lesions", contrast=0.0, **options)
    assert not (tmp_path / "null/MURA-v1.1/masks").exists()
    assert set(truth["true_label"]) == set(truth["lesion"]) == {""}
    assert (truth["patient"] == lesions["patient"]).all()
    now, before = (studies_of(table).reset_index(drop=True) for table in (truth, lesions))
    assert (now.groupby(["folder", "body_part"])["label"].nunique() == 2).all()
    assert (now["label"] == "positive").sum() == (before["label"] == "positive").sum()
    correlation = np.corrcoef(now["label"] == "positive", before["label"] == "positive")[0, 1]
    assert abs(correlation) < 4 / np.sqrt(len(now))
    for a, b in zip(truth["path"][:30], lesions["path"][:30]):  # the same nuisances: the limbs are the same
        assert (tmp_path / "null" / a).read_bytes() == (tmp_path / "lesions" / b).read_bytes()


def test_the_audit_finds_the_confound_where_there_is_one(tmp_path):
    options = {"samples": 300, "size": 64, "duplicates": 0.0}
    free = metadata(tmp_path / "free", phantom(tmp_path / "free", confound=0.0, **options))
    assert free.low < 0.5 + confounds.MARGIN
    assert not free.warnings
    for name, null in (("full", False), ("null", True)):
        truth = phantom(tmp_path / name, confound=1.0, null=null, **options)
        assert truth.groupby("label")[["width", "height"]].nunique().max(axis=None) == 1
    baseline = metadata(tmp_path / "null", truth)
    assert baseline.balanced_accuracy > 0.99
    assert baseline.warnings


def test_duplicates_are_planted_as_stated(tmp_path):
    truth = phantom(tmp_path, samples=120, duplicates=0.3).set_index("path")
    assert len(truth) == 120
    copies = truth[truth["duplicate_of"] != ""]
    assert copies["transform"].value_counts().to_dict() == dict.fromkeys(TRANSFORMS, 9)
    assert set(copies["folder"]) == {"train", "valid"}
    assert copies["patient"].is_unique
    assert not set(copies["patient"]) & set(truth.loc[truth["duplicate_of"] == "", "patient"])
    for path, row in copies.iterrows():
        source = truth.loc[row["duplicate_of"]]
        assert source["duplicate_of"] == ""
        for name in ("folder", "label", "true_label", "body_part", "lesion"):
            assert source[name] == row[name]
        same = (tmp_path / path).read_bytes() == (tmp_path / row["duplicate_of"]).read_bytes()
        assert same == (row["transform"] == "identical")
        image, original = Image.open(tmp_path / path).convert("L"), Image.open(tmp_path / row["duplicate_of"])
        ratio = np.divide(image.size, original.size)
        assert np.all((ratio > 0.65) & (ratio < 0.95)) if row["transform"] == "resized" else np.all(ratio == 1)
        image = np.asarray(image.resize(original.size)).astype(float)
        image = image[:, ::-1] if row["transform"] == "mirrored" else image
        original = np.asarray(original.convert("L")).astype(float)
        assert np.corrcoef(image.ravel(), original.ravel())[0, 1] > 0.95
        if row["transform"] == "gain":
            assert 0.6 < image.mean() / original.mean() < 0.9
        if row["lesion"] and row["transform"] != "resized":
            masks = [np.asarray(Image.open(mask_of(tmp_path, name))) for name in (path, row["duplicate_of"])]
            masks[0] = masks[0][:, ::-1] if row["transform"] == "mirrored" else masks[0]
            assert (masks[0] == masks[1]).all()


@pytest.mark.parametrize("effect", [0.0, 1.0])
def test_the_audit_finds_the_duplicates_and_nothing_else(tmp_path, effect):
    truth = phantom(tmp_path, samples=300, size=96, duplicates=0.2, patient_effect=effect)
    where = {path: number for number, path in enumerate(truth["path"])}
    source = [where[copied or path] for path, copied in zip(truth["path"], truth["duplicate_of"])]
    planted = {(i, j) for j in range(300) for i in range(j) if source[i] == source[j]}
    images = [np.asarray(Image.open(tmp_path / path)) for path in truth["path"]]
    pairs = duplicates.near_duplicates(np.stack([duplicates.thumbnail(image) for image in images]))
    pairs = set(map(tuple, pairs[:, :2].tolist()))
    assert len(pairs & planted) >= 0.95 * len(planted)
    assert len(pairs & planted) >= 0.99 * len(pairs)


def test_label_noise_turns_a_share_of_the_studies(tmp_path):
    truth = phantom(tmp_path, samples=200, size=64, label_noise=0.2)
    studies = studies_of(truth)
    assert (studies["label"] != studies["true_label"]).sum() == round(0.2 * len(studies))
    assert (truth.groupby(["patient", "body_part", "study"])["label"].agg(set).str.len() == 1).all()


def test_patient_effect_makes_images_of_a_patient_alike(tmp_path):
    def alike(effect: float) -> float:
        """Intraclass correlation of the images' brightness, within body parts (one-way analysis of variance)."""
        options = {"duplicates": 0.0, "confound": 0.0, "contrast": 0.0, "size": 64, "samples": 300}
        truth = phantom(tmp_path / str(effect), patient_effect=effect, **options)
        truth["signal"] = [np.log(np.percentile(gray(tmp_path / str(effect) / path), 97)) for path in truth["path"]]
        within = truth.groupby(["patient", "body_part"])["signal"].var().mean()
        return 1 - within / truth.groupby("body_part")["signal"].var().mean()

    assert alike(2.0) > alike(0.0) + 0.2


def test_the_share_of_valid(tmp_path):
    truth = phantom(tmp_path, samples=100, size=64, test=0.5, duplicates=0.1)
    assert (truth["folder"] == "valid").sum() == 50


def test_it_is_a_function_of_the_seed(tmp_path):
    content = {}
    for run, seed in (("a", 3), ("b", 3), ("c", 4)):
        phantom(tmp_path / run, seed=seed, duplicates=0.1)
        files = sorted(p for p in (tmp_path / run).rglob("*") if p.is_file())
        content[run] = {p.relative_to(tmp_path / run).as_posix(): p.read_bytes() for p in files}
    assert content["a"] == content["b"]
    assert content["a"] != content["c"]


def test_great_effects(tmp_path):
    truth = phantom(tmp_path, size=64, patient_effect=1e6, contrast=1e6)
    assert len({gray(tmp_path / path).tobytes() for path in truth["path"]}) > 60


def test_options_out_of_range_are_all_named(tmp_path):
    shares = {"duplicates": 1.5, "confound": 2.0, "label_noise": -0.1, "test": float("nan")}
    amounts = {"contrast": float("inf"), "patient_effect": -1.0, "seed": -1}
    wrong = {**shares, **amounts, "size": 8, "samples": 3}
    with pytest.raises(RescanError) as raised:
        make(tmp_path, ["one"], **wrong)
    lines = str(raised.value).splitlines()
    assert len(lines) == len(wrong) + 1
    for option in wrong:
        assert sum(line.startswith(f"data.phantom: {option}: ") for line in lines) == 1
    assert any("2 classes, not 1" in line for line in lines)
    assert not list(tmp_path.iterdir())


def test_too_few_images_for_each_part_and_label(tmp_path):
    with pytest.raises(RescanError, match="samples: 55 leave 40 for train and 13 for valid beside duplicates, each"):
        make(tmp_path, CLASSES, samples=55)
    with pytest.raises(RescanError, match="samples: 400 leave 384 for train and 0 for valid"):
        make(tmp_path, CLASSES, samples=400, test=0.0)
