from __future__ import annotations

import hashlib
import logging
import os
import shutil
from pathlib import Path

import pytest
from openpyxl import Workbook
from sample_files import read_json

from rescan.data.layouts.folders import COLUMNS, path_columns
from rescan.data.layouts.reading import read_layout, tables_of
from rescan.data.sources.download import download
from rescan.errors import RescanError
from rescan.study import Data, Split, Study

HEADER = ["ID", "Sex", "OS/OD", "Age", "Disease"]
ROWS = [
    [10301, "F", "OS", 54, "NORMAL"],
    [10302, "M", "OD", 61, "DR"],
    [10001, "F", "OD", 70, "AMD"],
    [10002, "M", "OS", 33, "NORMAL"],
]
LABELS = {"NORMAL": "normal", "DR": "abnormal", "AMD": "abnormal"}


def small_study(modality="octa", **data) -> Study:
    """What a layout looks at of a study."""
    data = {
        "source": {"path": "raw"},
        "layout": {"name": "octa500", "modality": modality},
        "classes": ["normal", "abnormal"],
        "labels": LABELS,
        **data,
    }
    split = Split.model_validate({"test": 0.2})
    return Study.model_construct(name="eyes", scale="demo", data=Data.model_validate(data), split=split)


def scan(folder: Path, number: int, modalities=("OCT", "OCTA"), more=True) -> None:
    """The files of a volume; nothing of them is decoded."""
    for modality in modalities:
        (folder / modality / str(number)).mkdir(parents=True)
        (folder / modality / str(number) / "1.bmp").write_bytes(f"{modality}{number}".encode())
    if more:
        for file in (
            f"Projection Maps/OCTA(FULL)/{number}.bmp",
            f"Projection Maps/OCTA(ILM_OPL)/{number}.bmp",
            f"Projection Maps/OCTA(OPL_BM)/{number}.bmp",
            f"GT_Layers/{number}.mat",
        ):
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(b"")


def write_labels(file: Path, rows=ROWS, header=HEADER) -> None:
    book = Workbook()
    for row in [header, *rows]:
        book.active.append(row)
    file.parent.mkdir(parents=True, exist_ok=True)
    book.save(file)


def fill(root: Path, small="OCTA_3M", large="OCTA_6M") -> Path:
    """Two volumes of each field of view, with one table of labels on top."""
    for folder, numbers in ((small, (10301, 10302)), (large, (10001, 10002))):
        for number in numbers:
            scan(root / folder, number)
    write_labels(root / "Text labels.xlsx")
    return root


def faults(root: Path, study: Study | None = None) -> list[str]:
    with pytest.raises(RescanError) as raised:
        read_layout(study or small_study(), root)
    return [line.split("eyes: ")[1].replace(f"{root}/", "") for line in str(raised.value).splitlines()]


@pytest.fixture
def said(caplog, monkeypatch):
    """What was logged, a line each."""
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.INFO, "rescan")
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("folders", [("OCTA_3M", "OCTA_6M"), ("OCTA_3mm", "OCTA_6mm")])
@pytest.mark.parametrize("above", ["", "OCTA-500/"])
def test_all_that_the_layout_knows(tmp_path, folders, above, said):
    root = tmp_path / "raw"
    top = fill(root / above, *folders)
    (top / "masks" / folders[0] / "10302").mkdir(parents=True)
    (top / "Label" / "GT_Layers").mkdir(parents=True)
    (top / folders[1] / "GT_Layers" / "10002.mat").rename(top / "Label" / "GT_Layers" / "10002.mat")
    manifest = read_layout(small_study(), root)
    known = ["fov", "age", "sex", "extent", "layers", "path_oct", "path_octa"]
    assert list(manifest) == [*COLUMNS, *known, *(f"path_enface_{name}" for name in ENFACE)]
    columns = ["sample", "patient", "label", "eye", "fov", "age", "sex", "extent"]
    assert manifest[columns].to_numpy().tolist() == [
        ["3mm/10301", "10301", "normal", "left", "3mm", "54", "F", "2 3 3"],
        ["3mm/10302", "10302", "abnormal", "right", "3mm", "61", "M", "2 3 3"],
        ["6mm/10001", "10001", "abnormal", "right", "6mm", "70", "F", "2 6 6"],
        ["6mm/10002", "10002", "normal", "left", "6mm", "33", "M", "2 6 6"],
    ]
    second, fourth = manifest.iloc[1], manifest.iloc[3]
    folder = f"{above}{folders[0]}"
    assert second["path"] == second["path_octa"] == f"{folder}/OCTA/10302"
    assert second["path_oct"] == f"{folder}/OCT/10302"
    assert [second[f"path_enface_{name}"] for name in ENFACE] == [
        f"{folder}/Projection Maps/OCTA({name})/10302.bmp" for name in ("FULL", "ILM_OPL", "OPL_BM")
    ]
    assert second["layers"] == f"{folder}/GT_Layers/10302.mat"
    assert fourth["layers"] == f"{above}Label/GT_Layers/10002.mat"
    assert manifest["mask"].tolist() == ["", f"{above}masks/{folders[0]}/10302", "", ""]
    assert (manifest[["study", "published_part", "origin"]] == "").all(axis=None)
    assert all((root / path).exists() for name in path_columns(manifest) for path in manifest[name] if path)
    assert said() == []


ENFACE = ("all", "superficial", "deep")


def test_one_field_of_view_with_its_own_table_and_the_other_modality(tmp_path, said):
    for number in (10001, 10002):
        scan(tmp_path / "raw" / "OCTA_6M", number, more=False)
    write_labels(tmp_path / "raw" / "OCTA_6M" / "Text labels.xlsx", ROWS[2:])
    manifest = read_layout(small_study("oct"), tmp_path / "raw")
    assert manifest["path"].tolist() == ["OCTA_6M/OCT/10001", "OCTA_6M/OCT/10002"]
    assert (manifest[["layers", "mask", "path_enface_deep"]] == "").all(axis=None)
    assert len(said()) == 1  # of the label that no sample has
    assert "no sample has the label 'DR' that data.labels names" in said()[0]
    layout = {"name": "octa500", "modality": "oct"}
    assert tables_of(layout, tmp_path / "raw") == ["OCTA_6M/Text labels.xlsx"]


def test_tables_of_both_fields_of_view_are_one(tmp_path, said):
    root = fill(tmp_path / "raw")
    (root / "Text labels.xlsx").unlink()
    write_labels(root / "OCTA_3M" / "Text labels.xlsx", ROWS[:3])
    write_labels(root / "OCTA_6M" / "Label" / "Text labels.xlsx", ROWS[2:])
    assert len(read_layout(small_study(), root)) == 4
    assert said() == []
    expected = ["OCTA_3M/Text labels.xlsx", "OCTA_6M/Label/Text labels.xlsx"]
    assert tables_of({"name": "octa500"}, root) == expected


def test_labels_are_classes_without_a_mapping(tmp_path):
    root = fill(tmp_path / "raw")
    study = small_study(classes=["NORMAL", "DR", "AMD"], labels={})
    assert read_layout(study, root)["label"].tolist() == ["NORMAL", "DR", "AMD", "NORMAL"]
    assert faults(root, small_study(classes=["NORMAL", "DR"], labels={})) == [
        "Text labels.xlsx: line 4: no class 'AMD'; known: DR, NORMAL"
    ]


def test_labels_that_are_not_named_are_dropped_and_counted(tmp_path, said):
    manifest = read_layout(small_study(labels={"NORMAL": "normal", "DR": "abnormal"}), fill(tmp_path / "raw"))
    assert manifest["sample"].tolist() == ["3mm/10301", "3mm/10302", "6mm/10002"]
    assert manifest.attrs["dropped"] == {"AMD": 1}
    assert said() == [f"{tmp_path}/raw: 1 samples are dropped, whose label data.labels does not name: AMD 1"]
    (line,) = faults(tmp_path / "raw", small_study(labels={"NORMAL": "normal", "dr": "abnormal"}))
    assert "by data.labels no sample is 'abnormal'; the labels there are: AMD 1, DR 1, NORMAL 2" in line


@pytest.mark.parametrize(
    "header",
    [
        ["id", "sex", "os/od", "age", "disease"],
        ["Patient_ID ", "GENDER", "Eye", "Age (Years)", "Diagnosis"],
    ],
)
def test_moved_and_renamed_columns(tmp_path, header):
    root = fill(tmp_path / "raw")
    expected = read_layout(small_study(), root)
    order = [4, 2, 0, 3, 1]
    rows = [[None, "note", *(row[place] for place in order)] for row in ROWS]
    titled = [["Labels of the data set"], [], [None, "Remark", *(header[place] for place in order)], *rows]
    write_labels(root / "Text labels.xlsx", titled[1:], titled[0])
    assert read_layout(small_study(), root).equals(expected)


def test_columns_that_are_not_understood(tmp_path):
    root = fill(tmp_path / "raw")
    write_labels(root / "Text labels.xlsx", header=["ID", "Geschlecht", "OS/OD", "Age", "Befund"])
    assert faults(root) == [
        f"Text labels.xlsx: no column {what}; its columns are ID, Geschlecht, OS/OD, Age, Befund; "
        "rename the right one, or add an empty one"
        for what in ("'Sex' (or Gender)", "'Disease' (or Diagnosis, Label, Class)")
    ]


def test_cells_of_all_kinds(tmp_path, said):
    root = fill(tmp_path / "raw")
    rows = [
        ["10301", "female", "left", "54", "NORMAL "],
        [],
        [10302.0, "?", "both", "unknown", "DR"],
        [10001, None, None, None, "AMD"],
        [" 10002", "m", "R", 33.0, "NORMAL"],
        [" 10002", "M", "right", 33, "NORMAL"],
    ]
    write_labels(root / "Text labels.xlsx", rows)
    manifest = read_layout(small_study(), root)
    assert manifest[["patient", "sex", "eye", "age"]].to_numpy().tolist() == [
        ["10301", "F", "left", "54"],
        ["10302", "", "", ""],
        ["10001", "", "", ""],
        ["10002", "M", "right", "33"],
    ]
    file = root / "Text labels.xlsx"
    assert said() == [
        f"{file}: column Sex: 1 values are not understood and left out, such as '?' in line 4",
        f"{file}: column OS/OD: 1 values are not understood and left out, such as 'both' in line 4",
        f"{file}: column Age: 1 values are not understood and left out, such as 'unknown' in line 4",
        f"{file}: 1 rows repeat an earlier one",
    ]


def test_all_faults_of_the_labels_at_once(tmp_path):
    root = fill(tmp_path / "raw")
    wrong = [[10301, "F", "OS", 54, "DR"], [None, "F", "OS", 54, "DR"], [10303, "F", "OS", 54, None]]
    write_labels(root / "Text labels.xlsx", [*ROWS[:3], [10002, "M", "OS", 33, None], *wrong])
    assert faults(root) == [
        "Text labels.xlsx: line 5: no label; known: abnormal, normal",
        "Text labels.xlsx: line 6: 10301 is in Text labels.xlsx: line 2 too, with other values; keep one of them",
        "Text labels.xlsx: line 7: no ID; fill it in",
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "no 'Text labels.xlsx', here or in a field of view's folder; add it"),
        (b"ID,Sex\n", "Text labels.xlsx: no rows"),
        (b"PK\3\4 cut off", "Text labels.xlsx: not a readable Excel workbook"),
        ([], "Text labels.xlsx: is empty"),
        ([HEADER], "Text labels.xlsx: no rows"),
    ],
)
def test_no_table_of_labels(tmp_path, content, expected):
    root = fill(tmp_path / "raw")
    (root / "Text labels.xlsx").unlink()
    if isinstance(content, bytes):
        (root / "Text labels.xlsx").write_bytes(content)
    elif content is not None:
        write_labels(root / "Text labels.xlsx", content[1:], content[0] if content else [])
    (line,) = faults(root)
    assert expected in line


def test_labels_and_volumes_without_each_other(tmp_path, said):
    root = fill(tmp_path / "raw")
    scan(root / "OCTA_3M", 10303)
    scan(root / "OCTA_3M", 10304, ["OCT"])
    scan(root / "OCTA_6M", 10003, ["OCTA"], more=False)
    scan(root / "OCTA_6M", 10035)
    more = [[number, "F", "OS", 54, "NORMAL"] for number in (10304, 10003, 10004, 10005, 10006, 10007, 10035, 10057)]
    write_labels(root / "Text labels.xlsx", [*ROWS, *more])
    manifest = read_layout(small_study(), root)
    assert manifest["sample"].tolist() == ["3mm/10301", "3mm/10302", "6mm/10001", "6mm/10002", "6mm/10003"]
    assert said() == [
        f"{root}: 1 volumes are not read, which the published study excludes: 10035",
        f"{root}: 4 labels have no volume (10004, 10005, 10006 …)",
        f"{root}: 1 volumes have no label and are left out (3mm/10303)",
        f"{root}: 1 volumes have nothing in OCTA and are left out (3mm/10304)",
        f"{root}: 1 volumes have nothing in OCT (6mm/10003)",
        f"{root}: 1 volumes have nothing in Projection Maps/OCTA(FULL) (6mm/10003)",
        f"{root}: 1 volumes have nothing in Projection Maps/OCTA(ILM_OPL) (6mm/10003)",
        f"{root}: 1 volumes have nothing in Projection Maps/OCTA(OPL_BM) (6mm/10003)",
        f"{root}: 1 volumes have nothing in GT_Layers (6mm/10003)",
    ]


def test_nothing_that_can_be_used(tmp_path):
    root = fill(tmp_path / "raw")
    write_labels(root / "Text labels.xlsx", [[1, "F", "OS", 54, "NORMAL"]])
    assert "no volume has a label; its folder must bear the ID" in faults(root)[0]
    for folder in ("OCTA_3M", "OCTA_6M"):
        shutil.rmtree(root / folder / "OCTA")
    assert (
        "no OCTA volume (OCTA/<id>/ in each field of view's folder); add them, or set modality: oct" in faults(root)[0]
    )
    for folder in ("OCTA_3M", "OCTA_6M"):
        shutil.rmtree(root / folder / "OCT")
    assert "no volume; this layout expects OCT/<id>/ and OCTA/<id>/" in faults(root)[0]
    (root / "OCTA_3mm").mkdir()
    assert "OCTA_3mm: a second folder of this field of view; merge it with OCTA_3M" in faults(root)[0]
    for folder in ("OCTA_3M", "OCTA_6M", "OCTA_3mm"):
        shutil.rmtree(root / folder)
    assert "no folder OCTA_3M or OCTA_3mm or OCTA_6M or OCTA_6mm" in faults(root)[0]


def test_no_volume_is_looked_into(tmp_path, monkeypatch):
    root = fill(tmp_path / "raw")
    listed = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda folder: listed.append(Path(folder)) or scandir(folder))
    monkeypatch.setattr(os, "walk", None)
    assert len(read_layout(small_study(), root)) == 4
    assert root / "OCTA_3M" / "OCTA" in listed
    assert not any(folder.name.isdigit() for folder in listed)


def test_source_json_describes_what_is_in_the_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    root = fill(Path("raw"))
    (root / "OCTA_3M" / "OCTA" / "10301" / ".DS_Store").write_bytes(b"hidden")
    download(small_study())
    source = read_json("data/demo/eyes/source.json")
    assert source["classes"] == {"all": {"normal": 2, "abnormal": 2}}
    files = sorted(file for file in root.rglob("*") if file.is_file() and file.name != ".DS_Store")
    lines = []
    for file in files:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        lines.append(f"{file.relative_to(root).as_posix()} {file.stat().st_size} {digest}\n")
    assert (source["files"], source["bytes"]) == (4 * 6 + 1, sum(file.stat().st_size for file in files))
    assert source["checksum"] == hashlib.blake2b("".join(sorted(lines)).encode(), digest_size=32).hexdigest()
    (root / "OCTA_3M" / "OCTA" / "10301" / "1.bmp").write_bytes(b"another")
    download(small_study())
    assert read_json("data/demo/eyes/source.json")["checksum"] != source["checksum"]
