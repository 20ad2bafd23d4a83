"""Tables as people have them: separated by anything, in any common encoding, and workbooks."""

from __future__ import annotations

import csv
import io
import logging
import os

import openpyxl
import pandas as pd
import pytest

from rescan.data.readers.tables import pick, read_table, without_placeholders
from rescan.errors import RescanError

ROWS = [["path", "label", "age"], ["ä.png", "no, none", "1,5"], ["b.png", "'yes\"", "007"]]
EXPECTED = pd.DataFrame(ROWS[1:], columns=ROWS[0], index=[2, 3])


def text(delimiter: str, end: str = "\n") -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, delimiter=delimiter, lineterminator=end).writerows(ROWS)
    return stream.getvalue()


def read(path, content: bytes) -> pd.DataFrame:
    path.write_bytes(content)
    return read_table(path, "add it")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_separated_text(tmp_path, delimiter, encoding):
    pd.testing.assert_frame_equal(read(tmp_path / "x.csv", text(delimiter).encode(encoding)), EXPECTED)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines(tmp_path, end):
    pd.testing.assert_frame_equal(read(tmp_path / "x.txt", text(",", end).encode()), EXPECTED)
    assert read(tmp_path / "x.csv", f"sep=;{end}".encode() + text(";", end).encode()).shape == (2, 3)


def test_excel_exports_end_lines_with_empty_fields(tmp_path):
    table = read(tmp_path / "x.csv", b"path;label;;\na.png;x;;\n;;;\nb.png;y\n")
    assert table.to_dict("index") == {2: {"path": "a.png", "label": "x"}, 4: {"path": "b.png", "label": "y"}}


def test_a_workbook_is_one_whatever_it_is_called(tmp_path):
    book = openpyxl.Workbook()
    book.active.title = "empty"
    sheet = book.create_sheet("labels")
    for row in [["Patients of 2023"], [], ["File", "Label"], ["a.png", 7.0], [None, None], ["b.png", None]]:
        sheet.append(row)
    book.save(tmp_path / "x.xlsx")
    (tmp_path / "x.xlsx").rename(tmp_path / "labels.csv")
    table = read_table(tmp_path / "labels.csv", "add it", ["file", "label"])
    assert table.to_dict("index") == {4: {"File": "a.png", "Label": "7"}, 6: {"File": "b.png", "Label": ""}}


def test_a_line_is_where_a_row_starts(tmp_path):
    table = read(tmp_path / "x.csv", b'path,label\n"a\nb.png",x\n\nc.png,y\n')
    assert table["label"].to_dict() == {2: "x", 5: "y"}


def test_composed_and_decomposed_text_are_the_same(tmp_path):
    table = read(tmp_path / "x.csv", "path\nu\u0308.png\n".encode())
    assert table["path"].tolist() == ["\u00fc.png"]


def test_columns_are_picked_by_what_they_are_called(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    table = pd.DataFrame({"Patient ID": ["1"], "Label": ["a"], "label": ["b"], "more": ["c"]})
    picked = pick(tmp_path, table, {"patient": ["patient_id"], "label": ["label"]}, {"eye": ["eye"]})
    assert picked.to_dict("list") == {"patient": ["1"], "label": ["b"]}
    assert "2 columns are not read: Label, more" in caplog.text
    with pytest.raises(RescanError, match=r"no column 'labels'; did you mean 'label'\?; rename it"):
        pick(tmp_path, table, {"label": ["labels"]}, remedy="rename it")
    with pytest.raises(RescanError, match="no column 'file'; its columns are Patient ID, Label, label, more; "):
        pick(tmp_path, table, {"path": ["file"]})


def test_words_that_mean_unknown_are_said(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    rows = pd.DataFrame({"patient": ["nan", "NaN", "N/A", "Unknown", "", "p1"], "sex": ["F"] * 6, "age": [""] * 6})
    known = without_placeholders(tmp_path, rows, ["patient", "sex", "age"])
    assert known["patient"].tolist() == [""] * 5 + ["p1"]
    assert known[["sex", "age"]].equals(rows[["sex", "age"]])
    assert caplog.messages == [
        f"{tmp_path}: patient is unknown in 5 of 6 rows ('N/A', 'NaN', 'Unknown' counts as unknown)"
    ]


def test_a_table_that_has_no_end_or_a_huge_field_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    with (tmp_path / "large.csv").open("wb") as stream:
        stream.truncate(2**40)
    (tmp_path / "field.csv").write_text("path,label\nx,a\ny," + "b" * 40_000 + "\n")
    (tmp_path / "wide.csv").write_text("path,label\nx,a\n" + "," * 20_000 + "\n")
    for name, reason in (
        ("wide.csv", r"line 3: not a table \(20,001 fields, at most 16,384 are read\)"),
        ("pipe.csv", "is a pipe, device or socket"),
        ("device.csv", "is a pipe, device or socket"),
        ("large.csv", "more than the 1,073,741,824 that are read"),
        ("field.csv", r"line 3: not a table \(a field of more than 32,767 characters\)"),
    ):
        with pytest.raises(RescanError, match=reason):
            read_table(tmp_path / name, "mend it")
