"""Workbooks as people have them: several sheets, titles, merged cells, formulas, and what Excel makes of ids."""

from __future__ import annotations

import io
import logging
import re
import zipfile
from datetime import date

import openpyxl
import pandas as pd
import pytest

from rescan.data.readers.tables import read_table
from rescan.errors import RescanError

NAMES = ["path", "label", "patient"]


@pytest.fixture
def said(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.INFO, "rescan")
    return caplog


def save(path, **sheets) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)
    return book


def fits(names) -> bool:
    return {"path", "label"} <= {*names}


def test_the_only_sheet_that_fits_is_read(tmp_path, said):
    text = [["What is in this file"], ["label", "what the radiologist said"], ["patient", "a number"]]
    data = [["Study of 2023, patient data"], ["path", "label"], ["a.png", "x"]]
    save(tmp_path / "t.xlsx", Readme=text, Data=data, Legend=[["label", "meaning"], ["x", "ill"]])
    table = read_table(tmp_path / "t.xlsx", "", NAMES, fits=fits)
    assert table.to_dict("index") == {3: {"path": "a.png", "label": "x"}}
    assert table.attrs == {"sheet": "Data", "others": []}
    assert "of its 3 sheets the only one with such columns, Data, is read; data.layout.sheet names another" in said.text
    assert "the columns' names are read from line 2, below 'Study of 2023, patient data'" in said.text
    assert read_table(tmp_path / "t.xlsx", "", NAMES, "Legend")["meaning"].tolist() == ["ill"]
    with pytest.raises(RescanError, match=r"no sheet 'data' with rows; did you mean 'Data'\?"):
        read_table(tmp_path / "t.xlsx", "", NAMES, "data")


def test_several_sheets_that_fit_are_named(tmp_path):
    save(tmp_path / "t.xlsx", A=[["note"], ["x"]], B=[["path", "label"], ["b", "x"]], C=[["path", "label"], ["c", "x"]])
    assert read_table(tmp_path / "t.xlsx", "", NAMES, fits=fits).attrs == {"sheet": "B", "others": ["C"]}


def test_values_of_merged_cells_count_for_each(tmp_path):
    rows = [["Images", None, "Clinic"], ["path", "label", "patient"], *([f"{n}.png", "x", None] for n in range(4))]
    book = save(tmp_path / "t.xlsx", data=rows)
    book.active["C3"], book.active["C5"] = "p1", "p2"
    for area in ("A1:B1", "C3:C4", "C5:C6"):
        book.active.merge_cells(area)
    book.save(tmp_path / "t.xlsx")
    assert read_table(tmp_path / "t.xlsx", "", NAMES)["patient"].tolist() == ["p1", "p1", "p2", "p2"]


def test_formulas_without_values_are_refused(tmp_path):
    save(tmp_path / "t.xlsx", data=[["path", "label"], ["a.png", '=IF(1>0,"x","y")']])
    with pytest.raises(RescanError, match="sheet 'data', cell B2: a formula without a value; open it in Excel"):
        read_table(tmp_path / "t.xlsx", "", NAMES)


def test_a_formula_whose_value_is_no_text_is_read(tmp_path):
    save(
        tmp_path / "t.xlsx",
        data=[["path", "label", "patient"], ["a.png", "x", '=IF(1>0,"","p")'], ["b.png", "x", "p2"]],
    )
    content, book = io.BytesIO(), zipfile.ZipFile(tmp_path / "t.xlsx")
    with zipfile.ZipFile(content, "w") as computed:  # as Excel saves it, with another formula that has a value
        for name in book.namelist():
            text = book.read(name)
            if name.endswith("sheet1.xml"):
                text = text.replace(b"<v />", b"<v></v>").replace(b"<v/>", b"<v></v>")
                text = re.sub(rb'<c r="B2"[^>]*>.*?</c>', b'<c r="B2" t="str"><f>"x"</f><v>x</v></c>', text)
            computed.writestr(name, text)
    (tmp_path / "t.xlsx").write_bytes(content.getvalue())
    table = read_table(tmp_path / "t.xlsx", "", NAMES)
    assert table["label"].tolist() == ["x", "x"]
    assert table["patient"].tolist() == ["", "p2"]


def test_what_excel_changed_or_hid_is_said(tmp_path, said):
    rows = [[f"{n}.png", "x", f"{n}-a", 12345678901234567890 + n] for n in range(3)]
    book = save(tmp_path / "t.xlsx", data=[["path", "label", "patient", "uid"], *rows], secret=[["path"], ["a"]])
    book["data"]["C2"] = date(2024, 3, 1)
    book["data"].row_dimensions[3].hidden = True
    book["secret"].sheet_state = "hidden"
    book.save(tmp_path / "t.xlsx")
    assert read_table(tmp_path / "t.xlsx", "", NAMES)["patient"].tolist() == ["2024-03-01", "1-a", "2-a"]
    for words in (
        "hidden sheets are not read: secret",
        "sheet 'data': 1 hidden rows are read, too",
        "a column holds dates, such as 2024-03-01, among others as '2-a': did Excel make them of ids?",
        "sheet 'data': 3 numbers are too long for Excel, which has changed their last digits",
    ):
        assert words in said.text


def test_numbers_that_pandas_and_spreadsheets_rewrote(tmp_path, said):
    frame = pd.DataFrame({"path": ["a", "b", "c"], "patient": [1, None, 12], "grade": [1, "0.0", "2"]})
    frame["id"] = ["1.2E+14", "1.2E+14", "7"]
    frame.to_csv(tmp_path / "t.csv", index=False)
    table = read_table(tmp_path / "t.csv", "", NAMES)
    assert table["patient"].tolist() == ["1", "", "12"]
    assert table["grade"].tolist() == ["1", "0", "2"]
    assert "id: a spreadsheet has shortened 2 numbers, such as 1.2E+14: several may have become one" in said.text


def test_rows_that_r_has_named(tmp_path):
    (tmp_path / "t.txt").write_text('"path" "label"\n'.replace(" ", "\t") + '"1"\t"a.png"\t"x"\n"2"\t"b.png"\t"y"\n')
    assert read_table(tmp_path / "t.txt", "", NAMES).to_dict("list") == {
        "path": ["a.png", "b.png"],
        "label": ["x", "y"],
    }


def edited(path, change):
    """A workbook whose first sheet's XML is another."""
    book = openpyxl.Workbook()
    for row in (["path", "label"], ["x.png", "a"], ["y.png", "b"]):
        book.active.append(row)
    book.active.merge_cells("B2:B3")
    stream = io.BytesIO()
    book.save(stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content) if name == "xl/worksheets/sheet1.xml" else content)
    return path


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda xml: xml.replace(b'"A3"', b'"XFD1048576"').replace(b'r="3"', b'r="1048576"'),
            "a sheet of 1048576 rows",
        ),
        (lambda xml: xml.replace(b'"B2:B3"', b'"B2:XFD1048576"'), "a sheet of 1048576 rows and 16384 columns"),
        (lambda xml: xml.replace(b"</sheetData>", b" " * 2**22 + b"</sheetData>"), "it unpacks to 4"),
        (lambda xml: xml[: len(xml) // 2], "not a readable Excel workbook"),
        (lambda xml: b'<!DOCTYPE w [<!ENTITY x "y">]>' + xml[xml.index(b"<worksheet") :] + b"&x;", "not a readable"),
    ],
)
def test_a_workbook_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch, change, reason):
    monkeypatch.setattr("rescan.data.readers.workbooks.MOST_BYTES", 2**21)
    with pytest.raises(RescanError, match=reason):
        read_table(edited(tmp_path / "x.xlsx", change), "")
    assert read_table(edited(tmp_path / "y.xlsx", bytes), "")["label"].tolist() == ["a", "a"]
