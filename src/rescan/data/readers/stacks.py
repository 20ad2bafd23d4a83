"""Reading a folder of B-scans, one image file each, as a volume."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from rescan.data.readers.unreadable import Unreadable, check_memory

EXAMPLES = 5  # files in a message
GRAYS = np.arange(256, dtype=np.uint8)[:, None]


def read_stack(files: Sequence[Path], memory: int | None) -> np.ndarray:
    """Read B-scans, numbered in their names, as a volume, (D, H, W) of the files' own type: H is their number.

    Raises:
        Unreadable: The reason.
    """
    files = _in_order(files)
    first = _decode(files[0])
    check_memory(len(files) * first.size, first.itemsize, memory)
    values = np.empty((first.shape[0], len(files), first.shape[1]), first.dtype)
    for number, file in enumerate(files):
        scan = _decode(file) if number else first
        if scan.shape != first.shape:
            sizes = [f"{height}x{width}" for height, width in (scan.shape, first.shape)]
            raise Unreadable(f"B-scans differ in size: {file.name} {sizes[0]}, {files[0].name} {sizes[1]}")
        if scan.dtype != first.dtype:
            raise Unreadable(f"B-scans differ in depth: {file.name} {scan.dtype}, {files[0].name} {first.dtype}")
        values[:, number] = scan
    return values


def _in_order(files: Sequence[Path]) -> list[Path]:
    """B-scans by their number, from 0 or 1 on; refuses a gap, and a repeated number."""
    numbers: dict[int, Path] = {}
    for file in files:
        if not re.fullmatch(r"[0-9]+", file.stem):
            raise Unreadable(f"{file.name} is no numbered B-scan; remove or rename it")
        number = int(file.stem)
        if number in numbers:
            raise Unreadable(f"doubled B-scan: {numbers[number].name} and {file.name}")
        numbers[number] = file
    first = 0 if 0 in numbers else 1
    if (last := max(numbers)) - first >= len(numbers):
        missing = list(islice((number for number in range(first, last) if number not in numbers), EXAMPLES + 1))
        some = ", ".join(map(str, missing[:EXAMPLES])) + (" …" if len(missing) > EXAMPLES else "")
        raise Unreadable(f"missing B-scan: {some} of {first} to {last}")
    return [numbers[number] for number in sorted(numbers)]


def _decode(file: Path) -> np.ndarray:
    """Decode a B-scan, (H, W) uint8 or uint16; one with colors must be gray."""
    content = file.read_bytes()
    plain = _plain_bmp(content)
    if plain is not None:
        return plain
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if image is None:
        raise Unreadable(f"{file.name} is no image")
    if image.ndim == 2:
        return image
    if (image[..., :3] != image[..., :1]).any():
        raise Unreadable(f"{file.name} is in color")
    return image[..., 0]


def _plain_bmp(content: bytes) -> np.ndarray | None:
    """The pixels of an uncompressed 8-bit gray BMP, (H, W) uint8, without a copy, which would be slow; else None."""
    if len(content) < 1078 or content[:2] != b"BM":
        return None
    start, header, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", content, 10)
    stride, rows = (width + 3) // 4 * 4, abs(height)
    if (header, bits, compression) != (40, 8, 0) or min(width, rows) <= 0:
        return None
    if start < 1078 or len(content) < start + stride * rows:
        return None
    if (np.frombuffer(content, np.uint8, 1024, 54).reshape(256, 4)[:, :3] != GRAYS).any():
        return None  # a palette
    pixels = np.frombuffer(content, np.uint8, stride * rows, start).reshape(rows, stride)[:, :width]
    return pixels[::-1] if height > 0 else pixels
