"""A stack of B-scans: a folder of images, one a B-scan, in the order of the number in the file name."""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from rescan.data import images
from rescan.data.grids import Source, Turn
from rescan.data.images import Unreadable

SUFFIXES = (".bmp", ".png", ".tif", ".tiff")
NAMED = 5  # numbers, in a message
GRAYS = np.arange(256, dtype=np.uint8)[:, None]


def number(path: Path) -> int | None:
    """The number of a B-scan: the last integer in its name."""
    found = re.findall(r"\d+", path.stem)
    return int(found[-1]) if found else None


def source(files: list[Path], extent: Sequence[float] | None) -> Source:
    """Look at the names of the B-scans and at the header of the first.

    Args:
        files: All of the folder, in the order of their numbers.
        extent: Millimeters along depth, height, width of the whole scan; None takes 1 mm a voxel.

    Raises:
        Unreadable: A B-scan is missing, doubled or no image; the extent is not three positive numbers.
    """
    _check_names(files)
    first = files[0]
    try:
        with Image.open(first) as file:
            (width, depth), deep = file.size, file.mode.startswith("I;16")
    except Exception:  # noqa: BLE001 - whatever a damaged file makes Pillow raise, the reader puts into words
        depth, width = _decode(first).shape
        deep = False
    shape = (depth, len(files), width)
    if extent is not None and not (len(extent) == 3 and all(0 < size < np.inf for size in extent)):
        raise Unreadable("the extent must be three positive numbers, in millimeters")
    depth_mm, height_mm, width_mm = (1.0, 1.0, 1.0) if extent is None else np.divide(extent, shape)

    def planes() -> Iterator[np.ndarray]:
        for file in files:
            scan = _decode(file)
            if scan.shape != (depth, width):
                raise Unreadable(
                    f"{file.name} has {scan.shape[1]}x{scan.shape[0]} pixels and {first.name} {width}x{depth}"
                )
            if (scan.dtype != np.uint8) != deep:
                raise Unreadable(f"{file.name} and {first.name} differ in their bits a pixel")
            yield scan

    # Its own array is (depth, width, number): the planes are the B-scans. World axes: depth, height, width.
    affine = np.zeros((4, 4))
    affine[[0, 2, 1, 3], [0, 1, 2, 3]] = depth_mm, width_mm, height_mm, 1
    own = (depth, width, len(files))
    return Source(
        "stack", own, affine, Turn((0, 2, 1), (False,) * 3), np.dtype(np.uint16 if deep else np.uint8), planes
    )


def _check_names(files: list[Path]) -> None:
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise Unreadable(f"{file.name} among the B-scans is none ({', '.join(SUFFIXES)})")
        if number(file) is None:
            raise Unreadable(f"{file.name}: no number in the name, so its place is not known")
    numbers = [number(file) for file in files]
    repeated = [value for value, count in Counter(numbers).items() if count > 1]
    if repeated:
        same = [file.name for file in files if number(file) == repeated[0]]
        raise Unreadable(f"B-scan {repeated[0]} is there {len(same)} times: {', '.join(same[:NAMED])}")
    present = set(numbers)
    count = numbers[-1] - numbers[0] + 1 - len(files)  # type: ignore[operator]
    if count:
        gaps = (value for value in range(numbers[0], numbers[-1]) if value not in present)  # type: ignore[arg-type]
        some = [str(next(gaps)) for _ in range(min(count, NAMED))]
        more = f" and {count - NAMED} more" if count > NAMED else ""
        raise Unreadable(f"missing: B-scan{'s' if count > 1 else ''} {', '.join(some)}{more}")


def _decode(path: Path) -> np.ndarray:
    """One B-scan, (H, W) uint8, or uint16 for 16-bit gray."""
    try:
        content = path.read_bytes()
        plain = _plain_bmp(content)
        if plain is not None:
            return plain
        with Image.open(path) as file:
            if file.mode.startswith("I;16"):
                return np.asarray(file).astype(np.uint16, copy=False)
        image, _ = images.read(path)
    except Unreadable as error:
        raise Unreadable(f"{path.name}: {error}") from None
    except Exception:  # noqa: BLE001 - `images.read` says what is wrong
        raise Unreadable(f"{path.name}: {_fault(path)}") from None
    if image.ndim == 3:
        if (image != image[..., :1]).any():
            raise Unreadable(f"{path.name}: in color; B-scans are gray")
        image = image[..., 0]
    return image


def _fault(path: Path) -> str:
    try:
        images.read(path)
    except Unreadable as error:
        return str(error)
    return "damaged"


def _plain_bmp(content: bytes) -> np.ndarray | None:
    """The pixels of an uncompressed 8-bit BMP whose palette is gray, (H, W) uint8, without a copy; None for others.

    Pillow copies each image twice, which takes as long as all the rest.
    """
    if len(content) < 1078 or content[:2] != b"BM":
        return None
    start, header, width, height, _, bits, compression = struct.unpack_from("<IIiiHHI", content, 10)
    stride = (width + 3) // 4 * 4
    if (header, bits, compression) != (40, 8, 0) or width <= 0 or height == 0:
        return None
    if start < 1078 or len(content) < start + stride * abs(height):
        return None
    palette = np.frombuffer(content, np.uint8, 1024, 54).reshape(256, 4)
    if (palette[:, :3] != GRAYS).any():
        return None
    pixels = np.frombuffer(content, np.uint8, stride * abs(height), start).reshape(abs(height), stride)[:, :width]
    return pixels[::-1] if height > 0 else pixels
