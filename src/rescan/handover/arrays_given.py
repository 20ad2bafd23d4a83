"""Samples as a program gives them: paths, and arrays that are in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Union

import numpy as np

from rescan.data.index import Files
from rescan.data.readers.frames import file_and_frame
from rescan.data.readers.volumes import MOST_EXTENT
from rescan.errors import RescanError, shown
from rescan.named_files import is_folder, is_there

Given = Union[str, "os.PathLike[str]", np.ndarray]
OF_IMAGES = "(H, W) or (H, W, 3), of uint8, uint16 or floats"
OF_VOLUMES = "(D, H, W), W above 3, of whole numbers or floats"


def files_of(
    given: Sequence[Given] | Given, reads_volumes: bool, extent: tuple[float, ...] | None
) -> tuple[list[str], list[Files]]:
    """The samples' names, their paths or such as `array 0`, and files, as `in_chunks` takes them.

    Args:
        given: Samples, or one of them.
        reads_volumes: Whether a sample is a volume, not an image.
        extent: Millimeters that the scans measure along depth, height and width, where their files do not say it.

    Raises:
        RescanError: There is no such file, or an array is of another shape or type than samples have.
    """
    one = isinstance(given, (str, bytes, os.PathLike, np.ndarray))
    if not one and not isinstance(given, Iterable):
        raise RescanError(f"samples: are a {type(given).__name__}; give paths of image files, or NumPy arrays")
    samples: list[Any] = [given] if one else list(given)  # type: ignore[arg-type]
    _check_extent(extent)
    names, files, arrays = [], [], 0
    for number, sample in enumerate(samples):
        if isinstance(sample, np.ndarray):
            name = f"array {arrays}"
            arrays += 1
            names.append(name)
            files.append(Files(Path(name), extent=extent, array=_checked(sample, name, reads_volumes)))
        elif isinstance(sample, (str, os.PathLike)):
            path = Path(sample)
            if not is_there(file_and_frame(path)[0]):
                raise RescanError(f"{shown(path)}: no such file; give paths of image files, or arrays")
            if not reads_volumes and is_folder(path):
                raise RescanError(f"{shown(path)}: is a folder; the model reads images: give the paths of their files")
            names.append(str(path))
            files.append(Files(path, extent=extent))
        else:
            what = type(sample).__name__
            raise RescanError(f"sample {number}: is a {what}; give paths of image files, or NumPy arrays")
    return names, files


def _check_extent(extent: object) -> None:
    """Refuse what are no three lengths."""
    if extent is None:
        return
    lengths = list(extent) if isinstance(extent, Iterable) and not isinstance(extent, (str, bytes)) else []
    numbers = [length for length in lengths if isinstance(length, (int, float, np.number))]
    if len(lengths) != 3 or len(numbers) != 3 or not all(0 < length <= MOST_EXTENT for length in numbers):
        raise RescanError(f"extent: {extent!r}; give three numbers above 0, {MOST_EXTENT:g} at most, in millimeters")


def _checked(array: np.ndarray, name: str, reads_volumes: bool) -> np.ndarray:
    """An array as the readers of files would give it: in one piece, of this machine's byte order, not to be changed."""
    kinds = "uif" if reads_volumes else "f"
    known = array.dtype.kind in kinds or array.dtype in (np.uint8, np.uint16)
    if reads_volumes:
        fits = array.ndim == 3 and array.shape[2] > 3
    else:
        fits = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if not known or not fits or array.size == 0:
        reads, wanted = ("volumes", OF_VOLUMES) if reads_volumes else ("images", OF_IMAGES)
        raise RescanError(f"{name}: is {array.shape} of {array.dtype}; the model reads {reads}: give {wanted}")
    own = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).view()
    if own.dtype.kind == "f" and own.dtype != np.float32:
        own = own.astype(np.float32)
    own.flags.writeable = False
    return own
