"""The packed store: all items of a preparation in few files.

`images.npy`: (N, H, W, C) or, of volumes, (N, D, H, W, 1); uint8 gray levels, or uint16, 257 times as much.
`masks.npy`: (N, *spatial) uint8 of 0 and 255, where the samples have masks. Of volumes also `affines.npy`: (N, 4, 4)
float64, from the index (d, h, w, 1) to millimeters; and, where layers of the retina are known, `layers.npy`:
(N, D, H, W) uint8, 1 in the superficial slab, 2 in the deep one, 0 elsewhere and where they are unknown.
`items.csv` and `preparation.json`: see `rescan.results.packed_store`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.lib.format import open_memmap

from rescan import touched
from rescan.files import writing
from rescan.log import progress
from rescan.paths import StoreFolder
from rescan.results.arrays import read_array
from rescan.results.damage import damaged, missing
from rescan.results.packed_store import PackedStore, check_beside, read_tables

if TYPE_CHECKING:
    import pandas as pd


SOME_ROWS, SOME_BYTES = 64, 1 << 28  # of a store, that are compared with their checksums when it is opened


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
        touched.wrote(self.path)

    def write(self, row: int, values: np.ndarray) -> None:
        """Fill a row."""
        try:
            with self.path.open("r+b") as file:
                file.seek((row - self.length) * self.row_bytes, os.SEEK_END)
                file.write(np.ascontiguousarray(values, self.dtype).data)
        except OSError as error:  # of a full disk, without a name
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def read(self, row: int) -> np.ndarray:
        """A row."""
        start = self.path.stat().st_size + (row - self.length) * self.row_bytes
        return np.fromfile(self.path, self.dtype, prod(self.shape), offset=start).reshape(self.shape)

    def keep(self, rows: Sequence[int] | np.ndarray) -> None:
        """Leave only some rows in the file."""
        with writing(self.path) as temporary:
            shorter = self._replace(path=temporary, length=len(rows))
            shorter.create()
            for target, row in enumerate(rows):
                shorter.write(target, self.read(row))


def digest_of(item: np.ndarray) -> str:
    """The digest of an item, as in items.csv."""
    return hashlib.blake2b(np.ascontiguousarray(item).data, digest_size=8).hexdigest()


def open_store(folder: str | Path) -> tuple[np.ndarray, pd.DataFrame]:
    """Open a packed store; some of its rows are compared with their digests (`check_store` compares all).

    Returns:
        The images, memory-mapped and read-only; and `items.csv`, whose row i is about image i.

    Raises:
        RescanError: A file of the store is missing or damaged, or they do not belong together.
    """
    store = StoreFolder(folder)
    about, items = read_tables(store)
    images = _open(store.images, about.dtype, about.shape)
    _check_rows(store, images, items, _some_rows(images))
    if items["mask"].any() and not Path(store.masks).is_file():
        raise missing(store.masks, PackedStore.step)
    return images, items


def check_store(folder: str | Path) -> None:
    """Compare all files of a store with what it says of them, whole, in constant memory.

    Raises:
        RescanError: As of `open_store`.
    """
    images, items = open_store(folder)
    _check_rows(StoreFolder(folder), images, items, progress(range(len(images)), len(images), f"{folder} (items)"))
    for path in StoreFolder(folder).beside:
        check_beside(path, PackedStore.read(StoreFolder(folder).preparation))


def _some_rows(images: np.ndarray) -> Iterable[int]:
    """Rows from the first to the last, evenly: so many that a shift is seen, so few that opening stays quick."""
    count = min(SOME_ROWS, max(3, SOME_BYTES // max(1, images[:1].nbytes)))
    return sorted({*np.linspace(0, len(images) - 1, count).astype(int).tolist()} if len(images) else ())


def _check_rows(store: StoreFolder, images: np.ndarray, items: pd.DataFrame, rows: Iterable[int]) -> None:
    """Compare rows of images.npy with their digests."""
    for row in rows:
        if digest_of(images[row]) != items["digest"].iloc[row]:
            sample = items["sample"].iloc[row]
            raise damaged(store.images, PackedStore.step, f"row {row} is not the image of {sample!r} in items.csv")


def open_beside(folder: str | Path, name: Literal["masks", "affines", "layers"]) -> np.ndarray | None:
    """Open what a store holds beside its images, memory-mapped and read-only; None if it has no such array.

    Raises:
        RescanError: It is damaged, or does not belong to the store's images.
    """
    store = StoreFolder(folder)
    path = Path(getattr(store, name))
    about = PackedStore.read(store.preparation)
    shape = about.shape
    if not path.is_file():
        if path.name in about.beside:
            raise missing(path, PackedStore.step)
        return None
    if path.stat().st_size <= SOME_BYTES:
        check_beside(str(path), about)
    if name == "affines":
        return _open(path, "float64", [shape[0], 4, 4])
    return _open(path, "uint8", shape[:-1])


def _open(path: str | Path, dtype: str, shape: list[int]) -> np.ndarray:
    array = read_array(path, PackedStore.step, dtypes=(dtype,))
    if list(array.shape) != shape:
        raise damaged(path, PackedStore.step, f"its shape is {list(array.shape)}, not {shape} as in preparation.json")
    return array
