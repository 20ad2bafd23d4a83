"""Maps of volumes: laid back onto the source's grid as NIfTI files, and drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from rescan.data import volumes
from rescan.data.images import Unreadable
from rescan.data.index import Files
from rescan.errors import RescanError

Floats = NDArray[np.float32]
Affine = NDArray[np.float64]
SLABS = {"superficial": 1, "deep": 2}  # numbers in a store's layers.npy


def to_source(scaled: Floats, affine: Affine, shape: tuple[int, int, int], source_affine: Affine) -> Floats:
    """Lay a map back onto the grid of the file that its volume was prepared from, by world coordinates.

    Args:
        scaled: (D, H, W), the map of the prepared volume.
        affine: (4, 4), of the prepared index (d, h, w) to world millimeters.
        shape: Of the source, in the file's own order of axes.
        source_affine: (4, 4), of the source's index, in that order, to world millimeters.

    Returns:
        (*shape) float32: trilinear between the centers of the prepared voxels, 0 outside those voxels.
    """
    onto = np.linalg.inv(affine) @ source_affine  # source index to prepared index
    found = np.zeros(shape, np.float32)
    # Only where the prepared field lies in the source: often a small part of it.
    ends = np.stack([np.full(3, -0.5), np.array(scaled.shape) - 0.5])
    corners = np.array(np.meshgrid(*ends.T, indexing="ij")).reshape(3, -1)
    inside = np.linalg.solve(onto[:3, :3], corners - onto[:3, 3:])
    first = np.clip(np.floor(inside.min(1)), 0, shape).astype(int)
    last = np.clip(np.ceil(inside.max(1)) + 1, 0, shape).astype(int)
    if (first >= last).any():
        return found
    matrix, offset, size = onto[:3, :3], onto[:3, :3] @ first + onto[:3, 3], tuple(last - first)
    values = affine_transform(scaled, matrix, offset, size, order=1, mode="nearest")
    known = affine_transform(np.ones(scaled.shape, np.uint8), matrix, offset, size, order=0, mode="grid-constant")
    found[tuple(map(slice, first, last))] = values * known
    return found


def write(path: Path, scaled: Floats, affine: Affine, source: Files) -> None:
    """Write the map of a volume as NIfTI, on the grid and with the affine of its source.

    Raises:
        RescanError: The source cannot be read.
    """
    try:
        shape, source_affine = volumes.source_grid(source.path, source.extent)
    except Unreadable as error:
        raise RescanError(f"{source.path}: {error}; the map needs its grid: put it back, or prepare again") from None
    volumes.write_nifti(path, to_source(scaled, affine, shape, source_affine), source_affine)
