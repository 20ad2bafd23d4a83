"""Reading a DICOM series, or a file of several frames, as a volume."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

import numpy as np
from pydicom.dataset import Dataset

from rescan.data.readers.dicom import GRAY, check_kind, values_of
from rescan.data.readers.dicom_pixels import decoded, described, frames_of, numbers_of, open_dicom
from rescan.data.readers.nifti import FARTHEST, LEAST, MOST, oriented
from rescan.data.readers.unreadable import Unreadable, check_memory

BYTES = 4  # of a voxel: float32 or less
UNEVEN = 0.01  # how far the length of a direction may be from 1
BESIDE = 5.0  # millimeters that a slice may lie beside the line of the others, if they are nearer to each other
SAME = 1e-3  # how far directions and sizes of the slices of one volume may differ


class _Place(NamedTuple):
    """Where a slice lies, in millimeters of DICOM's world, LPS+.

    Attributes:
        name: For messages.
        start: (3,) of the first pixel.
        axes: (2, 3) directions along a row and down a column.
        spacing: (2,) between rows and between columns.
        thickness: Of the slice.
    """

    name: str
    start: np.ndarray
    axes: np.ndarray
    spacing: np.ndarray
    thickness: float


def read_series(files: list[Path], memory: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Read the slices of one series, in any order; they are sorted by their position along the slices' normal.

    Args:
        files: One slice each; or a single file of several frames.
        memory: As for `volumes.read`.

    Returns:
        Values and affine, oriented as those of `volumes.read`.

    Raises:
        Unreadable: The reason.
    """
    headers = [(file, _opened(file, pixels=False)) for file in files]
    if len(files) == 1 and frames_of(headers[0][1]) > 1:
        values, affine = read_frames(files[0], memory)
        if affine is None:
            raise Unreadable(f"{files[0].name} does not say where its frames lie; give the file, not its folder")
        return values, affine
    series = {str(header.get("SeriesInstanceUID", "")) for _, header in headers}
    if len(series) > 1:
        raise Unreadable(f"holds {len(series)} DICOM series; give each a folder of its own")
    several = [file.name for file, header in headers if frames_of(header) > 1]
    if several:
        raise Unreadable(f"{several[0]} holds several frames beside other files; give it a folder of its own")
    places = []
    for file, header in headers:
        place = _place(described(header), file.name)
        if isinstance(place, str):
            raise Unreadable(f"{file.name} lacks {place}")
        places.append(place)
    if len({(int(header.Rows), int(header.Columns)) for _, header in headers}) > 1:
        raise Unreadable("slices differ in size")
    first = headers[0][1]
    order, affine = _grid(places)
    check_memory(len(files) * int(first.Rows) * int(first.Columns), BYTES, memory)
    return oriented(_stacked([_slice(files[number]) for number in order]), affine)


def read_frames(path: Path, memory: int | None = None) -> tuple[np.ndarray, Optional[np.ndarray]]:
    """Read a file's frames, gray ones.

    Args:
        path: The file.
        memory: As for `volumes.read`.

    Returns:
        Values and affine, oriented as those of `volumes.read`, where each frame says where it lies; else (frames, H, W)
        and None.

    Raises:
        Unreadable: The reason.
    """
    content = open_dicom(path)
    check_kind(content)
    if content.PhotometricInterpretation not in GRAY:
        raise Unreadable(f"its frames are in color ({content.PhotometricInterpretation}); a volume is gray")
    count = frames_of(content)
    check_memory(count * int(content.Rows) * int(content.Columns), BYTES, memory)
    pixels, photometric = decoded(content)
    pixels = pixels.reshape(count, *pixels.shape[-2:])
    slices = [values_of(content, frame, photometric, number).values for number, frame in enumerate(pixels)]
    found = [_place(described(content, number), f"frame {number + 1}") for number in range(count)]
    places = [place for place in found if isinstance(place, _Place)]
    if len(places) < count or (count > 1 and np.ptp([place.start for place in places], axis=0).max() < SAME):
        return np.ascontiguousarray(np.moveaxis(_stacked(slices), -1, 0)), None
    order, affine = _grid(places)
    return oriented(_stacked([slices[number] for number in order]), affine)


def _opened(file: Path, *, pixels: bool) -> Dataset:
    """Open a slice, whose name its faults are given."""
    try:
        content = open_dicom(file, pixels=pixels)
        check_kind(content)
    except Unreadable as error:
        if "is not a DICOM file" in str(error):
            raise Unreadable(f"{file.name} is neither a B-scan nor a DICOM file; remove it") from None
        raise Unreadable(f"{file.name}: {error}") from None
    if content.PhotometricInterpretation not in GRAY:
        raise Unreadable(f"{file.name} is no gray slice: {content.PhotometricInterpretation}")
    return content


def _slice(file: Path) -> np.ndarray:
    """A slice's values in their units, as `gray_values` gives them."""
    content = _opened(file, pixels=True)
    try:
        return values_of(content, *decoded(content)).values
    except Unreadable as error:
        raise Unreadable(f"{file.name}: {error}") from None


def _stacked(slices: list[np.ndarray]) -> np.ndarray:
    """Slices as an array, (rows, columns, slices), of a type that holds them all."""
    dtype = np.result_type(*slices)
    return np.stack(slices, axis=-1).astype(np.float32 if dtype == np.float64 else dtype, copy=False)


def _place(data: list[Dataset], name: str) -> _Place | str:
    """Where a slice lies; or the name of the attribute that it lacks."""
    needed = {"ImagePositionPatient": 3, "ImageOrientationPatient": 6, "PixelSpacing": 2}
    try:
        numbers = {key: numbers_of(data, key) for key in (*needed, "SliceThickness")}
    except Unreadable as error:
        raise Unreadable(f"{name}: {error}") from None
    for key, count in needed.items():
        if len(numbers[key]) != count:
            return key
    start, axes, spacing = (np.array(numbers[key]) for key in needed)
    thickness = (numbers["SliceThickness"] or [1.0])[0] or 1.0
    lengths = np.linalg.norm(axes.reshape(2, 3), axis=1)
    for key, right in (
        ("ImagePositionPatient", np.abs(start) <= FARTHEST),
        ("ImageOrientationPatient", np.abs(lengths - 1) < UNEVEN),
        ("PixelSpacing", (spacing >= LEAST) & (spacing <= MOST)),
        ("SliceThickness", np.atleast_1d(LEAST <= thickness <= MOST)),
    ):
        if not right.all():  # NaN is not, either
            raise Unreadable(f"{name}: {key} is {' '.join(map(str, numbers[key]))}; mend the header")
    return _Place(name, start, axes.reshape(2, 3), spacing, thickness)


def _grid(places: list[_Place]) -> tuple[list[int], np.ndarray]:
    """The order of slices, and the affine of an array (rows, columns, slices) of them, to RAS+."""
    first = places[0]
    for what, values in (
        ("ImageOrientationPatient", [place.axes for place in places]),
        ("PixelSpacing", [place.spacing for place in places]),
    ):
        for place, value in zip(places, values):
            if not np.allclose(value, values[0], atol=SAME):
                raise Unreadable(f"{place.name} and {first.name} differ in {what}")
    across, down = first.axes
    normal = np.cross(across, down)
    order = sorted(range(len(places)), key=lambda number: float(normal @ places[number].start))
    starts = np.array([places[number].start for number in order])
    step = _even_step(starts, normal, [places[number].name for number in order], first.thickness)
    row_size, column_size = first.spacing
    affine = np.eye(4)
    affine[:3] = np.stack([down * row_size, across * column_size, step, starts[0]], axis=1)
    return order, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine  # DICOM's world is LPS+


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
    step = (starts[-1] - starts[0]) / (len(starts) - 1)
    beside = starts - starts[0] - np.arange(len(starts))[:, None] * step
    beside = np.linalg.norm(beside - np.outer(beside @ normal, normal), axis=1)
    if beside.max() > max(usual, BESIDE):
        place = int(beside.argmax())
        raise Unreadable(f"{names[place]} lies {beside[place]:.1f} mm beside the other slices; take it out")
    return step
