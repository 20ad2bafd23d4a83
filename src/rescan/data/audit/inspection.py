"""Reading one file for the audit. Its imports are light, as each worker of the audit has them."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rescan.data.audit import duplicates
from rescan.data.gray_levels import stretched
from rescan.data.readers import images, volumes
from rescan.data.readers.frames import file_and_frame
from rescan.data.readers.unreadable import check_file, one_line
from rescan.errors import is_of_machine
from rescan.files import sha256


class Inspected(NamedTuple):
    """The results of one pass over a file; of an unreadable one only the problem, the bytes and the SHA-256."""

    problem: str
    bytes: int
    sha256: str  # of a folder: of its files' digests, in order
    width: int
    height: int
    mode: str
    depth: int  # of a volume, in voxels; 0 of an image
    pixels: str  # digest of the decoded image; a color file without color counts as gray
    constant: bool
    thumbnail: np.ndarray  # (64, 64) float16


def inspect(path: Path, *, gaps: bool = False) -> Inspected:
    """Read one sample: an image file, or a volume's file or folder. Deep images need no window here.

    Args:
        path: The file or folder.
        gaps: Whether some of its values may be NaN.
    """
    size, digest = 0, ""
    try:
        size, digest = _bytes(path)
        image, mode, (depth, height, width) = _read(path, gaps=gaps)
    except OSError as error:  # a folder or file that may not be read
        if is_of_machine(error):
            raise
        return unreadable(one_line(error))
    except images.Unreadable as error:
        return unreadable(str(error), size, digest)
    pixels = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
    pixels.update(image.data)
    constant = bool(np.nanmin(image) == np.nanmax(image))
    thumbnail = duplicates.thumbnail(_picture(image, depth))
    return Inspected("", size, digest, width, height, mode, depth, pixels.hexdigest(), constant, thumbnail)


def _bytes(path: Path) -> tuple[int, str]:
    """The size of a file, or of a folder's files, and its SHA-256."""
    file, frame = file_and_frame(path)
    if not file.is_dir():
        check_file(file)
    if frame is not None:  # of a file of equal bytes, the frames are not
        return file.stat().st_size, hashlib.sha256(f"{sha256(file)}#{frame}".encode()).hexdigest()
    if not path.is_dir():
        return path.stat().st_size, sha256(path)
    files = [file for file in volumes.files_in(path) if file.is_file()]
    digests = "".join(sha256(file) for file in files)
    return sum(file.stat().st_size for file in files), hashlib.sha256(digests.encode()).hexdigest()


def _read(path: Path, *, gaps: bool) -> tuple[np.ndarray, str, tuple[int, ...]]:
    """The values, the name of their format, and depth, height and width; the depth of an image is 0."""
    image = None
    if not volumes.is_volume(path):
        with suppress(images.Several):
            image, info = images.read(path, gaps=gaps)
    if image is None:
        values = volumes.read(path, gaps=gaps).values
        return values, str(values.dtype), values.shape
    if image.ndim == 3 and (image == image[..., :1]).all():
        image = np.ascontiguousarray(image[..., 0])
    return np.ascontiguousarray(image), info.mode, (0, info.height, info.width)


def _picture(values: np.ndarray, depth: int) -> np.ndarray:
    """An image as it is; a deep one, or a volume's mean along its depth, from its 1st to its 99th percentile, uint8."""
    if depth:
        return stretched(np.nan_to_num(values).mean(0, dtype=np.float32), percentiles=(1, 99))
    return values if values.dtype == np.uint8 else stretched(values, percentiles=(1, 99))


def unreadable(problem: str, size: int = 0, digest: str = "") -> Inspected:
    """What is found of a file that cannot be read."""
    nothing = np.zeros((duplicates.THUMBNAIL_SIDE,) * 2, np.float16)
    return Inspected(problem, size, digest, 0, 0, "", 0, "", constant=False, thumbnail=nothing)
