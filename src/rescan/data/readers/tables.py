"""Reading tables that people made, as plain text; and messages of their faults, with the line in the file."""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Callable, Optional
from unicodedata import normalize

import pandas as pd

from rescan import catalogue
from rescan.data.readers.separated import cells_of
from rescan.data.readers.workbooks import OLD_WORKBOOK, ZIP, sheets_of
from rescan.errors import RescanError
from rescan.log import logger
from rescan.named_files import read_bytes
from rescan.study import Data, Outcome

MOST_BYTES = 2**30  # of a table; one of a million rows has 100 MB
MOST = 20  # lines of faults of one kind before the rest is counted
TITLES = 20  # rows among which the header may be
PLACEHOLDERS = {
    *("", "?", "-", "--", "–", ".", "nan", "na", "n/a", "#n/a", "n.a.", "nat", "none", "null", "nil"),
    *("#ref!", "#value!", "#name?", "#div/0!", "#null!", "#num!"),
    *("unknown", "unk", "missing", "not available", "not applicable", "not_available", "not_applicable"),
}


def read_table(
    path: Path,
    remedy: str,
    names: Collection[str] = (),
    sheet: str = "",
    fits: Optional[Callable[[Collection[str]], bool]] = None,
) -> pd.DataFrame:
    """Read a table as people have them, whatever its file is called.

    Text is separated by commas, semicolons, tabs or bars, as its rows say; in UTF-8, UTF-16 or UTF-32 if a byte order
    mark or its zeros say so, else in Windows-1252, which is said. Of a workbook (.xlsx) one sheet is read.

    Args:
        path: The table.
        remedy: What to do if it is not there.
        names: What its columns may be called, case, blanks and signs aside: the row with the most of them, among the
            first ones, is the header; without one, the first row.
        sheet: The sheet of a workbook; "" takes the only one that fits, or the first.
        fits: Whether names of columns, as of `bare`, are those of the table that is meant.

    Returns:
        All its columns as composed text (NFC) without blanks around, 7.0 of a workbook, or of a column in which all
        numbers are written so, as "7"; rows without a value are left out. The index is the line in the file. `attrs`
        holds the `sheet` where a workbook has more than one, and the `others` that fit.

    Raises:
        RescanError: One line per fault.
    """
    content = read_bytes(path, MOST_BYTES, remedy)
    if content.startswith(OLD_WORKBOOK):
        raise RescanError(f"{path}: a workbook of an old kind (.xls), or with a password; save it as .xlsx or CSV")
    known = {bare(name) for name in names} - {""}
    attrs: dict[Hashable | None, Any] = {}
    if content.startswith(ZIP):
        tables = {title: _filled(lines) for title, lines in sheets_of(path, content).items()}
        sheet, others = _sheet(path, tables, sheet, known, fits)
        lines, attrs = tables.get(sheet, {}), {"sheet": sheet, "others": others} if len(tables) > 1 else {}
    else:
        lines = _filled(cells_of(path, content))
    if not lines:
        raise RescanError(f"{path}: is empty; add one row per sample")
    top = _header(lines, known)
    if top != min(lines):
        above = " ".join(filter(None, lines[min(lines)]))
        logger.info("%s: the columns' names are read from line %d, below %r", path, top, above[:40])
    table = _table_of(path, lines[top], {number: cells for number, cells in lines.items() if number > top})
    table.attrs = attrs
    return table


def _filled(lines: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """The rows with a value, as composed text."""
    clean = {number: [normalize("NFC", cell).strip() for cell in cells] for number, cells in lines.items()}
    return {number: cells for number, cells in clean.items() if any(cells)}


def _header(lines: Mapping[int, Sequence[str]], known: set[str]) -> int:
    """The line of the columns' names: the first with two known ones, else with the most."""
    counts = {number: len(known & {*map(bare, lines[number])}) for number in list(lines)[:TITLES]}
    return next((number for number, count in counts.items() if count > 1), max(counts, key=counts.__getitem__))


def _sheet(
    path: Path,
    tables: Mapping[str, Mapping[int, Sequence[str]]],
    sheet: str,
    known: set[str],
    fits: Optional[Callable[[Collection[str]], bool]],
) -> tuple[str, list[str]]:
    """The sheet to read, "" if there is none; and others that fit.

    Raises:
        RescanError: There is no sheet of that name.
    """
    if sheet and sheet not in tables:
        raise RescanError(f"{path}: no sheet {sheet!r} with rows{catalogue.suggest(sheet, tables)}")
    if sheet or len(tables) < 2:
        return sheet or next(iter(tables), ""), []
    names = {title: {*map(bare, lines[_header(lines, known)])} for title, lines in tables.items()}
    fitting = [title for title, columns in names.items() if (fits or known.intersection)(columns)]
    chosen = fitting[0] if fitting else next(iter(tables))
    how = "the only one with such columns" if len(fitting) == 1 else "the first"
    message = "%s: of its %d sheets %s, %s, is read; data.layout.sheet names another"
    logger.warning(message, path, len(tables), how, chosen)
    return chosen, fitting[1:]


def _table_of(path: Path, header: list[str], rows: dict[int, list[str]]) -> pd.DataFrame:
    """The columns that have a name."""
    numbered = [cells[0] for cells in rows.values() if len(cells) == len(header) + 1] == [
        *map(str, range(1, len(rows) + 1))
    ]
    if (
        numbered and len(rows) > 1 and any(cells[-1] for cells in rows.values())
    ):  # as R writes the names of rows, without a name of their column
        header = ["", *header]
    wide = [number for number, cells in rows.items() if any(cells[len(header) :])]
    if wide:
        fault = "has more fields than the line of the columns' names; mend the file"
        raise RescanError(f"{path}: {lines_in_words(wide)}: {fault}")
    if not rows:
        raise RescanError(f"{path}: no rows; add one row per sample")
    full = {number: [*cells, *[""] * (len(header) - len(cells))][: len(header)] for number, cells in rows.items()}
    columns = [
        name if not name or name not in header[:place] else f"{name}.{place + 1}" for place, name in enumerate(header)
    ]
    table = pd.DataFrame.from_dict(full, "index", columns=columns).drop(columns="", errors="ignore")
    for name in map(str, table):
        if table[name].str.fullmatch(r"\d+(\.0+)?|").all():
            table[name] = table[name].str.replace(r"\.0+$", "", regex=True)
        if (short := table[name].str.fullmatch(r"\d(\.\d+)?[Ee]\+\d+")).any():
            message = "%s: %s: a spreadsheet has shortened %d numbers, such as %s: several may have become one"
            logger.warning(message, path, name, short.sum(), table.loc[short, name].iloc[0])
    return table


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
        if label and label.casefold() in PLACEHOLDERS:
            remedy = "give it, or name those that are read under data.labels"
            faults.append(f"{file}: {lines}: label {label!r} means unknown; {remedy}")
            continue
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
