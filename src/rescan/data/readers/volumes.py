"""Reading a volume: a folder of B-scans or of a DICOM series, or a file of any kind that holds one; writing NIfTI.

A volume is an array (D, H, W): depth or slices, height, width. Its affine takes an index (d, h, w) to world millimeters
(RAS+, as NIfTI has it). NIfTI and DICOM volumes are reoriented, exactly: slices lie from inferior to superior, rows
from anterior to posterior, columns from the patient's right to left. In a stack, D is the row of a B-scan, H the number
of the B-scan, W its column. Of files whose pages or frames have no place, D is their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Optional

import numpy as np

from rescan.data.readers.frames import file_and_frame
from rescan.data.readers.images import check_finite, read_pages
from rescan.data.readers.kinds import NEEDED, is_nrrd, kind_of, of_other_kind
from rescan.data.readers.nifti import grid_of, read_nifti, read_nrrd, write_nifti
from rescan.data.readers.stacks import read_stack
from rescan.data.readers.unreadable import Unreadable, check_file, damage
from rescan.errors import RescanError
from rescan.named_files import is_folder
from rescan.walk import entries_of

__all__ = [
    "Volume",
    "any_dicom",
    "dicom_of",
    "files_in",
    "is_volume",
    "of_array",
    "read",
    "read_layers",
    "source_grid",
    "write_nifti",
]

SCANS = (".bmp", ".png", ".tif", ".tiff")
MOST_EXTENT = 1e5  # millimeters
CROSSING = 0.1  # share of columns whose surfaces may cross: a segmentation's slips, not another order
Kind = Literal["stack", "pages", "nifti", "dicom", "frames"]


class Volume(NamedTuple):
    """A volume as read.

    Attributes:
        values: (D, H, W), of the file's own type; rescaled ones float32.
        affine: (4, 4) float64, from the index to world millimeters.
        kind: stack, of B-scans; pages, of a TIFF file; nifti, MGH and NRRD too; dicom; frames, of a DICOM file that
            does not say where they lie.
    """

    values: np.ndarray
    affine: np.ndarray
    kind: Kind


def is_volume(path: str | Path) -> bool:
    """Whether a path can be nothing but a volume: a folder, or a file of one by its content."""
    return is_folder(path) or kind_of(path) == "volume"


def dicom_of(path: Path) -> Optional[Path]:
    """The DICOM file that a path names, or the first one of a folder; None without one."""
    try:
        files = files_in(path) if is_folder(path) else [file_and_frame(path)[0]]
    except Unreadable:  # whoever reads it says so
        return None
    return next((file for file in files if kind_of(file) == "dicom"), None)


def any_dicom(paths: Iterable[Path]) -> bool:
    """Whether any of some files, or folders, is DICOM, whose decoders may end the process that they run in."""
    return any(dicom_of(path) is not None for path in paths)


def read(
    path: str | Path, extent: Sequence[float] | None = None, memory: int | None = None, *, gaps: bool = False
) -> Volume:
    """Read a volume.

    Args:
        path: A NIfTI, MGH or NRRD file, a DICOM file of several frames, a TIFF file of several pages; or a folder of
            B-scans, numbered in their names, or of the slices of one DICOM series.
        extent: Millimeters that a volume measures along D, H and W whose file does not say it; else voxels of 1 mm.
        memory: Bytes that may be used; by default what the machine has available.
        gaps: Whether some voxels may be NaN. Those of DICOM's padding always are.

    Raises:
        Unreadable: The reason, in a few words.
    """
    path = Path(path)
    if file_and_frame(path)[1] is not None:
        raise Unreadable("is one frame of a file; to read it whole, take frames: each out of data")
    try:
        values, affine, kind = _read(path, memory)
    except Unreadable:
        raise
    except FileNotFoundError as error:
        raise Unreadable(f"{Path(error.filename or path).name}: no such file") from None
    except EOFError:
        raise Unreadable("truncated") from None
    except Exception as error:  # noqa: BLE001 - damaged files make the readers raise anything
        raise damage(error) from None
    if values.size == 0:
        raise Unreadable(f"holds no voxels: {' x '.join(map(str, values.shape))}")
    if affine is None:
        return of_array(values, extent, kind, gaps=gaps or kind == "frames")
    check_finite(values, gaps=gaps or kind == "dicom")
    return Volume(values, affine, kind)


def of_array(
    values: np.ndarray, extent: Sequence[float] | None = None, kind: Kind = "frames", *, gaps: bool = False
) -> Volume:
    """A volume whose file, or memory, does not say where it lies.

    Args:
        values: (D, H, W).
        extent: Millimeters that it measures along D, H and W; else voxels of 1 mm.
        kind: What it was read from.
        gaps: Whether some voxels may be NaN.

    Raises:
        Unreadable: The reason, in a few words.
    """
    if extent is not None and not (len(extent) == 3 and all(0 < length <= MOST_EXTENT for length in extent)):
        raise Unreadable("its extent must be three positive numbers, in millimeters")
    voxel = [1.0] * 3 if extent is None else np.divide(extent, values.shape)
    check_finite(values, gaps=gaps)
    return Volume(values, np.diag([*voxel, 1.0]), kind)


def source_grid(path: str | Path, extent: Sequence[float] | None = None) -> tuple[tuple[int, ...], np.ndarray]:
    """The grid of a volume as in its file, to which maps are written back.

    Returns:
        Shape (I, J, K) and affine (4, 4) of a NIfTI file, as in the file; of a stack or a DICOM series those of `read`,
        in the order (W, H, D).

    Raises:
        Unreadable: See `read`.
    """
    path = Path(path)
    if kind_of(path) == "volume" and not _is_nrrd(path):
        return grid_of(path)
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
    try:
        check_file(path)
        if path.suffix == ".mat":
            from scipy.io import loadmat

            content = loadmat(path)
            if "Layer" not in content:
                raise Unreadable("no variable Layer in the file")
            layers = np.asarray(content["Layer"], np.float32)
        else:
            layers = np.asarray(np.load(path, allow_pickle=False), np.float32)
    except Unreadable as error:
        raise Unreadable(f"layers: {error}") from None
    except Exception as error:  # noqa: BLE001 - as in `read`
        raise Unreadable(f"layers: {damage(error)}") from None
    if path.suffix == ".mat" and layers.ndim == 3 and layers.shape[1:] == (width, height):
        layers = layers.transpose(0, 2, 1)
    if layers.ndim != 3 or layers.shape[1:] != (height, width) or len(layers) < 3:
        raise Unreadable(f"layers: {layers.shape} do not fit a volume of {height} B-scans of {width} columns")
    with np.errstate(invalid="ignore"):
        crossing = (np.diff(layers, axis=0) < 0).any(axis=0)
    if crossing.mean() > CROSSING:
        raise Unreadable(f"layers: surfaces cross in {crossing.mean():.0%} of the columns")
    return np.where(crossing, np.float32(np.nan), layers)


def _read(path: Path, memory: int | None) -> tuple[np.ndarray, Optional[np.ndarray], Kind]:
    """Values, affine (None where the file does not say it) and kind."""
    if is_folder(path):
        files = files_in(path)
        if _are_scans(files):
            return read_stack(files, memory), None, "stack"
        from rescan.data.readers import dicom_series

        return (*dicom_series.read_series(files, memory), "dicom")
    check_file(path)
    kind = kind_of(path)
    if kind == "volume":
        return (*(read_nrrd if _is_nrrd(path) else read_nifti)(path, memory), "nifti")
    if kind == "dicom":
        from rescan.data.readers import dicom_series

        values, affine = dicom_series.read_frames(path, memory)
        return values, affine, "frames" if affine is None else "dicom"
    if kind == "image":
        return read_pages(path, memory)[0], None, "pages"
    raise Unreadable(of_other_kind(path) or "not a volume (NIfTI, MGH, NRRD, DICOM or TIFF)")


def _is_nrrd(path: Path) -> bool:
    with path.open("rb") as stream:
        return is_nrrd(stream.read(NEEDED))


def _are_scans(files: list[Path]) -> bool:
    """Whether the files of a folder are B-scans, not DICOM slices."""
    if not files:
        raise Unreadable("empty folder")
    scans = [file for file in files if file.suffix.lower() in SCANS]
    if scans and len(scans) < len(files):
        other = next(file.name for file in files if file not in scans)
        raise Unreadable(f"holds {other} beside {len(scans)} B-scans; remove it")
    return bool(scans)


def files_in(folder: Path) -> list[Path]:
    """The files and folders of a volume's folder, as `walk` lists them.

    Raises:
        Unreadable: It cannot be read.
    """
    try:
        return entries_of(folder)
    except RescanError as error:
        raise Unreadable(str(error)) from None
