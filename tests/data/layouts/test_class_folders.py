"""Folders of classes: their spellings, parts, and every fault at once."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest
from layout_cases import CLASSES, faults, small_study

from rescan.data.layouts.folders import COLUMNS
from rescan.data.layouts.reading import read_layout


def fill_folders(root: Path, parts=("Training", "Testing"), classes=CLASSES, names=("a.jpg",)) -> Path:
    for part in parts:
        for label in classes:
            for name in names:
                file = root / part / label / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"")  # a layout decodes nothing
    return root


def test_class_folders(tmp_path):
    root = fill_folders(tmp_path / "raw", names=("b (1).jpg", "ä ü.PNG", "a.tiff"))
    mask = root / "masks" / "Testing" / "glioma" / "b (1).png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"")
    manifest = read_layout(small_study(), root)
    assert list(manifest) == COLUMNS
    assert manifest["sample"].is_monotonic_increasing
    assert (manifest["sample"] == manifest["path"]).all()
    assert manifest.groupby(["published_part", "label"]).size().to_dict() == {
        (part, label): 3 for part in ("train", "test") for label in CLASSES
    }
    assert all((root / path).is_file() for path in manifest["path"])
    masked = manifest[manifest["mask"] != ""]
    assert masked[["path", "mask"]].to_numpy().tolist() == [
        ["Testing/glioma/b (1).jpg", "masks/Testing/glioma/b (1).png"]
    ]


@pytest.mark.parametrize("parts", [("TRAINING", "TESTING"), ("train", "Test"), ("top/Training", "top/Testing")])
def test_other_spellings_and_a_top_folder(tmp_path, parts):
    manifest = read_layout(small_study(), fill_folders(tmp_path / "raw", parts))
    assert sorted(manifest["published_part"].value_counts().to_dict().items()) == [("test", 4), ("train", 4)]
    assert all((tmp_path / "raw" / path).is_file() for path in manifest["path"])


def test_classes_match_whatever_their_case_and_unicode_form(tmp_path):
    root = fill_folders(tmp_path / "raw", classes=["Gliome\u0301", "B"])
    manifest = read_layout(small_study(classes=["gliom\u00e9", "b"]), root)
    assert set(manifest["label"]) == {"gliom\u00e9", "b"}


def test_no_published_parts(tmp_path):
    root = fill_folders(tmp_path / "raw", parts=(".",))
    assert set(read_layout(small_study(split={"test": 0.2}), root)["published_part"]) == {""}
    (line,) = faults(small_study(), root)
    assert "no labeled test part (a Testing folder" in line
    assert "split.test" in line


def test_no_testing_folder(tmp_path):
    (line,) = faults(small_study(), fill_folders(tmp_path / "raw", parts=("Training",)))
    assert "no labeled test part (a Testing folder" in line


def test_no_training_folder(tmp_path):
    (line,) = faults(small_study(), fill_folders(tmp_path / "raw", parts=("Testing",)))
    assert "no Training part" in line


def test_all_faults_of_class_folders_at_once(tmp_path):
    root = fill_folders(tmp_path / "raw")
    (root / "Training" / "glioma").rename(root / "Training" / "glioma_tumor")
    (root / "Testing" / "notumor" / "a.jpg").unlink()
    fill_folders(root, parts=("Testing",), classes=["Pituitary"])
    lines = faults(small_study(), root)
    assert len(lines) == 4
    (unknown,) = (line for line in lines if "glioma_tumor" in line)
    assert "did you mean 'glioma'?" in unknown
    assert "add it to data.classes" in unknown
    assert any("Training: no folder of class 'glioma'" in line for line in lines)
    assert any("notumor: no image in it" in line for line in lines)
    assert any("second folder of class 'pituitary'" in line for line in lines)


def test_two_folders_for_one_part(tmp_path):
    (line,) = faults(small_study(), fill_folders(tmp_path / "raw", parts=("Training", "train", "Testing")))
    assert "merge" in line


@pytest.mark.parametrize("names", [(), ("a.jpg", "b.jpg")])
def test_no_class_folders(tmp_path, names):
    root = tmp_path / "raw"
    root.mkdir()
    for name in names:
        (root / name).write_bytes(b"")
    (line,) = faults(small_study(), root)
    assert "no class folders" in line


def test_what_is_not_read_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    root = fill_folders(tmp_path / "raw", names=("a.jpg", "notes.txt", ".hidden.jpg"))
    (root / "Training" / "glioma" / "deeper").mkdir()
    with caplog.at_level(logging.WARNING, "rescan"):
        manifest = read_layout(small_study(), root)
    assert len(manifest) == 8
    assert "8 files or folders are not read, such as Testing/glioma/notes.txt" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_that_is_no_text(tmp_path):
    root = fill_folders(tmp_path / "raw")
    try:
        (root / "Training" / "glioma" / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses such names")
    (line,) = faults(small_study(), root)
    assert "not valid UTF-8" in line


def test_class_folders_called_by_labels(tmp_path):
    labels = {"glioma_tumor": "tumor", "meningioma": "tumor", "no tumor": "normal"}
    root = fill_folders(tmp_path / "raw", classes=["glioma_tumor", "No Tumor", "pituitary"])
    (root / "Testing" / "notes").mkdir()
    manifest = read_layout(small_study(classes=["tumor", "normal"], labels=labels), root)
    assert manifest[["path", "label"]].to_numpy().tolist() == [
        ["Testing/No Tumor/a.jpg", "normal"],
        ["Testing/glioma_tumor/a.jpg", "tumor"],
        ["Training/No Tumor/a.jpg", "normal"],
        ["Training/glioma_tumor/a.jpg", "tumor"],
    ]
    assert manifest.attrs["dropped"] == {"pituitary": 2}
    (root / "Testing" / "No Tumor").rename(root / "Testing" / "none")
    (line,) = faults(small_study(classes=["tumor", "normal"], labels=labels), root)
    assert "Testing: no folder of class 'normal'" in line
