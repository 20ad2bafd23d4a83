"""NIfTI, MGH and NRRD files, and what all volumes share: their orientation, and whether they fit into memory."""

from __future__ import annotations

import bz2
import gzip
import math
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from rescan.data.readers.kinds import NEEDED, is_gzip, is_mgh, is_nifti
from rescan.data.readers.unreadable import Unreadable, check_file, check_memory
from rescan.files import writing

LEAST, MOST = 1e-7, 1e4  # millimeters of a voxel, from an electron microscope's on
ABSURD = 1e12  # no scale is so large, nor its inverse
FARTHEST = 1e7  # millimeters from the origin of the world
SQUARE = 1e-3  # cosine of the angle of two axes, above which an affine is sheared
READ_ORDER = ("S", "P", "L")
WORLDS = {  # NRRD's spaces → the signs that make them RAS+
    "left-posterior-superior": (-1.0, -1.0, 1.0),
    "lps": (-1.0, -1.0, 1.0),
    "right-anterior-superior": (1.0, 1.0, 1.0),
    "ras": (1.0, 1.0, 1.0),
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "las": (-1.0, 1.0, 1.0),
}
NIFTI_2 = 540  # bytes of its header
UNPACKERS: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "gz": gzip.open, "bzip2": bz2.open, "bz2": bz2.open}
SLACK = 2**20  # bytes before or behind voxels
MILLIMETERS = {1: 1000.0, 3: 0.001}  # of NIfTI's codes of a unit: meters, micrometers


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """Open a file of one volume, NIfTI or MGH, plain or compressed by its content: reads its header.

    When the block ends, what is left of a compressed file is read, and with it its checksum is verified.

    Raises:
        Unreadable: It is no such file, or is damaged.
    """
    import nibabel
    from nibabel.fileholders import FileHolder

    with path.open("rb") as raw:
        head = raw.read(NEEDED)
        raw.seek(0)
        compressed = is_gzip(head)
        stream: Any = gzip.GzipFile(fileobj=raw) if compressed else raw
        head = stream.read(max(NEEDED, NIFTI_2))
        stream.seek(0)
        form: Any
        if is_mgh(head):
            form = nibabel.MGHImage
        elif is_nifti(head):
            form = (
                nibabel.Nifti2Image
                if NIFTI_2 in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
                else nibabel.Nifti1Image
            )
        else:
            raise Unreadable("not a NIfTI file")
        if b"ni1\0" in head[344:348] or b"ni2\0" in head[4:8]:
            raise Unreadable("is the header of a pair (.hdr and .img); convert it to one .nii file")
        if form is not nibabel.MGHImage:
            size = form.header_class.template_dtype.itemsize
            _check_header(form.header_class(head[:size], check=False), size)
        yield form.from_file_map({"header": FileHolder(fileobj=stream), "image": FileHolder(fileobj=stream)})
        if compressed:
            while stream.read(2**20):
                pass


def _check_header(header: Any, size: int) -> None:
    """Refuse numbers of a NIfTI header that readers would put others in place of, without a word.

    Args:
        header: As in the file.
        size: Its bytes.

    Raises:
        Unreadable: Its scale, its voxels' size (where no affine says it), or the place of its voxels.
    """
    slope, intercept, sizes = float(header["scl_slope"]), float(header["scl_inter"]), header["pixdim"][1:4].tolist()
    if not (slope == 0 or 1 / ABSURD < abs(slope) < ABSURD) or not abs(intercept) < ABSURD:  # 0: values are as stored
        raise Unreadable(f"scl_slope is {slope:g} and scl_inter {intercept:g}; mend the header")
    if not int(header["sform_code"]) and not all(0 < length < math.inf for length in sizes):
        raise Unreadable(f"pixdim says voxels of {' x '.join(f'{length:g}' for length in sizes)}; mend the header")
    if not size <= float(header["vox_offset"]) < math.inf:
        raise Unreadable(f"vox_offset is {float(header['vox_offset']):g}: voxels lie behind the header; mend it")


def affine_of(image: Any) -> np.ndarray:
    """The affine of a NIfTI or MGH file, in millimeters."""
    affine = np.array(image.affine, np.float64)
    if "xyzt_units" in image.header:
        affine[:3] *= MILLIMETERS.get(int(image.header["xyzt_units"]) & 7, 1.0)
    return affine


def grid_of(path: Path) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape (I, J, K) and affine of a file, as in the file.

    Raises:
        Unreadable: See `opened`.
    """
    with opened(path) as image:
        return tuple(int(size) for size in image.shape[:3]), affine_of(image)


def read_nifti(path: Path, memory: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read values and affine, oriented as those of `volumes.read`.

    Raises:
        Unreadable: The reason.
    """
    with opened(path) as image:
        shape = image.shape
        if len(shape) > 3 and set(shape[3:]) != {1}:
            raise Unreadable(f"has {len(shape)} dimensions ({' x '.join(map(str, shape))}); split it into 3D files")
        if len(shape) < 3:
            raise Unreadable(f"has {len(shape)} dimensions; a volume has 3")
        kind = image.get_data_dtype()
        if kind.kind not in "iuf":
            raise Unreadable(f"voxels of type {kind if kind.names is None else 'RGB'} are no gray levels")
        slope, intercept = image.dataobj.slope, image.dataobj.inter
        scaled = (slope, intercept) != (1, 0)
        check_memory(int(np.prod(shape)), 4 if scaled else kind.itemsize, memory)
        values = np.asarray(image.dataobj, np.float32) if scaled else np.asarray(image.dataobj)
        affine = affine_of(image)
    values = values.astype(values.dtype.newbyteorder("="), copy=False).reshape(shape[:3])
    return oriented(values, affine)


def read_nrrd(path: Path, memory: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read values and affine of a NRRD file, oriented as those of `volumes.read`.

    Raises:
        Unreadable: The reason; or that what reads such files is not installed.
    """
    try:
        import nrrd
    except ImportError:
        raise Unreadable("is a NRRD file, which nothing installed reads: pip install pynrrd") from None
    with path.open("rb") as stream:
        header = nrrd.read_header(stream)
        start, voxels = stream.tell(), path
    if beside := str(header.get("data file", header.get("datafile", ""))):
        if not re.fullmatch(r"[^\s/\\%]+", beside) or beside == "LIST":  # %: a file per slice
            raise Unreadable(f"its voxels lie in {beside}, not in one file beside it; convert it to one file")
        start, voxels = 0, path.with_name(beside)
        check_file(voxels)
    if header.get("line skip", header.get("lineskip", 0)):
        raise Unreadable("skips lines before its voxels, which is not read; convert it to NIfTI")
    sizes, space = [int(size) for size in header["sizes"]], str(header.get("space", "")).lower()
    if len(sizes) != 3:
        raise Unreadable(f"has {len(sizes)} dimensions; a volume has 3")
    if space not in WORLDS or "space directions" not in header:
        raise Unreadable(f"its space {space!r} does not say where the patient's right is; convert it to NIfTI")
    check_memory(math.prod(sizes), 8, memory)
    if unpacker := UNPACKERS.get(header["encoding"]):
        with voxels.open("rb") as stream:
            stream.seek(start)
            _check_unpacked(unpacker(stream), math.prod(sizes) * 8 + SLACK)
    values, _ = nrrd.read(str(path))
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if values.dtype.kind not in "iuf":
        raise Unreadable(f"voxels of type {values.dtype} are no gray levels")
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(header["space directions"], float).T
    affine[:3, 3] = header.get("space origin", np.zeros(3))
    return oriented(values, np.diag([*WORLDS[space], 1.0]) @ affine)


def _check_unpacked(stream: IO[bytes], most: int) -> None:
    """Refuse what would unpack to more than so many bytes: its reader would take all of it into memory."""
    size = 0
    while block := stream.read(2**20):
        size += len(block)
        if size > most:
            raise Unreadable("its compressed voxels are more than its header says")


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
    if not (lengths.min() >= LEAST and lengths.max() <= MOST and np.abs(affine[:3, 3]).max() <= FARTHEST):
        sizes = " x ".join(f"{length:g}" for length in lengths)
        place = " ".join(f"{place:g}" for place in affine[:3, 3])
        raise Unreadable(f"its voxels are {sizes} mm large and begin at {place}, which cannot be; mend the header")
    cosines = (axes / lengths).T @ (axes / lengths) - np.eye(3)
    if np.abs(cosines).max() > SQUARE:
        raise Unreadable("sheared affine: its axes are not at right angles; resample it first")
    order = orientations.axcodes2ornt(READ_ORDER)
    turn = orientations.ornt_transform(orientations.io_orientation(affine), order)
    reordered = np.ascontiguousarray(orientations.apply_orientation(values, turn))
    return reordered, affine @ orientations.inv_ornt_aff(turn, values.shape)
