"""Resampling along each axis by itself: averages over what a new voxel covers, or linear interpolation between voxels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def resample(values: np.ndarray, sizes: Sequence[int], starts: Sequence[float], steps: Sequence[float]) -> np.ndarray:
    """Resample onto a regular grid.

    An axis whose step exceeds 1 is averaged over the part of the old voxels that a new one covers (no aliasing), others
    are interpolated linearly. Beyond the outermost voxels' centers their values go on.

    Args:
        values: Of any number of axes and type.
        sizes: New number of voxels along each axis.
        starts: Where the center of the first new voxel lies, in old voxels: 0 is the center of the first old one.
        steps: Old voxels from one new voxel to the next.

    Returns:
        float32; values itself, if nothing changes. NaN spreads to all new voxels that it has a part in.
    """
    changed = [
        axis
        for axis, (old, new, start, step) in enumerate(zip(values.shape, sizes, starts, steps))
        if (old, 0, 1) != (new, start, step)
    ]
    for axis in sorted(changed, key=lambda axis: -steps[axis]):  # what shrinks most leaves least to do
        values = _along(values, axis, *_weights(values.shape[axis], sizes[axis], starts[axis], steps[axis]))
    return values


def _weights(old: int, new: int, start: float, step: float) -> tuple[np.ndarray, np.ndarray]:
    """Which old voxels each new one is made of, (new, taps), and their shares in it."""
    centers = start + step * np.arange(new)[:, None]
    if step > 1:
        index = np.floor(centers - step / 2 + 0.5) + np.arange(int(np.ceil(step)) + 1)
        upper, lower = np.minimum(index + 0.5, centers + step / 2), np.maximum(index - 0.5, centers - step / 2)
        share = (upper - lower).clip(0) / step
    else:
        index = np.floor(centers) + np.arange(2)
        share = 1 - abs(index - centers)
    index = np.where(share > 0, index, np.round(centers))  # what has no share must not bring its NaN
    return index.clip(0, old - 1).astype(np.intp), share.astype(np.float32)


def _along(values: np.ndarray, axis: int, index: np.ndarray, share: np.ndarray) -> np.ndarray:
    shape = [-1 if other == axis else 1 for other in range(values.ndim)]
    size = [len(index) if other == axis else length for other, length in enumerate(values.shape)]
    result = np.zeros(size, np.float32)
    for taken, part in zip(index.T, share.T):
        if part.any():
            result += np.take(values, taken, axis).astype(np.float32, copy=False) * part.reshape(shape)
    return result
