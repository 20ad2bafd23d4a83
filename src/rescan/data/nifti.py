"""NIfTI files, read plane by plane, so that a turned volume needs no second copy."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from rescan.data.grids import Source, checked, scaled, scaled_type, turn_of
from rescan.data.images import Unreadable
from rescan.files import writing

MILLIMETERS = {1: 1000.0, 3: 0.001}  # of the header's code of a unit: meters, micrometers


def source(path: Path) -> Source:
    """Look at the header.

    Raises:
        Unreadable: No NIfTI file; not three-dimensional; complex or colored voxels; a singular or sheared affine.
    """
    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image = nibabel.load(path)
    except ImageFileError:
        raise Unreadable("empty file" if path.stat().st_size == 0 else "not a NIfTI file") from None
    if not isinstance(image, nibabel.Nifti1Image):  # NIfTI-2 is one, too
        raise Unreadable("not a NIfTI file")
    stored = image.dataobj
    sizes = tuple(int(size) for size in stored.shape)
    if any(size > 1 for size in sizes[3:]):
        raise Unreadable(f"{len(sizes)}D, {'x'.join(map(str, sizes))}: split it into 3D volumes")
    if len(sizes) < 3 or 0 in sizes:
        raise Unreadable(f"not a volume: {'x'.join(map(str, sizes))} voxels")
    shape = sizes[0], sizes[1], sizes[2]
    dtype = stored.dtype
    if dtype.kind not in "iuf":
        raise Unreadable(f"{'complex' if dtype.kind == 'c' else 'colored'} voxels; one gray value each is needed")
    slope, intercept = float(stored.slope), float(stored.inter)
    affine = np.array(image.affine, np.float64)
    affine[:3] *= MILLIMETERS.get(int(image.header["xyzt_units"]) & 7, 1.0)
    checked(affine)

    def planes() -> Iterator[np.ndarray]:
        size = shape[0] * shape[1] * dtype.itemsize
        try:
            with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as stream:
                stream.seek(int(stored.offset))
                for _ in range(shape[2]):
                    content = stream.read(size)
                    if len(content) < size:
                        raise Unreadable("truncated")
                    yield scaled(np.frombuffer(content, dtype).reshape(shape[:2], order="F"), slope, intercept)
                while stream.read(1 << 20):  # gzip compares its checksum at the very end
                    pass
        except EOFError:
            raise Unreadable("truncated") from None
        except (gzip.BadGzipFile, zlib.error) as error:
            raise Unreadable(f"damaged: {error}") from None

    return Source("nifti", shape, affine, turn_of(affine), scaled_type(dtype, {slope}, {intercept}), planes)


def write(path: str | Path, values: np.ndarray, affine: np.ndarray) -> None:
    """Write an array as `.nii` or `.nii.gz`; equal arrays give equal bytes.

    Args:
        path: The file.
        values: (I, J, K), of any real type. bool becomes uint8, float16 float32.
        affine: (4, 4), from the array's indices to world millimeters.
    """
    import nibabel

    values = np.asarray(values)
    values = values.astype(
        {"b": np.uint8, "e": np.float32}.get(values.dtype.char.replace("?", "b"), values.dtype), copy=False
    )
    image = nibabel.Nifti1Image(values, affine, dtype=values.dtype)
    image.set_sform(affine, 1)
    image.set_qform(affine, 1)
    image.header.set_xyzt_units("mm")
    with writing(path) as temporary, temporary.open("wb") as stream:
        if Path(path).suffix.lower() == ".gz":
            with gzip.GzipFile("", "wb", 6, stream, mtime=0) as packed:  # no name and no time in it
                image.to_stream(packed)
        else:
            image.to_stream(stream)
