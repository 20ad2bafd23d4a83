"""Reading a sample's files, or what of it is in memory already, as a scan for the steps of a preparation."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rescan.data.index import Files
from rescan.data.readers import images, volumes
from rescan.data.readers.display import levels
from rescan.preparation.image_operators import CannotPrepare, resize, to_gray, to_mask
from rescan.preparation.scan_operators import Scan, moved
from rescan.study import Preparation

# What a scaled decoding leaves of the shorter side: this many times the size that the steps resize to, and at least so
# many pixels. Full-size fundus photographs, cropped and enhanced, differ by half a gray level on average.
DECODED, LEAST_DECODED = 1.75, 768
MEASURED = ("nifti", "dicom")  # kinds of volumes whose files say where each voxel lies
PICTURES = ("stack", "pages")  # those that consist of pictures
SAME_PLACE = 0.1  # voxels: how far apart a volume and its mask may lie


class Source(NamedTuple):
    """The grid of a sample's file, in its own order of axes.

    Attributes:
        shape: (I, J, K) of a volume; (1, H, W) of an image.
        affine: (4, 4) from its index to the world: millimeters of a volume, pixels of an image.
    """

    shape: tuple[int, ...]
    affine: np.ndarray


def read_scan(files: Files, preparation: Preparation) -> Scan:
    """Read a sample as a preparation takes it.

    Raises:
        images.Unreadable: The file cannot be read, or values are no numbers.
        CannotPrepare: Mask or layers cannot be read or do not fit.
    """
    return _read_volume(files, preparation) if preparation.reads == "volume" else _read_image(files, preparation)[0]


def read_followed(files: Files, preparation: Preparation) -> tuple[Scan, Source]:
    """Read a sample as `read_scan` does, with a grid that the steps of the preparation will follow; and its source."""
    if preparation.reads == "volume":
        scan = _read_volume(files, preparation)
        return scan._replace(grid=scan.affine), source_of(files)
    scan, (height, width) = _read_image(files, preparation)
    # A file that was decoded at a half of its size has two of its pixels in each, whole ones up to the last.
    step = round(max(height / scan.shape[0], width / scan.shape[1]))
    grid = moved(np.eye(4), [(step - 1) / 2] * 2, [step] * 2)
    return scan._replace(grid=grid), Source((1, height, width), np.eye(4))


def source_of(files: Files) -> Source:
    """The grid of a volume's file, or of the volume in memory.

    Raises:
        volumes.Unreadable: The file cannot be read.
    """
    if files.array is None:
        return Source(*volumes.source_grid(files.path, files.extent))
    return Source(files.array.shape, volumes.of_array(files.array, files.extent, gaps=True).affine)


def _read_volume(files: Files, preparation: Preparation) -> Scan:
    gaps = preparation.nan == "black"
    if files.array is None:
        values, affine, kind = volumes.read(files.path, files.extent, gaps=gaps)
    else:
        values, affine, kind = volumes.of_array(files.array, files.extent, gaps=gaps)
    mask = None if files.mask is None else _read_volume_mask(files.mask, files.extent, values.shape, affine)
    layers = None if files.layers is None else volumes.read_layers(files.layers, values.shape)
    measured = kind in MEASURED or files.extent is not None
    return Scan(values, mask, affine, layers, None, measured, source=values.shape, of_volume=True)


@contextmanager
def _of_mask() -> Iterator[None]:
    """Say that it is the mask that cannot be read, not the sample itself."""
    try:
        yield
    except images.Unreadable as error:
        raise CannotPrepare(f"mask: {error}") from None


def _read_volume_mask(
    path: Path, extent: tuple[float, ...] | None, shape: tuple[int, ...], affine: np.ndarray
) -> np.ndarray:
    with _of_mask():
        mask = volumes.read(path, extent)
    if mask.values.shape != shape:
        raise CannotPrepare(f"mask has {_by(mask.values.shape)} voxels, the volume {_by(shape)}")
    corners = np.array([[0, 0, 0, 1], [*shape, 1]]).T
    if abs(np.linalg.solve(affine, mask.affine @ corners) - corners).max() > SAME_PLACE:
        raise CannotPrepare("mask lies elsewhere than the volume: their affines differ")
    return _lesion(mask)


def _lesion(mask: volumes.Volume) -> np.ndarray:
    """Which voxels are marked: in pictures those brighter than 127, in other files all that are not 0."""
    return to_mask(mask.values, 127 if mask.kind in PICTURES else 0)


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _read_image(files: Files, preparation: Preparation) -> tuple[Scan, tuple[int, int]]:
    """An image, and the height and width of its file."""
    image, info = _pixels(files, preparation)
    if preparation.channels == "gray" and image.ndim == 3:
        image = to_gray(image)
    size = info.height, info.width
    mask = None if files.mask is None else _read_mask(files.mask, size)
    if mask is not None and mask.shape != image.shape[:2]:
        mask = resize(mask, mask, image.shape[:2])[1]
    affine = None if files.extent is None else np.diag([*np.divide(files.extent, (1, *image.shape[:2])), 1.0])
    return Scan(image, mask, affine, views=info.views, source=size), size


def _pixels(files: Files, preparation: Preparation) -> tuple[np.ndarray, images.ImageInfo]:
    gaps = preparation.nan == "black"
    if files.array is not None:
        images.check_finite(files.array, gaps=gaps)
        height, width = files.array.shape[:2]
        images.check_size(width, height)
        return files.array, images.ImageInfo(width, height, "")
    try:
        return images.read(files.path, _at_least(preparation), gaps=gaps)
    except images.Several:
        raise
    except images.Unreadable:
        if volumes.is_volume(files.path):
            raise images.Unreadable("a volume, not an image: add reads: volume to the preparation") from None
        raise


def _at_least(preparation: Preparation) -> int | None:
    """Pixels of the shorter side that a scaled decoding must leave; None to decode at full size."""
    sizes = [max(step["size"]) for step in preparation.steps if step["name"] == "resize"]
    if preparation.decode == "full" or not sizes:
        return None
    return max(LEAST_DECODED, round(DECODED * sizes[0]))


def _read_mask(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """An image's mask; that of a volume is projected along its depth."""
    with _of_mask():
        mask = _lesion(volumes.read(path)).max(axis=0) if volumes.is_volume(path) else _marked(*images.read(path))
    if mask.shape != shape:
        raise CannotPrepare(f"mask is {mask.shape[1]}x{mask.shape[0]} pixels, image {shape[1]}x{shape[0]}")
    return mask


def _marked(image: np.ndarray, info: images.ImageInfo) -> np.ndarray:
    """Which pixels of a mask's file are marked: those brighter than 127; of deep values all that are not 0."""
    image = image if image.ndim == 2 else image.max(axis=2)
    if info.views:
        image = levels(image, info.views[0])
    return to_mask(image, 127 if info.views or image.dtype == np.uint8 else 0)
