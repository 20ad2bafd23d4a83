"""Does a map find a lesion: the pointing game (Zhang et al. 2018), and the overlap of what it marks with the lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

Floats = NDArray[np.float64]
TOLERANCE = 0.03  # of the maximum beside a lesion, as a share of each axis: 15 of 500 pixels, as Zhang et al. have it


def margins(shape: Sequence[int]) -> list[int]:
    """The tolerance along each axis, in pixels."""
    return [round(TOLERANCE * size) for size in shape]


def hits(maps: NDArray[np.floating], masks: NDArray[np.generic]) -> Floats:
    """Whether each map's maximum lies in its mask, or within the tolerance of it along each axis.

    Args:
        maps: (N, *spatial) ≥ 0, or (*spatial) for one map against all masks.
        masks: (N, *spatial), nonzero inside the lesion.

    Returns:
        (N,) in [0, 1]: 1 for a hit; the share of hits where several pixels have the maximum; 0 for a map that is zero
        everywhere, which points nowhere.
    """
    maps = np.broadcast_to(maps, masks.shape)
    return np.array([_hit(own_map, mask != 0) if own_map.any() else 0.0 for own_map, mask in zip(maps, masks)])


def _hit(own_map: NDArray[np.floating], inside: NDArray[np.bool_]) -> float:
    around = margins(inside.shape)
    highest = np.argwhere(own_map == own_map.max())
    windows = (tuple(slice(max(0, p - t), p + t + 1) for p, t in zip(place, around)) for place in highest)
    return float(np.mean([inside[window].any() for window in windows]))


def hits_by_chance(masks: NDArray[np.generic]) -> Floats:
    """Share of the pixels that would be a hit, (N,): the hits of a map whose maximum lies anywhere."""
    windows = [2 * margin + 1 for margin in margins(masks.shape[1:])]
    return np.array([maximum_filter(mask != 0, windows, mode="constant").mean() for mask in masks])


def overlaps(maps: NDArray[np.floating], masks: NDArray[np.generic]) -> Floats:
    """Intersection over union of each mask with as many of its map's highest pixels as the mask has.

    Pixels of equal height count for the share of them that is needed. Where the map is zero, it marks nothing.

    Args:
        maps: (N, *spatial) ≥ 0, or (*spatial) for one map against all masks.
        masks: (N, *spatial), nonzero inside the lesion, somewhere at least.

    Returns:
        (N,) in [0, 1]; 0 for a map that is zero everywhere.
    """
    maps = np.broadcast_to(maps, masks.shape)
    return np.array([_overlap(own_map.ravel(), mask.ravel() != 0) for own_map, mask in zip(maps, masks)])


def _overlap(own_map: NDArray[np.floating], inside: NDArray[np.bool_]) -> float:
    wanted = int(inside.sum())
    least = np.partition(own_map, -wanted)[-wanted]
    above, level = own_map > least, (own_map == least) & (own_map > 0)
    marked, shared = float(above.sum()), float((above & inside).sum())
    if level.any():
        shared += (wanted - marked) * float((level & inside).sum()) / float(level.sum())
        marked = wanted
    return shared / (marked + wanted - shared)


def overlaps_by_chance(masks: NDArray[np.generic]) -> Floats:
    """The overlap of a flat map, (N,): s / (2 − s), where s is the lesion's share of the area."""
    shares = (masks != 0).reshape(len(masks), -1).mean(1)
    return shares / (2 - shares)
