"""A table of predictions that grows: what stands in it is on the disk, and says what need not be predicted again.

Rows are appended and synced; to write a table of 100,000 rows anew takes a second each time. The last row of a sample
holds its `state`: rows behind the last such row are those of a sample that a killed process did not finish.
"""

from __future__ import annotations

import csv
import os
from contextlib import suppress
from pathlib import Path
from typing import Optional

import pandas as pd

from rescan.arm_rows import named
from rescan.data.readers.frames import file_of
from rescan.errors import RescanError
from rescan.files import sync, write_table
from rescan.log import logger

AGAIN = "move it away to begin anew"


class GrowingTable:
    """The table. One process at a time may have it.

    Attributes:
        path: The CSV file.
        columns: Its columns; among them image, problem, model, sha256 and state.
        count: How many rows it has.
    """

    def __init__(self, path: Path, columns: list[str], model: str) -> None:
        """Open a table, or make it.

        Args:
            path: The CSV file.
            columns: Its columns.
            model: What tells apart the models whose predictions may not be mixed.

        Raises:
            RescanError: The table is of other columns or another model, or holds what is no row.
        """
        self.path, self.columns, self.model, self.count = path, columns, model, 0
        self._known: dict[str, tuple[str, str]] = {}  # by a sample's name …
        self._read: dict[str, tuple[str, str]] = {}  # … and by what earlier rows call it: state and digest
        if not path.exists():
            write_table(path, pd.DataFrame(columns=columns))
        self._size = self._load()

    def state(self, name: str) -> Optional[str]:
        """The state in which a sample was predicted, None if it was not."""
        return self._of(name)[0] or None

    def digest(self, name: str) -> str:
        """The SHA-256 of what was predicted; "" if nothing was, or it had a problem."""
        return self._of(name)[1]

    def remember(self, name: str, state: str, digest: str) -> None:
        """Note a sample's state and the digest of its content, while this process lives."""
        self._known[name] = state, digest

    def append(self, rows: list[dict[str, object]]) -> None:
        """Write rows; when this returns they are on the disk.

        Raises:
            RescanError: Somebody else has changed the table.
            OSError: The disk is full; the table is as it was.
        """
        table = pd.DataFrame(rows, columns=self.columns)
        content = table.to_csv(index=False, header=False, lineterminator="\n").encode(errors="backslashreplace")
        there = self.path.exists()
        if not there or self.path.stat().st_size != self._size:
            what = "was changed" if there else "was taken away"
            raise RescanError(f"{self.path}: {what} by another while it grew; leave it alone, and run the same again")
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            left = memoryview(content)
            while left:
                left = left[os.write(handle, left) :]
            sync(self.path)
        except OSError as error:
            with suppress(OSError):
                os.ftruncate(handle, self._size)
            raise OSError(error.errno, error.strerror, str(self.path)) from error
        finally:
            os.close(handle)
        self._size += len(content)
        self.count += len(rows)

    def _of(self, name: str) -> tuple[str, str]:
        found = self._known.get(name)
        return found if found is not None else self._read.get(named(name), ("", ""))

    def _load(self) -> int:
        """Read what is known of each sample; cut off what a killed process left. The size in bytes."""
        whole = position = since = 0
        with self.path.open("rb") as stream:
            for number, line in enumerate(stream, 1):
                position += len(line)
                if not line.endswith(b"\n"):
                    break
                cells = self._cells(line, number)
                if number == 1:
                    if cells != self.columns:
                        raise RescanError(f"{self.path}: has other columns; give another folder, or {AGAIN}")
                    whole = position
                    continue
                row, since = dict(zip(self.columns, cells)), since + 1
                if row["model"] != self.model:
                    raise RescanError(f"{self.path}: is of another model; give another folder, or {AGAIN}")
                if row["state"]:
                    entry = row["state"], "" if row["problem"] else row["sha256"]
                    self._read[row["image"]] = entry
                    if whole_file := file_of(row["image"]):
                        self._read[whole_file] = entry
                    whole, self.count, since = position, self.count + since, 0
        if not whole:
            raise RescanError(f"{self.path}: has no line of columns; {AGAIN}")
        if whole < position:
            logger.warning("%s: its end was never finished; that is predicted again", self.path)
            os.truncate(self.path, whole)
            sync(self.path)
        return whole

    def _cells(self, line: bytes, number: int) -> list[str]:
        with suppress(UnicodeDecodeError, csv.Error, StopIteration):
            cells = next(csv.reader([line.decode()]))
            if number == 1 or len(cells) == len(self.columns):
                return cells
        raise RescanError(f"{self.path}: line {number} is no row of it; mend it, or {AGAIN}")
