"""How much of a map lies inside a lesion, and what that is worth: the references it has to be read against.

A map's share inside a lesion ("energy inside", the energy-based pointing game of Wang et al. 2020) means nothing alone:
a flat map reaches the lesion's share of the area, and a map of the middle reaches more, since lesions lie there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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


def mean_interval(
    values: Floats, units: Sequence[str] | NDArray[np.str_], resamples: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Average values, with a 95 % percentile bootstrap interval that resamples whole units.

    Args:
        values: (N,), without NaN, N ≥ 1.
        units: (N,) the patient or group of each value.
        resamples: Number of bootstrap samples.
        seed: Of the resampling.

    Returns:
        Mean, low, high.
    """
    _, unit = np.unique(np.asarray(units), return_inverse=True)
    sums, counts = np.bincount(unit, values), np.bincount(unit)
    resampled = np.random.default_rng(seed).integers(len(sums), size=(resamples, len(sums)))
    means = sums[resampled].sum(1) / counts[resampled].sum(1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(values.mean()), float(low), float(high)
