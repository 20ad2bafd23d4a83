"""Tables of grades beside folders of images, some of them without a grade."""

from __future__ import annotations

import logging

import pytest
from layout_cases import faults, fill, graded_study

from rescan.data.layouts.folders import COLUMNS
from rescan.data.layouts.reading import read_layout, tables_of
from rescan.errors import RescanError
from rescan.study import Split

APTOS = graded_study("aptos")
HEADER = "id_code,diagnosis\n"
SUGGESTED = "known: mild, moderate, no DR, or 0 to 2"


@pytest.fixture
def warnings(caplog, monkeypatch):
    """The warnings so far."""
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.WARNING, "rescan")
    return caplog


@pytest.mark.parametrize("top", ["", "top/"])
def test_aptos(tmp_path, top, warnings):
    fill(
        tmp_path / "raw" / top,
        *(f"train_images/{name}.png" for name in ("00a", "b", "c")),
        *("test_images/t.png", "masks/c.png", "masks/t.png"),
        train=HEADER + "c,2\n00a,0\nb,mild\n",
        test="id_code\nt\n",
    )
    manifest = read_layout(graded_study("aptos"), tmp_path / "raw")
    assert list(manifest) == COLUMNS
    assert manifest[["sample", "path", "label", "published_part", "mask"]].to_numpy().tolist() == [
        ["00a", f"{top}train_images/00a.png", "no DR", "", ""],
        ["b", f"{top}train_images/b.png", "mild", "", ""],
        ["c", f"{top}train_images/c.png", "moderate", "", f"{top}masks/c.png"],
        ["t", f"{top}test_images/t.png", "", "unlabeled", f"{top}masks/t.png"],
    ]
    assert (manifest[["patient", "eye", "study", "origin"]] == "").all(axis=None)
    assert tables_of({"name": "aptos"}, tmp_path / "raw") == [f"{top}train.csv", f"{top}test.csv"]
    assert warnings.text == ""


def test_grades_that_are_none(tmp_path):
    root = fill(
        tmp_path / "raw", *(f"train_images/{n}.png" for n in "abcde"), train=HEADER + "a,7\nb,nan\nc,\nd,1.0\n\ne,7\n"
    )
    assert faults(APTOS, root) == [
        f"train.csv: line 2 and 1 more: no class '7'; {SUGGESTED}",
        "train.csv: line 3: label 'nan' means unknown; give it, or name those that are read under data.labels",
        f"train.csv: line 4: no label; {SUGGESTED}",
        f"train.csv: line 5: no class '1.0'; {SUGGESTED}",
    ]


def test_rows_without_a_file_and_files_without_a_row(tmp_path, warnings):
    images = [f"train_images/{name}.png" for name in "abcdef"]
    root = fill(tmp_path / "raw", *images, train=HEADER + "a,1\n\n../a,1\n,2\ngone,0\n", test="id_code\nb\na\n")
    assert faults(APTOS, root) == [
        "train.csv: line 4: no image '../a' in train_images; add the file, or take out the row",
        "train.csv: line 5: no id_code; fill it in",
        "train.csv: line 6: no image 'gone' in train_images; add the file, or take out the row",
        "test_images: no such folder; put the images there",
        "test.csv: line 3: 'a' is in train.csv too; take it out of one",
    ]
    expected = "5 images have no row in it and are left out, such as train_images/b.png, train_images/c.png, train_"
    assert expected in warnings.text
    (root / "test.csv").unlink()
    fill(root, train=HEADER + "".join(f"gone{number},0\n" for number in range(500)))
    lines = faults(APTOS, root)
    assert len(lines) == 21
    assert lines[-1] == "train.csv: 480 more lines with such faults"


def test_a_row_twice(tmp_path, warnings):
    images = [f"train_images/{name}.png" for name in "abc"]
    root = fill(tmp_path / "raw", *images, train=HEADER + "a,1\nb,2\na,mild\na,1\nc,0\n")
    manifest = read_layout(graded_study("aptos"), root)
    assert manifest["sample"].tolist() == ["a", "b", "c"]
    assert "train.csv: 2 rows repeat an earlier one and are left out, such as line 4" in warnings.text
    fill(root, train=HEADER + "a,1\nb,2\na,2\nb,2\nc,0\n")
    assert faults(APTOS, root) == ["train.csv: line 4: 'a' is in line 2 too, with another diagnosis; keep one of them"]


def test_swapped_and_more_columns_and_a_byte_order_mark(tmp_path, warnings):
    root = fill(tmp_path / "raw", "train_images/a.png", train=b"\xef\xbb\xbfdiagnosis , id_code,eye\r\n1, a,left\r\n")
    manifest = read_layout(graded_study("aptos"), root)
    assert manifest[["sample", "label", "eye"]].to_numpy().tolist() == [["a", "mild", ""]]
    assert "1 columns are not read: eye" in warnings.text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id,diagnosis\na,1\n", "train.csv: no column 'id_code'"),
        ("id_code,level\na,1\n", "train.csv: no column 'diagnosis'"),
        (HEADER + "a,1,9\n", "train.csv: line 2: has more fields than the line of the columns' names"),
        (HEADER + "\n,\n", "train.csv: no rows"),
        (b"\0" * 10, "train.csv: not a table: it holds zero bytes"),
    ],
)
def test_a_broken_table(tmp_path, text, said):
    (line,) = faults(APTOS, fill(tmp_path / "raw", "train_images/a.png", train=text))
    assert line.startswith(said)


def test_nothing_there(tmp_path):
    expected = "this layout expects train.csv (id_code,diagnosis) and train_images/<id_code>.png"
    assert faults(APTOS, fill(tmp_path / "raw", "train_images/a.png")) == [
        f"train.csv: cannot be read (No such file or directory); {expected}"
    ]
    (tmp_path / "empty" / "train_images").mkdir(parents=True)
    (line,) = faults(APTOS, fill(tmp_path / "empty", train=HEADER + "a,1\n"))
    assert line.startswith("train_images: no image in it")


def test_no_part_is_published(tmp_path):
    root = fill(
        tmp_path / "raw", "train_images/a.png", "test_images/t.png", train=HEADER + "a,1\n", test="id_code\nt\n"
    )
    study = graded_study("aptos")
    study = study.model_copy(update={"split": Split()})
    with pytest.raises(RescanError, match=r"no labeled test part .*split\.test"):
        read_layout(study, root)
