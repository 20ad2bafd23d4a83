"""Resampling along each axis by itself: averages over what a new voxel covers, or linear interpolation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix


def resample(values: np.ndarray, sizes: Sequence[int], starts: Sequence[float], steps: Sequence[float]) -> np.ndarray:
    """Resample onto a regular grid.

    An axis whose step exceeds 1 is averaged over the part of the old voxels that a new one covers (no aliasing), others
    are interpolated linearly. Beyond the outermost voxels' centers their values go on.

    Args:
        values: (D, H, W) of any type.
        sizes: New number of voxels along each axis.
        starts: Where the center of the first new voxel lies, in old voxels: 0 is the center of the first old one.
        steps: Old voxels from one new voxel to the next.

    Returns:
        float32; values itself, if nothing changes. NaN spreads to all new voxels that it has a part in.
    """
    grids = list(zip(values.shape, sizes, starts, steps))
    deep, high, wide = (None if grid == (grid[1], grid[1], 0, 1) else _shares(*grid) for grid in grids)
    if high is not None or wide is not None:
        turned = np.empty((len(values), *sizes[1:]), np.float32)
        for number, plane in enumerate(values):  # one at a time: it stays in the processor's cache
            plane = plane.astype(np.float32)  # noqa: PLW2901 - the same plane
            rows = plane if high is None else high @ plane
            turned[number] = rows if wide is None else (wide @ np.ascontiguousarray(rows.T)).T
        values = turned
    if deep is not None:
        flat = values.reshape(len(values), -1).astype(np.float32, copy=False)
        values = (deep @ flat).reshape(sizes[0], *values.shape[1:])
    return values


def _shares(old: int, new: int, start: float, step: float) -> csr_matrix:
    """The share of each old voxel in each new one, (new, old) float32."""
    centers = start + step * np.arange(new)[:, None]
    if step > 1:
        index = np.floor(centers - step / 2 + 0.5) + np.arange(int(np.ceil(step)) + 1)
        upper, lower = np.minimum(index + 0.5, centers + step / 2), np.maximum(index - 0.5, centers - step / 2)
        share = (upper - lower).clip(0) / step
    else:
        index = np.floor(centers) + np.arange(2)
        share = 1 - abs(index - centers)
    rows, taps = np.nonzero(share > 0)
    columns = index[rows, taps].clip(0, old - 1).astype(int)
    return csr_matrix((share[rows, taps].astype(np.float32), (rows, columns)), (new, old))
