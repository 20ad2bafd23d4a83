"""The surfaces between the layers of a retina."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from rescan.data.images import Unreadable

VARIABLE = "Layer"
FEWEST = 4  # the slabs lie between the first, the third and the last
ROUNDING = 1.0  # voxels by which surfaces that touch may cross


def read_layers(path: str | Path, shape: Sequence[int]) -> np.ndarray:
    """Read the surfaces of a volume's layers.

    Args:
        path: A MATLAB file (up to version 7) with a variable `Layer`, (S, W, H), or (S, H, W) if only that fits; or a
            `.npy` file, (S, H, W).
        shape: (D, H, W) of the volume.

    Returns:
        (S, H, W) float32: each surface's index along the depth, from the top (ILM) down. Surfaces that cross by up to
        one voxel are put in order.

    Raises:
        Unreadable: No such file or variable, not numbers, another shape, NaN, outside the volume, or surfaces cross.
    """
    path = Path(path)
    try:
        surfaces = _load(path)
    except Unreadable:
        raise
    except FileNotFoundError:
        raise Unreadable("layers: no such file") from None
    except NotImplementedError:
        raise Unreadable("layers: a MATLAB file of version 7.3; save it as version 7, or as .npy") from None
    except Exception as error:  # noqa: BLE001 - damaged files make their readers raise anything
        text = str(error) or type(error).__name__
        raise Unreadable(f"layers: damaged, or not numbers: {text.splitlines()[0]}") from None
    depth, height, width = shape
    if surfaces.dtype.kind not in "iuf":
        raise Unreadable("layers: not numbers")
    if path.suffix.lower() == ".mat" and surfaces.ndim == 3 and surfaces.shape[1:] == (width, height):
        surfaces = surfaces.transpose(0, 2, 1)
    if surfaces.ndim != 3 or len(surfaces) < FEWEST or surfaces.shape[1:] != (height, width):
        sizes = "x".join(map(str, surfaces.shape))
        raise Unreadable(f"layers: {sizes} numbers; at least {FEWEST} surfaces of {height}x{width} are needed")
    surfaces = np.ascontiguousarray(surfaces, np.float32)
    if not np.isfinite(surfaces).all():
        raise Unreadable(
            f"layers: {np.count_nonzero(~np.isfinite(surfaces))} of {surfaces.size} are NaN; fill the gaps"
        )
    if surfaces.min() < 0 or surfaces.max() > depth:
        raise Unreadable(f"layers: from {surfaces.min():g} to {surfaces.max():g}, outside the volume's depth {depth}")
    steps = np.diff(surfaces, axis=0)
    if steps.min() < -ROUNDING:
        upper, row, column = np.unravel_index(steps.argmin(), steps.shape)
        raise Unreadable(
            f"layers: surfaces {upper + 1} and {upper + 2} cross by {-steps.min():g} voxels at {row}, {column}"
        )
    return np.maximum.accumulate(surfaces, axis=0)


def _load(path: Path) -> np.ndarray:
    if path.suffix.lower() == ".npy":
        return np.load(path, allow_pickle=False)
    if path.suffix.lower() != ".mat":
        raise Unreadable("layers: neither .mat nor .npy")
    from scipy.io import loadmat

    content = loadmat(path, variable_names=[VARIABLE], appendmat=False)
    if VARIABLE not in content:
        raise Unreadable(f"layers: no variable {VARIABLE!r} in it")
    return content[VARIABLE]
