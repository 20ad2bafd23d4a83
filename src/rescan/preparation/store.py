"""The packed store: all items of a preparation in few files.

`images.npy`: (N, H, W, C) or, of volumes, (N, D, H, W, 1); uint8 gray levels, or uint16, 257 times as much.
`masks.npy`: (N, *spatial) uint8 of 0 and 255, where the samples have masks. Of volumes also `affines.npy`: (N, 4, 4)
float64, from the index (d, h, w, 1) to millimeters; and, where layers of the retina are known, `layers.npy`:
(N, D, H, W) uint8, 1 in the superficial slab, 2 in the deep one, 0 elsewhere and where they are unknown.
`items.csv`: item, sample, patch (number within the sample), mask (1 if the sample has one), digest (of the item), low
and high (what gray levels 0 and 255 are in the source's units; empty unless windowed). `preparation.json`: the rest.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Literal, NamedTuple, Optional

import numpy as np
import pandas as pd
from numpy.lib.format import open_memmap

from rescan.errors import RescanError
from rescan.files import read_json, read_table, writing
from rescan.paths import StoreFolder


class Rows(NamedTuple):
    """An array file that is written row by row, by several processes, and never held in memory nor mapped into it."""

    path: Path
    length: int
    shape: tuple[int, ...]  # of a row
    dtype: str

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize

    def create(self) -> None:
        """Make the file, full of 0."""
        open_memmap(self.path, "w+", self.dtype, (self.length, *self.shape))

    def write(self, row: int, values: np.ndarray) -> None:
        """Fill a row."""
        with self.path.open("r+b") as file:
            file.seek((row - self.length) * self.row_bytes, os.SEEK_END)
            file.write(np.ascontiguousarray(values, self.dtype).data)

    def read(self, row: int) -> np.ndarray:
        """A row."""
        start = self.path.stat().st_size + (row - self.length) * self.row_bytes
        return np.fromfile(self.path, self.dtype, prod(self.shape), offset=start).reshape(self.shape)

    def keep(self, rows: Sequence[int] | np.ndarray) -> None:
        """Leave only some rows in the file."""
        with writing(self.path) as temporary:
            kept = self._replace(path=temporary, length=len(rows))
            kept.create()
            for target, row in enumerate(rows):
                kept.write(target, self.read(row))


def open_store(folder: str | Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Open a packed store.

    Returns:
        The images, memory-mapped and read-only; and `items.csv`, whose row i is about image i.

    Raises:
        RescanError: The store is not there or not whole.
    """
    store = StoreFolder(folder)
    about = read_json(store.preparation)
    array, items = np.load(store.images, mmap_mode="r"), read_table(store.items)
    if list(array.shape) != about["shape"] or len(items) != about["items"]:
        raise RescanError(f"{folder}: its files do not belong together; run preprocess again")
    return array, items.astype({"mask": int})


def open_beside(folder: str | Path, name: Literal["masks", "affines", "layers"]) -> Optional[np.ndarray]:
    """Open what a store holds beside its images, memory-mapped and read-only; None if it has no such thing."""
    path = Path(getattr(StoreFolder(folder), name))
    return np.load(path, mmap_mode="r") if path.is_file() else None
