"""Reading a DICOM series as a volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom

from rescan.data.readers.images import Unreadable
from rescan.data.readers.nifti import check_memory, oriented


def read_series(files: list[Path], memory: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read the slices of one series, in any order; they are sorted by their position along the slices' normal.

    Args:
        files: One slice each.
        memory: As for `volumes.read`.

    Returns:
        Values and affine, oriented as those of `volumes.read`.

    Raises:
        Unreadable: The reason.
    """
    headers = []
    for file in files:
        try:
            headers.append((file, pydicom.dcmread(file, stop_before_pixels=True)))
        except pydicom.errors.InvalidDicomError:
            raise Unreadable(f"{file.name} is neither a B-scan nor a DICOM file; remove it") from None
    series = {str(header.get("SeriesInstanceUID", "")) for _, header in headers}
    if len(series) > 1:
        raise Unreadable(f"holds {len(series)} DICOM series; give each a folder of its own")
    required = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "Rows", "Columns")
    for file, header in headers:
        if missing := [name for name in required if name not in header]:
            raise Unreadable(f"{file.name} lacks {missing[0]}")
    first = headers[0][1]
    for name in ("ImageOrientationPatient", "PixelSpacing"):
        for file, header in headers:
            if not np.allclose(np.asarray(header[name].value, float), np.asarray(first[name].value, float), atol=1e-3):
                raise Unreadable(f"{file.name} and {headers[0][0].name} differ in {name}")
    across, down = np.asarray(first.ImageOrientationPatient, float).reshape(2, 3)
    normal = np.cross(across, down)
    ordered = sorted(headers, key=lambda entry: float(normal @ np.asarray(entry[1].ImagePositionPatient, float)))
    starts = np.array([np.asarray(header.ImagePositionPatient, float) for _, header in ordered])
    step = _even_step(starts, normal, [file.name for file, _ in ordered], float(first.get("SliceThickness") or 1))
    if len({(int(header.Rows), int(header.Columns)) for _, header in ordered}) > 1:
        raise Unreadable("slices differ in size")
    rows, columns = int(first.Rows), int(first.Columns)
    check_memory(len(ordered) * rows * columns, 4, memory)
    slices = [_slice(file) for file, _ in ordered]
    values = np.stack(slices, axis=-1)  # (rows, columns, slices)
    row_size, column_size = (float(value) for value in first.PixelSpacing)
    affine = np.eye(4)
    affine[:3] = np.stack([down * row_size, across * column_size, step, starts[0]], axis=1)
    return oriented(values, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)  # DICOM's world is LPS+


def _even_step(starts: np.ndarray, normal: np.ndarray, names: list[str], thickness: float) -> np.ndarray:
    """The vector from one slice to the next, which must be the same for all; of a single slice its thickness."""
    if len(starts) == 1:
        return normal * thickness
    steps = np.diff(starts @ normal)
    if steps.min() < 1e-3:
        place = int(steps.argmin())
        raise Unreadable(f"doubled slice: {names[place]} and {names[place + 1]} are at one place")
    usual = float(np.median(steps))
    if np.abs(steps - usual).max() > 0.1 * usual:
        place = int(np.abs(steps - usual).argmax())
        distances = f"{steps[place]:.2f} mm between {names[place]} and {names[place + 1]}, else {usual:.2f} mm"
        raise Unreadable(f"a slice is missing, or slices are uneven: {distances}")
    return (starts[-1] - starts[0]) / (len(starts) - 1)


def _slice(file: Path) -> np.ndarray:
    """A slice's values: rescaled to its units where the file says so, as float32 unless they stay whole numbers."""
    content = pydicom.dcmread(file)
    try:
        pixels = content.pixel_array
    except Exception as error:  # noqa: BLE001 - data that are truncated or compressed in an unknown way
        raise Unreadable(f"{file.name} cannot be decoded: {' '.join(str(error).split())[:100]}") from None
    if pixels.ndim != 2:
        raise Unreadable(f"{file.name} is no single gray slice")
    if content.get("PhotometricInterpretation") == "MONOCHROME1":
        raise Unreadable(f"{file.name} is MONOCHROME1: low values are bright; convert it to MONOCHROME2")
    slope, intercept = float(content.get("RescaleSlope", 1)), float(content.get("RescaleIntercept", 0))
    if slope == 1 and intercept == int(intercept):
        return pixels if intercept == 0 else (pixels.astype(np.int32) + int(intercept)).astype(np.int32)
    return (pixels * np.float32(slope) + np.float32(intercept)).astype(np.float32)
