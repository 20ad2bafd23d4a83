"""Reading volumes: stacks of B-scans, NIfTI files and DICOM series; and the surfaces of the retina's layers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from rescan.data import dicom, nifti, stacks
from rescan.data.grids import Source, own_view, turned
from rescan.data.images import Unreadable
from rescan.data.layers import read_layers
from rescan.data.nifti import write as write_nifti

__all__ = ["Volume", "files_in", "is_volume", "read", "read_layers", "source_grid", "write_nifti"]

NOT_SLICES = {"thumbs.db", "desktop.ini", "dicomdir"}  # and hidden files


class Volume(NamedTuple):
    """A volume.

    Attributes:
        values: (D, H, W), depth, height, width, of the file's own type: uint8 (of 16-bit images uint16) for B-scans;
            float32 where a NIfTI or DICOM file scales what it stores, unless it only adds a whole number.
        affine: (4, 4) float64, from indices (d, h, w, 1) to world millimeters (RAS+); index 0 is a voxel's center.
        about: `depth`, `height`, `width`; `mode`, the type of the values; `kind`: stack, nifti or dicom.
    """

    values: np.ndarray
    affine: np.ndarray
    about: dict[str, Any]


def is_volume(path: str | Path) -> bool:
    """Whether a path is a folder, or a NIfTI file by its name."""
    return str(path).lower().endswith((".nii", ".nii.gz")) or Path(path).is_dir()


def files_in(path: str | Path) -> list[Path]:
    """A volume's files: the one, or those of its folder by the last number in their names; hidden ones are left out."""
    path = Path(path)
    if not path.is_dir():
        return [path]
    files = [file for file in path.iterdir() if not file.name.startswith(".") and file.name.lower() not in NOT_SLICES]
    numbers = {file: stacks.number(file) for file in files if file.is_file()}
    return sorted(numbers, key=lambda file: (-1 if numbers[file] is None else numbers[file], file.name))


def read(path: str | Path, extent: Sequence[float] | None = None, memory: int | None = None) -> Volume:
    """Read a volume; its axes are permuted and flipped, never resampled.

    A stack's depth is the row of a B-scan, its height the B-scan's number, its width the column. NIfTI and DICOM: depth
    runs from the feet to the head, height from front to back, width from the patient's right to the left, or as near to
    that as the file's axes are.

    Args:
        path: A folder of B-scans (BMP, PNG or TIFF, numbered without a gap) or of the slices of one DICOM series; or a
            NIfTI file.
        extent: Millimeters along depth, height, width that a stack measures; without it each voxel is taken as 1 mm.
        memory: Bytes that may be used; as many as the machine has left if not given.

    Raises:
        Unreadable: Why it cannot be used, in a few words; a lack of memory is said from the headers alone.
    """
    try:
        source = _source(Path(path), extent)
        shape, affine = turned(source.shape, source.affine, source.turn)
        _check_memory(int(np.prod(shape, dtype=np.int64)) * source.dtype.itemsize, memory)
        values = np.empty(shape, source.dtype)
        bad = _fill(own_view(values, source.turn), source)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - damaged files make their readers raise anything
        raise _put_in_words(error) from None
    if bad:
        raise Unreadable(f"{bad} of {values.size} voxels are NaN or infinite")
    depth, height, width = shape
    about = {"depth": depth, "height": height, "width": width, "mode": values.dtype.name, "kind": source.kind}
    return Volume(values, affine, about)


def source_grid(path: str | Path, extent: Sequence[float] | None = None) -> tuple[tuple[int, int, int], np.ndarray]:
    """The grid on which what is found in a volume is written back.

    Args:
        path: As in `read`.
        extent: As in `read`.

    Returns:
        Of a NIfTI file the shape and the affine, (4, 4) float64, of its own array; of a stack or a DICOM series those
        of the volume in the order (W, H, D).

    Raises:
        Unreadable: As in `read`, as far as headers tell.
    """
    try:
        source = _source(Path(path), extent)
    except Unreadable:
        raise
    except Exception as error:  # noqa: BLE001 - as in `read`
        raise _put_in_words(error) from None
    if source.kind == "nifti":
        return source.shape, source.affine
    (depth, height, width), affine = turned(source.shape, source.affine, source.turn)
    return (width, height, depth), affine[:, [2, 1, 0, 3]]


def _source(path: Path, extent: Sequence[float] | None) -> Source:
    if not path.exists():
        raise Unreadable("no such file")
    if not is_volume(path):
        raise Unreadable("not a volume: neither a folder nor .nii or .nii.gz")
    if path.is_file():
        return nifti.source(path)
    files = files_in(path)
    if not files:
        raise Unreadable("empty folder")
    if any(file.suffix.lower() in stacks.SUFFIXES for file in files):
        return stacks.source(files, extent)
    return dicom.source(files)


def _fill(view: np.ndarray, source: Source) -> int:
    """Fill a view plane by plane; count the voxels that are not finite."""
    bad = 0
    with np.errstate(over="ignore"):  # what is too large for float32 is infinite, and counted
        for index, plane in enumerate(source.planes()):
            view[..., index] = plane
            if source.dtype.kind == "f":
                bad += plane.size - int(np.isfinite(view[..., index]).sum())
    return bad


def _check_memory(needed: int, memory: int | None) -> None:
    free = _free_memory() if memory is None else memory
    if free is not None and needed > free:
        raise Unreadable(f"too large: {needed / 1e6:,.0f} MB of memory are needed, {free / 1e6:,.0f} MB are free")


def _free_memory() -> int | None:
    """Bytes that programs may still use; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


def _put_in_words(error: Exception) -> Unreadable:
    text = (str(getattr(error, "strerror", None) or error) or type(error).__name__).splitlines()[0]
    return Unreadable(f"damaged: {text}")
