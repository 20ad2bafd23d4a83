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


PETS = {"classes": ["cat", "dog"], "split": {"test": 0.2}}


def listed(root: Path, *names: str, **study) -> list[list[str]]:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    manifest = read_layout(small_study(**{**PETS, **study}), root)
    return manifest[["path", "label", "published_part", "patient", "study"]].to_numpy().tolist()


def test_a_validation_part_is_joined_to_training(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    names = [f"{part}/{label}/a.jpg" for part in ("train", "val", "test") for label in ("cat", "dog")]
    rows = listed(tmp_path, *names, split={})
    assert [row[2] for row in rows] == ["test"] * 2 + ["train"] * 4
    assert "the validation part that the data come with is joined to training" in caplog.text


def test_parts_in_the_classes_folders(tmp_path):
    names = [f"{label}/{part}/a.jpg" for part in ("Train", "valid", "Test") for label in ("cat", "dog")]
    rows = listed(tmp_path, *names, split={})
    assert [row[1:] for row in rows[:3]] == [["cat", part, "", ""] for part in ("test", "train", "train")]


def test_classes_over_patients_and_their_studies(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.INFO, "rescan")
    names = ["cat/p1/first/a.png", "cat/p1/second/a.png", "dog/p2/first/a.png", "dog/b.png"]
    assert listed(tmp_path, *names) == [
        ["cat/p1/first/a.png", "cat", "", "p1", "first"],
        ["cat/p1/second/a.png", "cat", "", "p1", "second"],
        ["dog/b.png", "dog", "", "", ""],
        ["dog/p2/first/a.png", "dog", "", "p2", "first"],
    ]
    assert "2 folders are read as patients, such as p1, p2; if they are something else, set patient" in caplog.text


def test_patients_over_classes(tmp_path):
    rows = listed(tmp_path, "images/p1/cat/a.png", "images/p1/dog/b.png", "images/p2/cat/c.png")
    assert [[label, patient] for _, label, _, patient, _ in rows] == [["cat", "p1"], ["dog", "p1"], ["cat", "p2"]]


def test_patients_called_as_a_class_over_classes(tmp_path):
    names = [f"{patient}/{label}/a.png" for patient in range(1, 4) for label in range(2)]
    rows = listed(tmp_path, *names, classes=["0", "1"])
    assert [[label, patient] for _, label, _, patient, _ in rows] == [[str(n % 2), str(n // 2 + 1)] for n in range(6)]


def test_patients_by_a_pattern_and_folders_that_say_nothing(tmp_path):
    names = ["cat/images/x_17_a.png", "cat/images/x_18_a.png", "dog/images/x_17_b.png", "dog/masks/x_17_b.png"]
    assert [row[3] for row in listed(tmp_path, *names)] == [""] * 3
    layout = {"name": "class_folders", "patient": r"x_(\d+)"}
    assert [row[3] for row in listed(tmp_path, *names, layout=layout)] == ["17", "18", "17"]


def test_folders_of_slices_are_samples_if_the_layout_says_so(tmp_path):
    names = ["cat/p1/s1/1.dcm", "cat/p1/s1/2.dcm", "dog/p2/s1/1.dcm"]
    rows = listed(tmp_path, *names, layout={"name": "class_folders", "sample": "folder"})
    assert rows == [["cat/p1/s1", "cat", "", "p1", "s1"], ["dog/p2/s1", "dog", "", "p2", "s1"]]


def test_what_is_no_image_by_its_content_is_none(tmp_path):
    dicom = bytes(128) + b"DICM\2\0\0\0UL\4\0" + bytes(400)
    listed(tmp_path, "cat/a.png", "dog/b.png")
    (tmp_path / "dog/IM0001").write_bytes(dicom)
    (tmp_path / "dog/notes").write_bytes(b"nothing")
    (tmp_path / "dog/c.png").mkdir()
    os.mkfifo(tmp_path / "dog/d.png")
    assert [row[0] for row in listed(tmp_path)] == ["cat/a.png", "dog/IM0001", "dog/b.png"]


def test_a_linked_class_folder(tmp_path):
    listed(tmp_path / "elsewhere", "cat/a.png", "dog/b.png")
    for label in ("cat", "dog"):
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / label).symlink_to(tmp_path / "elsewhere" / label)
    assert [row[0] for row in listed(tmp_path / "data")] == ["cat/a.png", "dog/b.png"]


def test_a_study_beside_its_data(tmp_path):
    names = [
        "cat/a.png",
        "dog/b.png",
        "mine.yaml",
        "results/demo/mine/study.json",
        "data/demo/mine/x.png",
        "logs/demo/a",
    ]
    assert [row[0] for row in listed(tmp_path, *names)] == ["cat/a.png", "dog/b.png"]
