"""Reading tables that people made, as plain text; and messages of their faults, with the line in the file."""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
import itertools
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pandas as pd

from rescan import catalogue
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data, Outcome

MOST = 20  # lines of faults of one kind before the rest is counted
TITLES = 20  # rows among which the header may be
DELIMITERS = ",;\t|"
ZIP, OLD_WORKBOOK = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
MARKS = {  # of the byte order; those of UTF-32 start as those of UTF-16 do
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
PLACEHOLDERS = {
    *("", "?", "-", "--", "–", ".", "nan", "na", "n/a", "#n/a", "n.a.", "nat", "none", "null", "nil"),
    *("unknown", "unk", "missing", "not available", "not applicable", "not_available", "not_applicable"),
}


def read_table(path: Path, remedy: str, names: Collection[str] = ()) -> pd.DataFrame:
    """Read a table as people have them, whatever its file is called.

    A workbook (.xlsx): its first sheet with rows. Text: separated by commas, semicolons, tabs or bars, as its rows say;
    in UTF-8, UTF-16 or UTF-32 if a byte order mark or its zeros say so, else in Windows-1252, which is said.

    Args:
        path: The table.
        remedy: What to do if it is not there.
        names: What its columns may be called, case, blanks and signs aside: the first row with such a name is the
            header; without one, the first row.

    Returns:
        All its columns as composed text (NFC) without blanks around, 7.0 of a workbook as "7"; rows without a value are
        left out. The index is the line in the file.

    Raises:
        RescanError: One line per fault.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RescanError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    if content.startswith(OLD_WORKBOOK):
        raise RescanError(f"{path}: a workbook of an old kind (.xls), or with a password; save it as .xlsx or CSV")
    lines = (
        _cells_of_workbook(path, content) if content.startswith(ZIP) else _cells_of_text(path, _decoded(path, content))
    )
    lines = {number: [normalize("NFC", cell).strip() for cell in cells] for number, cells in lines.items()}
    lines = {number: cells for number, cells in lines.items() if any(cells)}
    if not lines:
        raise RescanError(f"{path}: is empty; add one row per sample")
    known = {bare(name) for name in names}
    top = next((number for number in list(lines)[:TITLES] if known & set(map(bare, lines[number]))), min(lines))
    header = lines[top]
    rows = {number: cells for number, cells in lines.items() if number > top}
    raise_all(
        f"{path}: line {number}: has more fields than the line of the columns' names; mend the file"
        for number, cells in list(rows.items())
        if any(cells[len(header) :])
    )
    if not rows:
        raise RescanError(f"{path}: no rows; add one row per sample")
    full = {number: [*cells, *[""] * (len(header) - len(cells))][: len(header)] for number, cells in rows.items()}
    columns = [
        name if not name or name not in header[:place] else f"{name}.{place + 1}" for place, name in enumerate(header)
    ]
    return pd.DataFrame.from_dict(full, "index", columns=columns).drop(columns="", errors="ignore")


def pick(
    path: Path,
    table: pd.DataFrame,
    needed: Mapping[str, Sequence[str]],
    optional: Mapping[str, Sequence[str]] | None = None,
    remedy: str = "add it to the first line",
) -> pd.DataFrame:
    """Pick the columns that are read, by what they may be called; warn of the others.

    Args:
        path: The table's file, for messages.
        table: As of `read_table`.
        needed: The spellings of each column that must be there; case, blanks and signs matter only where two differ in
            nothing else.
        optional: The same of columns that may be missing.
        remedy: What to do if a column is missing.

    Raises:
        RescanError: One line per missing column.
    """
    plain = {bare(str(name)): str(name) for name in reversed(table.columns.tolist())}  # the first of several
    found: dict[str, str] = {}
    for column, spellings in {**needed, **(optional or {})}.items():
        there = [name for name in spellings if name in table]
        there += [plain[bare(name)] for name in spellings if bare(name) in plain]
        if there:
            found[column] = there[0]
    raise_all(
        f"{path}: no column {spellings[0]!r}{_others(spellings, table)}; {remedy}"
        for column, spellings in needed.items()
        if column not in found
    )
    unread = [str(name) for name in table if name not in found.values()]
    if unread:
        logger.warning("%s: %d columns are not read: %s", path, len(unread), ", ".join(unread))
    return pd.DataFrame({column: table[name] for column, name in found.items()}, index=table.index)


def _others(spellings: Sequence[str], table: pd.DataFrame) -> str:
    """How else a missing column may be called, and the nearest name that is there, or all."""
    others = f" (or {', '.join(spellings[1:])})" if len(spellings) > 1 else ""
    near = catalogue.suggest(spellings[0], map(str, table))
    return others + (near if "did you mean" in near else f"; its columns are {', '.join(map(str, table))}")


def _cells_of_workbook(path: Path, content: bytes) -> dict[int, list[str]]:
    """The cells of the first sheet with rows, by row."""
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and rules that are not kept
            sheets = load_workbook(io.BytesIO(content), data_only=True).worksheets
        cells = {sheet.title: [list(map(_text, row)) for row in sheet.iter_rows(values_only=True)] for sheet in sheets}
    except Exception as error:  # noqa: BLE001 - damaged workbooks make openpyxl raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RescanError(f"{path}: not a readable Excel workbook ({reason}); save it again as .xlsx") from None
    filled = [title for title, rows in cells.items() if any(map(any, rows))]
    if len(filled) > 1:
        logger.warning("%s: of its %d sheets only the first, %s, is read", path, len(filled), filled[0])
    return dict(enumerate(cells[filled[0]], 1)) if filled else {}


def _text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return "" if value is None else str(int(value) if whole else value).strip()


def _decoded(path: Path, content: bytes) -> str:
    """The text of a table's bytes."""
    mark = next((mark for mark in MARKS if content.startswith(mark)), b"")
    start = content[:4000]
    of_zeros = "utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"
    encoding = MARKS.get(mark, of_zeros if b"\0" in start else "utf-8")
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        try:
            text = content.decode("cp1252") if encoding == "utf-8" and not mark else ""
        except UnicodeDecodeError:
            text = ""
        if not text:
            raise RescanError(f"{path}: not text ({error.reason}); save it as CSV in UTF-8") from None
        logger.warning("%s: is not UTF-8; read as Windows-1252, as Excel writes it", path)
    if "\0" in text:
        raise RescanError(f"{path}: not a table: it holds zero bytes; save it as CSV in UTF-8")
    return text


def _cells_of_text(path: Path, text: str) -> dict[int, list[str]]:
    """The fields of a separated text, by the line that a row starts in."""
    said = re.match(r"sep=(.)[\r\n]", text)  # as Excel writes it
    delimiter = said[1] if said else _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
    lines: dict[int, list[str]] = {}
    start = 1
    try:
        for fields in reader:
            lines[start] = fields
            start = reader.line_num + 1
    except csv.Error as error:
        raise RescanError(f"{path}: line {start}: not a table ({error}); mend the file") from None
    if said:
        del lines[1]
    return lines


def _delimiter(text: str) -> str:
    """What separates the fields: what cuts most rows as the first, and then into most fields; a comma for one field."""
    best, most = ",", (0.0, 1)
    for delimiter in DELIMITERS:
        start = itertools.islice(io.StringIO(text, newline=""), TITLES * 10)
        with contextlib.suppress(csv.Error):
            widths = [len(row) for row in csv.reader(start, delimiter=delimiter, skipinitialspace=True) if any(row)]
            width = max(set(widths), key=widths.count, default=1)
            quality = (widths.count(width) / len(widths) if width > 1 else 0.0, width)
            if quality > most:
                best, most = delimiter, quality
    return best


def bare(name: str) -> str:
    """A column's name as it is compared: without case, blanks and signs."""
    return re.sub(r"[\W_]+", "", name.casefold())


def without_placeholders(path: Path, rows: pd.DataFrame, columns: Iterable[str]) -> pd.DataFrame:
    """Put "" in place of words that mean unknown, such as `NA`, and say of how many rows a column is unknown."""
    rows = rows.copy()
    for name in columns:
        known = ~rows[name].str.casefold().isin(PLACEHOLDERS)
        odd = sorted(set(rows.loc[~known, name]) - {""})
        rows[name] = rows[name].where(known, "")
        if odd or (known.any() and not known.all()):
            words = f" ({', '.join(map(repr, odd[:3]))} counts as unknown)" if odd else ""
            logger.warning("%s: %s is unknown in %d of %d rows%s", path, name, (~known).sum(), len(rows), words)
    return rows


def grades(labels: pd.Series[str], data: Data) -> pd.Series[str]:
    """Put the class in place of its number, "0" … "K-1", where classes are grades and none is called by a number.

    Labels that differ from a class only in how accents are written become that class.

    Where `data.labels` says what labels become, they stay as they are: `layouts.reading` does it.
    """
    names = {**{normalize("NFC", label): label for label in (*data.classes, *data.labels)}, **_numbers(data)}
    return labels.map(lambda text: names.get(text, text))


def numbers_of(outcome: Outcome) -> dict[str, str]:
    """The class of each number, "0" … "K-1", where classes are grades and none is called by a number."""
    numbers = {str(number): label for number, label in enumerate(outcome.classes)}
    return numbers if outcome.ordered and not set(numbers) & set(outcome.classes) else {}


def _numbers(data: Data) -> dict[str, str]:
    return {} if data.labels else numbers_of(data.outcome)


def label_faults(file: Path, labels: pd.Series[str], data: Data) -> list[str]:
    """The faults of a table's labels, whose index is the line in the file; the same wrong label is one fault.

    Where there is `data.labels`, any label is right: those that it does not name are dropped.
    """
    also = f", or 0 to {len(data.classes) - 1}" if _numbers(data) else ""
    faults = []
    right = set(labels) - {""} if data.labels else set(data.classes)
    for label, lines in wrong_values(labels, right):
        fault = f"no class {label!r}" if label else "no label"
        faults.append(f"{file}: {lines}: {fault}{catalogue.suggest(label, data.classes)}{also}")
    return first_faults(file, faults)


def first_faults(file: Path, faults: list[str]) -> list[str]:
    """The first MOST of a file's faults of one kind, and the number of the others."""
    if len(faults) <= MOST:
        return faults
    return [*faults[:MOST], f"{file}: {len(faults) - MOST} more lines with such faults"]


def wrong_values(column: pd.Series[str], right: set[str]) -> list[tuple[str, str]]:
    """Each wrong value of a column, and its lines in the file, in words."""
    lines: dict[str, list[Any]] = {}
    for line, value in column.items():
        if value not in right:
            lines.setdefault(value, []).append(line)
    return [(value, lines_in_words(numbers)) for value, numbers in lines.items()]


def lines_in_words(numbers: Sequence[object]) -> str:
    """The first of some lines of a file, and how many more there are."""
    return f"line {numbers[0]}" + (f" and {len(numbers) - 1} more" if len(numbers) > 1 else "")


def raise_all(faults: Iterable[str]) -> None:
    """Raise a `RescanError` of all faults, one per line, if there are any."""
    if lines := list(faults):
        raise RescanError("\n".join(lines))
