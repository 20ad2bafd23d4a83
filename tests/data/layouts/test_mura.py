"""The native layout of MURA: its CSVs, and what contradicts them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from rescan.data.layouts.reading import read_layout
from rescan.errors import RescanError
from rescan.study import Data, Split, Study

IMAGES = [
    "train/XR_ELBOW/patient00001/study1_positive/image1.png",
    "train/XR_ELBOW/patient00001/study1_positive/image2.png",
    "train/XR_WRIST/patient00002/study1_negative/image1.png",
    "train/XR_WRIST/patient00002/study2_positive/image1.png",
    "valid/XR_HAND/patient00003/study1_negative/image1.png",
]


def mura(**data) -> Study:
    data = {
        "source": {"path": "raw"},
        "layout": "mura",
        "classes": ["normal", "abnormal"],
        "labels": {"negative": "normal", "positive": "abnormal"},
        **data,
    }
    split = Split.model_validate({"test": "published"})
    return Study.model_construct(name="bones", scale="demo", data=Data.model_validate(data), split=split)


def fill(root: Path) -> Path:
    """Write the images, empty, and the four CSVs; return the folder MURA-v1.1."""
    top = root / "MURA-v1.1"
    for image in IMAGES:
        (top / image).parent.mkdir(parents=True, exist_ok=True)
        (top / image).touch()
    for part in ("train", "valid"):
        own = [image for image in IMAGES if image.startswith(part)]
        (top / f"{part}_image_paths.csv").write_text("".join(f"MURA-v1.1/{image}\n" for image in own))
        studies = dict.fromkeys(image.rpartition("/")[0] for image in own)
        lines = [f"MURA-v1.1/{study}/,{int(study.endswith('positive'))}\n" for study in studies]
        (top / f"{part}_labeled_studies.csv").write_text("".join(lines))
    return top


@pytest.mark.parametrize("inside", [False, True])
def test_the_csvs_become_the_manifest(tmp_path, inside, caplog):
    top = fill(tmp_path)
    mask = top / "masks" / IMAGES[0]
    mask.parent.mkdir(parents=True)
    mask.touch()
    (top / "train/XR_ELBOW/patient00001/study1_positive/._image1.png").touch()
    (top / "valid/XR_HAND/notes.txt").touch()
    manifest = read_layout(mura(), top if inside else tmp_path)
    above = "" if inside else "MURA-v1.1/"
    assert manifest["sample"].tolist() == IMAGES
    assert manifest["path"].tolist() == [above + image for image in IMAGES]
    assert manifest["mask"].tolist() == [f"{above}masks/{IMAGES[0]}", "", "", "", ""]
    assert manifest["label"].tolist() == ["abnormal", "abnormal", "normal", "abnormal", "normal"]
    assert manifest["published_part"].tolist() == ["train"] * 4 + ["test"]
    assert manifest["patient"].tolist() == [f"patient0000{n}" for n in (1, 1, 2, 2, 3)]
    assert manifest["study"].tolist() == ["ELBOW/study1", "ELBOW/study1", "WRIST/study1", "WRIST/study2", "HAND/study1"]
    assert manifest["body_part"].tolist() == ["elbow", "elbow", "wrist", "wrist", "hand"]
    assert manifest.attrs["unlisted"] == ["valid/XR_HAND/notes.txt"]
    assert "1 files are in no CSV and are left out" in caplog.text


def test_a_study_without_an_image_is_said(tmp_path, caplog):
    top = fill(tmp_path)
    with (top / "valid_labeled_studies.csv").open("a") as stream:
        stream.write("MURA-v1.1/valid/XR_HAND/patient00009/study1_negative/,0\n")
    assert len(read_layout(mura(), tmp_path)) == 5
    assert "1 studies have no image and are left out, such as valid/XR_HAND/patient00009/study1_negative" in caplog.text


def replace(file: str, old: str, new: str):
    def change(top: Path) -> None:
        text = (top / file).read_text()
        assert old in text
        (top / file).write_text(text.replace(old, new, 1))

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda top: (top / IMAGES[1]).unlink(),
            "train_image_paths.csv: line 2: no file .*image2.png; add it, or take",
        ),
        (
            replace("train_image_paths.csv", "study1_positive", "study1_maybe"),
            "line 1: study 'study1_maybe' is named neither positive nor negative",
        ),
        (
            replace("train_labeled_studies.csv", "study1_positive/,1", "study1_positive/,0"),
            "train_labeled_studies.csv: line 1: label 0, negative, contradicts the folder train/XR_ELBOW/patient00001",
        ),
        (
            replace("train_labeled_studies.csv", "MURA-v1.1/train/XR_ELBOW/patient00001/study1_positive/,1\n", ""),
            "line 1: its study is not in train_labeled_studies.csv",
        ),
        (replace("train_labeled_studies.csv", ",1", ",yes"), "line 1: is not a study's folder and 0 or 1"),
        (replace("train_image_paths.csv", "image2", "image1"), "line 2: .*image1.png is in line 1 too; list it once"),
        (
            replace("valid_image_paths.csv", "/valid/", "/train/"),
            "valid_image_paths.csv: line 1: .* is not <folder>/valid",
        ),
        (replace("valid_image_paths.csv", "XR_HAND", "../../x"), "valid_image_paths.csv: line 1: .* is not <folder>"),
        (lambda top: (top / "valid_labeled_studies.csv").unlink(), "valid_labeled_studies.csv: cannot be read"),
        (lambda top: (top / "valid_image_paths.csv").write_text("\n"), "valid_image_paths.csv: no rows"),
        (lambda top: (top / "valid_image_paths.csv").write_bytes(b"\xff\xfe\x00"), "not UTF-8"),
        (lambda top: shutil.rmtree(top / "valid"), "valid_image_paths.csv: line 1: no file"),
    ],
)
def test_what_contradicts_is_said_by_line(tmp_path, change, said):
    top = fill(tmp_path)
    change(top)
    with pytest.raises(RescanError, match=said):
        read_layout(mura(), tmp_path)


def test_without_labels_the_classes_are_the_folders_words(tmp_path):
    fill(tmp_path)
    manifest = read_layout(mura(classes=["negative", "positive"], labels={}), tmp_path)
    assert set(manifest["label"]) == {"negative", "positive"}
    with pytest.raises(RescanError, match="no class 'positive'"):
        read_layout(mura(labels={}), tmp_path)
