"""Reading the cells of Excel workbooks (.xlsx) as text, and saying what Excel may have changed in them."""

from __future__ import annotations

import io
import re
import warnings
import zipfile
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescan.errors import RescanError
from rescan.log import logger

if TYPE_CHECKING:
    from openpyxl.worksheet.worksheet import Worksheet

ZIP, OLD_WORKBOOK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
EXACT = 10**15  # Excel keeps no more digits of a number
CELL = re.compile(rb'<(?:\w+:)?c [^>]{0,200}?\br="([A-Z]{1,3})([0-9]{1,7})"')
MERGED = re.compile(rb'<(?:\w+:)?mergeCell [^>]{0,200}?\bref="[A-Z0-9]+:([A-Z]{1,3})([0-9]{1,7})"')
MOST_BYTES, MOST_CELLS = 2**29, 20_000_000  # unpacked; of a sheet, from its first cell on
FORMULA = re.compile(rb"<(\w+:)?f[ >/]")  # in a sheet's XML


def sheets_of(path: Path, content: bytes) -> dict[str, dict[int, list[str]]]:
    """The cells of the sheets that hold any, by sheet and row, as text; hidden sheets are not read.

    A value of merged cells counts for each of them, since a patient's name may stand beside the patient's rows.

    Raises:
        RescanError: It is no workbook, or a formula in it has no value.
    """
    try:
        _check_size(content)
        sheets = _loaded(content, values=True)
        formulas = {sheet.title: sheet for sheet in _loaded(content, values=False)} if _has_formulas(content) else {}
        cells = {sheet.title: [list(row) for row in sheet.iter_rows(values_only=True)] for sheet in sheets}
    except Exception as error:  # noqa: BLE001 - damaged workbooks make openpyxl raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RescanError(f"{path}: not a readable Excel workbook ({reason}); save it again as .xlsx") from None
    if hidden := [sheet.title for sheet in sheets if sheet.sheet_state != "visible"]:
        logger.warning("%s: hidden sheets are not read: %s", path, ", ".join(hidden))
    found = {}
    for sheet in (sheet for sheet in sheets if sheet.title not in hidden):
        if sheet.title in formulas:
            _check_formulas(path, sheet, formulas[sheet.title])
        rows = cells[sheet.title]
        for area in sheet.merged_cells.ranges:
            for row in rows[area.min_row - 1 : area.max_row]:
                row[area.min_col - 1 : area.max_col] = [rows[area.min_row - 1][area.min_col - 1]] * area.size["columns"]
        texts = [list(map(_text, row)) for row in rows]
        if any(map(any, texts)):
            _warn(path, sheet, rows)
            found[sheet.title] = dict(enumerate(texts, 1))
    return found


def _check_size(content: bytes) -> None:
    """Refuse what is no workbook of a table's size, before its cells are read.

    Raises:
        ValueError: It unpacks to too much, or says that a sheet has too many cells.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        if (held := sum(info.file_size for info in infos)) > MOST_BYTES:
            raise ValueError(f"it unpacks to {held:,} bytes")
        for info in infos:
            if info.filename.startswith("xl/worksheets/") and info.filename.endswith(".xml"):
                cells = {*CELL.findall(xml := archive.read(info)), *MERGED.findall(xml)}
                row = max((int(number) for _, number in cells), default=0)
                width = max((_number(letters) for letters, _ in cells), default=0)
                if row * width > MOST_CELLS:
                    raise ValueError(f"a sheet of {row} rows and {width} columns")


def _number(letters: bytes) -> int:
    """The number of a column, A is 1."""
    number = 0
    for letter in letters:
        number = 26 * number + letter - ord("A") + 1
    return number


def _loaded(content: bytes, *, values: bool) -> list[Worksheet]:
    from openpyxl import load_workbook

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of styles and rules that are not kept
        sheets: list[Worksheet] = load_workbook(io.BytesIO(content), data_only=values).worksheets
    return sheets


def _has_formulas(content: bytes) -> bool:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [name for name in archive.namelist() if name.startswith("xl/worksheets/")]
        return any(FORMULA.search(archive.read(name)) for name in names)


def _check_formulas(path: Path, values: Worksheet, formulas: Worksheet) -> None:
    """Refuse formulas of which the file holds no value at all, as what wrote it did not compute them."""
    cells = [cell.coordinate for row in formulas.iter_rows() for cell in row if cell.data_type == "f"]
    if cells and all(values[cell].value is None for cell in cells):
        where = f"{path}: sheet {values.title!r}, cell {cells[0]}"
        raise RescanError(f"{where}: a formula without a value; open it in Excel or LibreOffice, and save it")


def _warn(path: Path, sheet: Worksheet, rows: list[list[Any]]) -> None:
    """Say which cells may not be what they look like."""
    if hidden := sum(row.hidden for number, row in sheet.row_dimensions.items() if number <= len(rows)):
        logger.warning("%s: sheet %r: %d hidden rows are read, too", path, sheet.title, hidden)
    columns = list(zip(*rows))
    for column in columns:
        dates = [value for value in column if isinstance(value, date)]
        others = [value for value in column[1:] if value is not None and not isinstance(value, date)]
        if dates and len(others) > len(dates):
            message = "%s: sheet %r: a column holds dates, such as %s, among others as %r: did Excel make them of ids?"
            logger.warning(message, path, sheet.title, _text(dates[0]), _text(others[-1]))
    long = [value for column in columns for value in column if isinstance(value, (int, float)) and abs(value) >= EXACT]
    if long:
        message = "%s: sheet %r: %d numbers are too long for Excel, which has changed their last digits, such as %s"
        logger.warning(message, path, sheet.title, len(long), _text(long[0]))


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()
