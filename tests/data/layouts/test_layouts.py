from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from rescan.data.layouts import reading as layouts
from rescan.data.readers import tables
from rescan.errors import RescanError
from rescan.study import Data, Split, Study

CLASSES = ["glioma", "meningioma", "notumor", "pituitary"]


def small_study(split=None, **data) -> Study:
    """What a layout looks at of a study."""
    data = {"source": {"path": "raw"}, "layout": "class_folders", "classes": CLASSES, **data}
    split = Split.model_validate(split or {})
    return Study.model_construct(name="brain", scale="demo", data=Data.model_validate(data), split=split)


def fill(root: Path, parts=("Training", "Testing"), classes=CLASSES, names=("a.jpg",)) -> Path:
    for part in parts:
        for label in classes:
            for name in names:
                file = root / part / label / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(b"")  # a layout decodes nothing
    return root


def faults(study, root: Path) -> list[str]:
    with pytest.raises(RescanError) as raised:
        layouts.read(study, root)
    lines = str(raised.value).splitlines()
    assert all(line.startswith("brain: ") for line in lines)
    return lines


def test_class_folders(tmp_path):
    root = fill(tmp_path / "raw", names=("b (1).jpg", "ä ü.PNG", "a.tiff"))
    mask = root / "masks" / "Testing" / "glioma" / "b (1).png"
    mask.parent.mkdir(parents=True)
    mask.write_bytes(b"")
    manifest = layouts.read(small_study(), root)
    assert list(manifest) == layouts.COLUMNS
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
    manifest = layouts.read(small_study(), fill(tmp_path / "raw", parts))
    assert sorted(manifest["published_part"].value_counts().to_dict().items()) == [("test", 4), ("train", 4)]
    assert all((tmp_path / "raw" / path).is_file() for path in manifest["path"])


def test_classes_match_whatever_their_case_and_unicode_form(tmp_path):
    root = fill(tmp_path / "raw", classes=["Gliome\u0301", "B"])
    manifest = layouts.read(small_study(classes=["gliom\u00e9", "b"]), root)
    assert set(manifest["label"]) == {"gliom\u00e9", "b"}


def test_no_published_parts(tmp_path):
    root = fill(tmp_path / "raw", parts=(".",))
    assert set(layouts.read(small_study(split={"test": 0.2}), root)["published_part"]) == {""}
    (line,) = faults(small_study(), root)
    assert "no labeled test part (a Testing folder" in line
    assert "split.test" in line


def test_no_testing_folder(tmp_path):
    (line,) = faults(small_study(), fill(tmp_path / "raw", parts=("Training",)))
    assert "no labeled test part (a Testing folder" in line


def test_no_training_folder(tmp_path):
    (line,) = faults(small_study(), fill(tmp_path / "raw", parts=("Testing",)))
    assert "no Training part" in line


def test_all_faults_of_class_folders_at_once(tmp_path):
    root = fill(tmp_path / "raw")
    (root / "Training" / "glioma").rename(root / "Training" / "glioma_tumor")
    (root / "Testing" / "notumor" / "a.jpg").unlink()
    fill(root, parts=("Testing",), classes=["Pituitary"])
    lines = faults(small_study(), root)
    assert len(lines) == 4
    (unknown,) = (line for line in lines if "glioma_tumor" in line)
    assert "did you mean 'glioma'?" in unknown
    assert "add it to data.classes" in unknown
    assert any("Training: no folder of class 'glioma'" in line for line in lines)
    assert any("notumor: no image in it" in line for line in lines)
    assert any("second folder of class 'pituitary'" in line for line in lines)


def test_two_folders_for_one_part(tmp_path):
    (line,) = faults(small_study(), fill(tmp_path / "raw", parts=("Training", "train", "Testing")))
    assert "merge" in line


@pytest.mark.parametrize("names", [(), ("a.jpg", "b.jpg")])
def test_no_class_folders(tmp_path, names):
    root = tmp_path / "raw"
    root.mkdir()
    for name in names:
        (root / name).write_bytes(b"")
    (line,) = faults(small_study(), root)
    assert "no class folders" in line


def test_the_folder_is_not_there(tmp_path):
    (line,) = faults(small_study(), tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'} is not there" in line


def test_what_is_not_read_is_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    root = fill(tmp_path / "raw", names=("a.jpg", "notes.txt", ".hidden.jpg"))
    (root / "Training" / "glioma" / "deeper").mkdir()
    with caplog.at_level(logging.WARNING, "rescan"):
        manifest = layouts.read(small_study(), root)
    assert len(manifest) == 8
    assert "9 files or folders are not read, such as Testing/glioma/notes.txt" in caplog.text


@pytest.mark.skipif(os.name != "posix", reason="file names are bytes on POSIX only")
def test_a_name_that_is_no_text(tmp_path):
    root = fill(tmp_path / "raw")
    try:
        (root / "Training" / "glioma" / os.fsdecode(b"\xff.jpg")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system refuses such names")
    (line,) = faults(small_study(), root)
    assert "not valid UTF-8" in line


def write_table(root: Path, text: str, encoding: str = "utf-8") -> None:
    root.mkdir(exist_ok=True)
    for name in ("a.png", "b (ä).png"):
        (root / name).write_bytes(b"")
    (root / "samples.csv").write_text(text, encoding)


def test_table(tmp_path):
    root = tmp_path / "raw"
    lines = ["sample,path,label,patient,side,part,site,extra", "007,a.png,glioma,p1,L,train,x,1"]
    write_table(root, "\n".join([*lines, "b,./b (ä).png,notumor,p2,R,Test,y,2\n"]), "utf-8-sig")
    manifest = layouts.read(small_study(layout="table"), root)
    assert list(manifest) == [*layouts.COLUMNS, "site"]
    assert manifest.to_numpy().tolist() == [
        ["007", "a.png", "glioma", "p1", "L", "", "train", "", "", "x"],
        ["b", "b (ä).png", "notumor", "p2", "R", "", "test", "", "", "y"],
    ]


def test_table_without_parts(tmp_path):
    write_table(tmp_path / "raw", "path,label\na.png,glioma\n")
    manifest = layouts.read(small_study(layout="table", split={"test": 0.2}), tmp_path / "raw")
    assert manifest[["sample", "published_part"]].to_numpy().tolist() == [["a.png", ""]]
    (line,) = faults(small_study(layout="table"), tmp_path / "raw")
    assert "no labeled test part (a Testing folder" in line


def test_a_class_may_be_called_none(tmp_path):
    write_table(tmp_path / "raw", "path,label\na.png,None\nb (ä).png,NA\n")
    study = small_study(layout="table", split={"test": 0.2}, classes=["None", "NA"])
    assert layouts.read(study, tmp_path / "raw")["label"].tolist() == ["None", "NA"]


def test_a_table_with_samples_without_a_label(tmp_path):
    root = tmp_path / "raw"
    write_table(root, "path,label,part\na.png,,unlabeled\n\nb (ä).png,glioma,\n")
    manifest = layouts.read(small_study(layout="table", split={"test": 0.2}), root)
    assert manifest[["path", "label", "published_part"]].to_numpy().tolist() == [
        ["a.png", "", "unlabeled"],
        ["b (ä).png", "glioma", ""],
    ]
    write_table(root, "path,label,part\na.png,,\nb (ä).png,glioma,test\n")
    label, part = faults(small_study(layout="table"), root)
    assert "line 2: no label" in label
    assert "line 2: part is ''; use train, test or unlabeled" in part


def test_an_extra_source(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    root = tmp_path / "raw"
    write_table(root, "path,label,part,patient\na.png,glioma,test,7\nb (ä).png,notumor,train,\n")
    extra = {"more": {"source": {"path": "x"}, "layout": {"name": "table", "file": "samples.csv"}}}
    manifest = layouts.read(small_study(extra=extra), root, "more")
    columns = ["sample", "path", "label", "patient", "published_part", "origin"]
    assert manifest[columns].to_numpy().tolist() == [
        ["more/a.png", "a.png", "glioma", "more/7", "extra", "more"],
        ["more/b (ä).png", "b (ä).png", "notumor", "", "extra", "more"],
    ]
    write_table(root, "path,label,part\na.png,glioma,\nb (ä).png,,unlabeled\n")
    with caplog.at_level(logging.INFO, "rescan"):
        assert layouts.read(small_study(extra=extra), root, "more")["sample"].tolist() == ["more/a.png"]
    assert "more: 1 samples without a label are not read" in caplog.text


ACDC = """patient_id,path,group,label,abnormal,nx
patient002,volumes/patient002_frame01.nii.gz,DCM,0,1,232
patient004,volumes/patient004_frame01.nii.gz,NOR,3,0,232
patient005,volumes/patient005,RV,4,1,256
"""


@pytest.fixture
def acdc(tmp_path):
    """A folder of volumes as ACDC's are listed: two NIfTI files, a folder of slices."""
    root = tmp_path / "acdc"
    for file in ("patient002_frame01.nii.gz", "patient004_frame01.nii.gz", "patient005/1.dcm"):
        (root / "volumes" / file).parent.mkdir(parents=True, exist_ok=True)
        (root / "volumes" / file).write_bytes(b"")
    (root / "labels.csv").write_text(ACDC)
    return root


def test_a_table_with_other_columns_and_labels(acdc, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.INFO, "rescan")
    layout = {"name": "table", "file": "labels.csv", "label": "group", "patient": "patient_id"}
    labels = {"NOR": "normal", "DCM": "abnormal"}
    study = small_study(layout=layout, classes=["normal", "abnormal"], labels=labels, split={"test": 0.2})
    manifest = layouts.read(study, acdc)
    assert manifest[["path", "label", "patient"]].to_numpy().tolist() == [
        ["volumes/patient002_frame01.nii.gz", "abnormal", "patient002"],
        ["volumes/patient004_frame01.nii.gz", "normal", "patient004"],
    ]
    assert manifest.attrs["dropped"] == {"RV": 1}
    assert caplog.messages == [
        f"{acdc}/labels.csv: 3 columns are not read: label, abnormal, nx",
        f"{acdc}: 1 samples are dropped, whose label data.labels does not name: RV 1",
    ]
    by_number = small_study(
        layout={**layout, "label": "label"}, classes=["DCM", "NOR", "RV"], labels={"0": "DCM", "3": "NOR", "4": "RV"}
    )
    assert "no labeled test part" in faults(by_number, acdc)[0]
    by_number = by_number.model_copy(update={"split": study.split})
    assert layouts.read(by_number, acdc)["label"].tolist() == ["DCM", "NOR", "RV"]
    (line,) = faults(small_study(layout={**layout, "patient": "subject"}), acdc)
    assert "labels.csv: no column 'subject'" in line


def test_labels_without_a_class_are_named(acdc, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    study = small_study(
        layout={"name": "table", "file": "labels.csv", "label": "group"},
        classes=["normal", "abnormal"],
        labels={"NOR": "normal", "dcm": "abnormal"},
        split={"test": 0.2},
    )
    (line,) = faults(study, acdc)
    assert "by data.labels no sample is 'abnormal'; the labels there are: DCM 1, NOR 1, RV 1" in line
    data = study.data.model_copy(update={"labels": {**study.data.labels, "RV": "abnormal"}})
    assert len(layouts.read(study.model_copy(update={"data": data}), acdc)) == 2
    assert "no sample has the label 'dcm' that data.labels names" in caplog.text


def test_labels_of_extra_sources_are_mapped_too(tmp_path):
    write_table(tmp_path / "raw", "path,label\na.png,NOR\nb (ä).png,RV\n")
    extra = {"more": {"source": {"path": "x"}, "layout": {"name": "table"}}}
    study = small_study(classes=["normal", "abnormal"], labels={"NOR": "normal", "DCM": "abnormal"}, extra=extra)
    assert layouts.read(study, tmp_path / "raw", "more")[["path", "label"]].to_numpy().tolist() == [["a.png", "normal"]]


def test_grades_merged_by_labels(tmp_path):
    (tmp_path / "train_images").mkdir()
    for name in "abc":
        (tmp_path / "train_images" / f"{name}.png").write_bytes(b"")
    (tmp_path / "train.csv").write_text("id_code,diagnosis\na,0\nb,2\nc,1\n")
    study = small_study(
        layout="aptos", classes=["none", "ill"], ordered=True, labels={"0": "none", "2": "ill"}, split={"test": 0.2}
    )
    manifest = layouts.read(study, tmp_path)
    assert manifest[["sample", "label"]].to_numpy().tolist() == [["a", "none"], ["b", "ill"]]
    assert manifest.attrs["dropped"] == {"1": 1}


def test_class_folders_called_by_labels(tmp_path):
    labels = {"glioma_tumor": "tumor", "meningioma": "tumor", "no tumor": "normal"}
    root = fill(tmp_path / "raw", classes=["glioma_tumor", "No Tumor", "pituitary"])
    (root / "Testing" / "notes").mkdir()
    manifest = layouts.read(small_study(classes=["tumor", "normal"], labels=labels), root)
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


def test_a_table_of_volumes_with_all_that_is_known_of_them(acdc):
    (acdc / "samples.csv").write_text(
        "path,label,mask,fov,extent,layers,path_late,sex\n"
        "./volumes/patient005,glioma,volumes/patient002_frame01.nii.gz,3mm,2 3 3.5,labels.csv,volumes,F\n"
        "volumes/patient004_frame01.nii.gz,notumor,,,,,,\n"
    )
    manifest = layouts.read(small_study(layout="table", split={"test": 0.2}), acdc.parent)
    assert list(manifest) == [*layouts.COLUMNS, "fov", "sex", "extent", "layers", "path_late"]
    columns = ["path", "mask", "fov", "extent", "layers", "path_late"]
    second, first = manifest[columns].to_numpy().tolist()
    assert first == [
        *("acdc/volumes/patient005", "acdc/volumes/patient002_frame01.nii.gz", "3mm", "2 3 3.5"),
        *("acdc/labels.csv", "acdc/volumes"),
    ]
    assert second == ["acdc/volumes/patient004_frame01.nii.gz", "", "", "", "", ""]


def test_faults_of_further_columns(acdc):
    rows = ["labels.csv,glioma,no.png,2 3,", "volumes,glioma,,2 3 x,../a", "volumes/patient005,glioma,,0 3 3,"]
    (acdc / "samples.csv").write_text("path,label,mask,extent,path_oct\n" + "\n".join(rows))
    lines = faults(small_study(layout="table", split={"test": 0.2}), acdc)
    for line, expected in zip(
        lines,
        [
            "line 2: mask: no file",
            "line 3: path_oct: ../a leaves the folder",
            "line 2: '2 3' is no extent; give the millimeters along depth, height and width, such as 2 3 3",
            "line 3: '2 3 x' is no extent",
            "line 4: '0 3 3' is no extent",
        ],
    ):
        assert expected in line
    assert len(lines) == 5


def test_all_faults_of_a_table_at_once(tmp_path):
    root = tmp_path / "raw"
    rows = ["a.png,gliom,train,s1", "a.png,gliom,train,s2", "../x.png,glioma,train,s3", "/etc/passwd,glioma,train,s4"]
    rows += ["none.png,glioma,train,s5", ",glioma,train,s6", "a.png,glioma,validation,s7", "a.png,glioma,test,s1"]
    write_table(root, "path,label,part,sample\n" + "\n".join(rows) + "\n")
    lines = faults(small_study(layout="table"), root)
    expected = [
        "line 2 and 1 more: no class 'gliom'; did you mean 'glioma'?",
        "line 8: part is 'validation'",
        "line 4: ../x.png leaves the folder",
        "line 5: /etc/passwd leaves the folder",
        "line 6: no file",
        "line 7: no path",
        "line 9: sample 's1' is in line 2 too",
    ]
    assert len(lines) == len(expected)
    for line, part in zip(lines, expected):
        assert part in line


def test_many_missing_files_are_counted(tmp_path):
    write_table(tmp_path / "raw", "path,label\n" + "".join(f"{i}.png,glioma\n" for i in range(500)))
    lines = faults(small_study(layout="table"), tmp_path / "raw")
    assert len(lines) == tables.SHOWN + 1
    assert "480 more" in lines[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a comma-separated table"),
        (b'path,label\n"a.png,glioma\n', "not a comma-separated table"),
        (b"path,label\n\xff.png,glioma\n", "not UTF-8"),
        (b"path,label\n", "no rows"),
        (b"file,label\na.png,glioma\n", "no column 'path'"),
        (b"path;label\na.png;glioma\n", "separated by semicolons"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_table(tmp_path, content, said):
    (tmp_path / "raw").mkdir()
    if content is not None:
        (tmp_path / "raw" / "samples.csv").write_bytes(content)
    assert said in faults(small_study(layout="table"), tmp_path / "raw")[0]
