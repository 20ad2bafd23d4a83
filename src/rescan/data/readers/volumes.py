"""Reading a volume: a stack of B-scans, a NIfTI file, a DICOM series; and writing NIfTI.

A volume is an array (D, H, W): depth or slices, height, width. Its affine takes an index (d, h, w) to world millimeters
(RAS+, as NIfTI has it). NIfTI and DICOM volumes are reoriented, exactly: slices lie from inferior to superior, rows
from anterior to posterior, columns from the patient's right to left. In a stack, D is the row of a B-scan, H the number
of the B-scan, W its column.
"""

from __future__ import annotations

import gzip
import re
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import cv2
import numpy as np

from rescan.data.readers.images import Unreadable
from rescan.data.readers.nifti import affine_of, check_memory, open_nifti, read_nifti, write_nifti

__all__ = ["Volume", "files_in", "is_volume", "read", "read_layers", "source_grid", "write_nifti"]

SUFFIXES = (".nii", ".nii.gz")
SCANS = (".bmp", ".png", ".tif", ".tiff")
EXAMPLES = 5  # files in a message
CROSSING = 0.1  # share of columns whose surfaces may cross: a segmentation's slips, not another order
LEFT_BEHIND = {"thumbs.db", "desktop.ini", "dicomdir"}  # files of a folder that are not its scans
Kind = Literal["stack", "nifti", "dicom"]
GRAYS = np.arange(256, dtype=np.uint8)[:, None]


class Volume(NamedTuple):
    """A volume as read.

    Attributes:
        values: (D, H, W), of the file's own type; rescaled ones float32.
        affine: (4, 4) float64, from the index to world millimeters.
        kind: stack, nifti or dicom.
    """

    values: np.ndarray
    affine: np.ndarray
    kind: Kind


def is_volume(path: str | Path) -> bool:
    """Whether a path is what this module reads: a folder, or a NIfTI file by its name."""
    return Path(path).is_dir() or Path(path).name.lower().endswith(SUFFIXES)


def read(path: str | Path, extent: Sequence[float] | None = None, memory: int | None = None) -> Volume:
    """Read a volume.

    Args:
        path: A NIfTI file; or a folder of B-scans, numbered in their names, or of the slices of one DICOM series.
        extent: Millimeters that a stack of B-scans measures along D, H and W; voxels of 1 mm if unknown.
        memory: Bytes that may be used; by default what the machine has available.

    Raises:
        Unreadable: The reason, in a few words.
    """
    path = Path(path)
    try:
        kind = _kind(path)
        if kind == "stack":
            values, affine = _read_stack(path, memory, extent)
        elif kind == "nifti":
            values, affine = read_nifti(path, memory)
        else:
            from rescan.data.readers import dicom

            values, affine = dicom.read_series(files_in(path), memory)
    except Unreadable:
        raise
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except EOFError:
        raise Unreadable("truncated") from None
    except (zlib.error, gzip.BadGzipFile) as error:
        raise Unreadable(f"damaged: {error}") from None
    except Exception as error:  # noqa: BLE001 - damaged files make the readers raise anything
        text = " ".join(str(error).split())[:120] or type(error).__name__
        raise Unreadable("truncated" if "truncated" in text.lower() else f"damaged: {text}") from None
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise Unreadable("holds voxels that are no finite numbers (NaN)")
    return Volume(values, affine, kind)


def source_grid(path: str | Path, extent: Sequence[float] | None = None) -> tuple[tuple[int, ...], np.ndarray]:
    """The grid of a volume as in its file, to which maps are written back.

    Returns:
        Shape (I, J, K) and affine (4, 4) of a NIfTI file, as in the file; of a stack or a DICOM series those of `read`,
        in the order (W, H, D).

    Raises:
        Unreadable: See `read`.
    """
    path = Path(path)
    if path.is_file():
        image = open_nifti(path)
        return tuple(int(size) for size in image.shape[:3]), affine_of(image)
    volume = read(path, extent)
    affine = volume.affine.copy()
    affine[:, :3] = volume.affine[:, 2::-1]
    return volume.values.shape[::-1], affine


def read_layers(path: str | Path, shape: Sequence[int]) -> np.ndarray:
    """Read the surfaces of a retina's layers.

    Args:
        path: .mat with a variable `Layer`, (S, W, H) or (S, H, W); or .npy, (S, H, W).
        shape: (D, H, W) of the volume.

    Returns:
        (S, H, W) float32: the depth of each surface in voxels, the uppermost first; NaN where it is unknown, or where
        surfaces cross.

    Raises:
        Unreadable: No such file; or it is of another kind, or does not fit the volume.
    """
    path, (_, height, width) = Path(path), shape
    if not path.is_file():
        raise Unreadable(f"layers: no such file {path.name}")
    try:
        if path.suffix == ".mat":
            from scipy.io import loadmat

            content = loadmat(path)
            if "Layer" not in content:
                raise Unreadable("layers: no variable Layer in the file")
            layers = np.asarray(content["Layer"], np.float32)
        else:
            layers = np.asarray(np.load(path, allow_pickle=False), np.float32)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - as in `read`
        raise Unreadable(f"layers: damaged: {' '.join(str(error).split())[:100]}") from None
    if path.suffix == ".mat" and layers.ndim == 3 and layers.shape[1:] == (width, height):
        layers = layers.transpose(0, 2, 1)
    if layers.ndim != 3 or layers.shape[1:] != (height, width) or len(layers) < 3:
        raise Unreadable(f"layers: {layers.shape} do not fit a volume of {height} B-scans of {width} columns")
    with np.errstate(invalid="ignore"):
        crossing = (np.diff(layers, axis=0) < 0).any(axis=0)
    if crossing.mean() > CROSSING:
        raise Unreadable(f"layers: surfaces cross in {crossing.mean():.0%} of the columns")
    return np.where(crossing, np.float32(np.nan), layers)


def _kind(path: Path) -> Kind:
    if not path.is_dir():
        return "nifti"
    files = files_in(path)
    if not files:
        raise Unreadable("empty folder")
    scans = [file for file in files if file.suffix.lower() in SCANS]
    if scans and len(scans) < len(files):
        other = next(file.name for file in files if file not in scans)
        raise Unreadable(f"holds {other} beside {len(scans)} B-scans; remove it")
    return "stack" if scans else "dicom"


def files_in(folder: Path) -> list[Path]:
    """The files of a folder, without hidden ones and those that systems leave behind."""
    files = sorted(folder.iterdir())
    return [file for file in files if not file.name.startswith(".") and file.name.lower() not in LEFT_BEHIND]


def _read_stack(path: Path, memory: int | None, extent: Sequence[float] | None) -> tuple[np.ndarray, np.ndarray]:
    if extent is not None and not (len(extent) == 3 and all(0 < length < np.inf for length in extent)):
        raise Unreadable("its extent must be three positive numbers, in millimeters")
    files = _in_order(files_in(path))
    first = _decode(files[0])
    check_memory(len(files) * first.size, 1, memory)
    values = np.empty((first.shape[0], len(files), first.shape[1]), np.uint8)
    for number, file in enumerate(files):
        scan = _decode(file) if number else first
        if scan.shape != first.shape:
            sizes = [f"{height}x{width}" for height, width in (scan.shape, first.shape)]
            raise Unreadable(f"B-scans differ in size: {file.name} {sizes[0]}, {files[0].name} {sizes[1]}")
        values[:, number] = scan
    voxel = [length / count for length, count in zip(extent, values.shape)] if extent is not None else [1.0] * 3
    return values, np.diag([*voxel, 1.0])


def _in_order(files: list[Path]) -> list[Path]:
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
    missing = sorted(set(range(first, max(numbers) + 1)) - set(numbers))
    if missing:
        some = ", ".join(map(str, missing[:EXAMPLES])) + (" …" if len(missing) > EXAMPLES else "")
        raise Unreadable(f"missing B-scan: {some} of {first} to {max(numbers)}")
    return [numbers[number] for number in sorted(numbers)]


def _decode(file: Path) -> np.ndarray:
    """Decode a B-scan, (H, W) uint8; one with colors must be gray."""
    content = file.read_bytes()
    plain = _plain_bmp(content)
    if plain is not None:
        return plain
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED) if content else None
    if image is None:
        raise Unreadable(f"{file.name} is no image")
    if image.dtype != np.uint8:
        raise Unreadable(f"{file.name} has more than 8 bits; give such volumes as NIfTI")
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
