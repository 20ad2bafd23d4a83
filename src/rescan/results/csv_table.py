"""CSV files between steps: declared tables, whose columns are checked when they are read."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescan.files import write_table
from rescan.results.damage import damaged, missing

if TYPE_CHECKING:
    import pandas as pd

KINDS = {"text": "O", "integer": "i", "number": "if"}  # and what pandas calls them (`dtype.kind`)


@dataclass(frozen=True)
class Column:
    """A column of a table, or several.

    Attributes:
        name: Its name; or, where it holds a `*`, a pattern of several columns' names, as in `path_*`.
        kind: text (str; "" where empty), integer (int64) or number (float64, or int64 where all are whole; NaN where
            empty).
        empty: Whether fields may be empty. An integer column with empty fields is a number column.
        optional: Whether the column may be absent.
        choices: The values that a text may have, besides "" where it may be empty; any, if there are none.
        low: The least value of a number.
        high: The largest value of a number.
    """

    name: str
    kind: Literal["text", "integer", "number"] = "text"
    empty: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None

    def fits(self, name: str) -> bool:
        """Whether a column of this name is meant."""
        return re.fullmatch(re.escape(self.name).replace(r"\*", ".*"), name) is not None


@dataclass(frozen=True)
class Table:
    """A CSV file that a step writes and others read.

    Attributes:
        step: The step that makes it.
        columns: Its columns; in a file they may stand in any order.
        key: Columns whose values, together, stand in one row only.
    """

    step: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()

    def write(self, path: str | Path, frame: pd.DataFrame) -> None:
        """Write a frame as UTF-8 CSV, without its index.

        Raises:
            ValueError: Its columns are not those of this table, which is a fault of the program.
        """
        if fault := self._fault_of_columns(list(map(str, frame.columns))):
            raise ValueError(f"{path}: {fault}")
        write_table(path, frame)

    def read(self, path: str | Path) -> pd.DataFrame:
        """Read and check the file: identifiers as text ("007" stays "007").

        Raises:
            RescanError: It is missing, empty, truncated or not CSV; a column is missing, unknown or of a wrong type; a
                value is not allowed; or two rows have the same key.
        """
        import pandas as pd

        try:
            with Path(path).open("rb") as stream:
                stream.seek(0, 2)
                stream.seek(max(0, stream.tell() - 1))
                whole = stream.read() == b"\n"
            # Numbers as pandas reads them by default: another parser could change their last digits.
            names = [str(name) for name in pd.read_csv(path, nrows=0)]
            text: Any = {name: str for name in names if (column := self._column(name)) and column.kind == "text"}
            frame = pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""])  # a class may be called NA
        except FileNotFoundError:
            raise missing(path, self.step) from None
        except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
            raise damaged(path, self.step, f"not a CSV table ({error})") from None
        frame[list(text)] = frame[list(text)].fillna("")
        fault = None if whole else "its last line is cut off"
        fault = fault or self._fault_of_columns(names) or _fault_of_rows(path, len(names))
        fault = fault or next(filter(None, (self._fault_of_values(frame[name]) for name in names)), None)
        if fault is None and self.key and (repeated := frame.duplicated(list(self.key)).to_numpy()).any():
            row = int(repeated.argmax())
            values = ", ".join(f"{name} {frame[name].iloc[row]}" for name in self.key)
            fault = f"line {row + 2}: a second row of {values}"
        if fault:
            raise damaged(path, self.step, fault)
        return frame

    def read_if_there(self, path: str | Path) -> pd.DataFrame | None:
        """Read the file; None if there is none, as where a run is not finished."""
        return self.read(path) if Path(path).is_file() else None

    def _column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.fits(name)), None)

    def _fault_of_columns(self, names: list[str]) -> str | None:
        """What is wrong with the names of a file's columns, if anything is."""
        for column in self.columns:
            if not column.optional and not any(column.fits(name) for name in names):
                return f"the column {column.name!r} is missing"
        unknown = [name for name in names if self._column(name) is None]
        return f"unknown column {unknown[0]!r}" if unknown else None

    def _fault_of_values(self, values: pd.Series[Any]) -> str | None:
        """What is wrong with the first wrong value of a column, if one is."""
        import numpy as np
        import pandas as pd

        column, name = self._column(str(values.name)), values.name
        if column is None or values.empty:
            return None
        empty = values == "" if column.kind == "text" else values.isna()
        kind = "number" if column.kind == "integer" and column.empty and empty.any() else column.kind
        if values.dtype.kind not in KINDS[kind] and not (empty.all() and column.empty):
            numbers = pd.to_numeric(values, errors="coerce")
            wrong = (numbers.isna() | (kind == "integer") & (numbers % 1 != 0)) & ~(empty & column.empty)
            expected = "a whole number" if column.kind == "integer" else "a number"
        elif column.kind == "text":
            wrong, expected = ~values.isin(column.choices), f"one of {', '.join(column.choices)}"
            wrong = (wrong & ~empty) if column.choices else empty & False
        else:
            low = -np.inf if column.low is None else column.low
            high = np.inf if column.high is None else column.high
            wrong, expected = ~values.between(low, high) & ~empty, f"a number from {low:g} to {high:g}"
        if wrong.any():
            row = int(wrong.to_numpy().argmax())
            value = values.iloc[row]
            text = "empty" if empty.iloc[row] else repr(value if isinstance(value, str) else value.item())
            return f"line {row + 2}: {name} is {text}, not {expected}"
        if not column.empty and empty.any():
            return f"line {int(empty.to_numpy().argmax()) + 2}: {name} is empty"
        return None


def _fault_of_rows(path: str | Path, width: int) -> str | None:
    """The first row with more or fewer fields than there are columns: pandas fills the missing ones silently."""
    with Path(path).open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        try:
            for row in rows:
                if len(row) != width:
                    return f"line {rows.line_num}: has {len(row)} fields, not {width}"
        except csv.Error as error:
            return f"not a CSV table ({error})"
    return None
