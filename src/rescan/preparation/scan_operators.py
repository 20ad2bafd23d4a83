"""Operators for scans: volumes and images whose place in the world, in millimeters, is known, and stays known.

Each takes a scan and returns one, with values, mask, affine and layers changed alike; `patches` returns several.
8-bit values stay 8-bit where they are cropped, resampled or projected; others become float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Optional

import numpy as np

from rescan.data.readers.display import View
from rescan.preparation.image_operators import CannotPrepare, to_mask
from rescan.preparation.resampling import resample as resample_values
from rescan.preparation.retina import SLABS


class Scan(NamedTuple):
    """A volume or an image on its way through a preparation.

    Attributes:
        values: (D, H, W), or (H, W) or (H, W, 3) for an image: uint8, which are gray levels, or any other
            type in the source's units, or in gray levels where there is a window. NaN: no value, which is black.
        mask: (D, H, W) or (H, W) uint8 of 0 and 255, if there is one.
        affine: (4, 4) of the index (d, h, w, 1), to millimeters; of an image's (h, w), d is 0. None: unknown.
        layers: (S, H, W) float32, the depth index of each surface in a volume, NaN where it is unknown; if known.
        window: What the gray levels 0 and 255 are in the source's units, once windowed.
        measured: Whether the affine's unit is the millimeter; else it is the source's voxel.
        views: Of values in units of their own, how their file asks to show them.
        grid: (4, 4) of the index to the world of its file (`scan_reading.Source`), if that is followed.
        source: (D, H, W) or (H, W) of the file, in voxels or pixels.
        of_volume: Whether three axes are those of a volume, even if the last one has three voxels as colors have.
    """

    values: np.ndarray
    mask: Optional[np.ndarray] = None
    affine: Optional[np.ndarray] = None
    layers: Optional[np.ndarray] = None
    window: Optional[tuple[float, float]] = None
    measured: bool = True
    views: tuple[View, ...] = ()
    grid: Optional[np.ndarray] = None
    source: tuple[int, ...] = ()
    of_volume: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """(D, H, W), or (H, W)."""
        colors = self.values.shape[2:] == (3,) and not self.of_volume
        return self.values.shape[:2] if colors else self.values.shape

    @property
    def voxel(self) -> np.ndarray:
        """Millimeters of a voxel along each of the shape's axes.

        Raises:
            CannotPrepare: They are unknown.
        """
        if self.affine is None or not self.measured:
            raise CannotPrepare("its size in millimeters is unknown here; give its extent, and crop before resizing")
        return np.linalg.norm(self.affine[:3, :3], axis=0)[-len(self.shape) :]


def crop_center(scan: Scan, millimeters: Sequence[float] = (0.0, 3.0, 3.0)) -> Scan:
    """Keep a centered box.

    Args:
        scan: The scan.
        millimeters: Along depth, height and width; 0 keeps the whole axis. Of an image the first is not used.

    Raises:
        CannotPrepare: The voxel sizes are unknown, or the scan is smaller than the box by more than a voxel.
    """
    sizes = []
    for old, voxel, length in zip(scan.shape, scan.voxel, millimeters[-len(scan.shape) :]):
        size = max(1, round(length / voxel)) if length else old
        if size > old + 1:
            raise CannotPrepare(f"smaller than the box: {old * voxel:.3g} of {length:g} mm")
        sizes.append(min(old, size))
    return _box(scan, [(old - size) // 2 for old, size in zip(scan.shape, sizes)], sizes)


def crop_retina(scan: Scan, depth: int = 256, by: str = "brightness") -> Scan:
    """Keep `depth` rows around the retina; rows beyond the scan are 0.

    Args:
        scan: A volume.
        depth: Rows to keep.
        by: What the retina's middle is found by. `brightness`: the center of the rows that are brighter than halfway
            between the darkest and the brightest row's mean. `layers`: halfway between the first and the last surface,
            on average; new volumes without layers then cannot be predicted.

    Raises:
        CannotPrepare: All rows are equally bright; or the layers are unknown.
    """
    if by == "layers":
        if scan.layers is None or not np.isfinite(middle := (scan.layers[0] + scan.layers[-1]) / 2).any():
            raise CannotPrepare("the layers of the retina are unknown, which crop_retina by layers needs")
        center = float(np.nanmean(middle))
    else:
        profile = _filled(scan.values).mean(axis=(1, 2), dtype=np.float64)
        bright = (profile - (profile.min() + profile.max()) / 2).clip(0)
        if not bright.sum() > 0:
            raise CannotPrepare("no retina: all rows are equally bright")
        center = float(np.average(np.arange(len(profile)), weights=bright))
    return _box(scan, [round(center - (depth - 1) / 2), 0, 0], [depth, *scan.shape[1:]])


def keep_layers(scan: Scan, slab: str = "superficial") -> Scan:
    """Set what lies outside a slab of the retina's layers to 0; the mask likewise.

    Args:
        scan: A volume.
        slab: A name of SLABS.

    Raises:
        CannotPrepare: The layers are unknown.
    """
    inside = in_slab(scan, slab)
    mask = None if scan.mask is None else np.where(inside, scan.mask, np.uint8(0))
    return scan._replace(values=np.where(inside, scan.values, scan.values.dtype.type(0)), mask=mask)


def resample(scan: Scan, millimeters: Sequence[float] = (0.0, 1.0, 1.0)) -> Scan:
    """Resample to voxels of a size: an axis that shrinks by averaging, one that grows linearly; the center stays.

    Args:
        scan: A volume.
        millimeters: Along depth, height and width; 0 leaves the axis as it is.

    Raises:
        CannotPrepare: The voxel sizes are unknown.
    """
    steps = [length / voxel if length else 1.0 for length, voxel in zip(millimeters, scan.voxel)]
    return _regrid(scan, [max(1, round(old / step)) for old, step in zip(scan.shape, steps)], steps)


def resize_volume(scan: Scan, size: Sequence[int] = (256, 192, 192)) -> Scan:
    """Resample to so many voxels along depth, height and width, as `resample` does; the extent stays."""
    return _regrid(scan, size, [old / new for old, new in zip(scan.shape, size)])


def pad_volume(scan: Scan, size: Sequence[int] = (256, 192, 192)) -> Scan:
    """Cut or pad with 0, around the center, to so many voxels along depth, height and width.

    Where 0 is not the darkest value, as in CT, window first.
    """
    return _box(scan, [int((old - new) / 2) for old, new in zip(scan.shape, size)], size)


def project(scan: Scan, slab: str = "all", how: str = "mean") -> Scan:
    """Project along the depth to an image; the mask is projected by its maximum.

    Args:
        scan: A volume.
        slab: `all`, the whole depth; or `superficial` or `deep`, this slab of the layers, 0 where it has no voxel.
        how: `mean` or `max`.

    Raises:
        CannotPrepare: The slab's layers are unknown.
    """
    values, mask = _filled(scan.values), scan.mask
    count: int | np.ndarray = len(values)
    if slab != "all":
        inside = in_slab(scan, slab)
        count = inside.sum(axis=0)
        values = np.where(inside, values, values.dtype.type(0 if how == "mean" else values.min()))
        mask = None if mask is None else np.where(inside, mask, np.uint8(0))
    image = values.max(axis=0) if how == "max" else values.sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
    image = _of_type(np.where(count, image, 0), scan.values.dtype)
    mask, depth = None if mask is None else mask.max(axis=0), len(values)
    grid = moved(scan.grid, [(depth - 1) / 2, 0, 0], [depth, 1, 1])  # a pixel is of the whole depth
    return scan._replace(values=image, mask=mask, layers=None, grid=grid)


def patches(scan: Scan, grid: Sequence[int] = (2, 2)) -> list[Scan]:
    """Cut an image into equal patches, row by row; pixels that are left over are lost at the borders, evenly.

    Args:
        scan: An image.
        grid: How many patches from top to bottom and from left to right.

    Raises:
        CannotPrepare: The image has fewer pixels than that.
    """
    sizes = [old // parts for old, parts in zip(scan.shape, grid)]
    if not min(sizes):
        raise CannotPrepare(f"too small for {grid[0]} x {grid[1]} patches: {scan.shape[1]}x{scan.shape[0]} pixels")
    first = [(old - parts * size) // 2 for old, parts, size in zip(scan.shape, grid, sizes)]
    corners = np.ndindex(*grid)
    return [_box(scan, [at + n * size for at, n, size in zip(first, corner, sizes)], sizes) for corner in corners]


def in_slab(scan: Scan, slab: str) -> np.ndarray:
    """Which voxels of a volume lie in a slab of SLABS: (D, H, W) bool. From its upper surface on, above its lower one.

    Raises:
        CannotPrepare: The layers are unknown.
    """
    if scan.layers is None:
        raise CannotPrepare(f"the layers of the retina are unknown, which slab {slab} needs")
    depth = np.arange(len(scan.values), dtype=np.float32)[:, None, None]
    top, bottom = (scan.layers[surface] for surface in SLABS[slab])
    return (depth >= top) & (depth < bottom)


def _box(scan: Scan, starts: Sequence[int], sizes: Sequence[int]) -> Scan:
    """The part of a scan from `starts` on, of `sizes` voxels; where it goes beyond the scan 0, and no layer."""
    layers = scan.layers
    if layers is not None:
        layers = _cut(layers.transpose(1, 2, 0), starts[1:], sizes[1:], np.nan).transpose(2, 0, 1) - starts[0]
    return scan._replace(
        values=_cut(scan.values, starts, sizes),
        mask=None if scan.mask is None else _cut(scan.mask, starts, sizes),
        affine=moved(scan.affine, starts, [1] * len(starts)),
        grid=moved(scan.grid, starts, [1] * len(starts)),
        layers=layers,
    )


def _cut(array: np.ndarray, starts: Sequence[int], sizes: Sequence[int], fill: float = 0) -> np.ndarray:
    spans = [(max(0, start), max(0, min(old, start + size))) for old, start, size in zip(array.shape, starts, sizes)]
    part = array[tuple(slice(*span) for span in spans)]
    if part.shape[: len(sizes)] == tuple(sizes):
        return part
    result = np.full((*sizes, *array.shape[len(sizes) :]), fill, array.dtype)
    ends = [(low - start, high - start) for (low, high), start in zip(spans, starts)]
    if part.size:
        result[tuple(slice(*end) for end in ends)] = part
    return result


def _regrid(scan: Scan, sizes: Sequence[int], steps: Sequence[float]) -> Scan:
    """A volume with another number of voxels, `steps` old ones apart, around the same center."""
    starts = [(old - 1) / 2 - (new - 1) / 2 * step for old, new, step in zip(scan.shape, sizes, steps)]
    values = _of_type(resample_values(_filled(scan.values), sizes, starts, steps), scan.values.dtype)
    mask, layers = scan.mask, scan.layers
    if mask is not None:
        mask = to_mask(resample_values(mask, sizes, starts, steps))
    if layers is not None:
        layers = resample_values(layers, (len(layers), *sizes[1:]), (0, *starts[1:]), (1, *steps[1:]))
        layers = ((layers - starts[0]) / steps[0]).astype(np.float32)
    affine, grid = (moved(own, starts, steps) for own in (scan.affine, scan.grid))
    return scan._replace(values=values, mask=mask, affine=affine, layers=layers, grid=grid)


def _filled(values: np.ndarray) -> np.ndarray:
    """Values with the least one where there is none: an average with NaN would be none."""
    gaps = np.isnan(values) if values.dtype.kind == "f" else np.False_
    return np.where(gaps, np.nanmin(values), values) if gaps.any() else values


def moved(affine: np.ndarray | None, starts: Sequence[float], steps: Sequence[float]) -> np.ndarray | None:
    """The affine of voxels whose index i is that of the old ones at start + step · i, along the last axes."""
    if affine is None:
        return None
    change = np.eye(4)
    for axis, start, step in zip(range(3 - len(starts), 3), starts, steps):
        change[axis, axis], change[axis, 3] = step, start
    return affine @ change


def _of_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Gray levels of 8 bits rounded to 8 bits again; all else float32."""
    return values.round().astype(np.uint8) if dtype == np.uint8 else values.astype(np.float32, copy=False)
