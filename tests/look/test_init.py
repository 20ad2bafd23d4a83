"""A study file for data of one's own, from a look at them; it is sound, and says what could not be known."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_files import deadly_dicom

from rescan.data.layouts.reading import read_layout
from rescan.errors import RescanError
from rescan.look.init import init
from rescan.look.labels import in_order
from rescan.study import Settings, Study
from rescan.study.file import load

COUNT = 12
LABELS = ["control", "case"]


def image(path: Path, number: int, dtype=np.uint8, color=False) -> None:
    pixels = np.random.default_rng(number).integers(0, 200, (80, 100, 3) if color else (80, 100))
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), pixels.astype(dtype) * (1 if dtype == np.uint8 else 200))


def volume(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    voxels = np.random.default_rng(number).normal(100, 20, (40, 48, 36)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), path)


def initialized(folder: Path, table: Path | None = None) -> tuple[Study, pd.DataFrame]:
    """The study that is written for a folder, beside it, and its samples."""
    out = folder.parent / "mine.yaml"
    init(folder, table, out, force=True)
    load(out, Settings("demo"))
    study = load(out, Settings("full"))
    assert study.data.source.path == str(folder)
    return study, read_layout(study, folder)


def test_class_folders_of_color_images(tmp_path):
    for number in range(COUNT):
        image(tmp_path / f"pets/{LABELS[number % 2]}/p{number // 4}_{number}/a.jpg", number, color=True)
    study, manifest = initialized(tmp_path / "pets")
    assert study.data.classes == LABELS
    assert (study.data.layout["name"], len(manifest), manifest["patient"].nunique()) == ("class_folders", COUNT, COUNT)
    assert study.preparations["image"].channels == "rgb"
    assert study.preparations["image"].steps == [{"name": "resize", "size": [64, 64], "keep_aspect": True}]
    (small,) = load(tmp_path / "mine.yaml", Settings("small")).arms.values()
    assert (small.network.encoder, small.network.weights) == ("efficientnet_lite0", "imagenet")
    assert (small.normalization, list(small.stages)) == ("centered", ["all"])
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "# 12 samples: control 6, case 6\n# 12 patients\n# images of 80 × 100" in text
    assert "source: {path: pets}" in text


def test_patients_over_classes_and_a_published_test_part(tmp_path):
    for number in range(COUNT):
        image(tmp_path / f"raw/{('train', 'test')[number // 6]}/p{number // 2}/{LABELS[number % 2]}/a.png", number)
    study, manifest = initialized(tmp_path / "raw")
    assert study.split.test == "published"
    assert manifest["patient"].nunique() == COUNT // 2
    assert study.preparations["image"].channels == "gray"


def test_a_table_of_deep_images_outside_of_the_folder(tmp_path):
    rows = []
    for number in range(COUNT):
        image(tmp_path / f"raw/deep/IM{number}.png", number, dtype=np.uint16)
        rows.append((f"IM{number}", f"S{number // 2}", LABELS[number % 2], "kyoto", 40 + number, "x"))
    columns = ["File name", "Subject ID", "Diagnosis", "Hospital", "Age", "Remark"]
    pd.DataFrame(rows, columns=columns).to_excel(tmp_path / "clinic.xlsx", index=False)
    study, manifest = initialized(tmp_path / "raw", tmp_path / "clinic.xlsx")
    assert study.data.layout["columns"] == {
        "path": "File name",
        "patient": "Subject ID",
        "site": "Hospital",
        "label": "Diagnosis",
    }
    assert manifest[["patient", "site", "age"]].iloc[0].tolist() == ["S0", "kyoto", "40"]
    assert [step["name"] for step in study.preparations["image"].steps] == ["clip_percentiles", "resize"]


def test_a_row_per_patient_and_files_called_by_them(tmp_path):
    for number in range(COUNT):
        image(tmp_path / f"raw/{number // 2:03d}_{number % 2}.png", number)
    lines = [f"{number:03d};{number % 2}\n" for number in range(COUNT // 2)]
    (tmp_path / "raw/labels.csv").write_text("ID;Grade\n" + "".join(lines))
    study, manifest = initialized(tmp_path / "raw")
    assert study.data.layout["patient"] == "^([^_]+)_"
    assert manifest["patient"].tolist() == [f"{number // 2:03d}" for number in range(COUNT)]
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "# TO CHECK: the classes are numbers: if they are grades, add ordered: true" in text


def test_dicom_files_whose_headers_say_the_patients(tmp_path):
    file = pydicom.data.get_testdata_file("CT_small.dcm")
    content = pydicom.dcmread(file)
    for number in range(COUNT):
        path = tmp_path / f"raw/{LABELS[number % 2]}/IM{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        content.PatientID = f"secret {number // 2}"
        content.save_as(path)
    initialized(tmp_path / "raw")
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "# 6 patients\n# images of 128 × 128" in text
    assert "secret" not in text
    rows = [f"{path.name},{path.parent.name}\n" for path in sorted((tmp_path / "raw").rglob("IM*"))]
    (tmp_path / "labels.csv").write_text("".join(["image,finding\n", *rows]))
    initialized(tmp_path / "raw", tmp_path / "labels.csv")
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "# 6 patients" in text
    assert "patients are not known" not in text


def test_bids(tmp_path):
    lines = ["participant_id\tage\tdiagnosis\n"]
    for number in range(COUNT):
        for suffix in ("T1w", "T2w")[: 1 + (number == 0)]:
            volume(tmp_path / f"raw/sub-{number:02d}/anat/sub-{number:02d}_{suffix}.nii.gz", number)
        lines.append(f"sub-{number:02d}\t{number}\t{LABELS[number % 2]}\n")
    (tmp_path / "raw/participants.tsv").write_text("".join(lines))
    study, manifest = initialized(tmp_path / "raw")
    assert (study.data.layout["name"], study.data.layout["suffix"], len(manifest)) == ("bids", "T1w", COUNT)
    preparation = study.preparations["volume"]
    assert [step["name"] for step in preparation.steps] == ["resize_volume", "clip_percentiles"]
    assert preparation.steps[0]["size"] == [32, 48, 32]
    assert study.split.group_by == ["patient"]


def test_folders_of_slices(tmp_path):
    for number in range(10):
        for place in range(1, 10):
            image(tmp_path / f"raw/{LABELS[number % 2]}/eye{number}/{place}.png", 10 * number + place)
    study, manifest = initialized(tmp_path / "raw")
    assert study.data.layout["sample"] == "folder"
    assert manifest["path"].iloc[0] == "case/eye1"
    assert study.preparations["volume"].reads == "volume"


def test_folders_above_those_of_the_classes(tmp_path):
    for number in range(COUNT):
        image(tmp_path / f"raw/hospital {'AB'[number // 6]}/{('tumor', 'healthy')[number % 2]}/{number}.png", number)
    study, _ = initialized(tmp_path / "raw")
    assert study.data.classes == ["healthy", "tumor"]
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "# TO CHECK: 2 folders are read as patients, such as hospital A, hospital B; else set patient" in text


def test_a_column_of_patients_after_whom_files_are_called(tmp_path):
    for number in range(COUNT):
        image(tmp_path / f"raw/P{number}.png", number)
    lines = [f"P{number},{LABELS[number % 2]}\n" for number in range(COUNT)]
    (tmp_path / "raw/t.csv").write_text("Patient,Diagnosis\n" + "".join(lines))
    _, manifest = initialized(tmp_path / "raw")
    assert set(manifest["patient"]) == {f"P{number}" for number in range(COUNT)}


def test_a_study_file_is_not_overwritten(tmp_path):
    (tmp_path / "mine.yaml").write_text("mine")
    with pytest.raises(
        RescanError, match=r"mine\.yaml: is there already; write another by -o, or overwrite it by --force"
    ):
        init(tmp_path, None, tmp_path / "mine.yaml")
    with pytest.raises(RescanError, match="no image and no volume in it"):
        init(tmp_path, None, tmp_path / "mine.yaml", force=True)
    assert (tmp_path / "mine.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (None, "no labels can be seen: neither folders of 2 to 20 classes, nor a table"),
        (
            "name,label\nx,a\ny,b\nx,a\ny,b\n",
            "no column of the table (name, label) names files in it or their patients",
        ),
        ("path,value\n0.png,a\n1.png,a\n", "no column has 2 to 20 labels; its columns are path, value"),
    ],
)
def test_what_cannot_be_understood(tmp_path, table, said):
    for number in range(2):
        image(tmp_path / f"raw/{number}.png", number)
    if table is not None:
        (tmp_path / "t.csv").write_text(table)
    with pytest.raises(RescanError) as raised:
        init(tmp_path / "raw", tmp_path / "t.csv" if table else None, tmp_path / "mine.yaml")
    assert said in str(raised.value)
    assert not (tmp_path / "mine.yaml").exists()


def test_files_that_cannot_be_read_are_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    for number in range(4):
        image(tmp_path / f"raw/{LABELS[number % 2]}/{number}.png", number)
    (tmp_path / "raw/case/broken.png").write_bytes(b"")
    (tmp_path / "raw/case/deadly.dcm").write_bytes(deadly_dicom())
    initialized(tmp_path / "raw")
    assert "2 of 6 files that were looked at cannot be read: empty file" in caplog.text
    (tmp_path / "raw/case/deadly.dcm").unlink()
    for file in (tmp_path / "raw").rglob("*.png"):
        file.write_bytes(b"")
    with pytest.raises(RescanError, match="none of the files that were looked at can be read"):
        init(tmp_path / "raw", None, tmp_path / "other.yaml")


def write_labels(folder: Path, columns: str, rows: list[str]) -> Path:
    """A table of images 00.png, …, which are made, too."""
    for number in range(len(rows)):
        image(folder / f"{number:02d}.png", number)
    (folder / "t.csv").write_text("\n".join([f"image,{columns}", *(f"{n:02d},{row}" for n, row in enumerate(rows))]))
    return folder


def test_rows_without_a_label_and_labels_of_two_spellings(tmp_path):
    """Neither becomes a class; a class may be called none."""
    labels = ["tumor", "none", "NA", "Tumor", "none", "", "tumor ", "None"]
    study, manifest = initialized(write_labels(tmp_path / "raw", "label", labels * 2))
    assert study.data.classes == ["none", "tumor"]
    assert study.data.labels == {"None": "none", "none": "none", "Tumor": "tumor", "tumor": "tumor"}
    assert manifest["label"].value_counts().to_dict() == {"none": 6, "tumor": 6}
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "# TO CHECK: 4 rows are left out, whose label is unknown ('', 'NA')" in text
    assert "# TO CHECK: the labels 'None' and 'none', 'Tumor' and 'tumor' differ only in case" in text
    assert "# TO CHECK: the class none may be rows without a label; then take it out" in text


def test_a_column_per_class(tmp_path):
    """Of one class each, as ISIC 2018 has them, beside another column of 0 and 1; or of several, as CheXpert."""
    rows = [f"{n % 2}.0,{float(n % 3 == 0)},{float(n % 3 == 1)},{float(n % 3 == 2)},{n // 2}" for n in range(12)]
    study, manifest = initialized(write_labels(tmp_path / "raw", "smoker,NV,MEL,BCC,patient", rows))
    assert (study.data.classes, study.data.multilabel) == (["BCC", "MEL", "NV"], False)
    assert manifest["label"].tolist() == ["NV", "MEL", "BCC"] * 4
    assert manifest["patient"].nunique() == 6
    several = [f"{n % 2}.0,{'' if n % 3 else '1.0'},{('1.0', '-1.0', '')[n % 3]},Frontal" for n in range(30)]
    study, manifest = initialized(write_labels(tmp_path / "two", "No Finding,Edema,Pneumonia,Frontal/Lateral", several))
    assert (study.data.classes, study.data.multilabel) == (["Edema", "Pneumonia"], True)
    assert manifest["label"].value_counts().to_dict() == {"none": 20, "Edema|Pneumonia": 10}
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "read as labels, of which a sample may have several: Edema, Pneumonia; if another column" in text


def test_folds_that_the_patients_allow(tmp_path):
    rows = [f"{LABELS[n % 2]},p{n // 4 if n % 2 else n}" for n in range(16)]
    study, _ = initialized(write_labels(tmp_path / "raw", "label,patient", rows))
    assert study.split.fold_count == 2  # of four patients one is tested on, and one more is trained on


def test_tables_that_are_not_read_are_said(tmp_path):
    root = write_labels(tmp_path / "raw", "label", LABELS * 8)
    (root / "a.csv").write_text("image,label\n" + "".join(f"{n:02d},{LABELS[n % 2]}\n" for n in range(8)))
    _, manifest = initialized(root)
    assert len(manifest) == 16
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "TO CHECK: t.csv is read; there are other tables of labels, too: a.csv" in text
    for number in range(16):
        image(tmp_path / f"two/{LABELS[number % 2]}/{number}.png", number)
    (tmp_path / "two/t.csv").write_text("image,label\n" + "".join(f"x{n},{LABELS[n % 2]}\n" for n in range(8)))
    initialized(tmp_path / "two")
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "TO CHECK: a table is not read: " in text
    assert "no column of the table (image, label) names files in it or their patients (no file" in text


def test_folders_of_one_class_that_are_written_in_two_ways(tmp_path):
    for number in range(COUNT):
        place = f"Train_set/Site{number // 6}/{('Control', 'control ')[number // 6] if number % 2 else 'case'}"
        image(tmp_path / f"raw/{place}/{number}.png", number)
    study, manifest = initialized(tmp_path / "raw")
    assert study.data.classes == ["Control", "case"]
    assert manifest["label"].value_counts().to_dict() == {"Control": 6, "case": 6}


def test_a_class_of_the_test_part_alone(tmp_path):
    for number in range(24):
        image(tmp_path / f"raw/{('train', 'test')[number % 4 == 3]}/{LABELS[number // 4 % 2]}/{number}.png", number)
    image(tmp_path / "raw/test/rare/1.png", 99)
    study, manifest = initialized(tmp_path / "raw")
    assert study.data.classes == LABELS
    assert len(manifest) == 24
    assert "TO CHECK: only the test part has rare, which is left out" in (tmp_path / "mine.yaml").read_text()


def test_labels_that_join_others(tmp_path):
    rows = [("edema", "mass", '"edema, mass"')[n % 3] for n in range(18)]
    initialized(write_labels(tmp_path / "raw", "finding", rows))
    assert "some labels join others, such as edema, mass: if a sample may have" in (tmp_path / "mine.yaml").read_text()


def test_a_workbook_of_several_sheets(tmp_path):
    for number in range(COUNT):
        image(tmp_path / f"raw/{number}.png", number)
    rows = pd.DataFrame({"image": [f"{n}.png" for n in range(COUNT)], "label": [LABELS[n % 2] for n in range(COUNT)]})
    with pd.ExcelWriter(tmp_path / "raw/t.xlsx") as writer:
        pd.DataFrame({"Read me": ["Images of 2023"]}).to_excel(writer, sheet_name="notes", index=False)
        rows.to_excel(writer, sheet_name="train", index=False, startrow=3)
        rows.head(4).to_excel(writer, sheet_name="test", index=False)
    study, manifest = initialized(tmp_path / "raw")
    assert (study.data.layout["sheet"], len(manifest)) == ("train", COUNT)
    assert "the sheet train is read; others have such columns, too: test" in (tmp_path / "mine.yaml").read_text()


def test_bids_with_labels_by_session(tmp_path):
    for number in range(8):
        for session in "ab":
            volume(tmp_path / f"raw/sub-{number}/ses-{session}/anat/sub-{number}_ses-{session}_T1w.nii.gz", number)
        rows = "".join(f"ses-{s}\t{60 + number}\t{LABELS[(number + (s == 'b')) % 2]}\n" for s in "ab")
        (tmp_path / f"raw/sub-{number}/sub-{number}_sessions.tsv").write_text(f"session_id\tage\tdiagnosis\n{rows}")
    lines = "".join(f"sub-{number}\tF\n" for number in range(8))
    (tmp_path / "raw/participants.tsv").write_text(f"participant_id\tsex\n{lines}")
    study, manifest = initialized(tmp_path / "raw")
    assert study.data.classes == LABELS
    assert manifest["label"].tolist() == [LABELS[(n + s) % 2] for n in range(8) for s in range(2)]
    assert manifest["age"].iloc[2] == "61"
    text = (tmp_path / "mine.yaml").read_text("utf-8")
    assert "all sessions are read (ses-a, ses-b); session in data.layout takes one of them" in text


@pytest.mark.parametrize("volumes", [False, True])
def test_a_table_of_several_labels_per_image(tmp_path, volumes):
    """Of the columns of ChestX-ray14; the study is sound at both scales (see `initialized`)."""
    texts = ["Mass", "Effusion|Mass", "No Finding", "Effusion", "Nodule|Effusion|Mass", "Nodule"] * 4
    rows = []
    for number, text in enumerate(texts):
        name = f"{number:02d}.nii.gz" if volumes else f"{number:02d}.png"
        (volume if volumes else image)(tmp_path / "raw" / name, number)
        rows.append(f"{name},{text},{number // 2}")
    (tmp_path / "raw/Data_Entry.csv").write_text("Image Index,Finding Labels,Patient ID\n" + "\n".join(rows))
    study, manifest = initialized(tmp_path / "raw")
    assert study.data.classes == ["Effusion", "Mass", "Nodule"]
    assert study.data.multilabel
    assert manifest["label"].tolist()[:5] == ["Mass", "Effusion|Mass", "none", "Effusion", "Effusion|Mass|Nodule"]
    assert "# 24 samples: Effusion 12, Mass 12, Nodule 8" in (tmp_path / "mine.yaml").read_text("utf-8")
    (recipe,) = study.arms.values()
    assert list(recipe.network.heads) == ["multilabel"]
    assert {stage.class_weights for stage in recipe.stages.values()} == {"balanced"}
    assert recipe.posttrain.thresholds == "youden"


@pytest.mark.parametrize("labels", [["ctl", "case"], ["HC", "AD"], ["normal", "Pneumonia"], ["no tumor", "glioma"]])
def test_what_means_normal_comes_first(labels):
    assert in_order(labels) == in_order(labels[::-1]) == labels
