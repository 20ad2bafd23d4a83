"""Reading tables that people made, as plain text; and messages of their faults, with the line in the file."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rescan import catalogue
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data

MOST = 20  # lines of faults of one kind before the rest is counted


def read_csv(path: Path, columns: Collection[str], remedy: str) -> pd.DataFrame:
    """Read a comma-separated table in UTF-8, with or without byte order mark.

    Args:
        path: The table.
        columns: The columns that it must have.
        remedy: What to do if it is not there.

    Returns:
        All its columns as text without blanks around; empty lines are left out. The index is the line in the file.

    Raises:
        RescanError: One line per fault.
    """
    try:
        with path.open(encoding="utf-8-sig") as stream:
            header = stream.readline()
        for delimiter, name in ((";", "semicolons"), ("\t", "tabs")):
            if delimiter in header and "," not in header:
                raise RescanError(f"{path}: separated by {name}; save it with commas")
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of fields that would be lost
            rows: pd.DataFrame = pd.read_csv(
                path,
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                skipinitialspace=True,
                skip_blank_lines=False,
                index_col=False,
            )
    except OSError as error:
        raise RescanError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except UnicodeDecodeError:
        raise RescanError(f"{path}: not UTF-8; save it as CSV in UTF-8") from None
    except pd.errors.ParserWarning:
        raise RescanError(f"{path}: its rows have more fields than its first line names; mend the file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RescanError(
            f"{path}: not a comma-separated table ({' '.join(str(error).split())}); mend the file"
        ) from None
    rows = rows.rename(columns=str.strip)
    raise_all(
        f"{path}: no column {name!r}{catalogue.suggest(name, rows.columns)}; add it to the first line"
        for name in columns
        if name not in rows
    )
    rows = rows.fillna("").apply(lambda column: column.str.strip()).set_axis(range(2, len(rows) + 2))
    rows = rows[(rows != "").any(axis=1)]
    if rows.empty:
        raise RescanError(f"{path}: no rows; add one row per sample")
    return rows


def read_excel(path: Path, columns: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Read the first sheet of an Excel workbook (.xlsx).

    Args:
        path: The workbook.
        columns: The name of each column, and the names that it may have in the file; case, blanks and signs do not
            matter. The first row with such a name is the header.

    Returns:
        These columns as text without blanks around, 7.0 as "7"; empty rows are left out. The index is the row in the
        file.

    Raises:
        RescanError: One line per fault.
    """
    from openpyxl import load_workbook

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and rules that are not kept
            cells = list(load_workbook(path, data_only=True).worksheets[0].iter_rows(values_only=True))
    except Exception as error:  # noqa: BLE001 - damaged workbooks make openpyxl raise anything
        reason = " ".join(str(error).split()) or type(error).__name__
        raise RescanError(f"{path}: not a readable Excel workbook ({reason}); save it again as .xlsx") from None
    lines = {number: [_text(value) for value in row] for number, row in enumerate(cells, 1)}
    lines = {number: row for number, row in lines.items() if any(row)}
    if not lines:
        raise RescanError(f"{path}: its first sheet is empty; add one row per sample")
    names = {_plain(spelling) for spellings in columns.values() for spelling in spellings}
    top = next((number for number, row in lines.items() if names & set(map(_plain, row))), min(lines))
    places = {_plain(name): place for place, name in reversed(list(enumerate(lines[top])))}  # the first of several
    of_column = {
        name: [places[_plain(spelling)] for spelling in spellings if _plain(spelling) in places]
        for name, spellings in columns.items()
    }
    there = ", ".join(filter(None, lines[top]))
    raise_all(
        f"{path}: no column {columns[name][0]!r} (or {', '.join(columns[name][1:])}); its columns are {there}; "
        "rename the right one, or add an empty one"
        for name, place in of_column.items()
        if not place
    )
    rows = {number: [row[place[0]] for place in of_column.values()] for number, row in lines.items() if number > top}
    rows = {number: row for number, row in rows.items() if any(row)}
    if not rows:
        raise RescanError(f"{path}: no rows; add one row per sample")
    return pd.DataFrame.from_dict(rows, "index", columns=list(of_column))


def _text(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return "" if value is None else str(int(value) if whole else value).strip()


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def warn_unread(path: Path, rows: pd.DataFrame, read: Collection[str]) -> None:
    """Warn of a table's columns that are not among those that are read."""
    unknown = [str(name) for name in rows if name not in read]
    if unknown:
        logger.warning("%s: %d columns are not read: %s", path, len(unknown), ", ".join(unknown))


def grades(labels: pd.Series[str], data: Data) -> pd.Series[str]:
    """Put the class in place of its number, "0" … "K-1", where classes are grades and none is called by a number.

    Where `data.labels` says what labels become, they stay as they are: `layouts.reading` does it.
    """
    numbers = _numbers(data)
    return labels.map(lambda text: numbers.get(text, text))


def _numbers(data: Data) -> dict[str, str]:
    numbers = {str(number): label for number, label in enumerate(data.classes)}
    return numbers if data.ordered and not data.labels and not set(numbers) & set(data.classes) else {}


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
    more = {value: f" and {len(numbers) - 1} more" if len(numbers) > 1 else "" for value, numbers in lines.items()}
    return [(value, f"line {numbers[0]}{more[value]}") for value, numbers in lines.items()]


def raise_all(faults: Iterable[str]) -> None:
    """Raise a `RescanError` of all faults, one per line, if there are any."""
    if lines := list(faults):
        raise RescanError("\n".join(lines))
