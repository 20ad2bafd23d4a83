"""One CSV with one row per sample: what it may hold, and every fault at once."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
from layout_cases import GRADES, faults, fill, graded_study, small_study, write_table

from rescan.data.layouts.folders import COLUMNS
from rescan.data.layouts.reading import read_layout
from rescan.data.readers import tables
from rescan.errors import RescanError


def test_table(tmp_path):
    root = tmp_path / "raw"
    lines = ["sample,path,label,patient,side,part,site,extra", "007,a.png,glioma,p1,L,train,x,1"]
    write_table(root, "\n".join([*lines, "b,./b (ä).png,notumor,p2,R,Test,y,2\n"]), "utf-8-sig")
    manifest = read_layout(small_study(layout="table"), root)
    assert list(manifest) == [*COLUMNS, "site"]
    assert manifest.to_numpy().tolist() == [
        ["007", "a.png", "glioma", "p1", "L", "", "train", "", "", "x"],
        ["b", "b (ä).png", "notumor", "p2", "R", "", "test", "", "", "y"],
    ]


def test_table_without_parts(tmp_path):
    write_table(tmp_path / "raw", "path,label\na.png,glioma\n")
    manifest = read_layout(small_study(layout="table", split={"test": 0.2}), tmp_path / "raw")
    assert manifest[["sample", "published_part"]].to_numpy().tolist() == [["a.png", ""]]
    (line,) = faults(small_study(layout="table"), tmp_path / "raw")
    assert "no labeled test part (a Testing folder" in line


def test_a_class_may_be_called_none(tmp_path):
    write_table(tmp_path / "raw", "path,label\na.png,None\nb (ä).png,NA\n")
    study = small_study(layout="table", split={"test": 0.2}, classes=["None", "NA"])
    assert read_layout(study, tmp_path / "raw")["label"].tolist() == ["None", "NA"]


def test_a_table_with_samples_without_a_label(tmp_path):
    root = tmp_path / "raw"
    write_table(root, "path,label,part\na.png,,unlabeled\n\nb (ä).png,glioma,\n")
    manifest = read_layout(small_study(layout="table", split={"test": 0.2}), root)
    assert manifest[["path", "label", "published_part"]].to_numpy().tolist() == [
        ["a.png", "", "unlabeled"],
        ["b (ä).png", "glioma", ""],
    ]
    write_table(root, "path,label,part\na.png,,\nb (ä).png,glioma,test\n")
    label, part = faults(small_study(layout="table"), root)
    assert "line 2: no label" in label
    assert "line 2: part is ''; use train, validation, test or unlabeled" in part


def test_a_table_of_volumes_with_all_that_is_known_of_them(acdc):
    (acdc / "samples.csv").write_text(
        "path,label,mask,fov,extent,layers,path_late,sex\n"
        "./volumes/patient005,glioma,volumes/patient002_frame01.nii.gz,3mm,2 3 3.5,labels.csv,volumes,F\n"
        "volumes/patient004_frame01.nii.gz,notumor,,,,,,\n"
    )
    manifest = read_layout(small_study(layout="table", split={"test": 0.2}), acdc.parent)
    assert list(manifest) == [*COLUMNS, "fov", "sex", "extent", "layers", "path_late"]
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
    rows += ["none.png,glioma,train,s5", ",glioma,train,s6", "a.png,glioma,hold-out,s7", "a.png,glioma,test,s1"]
    write_table(root, "path,label,part,sample\n" + "\n".join(rows) + "\n")
    lines = faults(small_study(layout="table"), root)
    expected = [
        "line 2 and 1 more: no class 'gliom'; did you mean 'glioma'?",
        "line 8: part is 'hold-out'",
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
    assert len(lines) == tables.MOST + 1
    assert "480 more" in lines[-1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b'path,label\n"a.png,glioma\n', "line 2: not a table (unexpected end of data)"),
        (b"\xff\xfep\0a", "not text"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "a workbook of an old kind (.xls), or with a password"),
        (b"PK\3\4 and no more", "not a readable Excel workbook"),
        (b"path,label\na.png,glioma,1\n", "line 2: has more fields"),
        (b"path,label\n", "no rows"),
        (b"file,label\na.png,glioma\n", "no column 'path'"),
        (None, "cannot be read"),
    ],
)
def test_a_broken_table(tmp_path, content, said):
    (tmp_path / "raw").mkdir()
    if content is not None:
        (tmp_path / "raw" / "samples.csv").write_bytes(content)
    assert said in faults(small_study(layout="table"), tmp_path / "raw")[0]


def test_numbers_stand_for_grades_only_where_no_class_is_a_number(tmp_path):
    fill(tmp_path, "a.png", samples="path,label\na.png,1\n")
    for classes, ordered, label in ((GRADES, True, "mild"), (["1", "2"], True, "1"), (["1", "2"], False, "1")):
        study = graded_study("table")
        data = study.data.model_copy(update={"classes": classes, "ordered": ordered})
        assert read_layout(study.model_copy(update={"data": data}), tmp_path)["label"].tolist() == [label]
    data = graded_study("table").data.model_copy(update={"ordered": False})
    with pytest.raises(RescanError, match="no class '1'"):
        read_layout(study.model_copy(update={"data": data}), tmp_path)


def test_words_for_unknown_are_no_files(acdc):
    rows = ["path,label,mask,extent,patient", "volumes/patient005,glioma,NA,n/a,#REF!"]
    rows += ["volumes/patient004_frame01.nii.gz,notumor,none,,p2"]
    (acdc / "samples.csv").write_text("\n".join(rows))
    manifest = read_layout(small_study(layout="table", split={"test": 0.2}), acdc)
    assert manifest[["mask", "extent"]].to_numpy().tolist() == [["", ""], ["", ""]]
    assert set(manifest["patient"]) == {"", "p2"}
    (acdc / "samples.csv").write_text("path,label\nNA,glioma\n")
    (line,) = faults(small_study(layout="table", split={"test": 0.2}), acdc)
    assert "line 2: no path; fill it in, or take the row out ('NA')" in line


def test_a_column_of_0_and_1_per_class(tmp_path):
    """As of ISIC 2018: each image has one class."""
    root = tmp_path / "raw"
    study = small_study(layout="table", split={"test": 0.2}, classes=["MEL", "NV", "BCC"])
    write_table(root, "path,MEL,NV,BCC\na.png,0.0,1.0,0.0\nb (ä).png,1.0,0.0,0.0\n")
    assert read_layout(study, root)["label"].tolist() == ["NV", "MEL"]
    write_table(root, "path,MEL,NV,BCC\na.png,1,1,0\nb (ä).png,0,0,0\n")
    lines = faults(study, root)
    assert "line 2: is MEL and NV; correct it, or set multilabel: true under data" in lines[-1]
    assert any("line 3: no label" in line for line in lines)


def test_rows_whose_label_is_unknown(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    root = tmp_path / "raw"
    write_table(root, "path,label\na.png,glioma\nb (ä).png,n/a\n")
    (line,) = faults(small_study(layout="table", split={"test": 0.2}), root)
    assert "line 3: label 'n/a' means unknown; give it, or name those that are read under data.labels" in line
    labels = {"glioma": "ill", "notumor": "well"}
    study = small_study(layout="table", split={"test": 0.2}, classes=["ill", "well"], labels=labels)
    write_table(root, "path,label\na.png,glioma\nb (ä).png,\nc.png,notumor\nd.png,NA\n")
    for name in ("c.png", "d.png"):
        (root / name).write_bytes((root / "a.png").read_bytes())
    assert read_layout(study, root)["sample"].tolist() == ["a.png", "c.png"]
    assert "2 rows are left out: their label is unknown ('', 'NA')" in caplog.text


def test_several_sheets_of_a_workbook(tmp_path):
    root = tmp_path / "raw"
    write_table(root, "")
    rows = pd.DataFrame({"path": ["a.png"], "label": ["glioma"]})
    with pd.ExcelWriter(root / "t.xlsx") as writer:
        rows.to_excel(writer, sheet_name="old", index=False)
        rows.assign(label="notumor").to_excel(writer, sheet_name="new", index=False)
    layout = {"name": "table", "file": "t.xlsx"}
    (line,) = faults(small_study(layout=layout, split={"test": 0.2}), root)
    assert "t.xlsx: several sheets have such columns (old, new); choose one by sheet in data.layout" in line
    study = small_study(layout={**layout, "sheet": "new"}, split={"test": 0.2})
    assert read_layout(study, root)["label"].tolist() == ["notumor"]
