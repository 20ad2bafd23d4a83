"""What a table means by a path; a row per patient; patients by a pattern; tables outside of the data."""

from __future__ import annotations

import logging
import os
import unicodedata

import pytest
from layout_cases import faults, fill, small_study

from rescan.data.layouts.finding import Finder
from rescan.data.layouts.reading import read_layout
from rescan.study import Data
from rescan.study.merge import anchor_sources

SPLIT = {"test": 0.2}
LABELS = ["glioma", "notumor"]


def study_of(**layout):
    return small_study(layout={"name": "table", **layout}, split=SPLIT)


def paths(manifest) -> list[str]:
    return manifest["path"].tolist()


@pytest.fixture
def said(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.INFO, "rescan")
    return caplog


def test_a_composed_name_finds_a_decomposed_file(tmp_path):
    name = unicodedata.normalize("NFD", "Müller.png")
    fill(tmp_path, name, samples="path,label\nMüller.png,glioma\n")
    assert paths(read_layout(study_of(), tmp_path)) == [name]


def test_paths_as_people_write_them(tmp_path, said):
    fill(tmp_path, "deep/er/scan_1.png", "deep/B.JPG", "deep/v/1.dcm", "own.nii.gz", "2.25.7.dcm")
    names = ["scan_1", "deep\\b.jpg", "v", str(tmp_path / "own.nii.gz"), "2.25.7"]
    fill(tmp_path, samples="path,label\n" + "".join(f"{name},glioma\n" for name in names))
    found = ["2.25.7.dcm", "deep/B.JPG", "deep/er/scan_1.png", "deep/v", "own.nii.gz"]
    assert paths(read_layout(study_of(), tmp_path)) == found
    assert "5 paths are not written as files are called" in said.text


def test_a_name_that_two_files_bear(tmp_path):
    fill(tmp_path, "a/1.png", "b/1.png", "c/2.png", "c/2.txt", samples="path,label\n1.png,glioma\n2,glioma\n")
    (line,) = faults(study_of(), tmp_path)
    assert "line 2: 1.png may be a/1.png or b/1.png; give its path" in line


def test_columns_by_a_map(tmp_path):
    fill(tmp_path, "a.png", samples="filename;participant_id;centre;Label\na.png;p;kyoto;glioma\n")
    columns = {"path": "filename", "patient": "participant_id", "site": "centre"}
    row = read_layout(study_of(columns=columns), tmp_path).iloc[0]
    assert row[["path", "patient", "site", "label"]].tolist() == ["a.png", "p", "kyoto", "glioma"]
    (line,) = faults(study_of(columns={**columns, "device": "scanner"}), tmp_path)
    assert "no column 'scanner'; its columns are filename, participant_id, centre, Label; add it" in line
    with pytest.raises(ValueError, match="columns: no column 'sight'; did you mean 'site'"):
        study_of(columns={"sight": "centre"})
    with pytest.raises(ValueError, match="columns must be like"):
        study_of(columns={"site": 7})


def test_the_former_names_of_columns_still_work():
    data = {"source": {"path": "x"}, "classes": ["a", "b"]}
    layout = {"name": "table", "label": "group", "patient": "id"}
    former = Data.model_validate({**data, "layout": layout})
    assert former.layout["columns"] == {"label": "group", "patient": "id"}
    assert former.layout["patient"] == ""
    assert Data.model_validate(former.model_dump()) == former


def test_patients_by_a_pattern(tmp_path, said):
    fill(
        tmp_path,
        "sub-01_a.png",
        "sub-01_b.png",
        "p2/x.png",
        samples="path,label\nsub-01_a.png,glioma\np2/x.png,glioma\n",
    )
    assert read_layout(study_of(patient=r"sub-(\w+)_"), tmp_path)["patient"].tolist() == ["", "01"]
    assert "finds no patient in 1 of 2 paths, such as p2/x.png: each counts as one of its own" in said.text
    assert read_layout(study_of(patient=r"p(\d)/|sub"), tmp_path)["patient"].tolist() == ["2", ""]
    assert faults(study_of(patient=r"case(\d)"), tmp_path)[0].endswith(
        "patient: 'case(\\\\d)' finds no patient in any path, such as sub-01_a.png; mend it"
    )
    for pattern, fault in (
        ("sub-(", "is not a regular expression"),
        ("(a)(b)", "has 2 groups; put the patient's part"),
    ):
        with pytest.raises(ValueError, match=fault):
            study_of(patient=pattern)


def test_a_row_per_patient_whose_folders_bear_their_names(tmp_path, said):
    fill(tmp_path, "scans/p1/a.png", "scans/p1/late/b.png", "scans/p2.png", "other/c.png", "scans/p1/notes.txt")
    fill(tmp_path, samples="patient,label,sex\np1,glioma,F\np2,notumor,n/a\np3,glioma,M\np1,glioma,F\n")
    manifest = read_layout(study_of(), tmp_path)
    assert manifest[["path", "patient", "label", "sex"]].to_numpy().tolist() == [
        ["scans/p1/a.png", "p1", "glioma", "F"],
        ["scans/p1/late/b.png", "p1", "glioma", "F"],
        ["scans/p2.png", "p2", "notumor", ""],
    ]
    assert "1 patients have no file and are left out, such as p3" in said.text
    assert "1 files are of no patient of it and are left out, such as other/c.png" in said.text
    late = read_layout(study_of(files="*/late/*"), tmp_path)
    assert paths(late) == ["scans/p1/late/b.png"]


def test_a_row_per_patient_and_a_pattern_of_files_names(tmp_path):
    fill(tmp_path, "007_l.png", "007_r.png", "8_l.png", samples="patient,label\n007,glioma\n8,notumor\n")
    manifest = read_layout(study_of(patient=r"^(\d+)_"), tmp_path)
    assert manifest["patient"].tolist() == ["007", "007", "8"]
    assert manifest["label"].tolist() == ["glioma", "glioma", "notumor"]


def test_a_row_per_patient_with_volumes_in_folders(tmp_path):
    fill(tmp_path, "p1/s1/1.dcm", "p1/s1/2.dcm", "p2/s1/1.dcm", samples="patient,label\np1,glioma\np2,notumor\n")
    assert paths(read_layout(study_of(sample="folder"), tmp_path)) == ["p1/s1", "p2/s1"]


def test_folders_say_the_patient_before_numbers_of_files(tmp_path):
    fill(tmp_path, "1/1.png", "1/2.png", "2/1.png", samples="patient,label\n1,glioma\n2,notumor\n")
    manifest = read_layout(study_of(), tmp_path)
    assert dict(zip(manifest["path"], manifest["patient"])) == {"1/1.png": "1", "1/2.png": "1", "2/1.png": "2"}


def test_zeros_that_a_spreadsheet_took_away(tmp_path):
    fill(tmp_path, "001/1.png", "001/2.png", "002/1.png", "3/1.png", "03/2.png")
    fill(tmp_path, samples="patient,label\n1,glioma\n2,notumor\n3,glioma\n03,notumor\n")
    manifest = read_layout(study_of(), tmp_path)
    found = {"001/1.png": "1", "001/2.png": "1", "002/1.png": "2", "3/1.png": "3", "03/2.png": "03"}
    assert dict(zip(manifest["path"], manifest["patient"])) == found
    labels = {"1": "glioma", "2": "notumor", "3": "glioma", "03": "notumor"}
    assert manifest["label"].tolist() == manifest["patient"].map(labels).tolist()


def test_faults_of_a_row_per_patient(tmp_path):
    fill(tmp_path, "a/x.png", samples="patient,label\np1,glioma\np2,notumor\n")
    (line,) = faults(study_of(), tmp_path)
    assert "none of 1 files in" in line
    assert "such as p1, p2; call folders as the patients, or give patient: a pattern of the files' names" in line
    fill(tmp_path, "p1/p2/x.png", samples="patient,label\np1,glioma\np2,notumor\np1,notumor\n")
    twice, unclear = faults(study_of(), tmp_path)
    assert "line 4: patient 'p1' is in line 2 too, with other values" in twice
    assert "p1/p2/x.png: may be of patient p1 or p2; give patient" in unclear
    fill(tmp_path, samples="file,label\na.png,glioma\n")
    (line,) = faults(study_of(), tmp_path)
    assert (
        "no column 'path' (for one row per file) nor 'patient' (for one row per patient); its columns are file, label"
        in line
    )


def test_a_table_outside_of_the_data(tmp_path, monkeypatch):
    data = fill(tmp_path / "data", "top/a.png", "top/b.png")
    table = tmp_path / "lists/labels.csv"
    fill(tmp_path / "lists", labels="path,label\na.png,glioma\ntop/b.png,notumor\n")
    assert paths(read_layout(study_of(file=str(table)), data)) == ["top/a.png", "top/b.png"]
    monkeypatch.chdir(data)
    for file, source, expected in (
        ("labels.csv", "../data", str(table)),
        ("../lists/labels.csv", "../data", str(table)),
        ("labels.csv", "..", "labels.csv"),  # it lies in a folder of the data
        ("nowhere.csv", "../data", "nowhere.csv"),
        (str(table), "../data", str(table)),
    ):
        whole = {"data": {"source": {"path": source}, "layout": {"name": "table", "file": file}}}
        anchor_sources(whole, tmp_path / "lists")
        assert whole["data"]["layout"]["file"] == expected


def test_placeholders_are_no_patients(tmp_path, said):
    fill(tmp_path, *(f"{n}.png" for n in range(5)))
    rows = "".join(
        f"{n}.png,{LABELS[n % 2]},{patient}\n" for n, patient in enumerate(["nan", "NaN", "unknown", "", "p"])
    )
    fill(tmp_path, samples=f"path,label,patient\n{rows}")
    assert read_layout(study_of(), tmp_path)["patient"].tolist() == ["", "", "", "", "p"]
    assert "patient is unknown in 4 of 5 rows" in said.text


def test_all_samples_of_one_patient(tmp_path):
    fill(tmp_path, "a.png", "b.png", samples="path,label,patient\na.png,glioma,p\nb.png,notumor,p\n")
    (line,) = faults(study_of(), tmp_path)
    assert "all samples are of one patient, 'p', so none can be held out" in line
    alone = study_of()
    alone = alone.model_copy(update={"split": alone.split.model_copy(update={"group_by": []})})
    assert len(read_layout(alone, tmp_path)) == 2


def test_characters_that_no_table_holds(tmp_path):
    fill(tmp_path, "a.png", "b\r.png", samples='path,label,patient\na.png,glioma,"p\r1"\n')
    (line,) = faults(study_of(), tmp_path)
    assert "line 2: patient 'p\\r1' holds a line break or another control character; mend it" in line
    folders = fill(tmp_path / "folders", "glioma/b\n.png", "notumor/c\r.png", os.fsdecode(b"glioma/\xff.png"))
    (line,) = faults(small_study(classes=LABELS, split=SPLIT), folders)
    assert line.startswith(
        "the file name 'glioma/b\\n.png' holds a line break or another control character, and 2 more can stand in"
    )


@pytest.mark.parametrize("called", ["P{:03d}", "sub-{:02d}", "patient {}", "{:04d}"])
def test_numbers_of_patients_whose_folders_have_letters(tmp_path, said, called):
    """The files are numbered as well: they are no patients."""
    names = [called.format(number) for number in range(1, 6)]
    fill(tmp_path, *(f"train/{name}/{place}.png" for name in names for place in (1, 2, 3)))
    rows = "".join(f"{number},{LABELS[number % 2]}\n" for number in range(1, 6))
    fill(tmp_path, samples=f"patient,label\n{rows}")
    manifest = read_layout(study_of(), tmp_path)
    assert len(manifest) == 15
    for path, patient, label in manifest[["path", "patient", "label"]].to_numpy().tolist():
        assert path.split("/")[1] == called.format(int(patient))
        assert label == LABELS[int(patient) % 2]
    assert f"are read as patients by their numbers, such as {names[0]} as 1" in said.text


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["hospital1/17.png", "hospital2/18.png", "hospital2/1.png"], {"17.png": "17", "18.png": "18", "1.png": "1"}),
        (["1/17.png", "1/18.png", "2/19.png"], {"17.png": "17", "18.png": "18", "19.png": "19"}),
    ],
)
def test_numbers_that_mean_the_most_patients(tmp_path, files, expected):
    fill(tmp_path, *files, samples="patient,label\n" + "".join(f"{number},glioma\n" for number in range(1, 20)))
    manifest = read_layout(study_of(), tmp_path)
    assert dict(zip(manifest["path"].str.split("/").str[1], manifest["patient"])) == expected


def test_numbers_that_mean_nobody_for_sure(tmp_path):
    rows = "".join(f"{number},{LABELS[number % 2]}\n" for number in range(1, 6))
    fill(tmp_path, "smith/1.png", "jones/1.png", "jones/2.png", samples=f"patient,label\n{rows}")
    (line,) = faults(study_of(), tmp_path)
    assert "jones/1.png and smith/1.png lie in two folders, but may both be of patient 1; give patient" in line
    for names in (["IMG_1.png", "IMG_2.png"], ["case1/a.png", "control1/a.png"]):
        for file in tmp_path.rglob("*.png"):
            file.unlink()
        fill(tmp_path, *names)
        (line,) = faults(study_of(), tmp_path)
        assert "none of 2 files in" in line
    letters = "patient,label\nA1,glioma\nB1,notumor\n"
    for file in tmp_path.rglob("*.png"):
        file.unlink()
    fill(tmp_path, "a01/x.png", "b01/x.png", samples=letters)
    manifest = read_layout(study_of(), tmp_path)
    assert dict(zip(manifest["path"], manifest["patient"])) == {"a01/x.png": "A1", "b01/x.png": "B1"}


def test_paths_of_other_places(tmp_path):
    """From above the folder, from another machine, from a web page; with the ending of before a conversion."""
    root = tmp_path / "chest"
    fill(root, "a/1.png", "masks/a/1.png", "b 2/2.png", "c/3.png", "4/x.png", "b 2/5.png")
    names = ["C:\\data\\Chest\\a\\1.png", "/gone/chest/b 2/2.png", "chest/c/3.jpg", "b%202/5.png"]
    fill(
        root, samples="path,label,mask\n" + "".join(f"{name},glioma,{'1' * (not n)}\n" for n, name in enumerate(names))
    )
    manifest = read_layout(study_of(), root)
    assert paths(manifest) == ["a/1.png", "b 2/2.png", "b 2/5.png", "c/3.png"]
    assert manifest["mask"].tolist() == ["masks/a/1.png", "", "", ""]
    fill(tmp_path, "else/chest/c/3.png")
    for wrong in (str(tmp_path / "else/chest/c/3.png"), "/gone/a/1.png", "4.png", "x/3.png"):
        fill(root, samples=f"path,label\n{wrong},glioma\n")
        (line,) = faults(study_of(), root)
        assert "leaves the folder" in line or "no file" in line


def test_a_mask_of_the_same_name_is_no_image(tmp_path):
    fill(tmp_path, "images/1.png", "masks/1.png", samples="path,label\n1,glioma\n")
    assert paths(read_layout(study_of(), tmp_path)) == ["images/1.png"]


def test_files_of_somebody_else_are_no_patients_by_their_numbers(tmp_path):
    table = "patient,label\n" + "".join(f"P{number},glioma\n" for number in range(1, 11))
    fill(tmp_path, *(f"P{number}/021.png" for number in range(1, 11)), samples=table)
    fill(tmp_path, *(f"Xavier/{number:03d}.png" for number in range(1, 9)))
    found = read_layout(study_of(), tmp_path)
    assert dict(zip(found["path"], found["patient"])) == {f"P{number}/021.png": f"P{number}" for number in range(1, 11)}


def test_slices_of_some_patients_do_not_stand_for_the_others(tmp_path):
    table = "patient,label\n" + "".join(f"P{number},glioma\n" for number in range(1, 4))
    slices = [f"P{number}/{place:03d}.png" for number in range(1, 4) for place in range(1, 9)]
    fill(tmp_path, *slices, samples=table)
    found = read_layout(study_of(), tmp_path)
    assert dict(zip(found["path"], found["patient"])) == {path: path.split("/")[0] for path in slices}


def test_names_of_classes_are_no_names_of_columns(tmp_path):
    data = Data.model_validate({"source": {"path": "."}, "layout": {"name": "table"}, "classes": list("01234")})
    study = study_of()
    study = study.model_copy(update={"data": data.model_copy(update={"layout": study.data.layout})})
    fill(tmp_path, *(f"i{number}.png" for number in range(3)), samples="path,label,haemorrhages,exudates\n")
    with (tmp_path / "samples.csv").open("a") as file:
        file.writelines(f"i{number}.png,{number},1,2\n" for number in range(3))
    assert read_layout(study, tmp_path)["label"].tolist() == ["0", "1", "2"]


def test_a_comma_at_the_end_of_rows_shifts_no_column(tmp_path):
    rows = "1,a.png,glioma,\n2,b.png,notumor,\n"
    fill(tmp_path, "a.png", "b.png", samples=f"patient,path,label\n{rows}")
    found = read_layout(study_of(), tmp_path)
    assert found[["patient", "path", "label"]].to_numpy().tolist() == [
        ["1", "a.png", "glioma"],
        ["2", "b.png", "notumor"],
    ]


def test_a_name_that_no_file_can_have_is_a_fault_of_its_line(tmp_path):
    finder = Finder(tmp_path)
    assert finder.find("n" * 300 + ".png")[1].startswith("no file 'nnn")
    assert finder.find("x%00.png")[1].startswith("no file")
