"""How a file asks that its values be shown as gray levels: DICOM's windows and lookup tables of interest (VOI)."""

from __future__ import annotations

from typing import NamedTuple, Optional

import numpy as np


class View(NamedTuple):
    """One way to show values, from black at `low` to white at `high`.

    Attributes:
        name: What the file calls it; "" without a name.
        low: In the units of the values.
        high: Likewise; the same as `low` where all above it is white.
        sigmoid: Whether levels follow a sigmoid curve between them, and beyond; else a line.
        table: The level of each whole value from `low` to `high`, float32 in [0, 255], if it is a lookup table.
    """

    name: str
    low: float
    high: float
    sigmoid: bool = False
    table: Optional[np.ndarray] = None


def levels(values: np.ndarray, view: View) -> np.ndarray:
    """Values as gray levels, float32 in [0, 255]; NaN, which is no value, is black.

    The formulas are those of DICOM PS3.3 C.11.2.1.
    """
    if view.table is not None:
        places = np.rint(np.nan_to_num(values, nan=view.low)) - view.low
        gray = view.table[np.clip(places, 0, len(view.table) - 1).astype(np.intp)]
    elif view.sigmoid:
        center, width = (view.low + view.high) / 2, view.high - view.low
        steepness = values.astype(np.float32) - np.float32(center)
        steepness *= np.float32(-4 / width)
        gray = np.float32(255) / (1 + np.exp(np.minimum(steepness, 80)))  # beyond, exp overflows
    elif view.high > view.low:
        gray = values.astype(np.float32)
        np.clip(gray, view.low, view.high, out=gray)
        gray -= np.float32(view.low)
        gray *= np.float32(255 / (view.high - view.low))
    else:
        gray = np.where(values > view.low, np.float32(255), np.float32(0))
    return without_gaps(gray, values)


def without_gaps(gray: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Gray levels, changed in place to 0 where the values that they show are NaN."""
    if values.dtype.kind == "f":
        gray[np.isnan(values)] = 0
    return gray


def turned(view: View, total: float) -> View:
    """The view, white for black, of values that are now `total` minus what they were."""
    table = None if view.table is None else 255 - view.table[::-1]
    return view._replace(low=total - view.high, high=total - view.low, table=table)
