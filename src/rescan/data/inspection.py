"""Reading one file for the audit: light, for it is what the audit's workers import."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rescan.data import duplicates, images
from rescan.files import sha256


class Inspected(NamedTuple):
    """What one pass over a file tells; of an unreadable one only the problem, the bytes and the SHA-256."""

    problem: str
    bytes: int
    sha256: str
    width: int
    height: int
    mode: str
    pixels: str  # digest of the decoded image; a color file without color counts as gray
    constant: bool
    thumbnail: np.ndarray  # (64, 64) float16


def inspect(path: Path) -> Inspected:
    """Read one file."""
    if not path.is_file():
        return _unreadable("no such file", 0, "")
    size, digest = path.stat().st_size, sha256(path)
    try:
        image, info = images.read(path)
    except images.Unreadable as error:
        return _unreadable(str(error), size, digest)
    if image.ndim == 3 and (image == image[..., :1]).all():
        image = np.ascontiguousarray(image[..., 0])
    pixels = hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).hexdigest()
    constant = bool(image.min() == image.max())
    return Inspected("", size, digest, **info, pixels=pixels, constant=constant, thumbnail=duplicates.thumbnail(image))


def _unreadable(problem: str, size: int, digest: str) -> Inspected:
    nothing = np.zeros((duplicates.THUMBNAIL_SIDE,) * 2, np.float16)
    return Inspected(problem, size, digest, 0, 0, "", "", constant=False, thumbnail=nothing)
