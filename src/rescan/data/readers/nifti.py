"""NIfTI files, and what all volumes share: their orientation, and whether they fit into memory."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np

from rescan.data.readers.images import Unreadable
from rescan.files import writing

WORKING = 6  # bytes per voxel that preparing takes beside the voxels themselves: a copy as float32, and masks
SQUARE = 1e-3  # cosine of the angle of two axes, above which an affine is sheared
READ_ORDER = ("S", "P", "L")
MILLIMETERS = {1: 1000.0, 3: 0.001}  # of NIfTI's codes of a unit: meters, micrometers


def open_nifti(path: Path) -> Any:
    """Open a file, reading its header only.

    Raises:
        Unreadable: It is no NIfTI file.
    """
    import nibabel

    if path.stat().st_size == 0:
        raise Unreadable("empty file")
    try:
        image = nibabel.load(path)
    except nibabel.filebasedimages.ImageFileError:
        raise Unreadable("not a NIfTI file") from None
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    return image


def affine_of(image: Any) -> np.ndarray:
    """The affine of a NIfTI file, in millimeters."""
    affine = np.array(image.affine, np.float64)
    affine[:3] *= MILLIMETERS.get(int(image.header["xyzt_units"]) & 7, 1.0)
    return affine


def read_nifti(path: Path, memory: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read values and affine, oriented as those of `volumes.read`.

    Raises:
        Unreadable: The reason.
    """
    image = open_nifti(path)
    shape = image.shape
    if len(shape) > 3 and set(shape[3:]) != {1}:
        raise Unreadable(f"has {len(shape)} dimensions ({' x '.join(map(str, shape))}); split it into 3D files")
    if len(shape) < 3:
        raise Unreadable(f"has {len(shape)} dimensions; a volume has 3")
    kind = image.get_data_dtype()
    if kind.kind not in "iuf":
        raise Unreadable(f"voxels of type {kind} are no gray levels")
    slope, intercept = image.dataobj.slope, image.dataobj.inter
    scaled = (slope, intercept) != (1, 0)
    check_memory(int(np.prod(shape)), 4 if scaled else kind.itemsize, memory)
    values = np.asarray(image.dataobj, np.float32) if scaled else np.asarray(image.dataobj)
    values = values.astype(values.dtype.newbyteorder("="), copy=False).reshape(shape[:3])
    return oriented(values, affine_of(image))


def write_nifti(path: str | Path, values: np.ndarray, affine: np.ndarray) -> None:
    """Write a NIfTI file, compressed if it is called .nii.gz; the same bytes each time.

    Args:
        path: The file.
        values: (I, J, K).
        affine: (4, 4), from the index to world millimeters.
    """
    import nibabel

    dtype = {"bool": np.uint8, "float16": np.float32}.get(values.dtype.name, values.dtype)  # NIfTI lacks these two
    image = nibabel.Nifti1Image(values.astype(dtype, copy=False), affine, dtype=dtype)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    with writing(path) as temporary:
        temporary.write_bytes(gzip.compress(content, 6, mtime=0) if Path(path).name.endswith(".gz") else content)


def oriented(values: np.ndarray, affine: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Reorder a volume of any axes (I, J, K) to (D, H, W), by flips and by swapping axes only.

    Raises:
        Unreadable: The affine is singular or sheared.
    """
    from nibabel import orientations

    axes = affine[:3, :3]
    lengths = np.linalg.norm(axes, axis=0)
    if not np.isfinite(affine).all() or lengths.min() < 1e-9 or abs(np.linalg.det(axes / lengths)) < 1e-6:
        raise Unreadable("singular affine: the voxel sizes or directions are not known; mend the header")
    cosines = (axes / lengths).T @ (axes / lengths) - np.eye(3)
    if np.abs(cosines).max() > SQUARE:
        raise Unreadable("sheared affine: its axes are not at right angles; resample it first")
    order = orientations.axcodes2ornt(READ_ORDER)
    turn = orientations.ornt_transform(orientations.io_orientation(affine), order)
    reordered = np.ascontiguousarray(orientations.apply_orientation(values, turn))
    return reordered, affine @ orientations.inv_ornt_aff(turn, values.shape)


def check_memory(voxels: int, size: int, memory: int | None) -> None:
    """Refuse what would not fit, before it is read.

    Raises:
        Unreadable: It needs more memory than there is.
    """
    needed, free = voxels * (size + WORKING), memory if memory is not None else _available()
    if needed > free:
        raise Unreadable(f"larger than memory: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def _available() -> int:
    try:
        with Path("/proc/meminfo").open(encoding="ascii") as stream:
            return next(int(line.split()[1]) * 1024 for line in stream if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return 2**62
