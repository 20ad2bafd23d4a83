"""How much of a map lies inside a lesion, and what that is worth: the references it has to be read against.

A map's share inside a lesion ("energy inside", the energy-based pointing game of Wang et al. 2020) means nothing alone:
a flat map reaches the lesion's share of the area, and a map of the middle reaches more, since lesions lie there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from rescan.metrics.intervals import score_interval
from rescan.results.map_checks_file import Mean

Floats = NDArray[np.float64]
TINY = 1e-15  # a variance that is one of rounding


def energy_inside(maps: NDArray[np.floating], masks: NDArray[np.generic]) -> Floats:
    """Share of each map's sum that lies inside its mask.

    Args:
        maps: (N, *spatial) ≥ 0, or (*spatial) for one map against all masks.
        masks: (N, *spatial), nonzero inside the lesion.

    Returns:
        (N,) in [0, 1]; NaN for a map that is zero everywhere, which points nowhere.
    """
    inside = masks != 0
    maps = np.broadcast_to(np.asarray(maps, np.float64), inside.shape)
    spatial = tuple(range(1, inside.ndim))
    total = maps.sum(spatial)
    return np.divide((maps * inside).sum(spatial), total, out=np.full(len(total), np.nan), where=total > 0)


def area_share(masks: NDArray[np.generic]) -> Floats:
    """Share of each image's area that its lesion takes: what a flat map's energy inside would be.

    Args:
        masks: (N, *spatial), nonzero inside the lesion.

    Returns:
        (N,) in [0, 1].
    """
    return (masks != 0).reshape(len(masks), -1).mean(1)


def centered_gaussian(shape: Sequence[int], width: float = 0.25) -> Floats:
    """Make a Gaussian bump in the middle of an image: the map of someone who only knows that lesions lie centrally.

    Args:
        shape: The image's spatial shape.
        width: Standard deviation along each axis, as a share of that axis.

    Returns:
        (*shape), 1 at the center.
    """
    axes = [np.exp(-0.5 * (((np.arange(size) + 0.5) / size - 0.5) / width) ** 2) for size in shape]
    bump = np.ones(())
    for axis in axes:
        bump = np.multiply.outer(bump, axis)
    return bump


def units_of(rows: pd.DataFrame) -> NDArray[np.str_]:
    """Whom each row is of: its patient or, where patients are unknown, its group."""
    return rows["patient"].where(rows["patient"] != "", rows["group"]).to_numpy(str)


def mean_interval(
    values: Floats, units: Sequence[str] | NDArray[np.str_], lowest: float = 0, *, of_hits: bool = False
) -> Mean:
    """Average values, with a 95 % interval over units: Student's t, by how far the units' sums scatter.

    Values of a single unit, or that are all equal, do not tell how far others scatter: then, and of hits, the interval
    is Wilson's of an effective number of units (`metrics.intervals.score_interval`). None from a handful is without
    width.

    Args:
        values: (N,) from `lowest` to 1, without NaN, N ≥ 1.
        units: (N,) the patient or group of each value.
        lowest: The least that a value can be.
        of_hits: Whether nearly all values are 0 or 1.
    """
    _, unit = np.unique(np.asarray(units), return_inverse=True)
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    n, mean = len(sums), float(values.mean())
    scatter = float(((sums - mean * counts) ** 2).sum()) / len(values) ** 2 * n / max(n - 1, 1)
    if of_hits or n == 1 or scatter < TINY:
        low, high = score_interval(np.array([mean]), scatter, n, lowest, 1)
    else:
        half = float(student.ppf(0.975, n - 1)) * math.sqrt(scatter)
        low, high = max(lowest, mean - half), min(1.0, mean + half)
    return Mean(value=mean, low=min(low, mean), high=max(high, mean))
