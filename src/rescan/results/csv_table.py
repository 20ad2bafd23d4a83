"""CSV files between steps: declared tables, whose columns are checked when they are read."""

from __future__ import annotations

import csv
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rescan import touched
from rescan.files import write_table
from rescan.results.damage import damaged, missing, worded

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

KINDS = {"text": "O", "integer": "i", "number": "if"}  # and what pandas calls them (`dtype.kind`)
EMPTY_TYPES = {"text": str, "integer": "int64", "number": "float64"}  # of tables without a row

LARGEST = 2**53  # up to it, whole numbers are exact where a column has empty fields

csv.field_size_limit(sys.maxsize)  # pandas has no limit either


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
        infinite: Whether numbers may be infinite.
    """

    name: str
    kind: Literal["text", "integer", "number"] = "text"
    empty: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    infinite: bool = False

    @property
    def expected(self) -> str:
        """What a value must be, in words."""
        if self.kind == "text":
            return f"one of {', '.join(self.choices)}"
        noun = "a whole number" if self.kind == "integer" else "a number"
        if self.low is not None and self.high is not None:
            return f"{noun} from {self.low:g} to {self.high:g}"
        return noun if self.low is None else f"{noun} of at least {self.low:g}"

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

        Messages count a row as one line, below the line of the names.

        Raises:
            RescanError: It is missing, empty, truncated or not CSV; a column is missing, unknown or of a wrong type; a
                value is not allowed; or two rows have the same key.
        """
        import pandas as pd

        touched.read(path)
        try:
            with Path(path).open("rb") as stream:
                stream.seek(0, 2)
                stream.seek(max(0, stream.tell() - 1))
                whole = stream.read() == b"\n"
            names = [str(name) for name in pd.read_csv(path, nrows=0)]
            text: Any = {name: str for name in names if (column := self._column(name)) and column.kind == "text"}
            # pandas before 3 would lose the last digit of a number; later ones know no other way
            exact: Any = {"float_precision": "round_trip"} if pd.__version__ < "3" else {}
            frame = pd.read_csv(
                path, dtype=text, keep_default_na=False, na_values=[""], **exact
            )  # a class may be called NA
        except FileNotFoundError:
            raise missing(path, self.step) from None
        except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
            raise damaged(path, self.step, f"not a CSV table ({error})") from None
        frame[list(text)] = frame[list(text)].fillna("")
        if frame.empty:
            types: Any = {name: EMPTY_TYPES[column.kind] for name in names if (column := self._column(name))}
            frame = frame.astype(types)
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

        column = self._column(str(values.name))
        if column is None or values.empty:
            return None
        empty = (values == "" if column.kind == "text" else values.isna()).to_numpy()
        if empty.any() and not column.empty:
            return f"line {int(empty.argmax()) + 2}: {values.name} is empty"
        kind = "number" if column.kind == "integer" and empty.any() else column.kind
        if values.dtype.kind not in KINDS[kind] and not empty.all():
            wrong = _not_numbers(values, empty, whole=column.kind == "integer")
        elif column.kind == "text":
            wrong = ~values.isin(column.choices).to_numpy() & ~empty & bool(column.choices)
        else:
            low = -np.inf if column.low is None else column.low
            high = np.inf if column.high is None else column.high
            wrong = ~values.between(low, high).to_numpy() & ~empty
            wrong |= np.isinf(values.to_numpy(float)) & (not column.infinite)
            if column.kind == "integer":  # with empty ones, pandas reads numbers with a fraction, and too large ones
                wrong |= ((values % 1 != 0) | (values.abs() > LARGEST)).to_numpy() & ~empty
        if not wrong.any():
            return None
        row = int(wrong.argmax())
        return f"line {row + 2}: {values.name} is {worded(values.iloc[row])}, not {column.expected}"


def _not_numbers(values: pd.Series[Any], empty: np.ndarray, *, whole: bool) -> np.ndarray:
    """Which values (n,) are no numbers, or no whole ones; all but empty ones, where pandas read them as another type.

    So it reads "1.0" where a whole number should stand, "True", and numbers too large for 64 bits.
    """
    import pandas as pd

    numbers = pd.to_numeric(values, errors="coerce")
    wrong = (numbers.isna() | (numbers % 1 != 0 if whole else False)).to_numpy() & ~empty
    return wrong if wrong.any() else ~empty


def _fault_of_rows(path: str | Path, width: int) -> str | None:
    """The first row with more or fewer fields than there are columns, or a second column of a name.

    Pandas fills missing fields silently, and gives a second column a name of its own.
    """
    with Path(path).open(encoding="utf-8", newline="") as stream:
        rows = csv.reader(stream)
        try:
            for number, row in enumerate(rows):
                if number == 0 and len(set(row)) < len(row):
                    return f"a second column {max(row, key=row.count)!r}"
                if row and len(row) != width:  # pandas skips empty lines
                    return f"line {rows.line_num}: has {len(row)} fields, not {width}"
        except csv.Error as error:
            return f"not a CSV table ({error})"
    return None
