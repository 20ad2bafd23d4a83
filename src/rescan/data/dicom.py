"""A series of DICOM slices in a folder, put in order by their positions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from rescan.data.grids import Source, checked, scaled, scaled_type, turn_of
from rescan.data.images import Unreadable

GAP = (0.02, 0.02)  # a distance between slices may differ by so many millimeters, or by this share of itself
NEEDED = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
LPS_TO_RAS = np.array([[-1.0], [-1.0], [1.0]])


def source(files: list[Path]) -> Source:
    """Look at the headers of all slices.

    Raises:
        Unreadable: Not all are slices of one series; slices are missing, doubled or irregular; they differ in size or
            direction; in color, or several frames a file; a header lacks what says where a slice lies.
    """
    headers = [_header(file) for file in files]
    series = {header.get("SeriesInstanceUID") for header in headers}
    if len(series) > 1:
        raise Unreadable(f"{len(series)} series in one folder; give each a folder of its own")
    rows, columns = _same(files, headers, lambda header: (int(header.Rows), int(header.Columns)), "size")
    spacing = _same(files, headers, lambda header: _numbers(header.PixelSpacing), "PixelSpacing")
    along_row, along_column = np.reshape(
        _same(files, headers, lambda header: _numbers(header.ImageOrientationPatient), "direction"), (2, 3)
    )
    positions = np.array([_numbers(header.ImagePositionPatient) for header in headers])
    places = positions @ np.cross(along_row, along_column)
    order = np.argsort(places, kind="stable")
    files, headers, positions = [files[i] for i in order], [headers[i] for i in order], positions[order]
    _check_gaps(files, places[order])
    if len(files) > 1:
        step = (positions[-1] - positions[0]) / (len(files) - 1)
    else:
        step = np.cross(along_row, along_column) * float(headers[0].get("SliceThickness") or 1)

    affine = np.eye(4)
    # The first number of PixelSpacing lies between rows; a column's index runs along a row.
    affine[:3] = LPS_TO_RAS * np.column_stack([along_column * spacing[0], along_row * spacing[1], step, positions[0]])
    checked(affine)
    stored = {_stored(header) for header in headers}
    slopes = [float(header.get("RescaleSlope", 1)) for header in headers]
    intercepts = [float(header.get("RescaleIntercept", 0)) for header in headers]
    dtype = scaled_type(np.result_type(*stored), set(slopes), set(intercepts))

    def planes() -> Iterator[np.ndarray]:
        for file, slope, intercept in zip(files, slopes, intercepts):
            yield scaled(_pixels(file, (rows, columns)), slope, intercept)

    return Source("dicom", (rows, columns, len(files)), affine, turn_of(affine), dtype, planes)


def _header(path: Path) -> Any:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True)
    except InvalidDicomError:
        raise Unreadable(f"{path.name}: not a DICOM file") from None
    if int(header.get("NumberOfFrames") or 1) > 1:
        raise Unreadable(f"{path.name}: holds several frames; convert it to one slice a file, or to NIfTI")
    if int(header.get("SamplesPerPixel") or 1) > 1:
        raise Unreadable(f"{path.name}: in color; one gray value a voxel is needed")
    missing = [name for name in NEEDED if header.get(name) is None]
    if missing:
        raise Unreadable(f"{path.name}: its header lacks {missing[0]}")
    return header


def _numbers(values: Any) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _same(files: list[Path], headers: list[Any], get: Any, what: str) -> Any:
    """What all slices have in common; directions may differ by rounding."""
    values = [get(header) for header in headers]
    for file, value in zip(files, values):
        if not np.allclose(value, values[0], atol=1e-3, rtol=0):
            raise Unreadable(f"{file.name} and {files[0].name} differ in {what}")
    return values[0]


def _check_gaps(files: list[Path], places: np.ndarray) -> None:
    """Raise unless slices, sorted by place in millimeters along their normal, lie at equal distances."""
    gaps = np.diff(places)
    if not len(gaps):
        return
    usual = float(np.median(gaps))
    if gaps.min() < GAP[0] and gaps.min() < usual / 2 or usual == 0:
        at = int(gaps.argmin())
        raise Unreadable(f"two slices at one place: {files[at].name} and {files[at + 1].name}")
    wrong = np.flatnonzero(abs(gaps - usual) > max(GAP[0], GAP[1] * usual))
    if len(wrong):
        at = int(wrong[0])
        raise Unreadable(
            f"slices missing or irregular: {gaps[at]:.2f} mm between {files[at].name} and {files[at + 1].name}, "
            f"elsewhere {usual:.2f} mm"
        )


def _stored(header: Any) -> np.dtype:
    signed = int(header.get("PixelRepresentation") or 0)
    return np.dtype(f"{'i' if signed else 'u'}{int(header.get('BitsAllocated', 16)) // 8}")


def _pixels(path: Path, shape: tuple[int, int]) -> np.ndarray:
    import pydicom

    data = pydicom.dcmread(path)
    syntax = data.file_meta.TransferSyntaxUID
    try:
        pixels: np.ndarray = data.pixel_array
    except Exception as error:  # noqa: BLE001 - each decoder has errors of its own
        if syntax.is_compressed:
            raise Unreadable(f"{path.name}: compressed ({syntax.name}), cannot be decoded; decompress it") from None
        raise Unreadable(f"{path.name}: damaged: {str(error).splitlines()[0]}") from None
    if pixels.shape != shape:
        raise Unreadable(f"{path.name}: damaged: {pixels.shape} pixels")
    return pixels
