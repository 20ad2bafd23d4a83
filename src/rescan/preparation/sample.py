"""One sample: its files are read, and taken through the steps of a preparation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Optional, TypeVar, cast

import cv2
import numpy as np

from rescan import catalogue
from rescan.data.gray_levels import stretched, to_uint16
from rescan.data.index import Files
from rescan.data.pool import one_by_one
from rescan.data.readers import images, volumes
from rescan.preparation.gray_operators import file_window
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.retina import NUMBERS
from rescan.preparation.room import memory_fault
from rescan.preparation.scan_operators import Scan, in_slab, moved
from rescan.preparation.scan_reading import read_scan
from rescan.study import Preparation

Result = TypeVar("Result")


class Prepared(NamedTuple):
    """A sample as a network takes it.

    Attributes:
        items: (H, W, C) or (D, H, W, 1) each, of the preparation's dtype; one, or as many as it cuts patches.
        masks: (H, W) or (D, H, W) uint8 of 0 and 255, one per item; None if the sample has no mask.
        affine: (4, 4) from a volume's index (d, h, w, 1) to millimeters.
        layers: (D, H, W) uint8, of a volume whose layers are known: 1 superficial, 2 deep, 0 elsewhere.
        window: What the gray levels 0 and 255 are in the source's units, if it was windowed.
        source: (D, H, W) or (H, W) of the sample's file, in voxels or pixels.
    """

    items: list[np.ndarray]
    masks: Optional[list[np.ndarray]]
    affine: Optional[np.ndarray]
    layers: Optional[np.ndarray]
    window: Optional[tuple[float, float]]
    source: tuple[int, ...] = ()


class NeedsWindow(CannotPrepare):
    """Values of more than 8 bits were not scaled to gray levels."""


def prepare(files: Files, preparation: Preparation) -> Prepared:
    """Read a sample's files and take them through the steps of a preparation.

    Raises:
        images.Unreadable: The file cannot be read.
        CannotPrepare: A step fails or has no memory, or mask or layers cannot be read or do not fit.
    """
    if fault := memory_fault(preparation):
        raise CannotPrepare(fault)
    first, *_ = scans = taken_through(read_scan(files, preparation), preparation)
    flat = preparation.dimensions == 2
    return Prepared(
        [_pack(scan, preparation.dtype) for scan in scans],
        None if first.mask is None else [cast("np.ndarray", scan.mask) for scan in scans],
        None if flat else first.affine,
        None if flat or first.layers is None else _slab_numbers(first),
        first.window,
        first.source,
    )


def taken_through(scan: Scan, preparation: Preparation) -> list[Scan]:
    """What the steps of a preparation make of a scan, as gray levels: one scan, or as many as they cut patches.

    Raises:
        CannotPrepare: A step fails.
    """
    scans = [scan]
    for step in preparation.steps:
        scans = [result for own in scans for result in _apply(step, own, preparation.channels)]
    return [_shown(own, preparation.channels) for own in scans]


def prepared_or_fault(files: Files, preparation: Preparation) -> Prepared | images.Unreadable | CannotPrepare:
    """A sample as `prepare` gives it, or the error that it would raise."""
    try:
        return prepare(files, preparation)
    except (images.Unreadable, CannotPrepare) as error:
        return error


def prepare_all(
    files: Sequence[Files], preparation: Preparation
) -> Iterator[Prepared | images.Unreadable | CannotPrepare]:
    """Prepare some samples; DICOM files in another process, which their decoders may end."""
    return each_apart(partial(prepared_or_fault, preparation=preparation), files)


def each_apart(
    function: Callable[[Files], Result | images.Unreadable], files: Sequence[Files]
) -> Iterator[Result | images.Unreadable]:
    """Call a function with samples, each by itself; in another process if any is DICOM, which decoders may end."""
    apart = volumes.any_dicom(own.path for own in files if own.array is None)
    return one_by_one(function, files, "reading", images.Unreadable) if apart else map(function, files)


def prepare_image(
    path: str | Path, preparation: Preparation, mask_path: str | Path | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """Take an image file that is one item through the steps of a preparation.

    Args:
        path: The image file.
        preparation: Its steps and channels, and how JPEG files are decoded.
        mask_path: A lesion mask of the same size, if there is one: what is brighter than 127.

    Returns:
        The image, (H, W, C) in [0, 255], C = 1 for gray and 3 for RGB; the mask, (H, W) uint8 of 0 and 255.

    Raises:
        images.Unreadable: The image file cannot be read.
        CannotPrepare: A step fails, or the mask does not fit.
    """
    prepared = prepare(Files(Path(path), None if mask_path is None else Path(mask_path)), preparation)
    return prepared.items[0], None if prepared.masks is None else prepared.masks[0]


def stages_of(files: Files | str | Path, preparation: Preparation) -> list[tuple[str, np.ndarray]]:
    """A sample as read ("raw"), then after each step of the preparation, by the operator's name, as pictures.

    Of a stack of B-scans the picture is the middle B-scan, of other volumes the middle slice across the depth; of
    patches the first. Values that are not gray levels yet are stretched from their 0.5th to their 99.5th percentile.

    Args:
        files: The sample's files, or its file.
        preparation: The preparation.

    Returns:
        Names and pictures, (H, W) or (H, W, 3) uint8.

    Raises:
        images.Unreadable: The file cannot be read.
        CannotPrepare: A step fails, or mask or layers cannot be read or do not fit.
    """
    files = files if isinstance(files, Files) else Files(Path(files))
    scan = read_scan(files._replace(mask=None), preparation)
    stages = [("raw", _picture(scan, files.path, preparation.channels))]
    for step in preparation.steps:
        scan = _apply(step, scan, preparation.channels)[0]
        stages.append((step["name"], _picture(scan, files.path, preparation.channels)))
    return stages


def _picture(scan: Scan, path: Path, channels: str) -> np.ndarray:
    values = scan.values
    if len(scan.shape) == 3:
        values = values[:, values.shape[1] // 2] if path.is_dir() else values[len(values) // 2]
    if values.dtype == np.uint8 or scan.window is not None or scan.views:
        return _gray_levels(_shown(scan._replace(values=values), channels))
    return stretched(values)


def _apply(step: dict[str, Any], scan: Scan, channels: str) -> list[Scan]:
    """What a step makes of a scan. A fault begins with the step's name, but for a window that is not its own."""
    try:
        return _results(step, scan, channels)
    except NeedsWindow:
        raise
    except CannotPrepare as error:
        raise CannotPrepare(f"{step['name']}: {error}") from None


def _results(step: dict[str, Any], scan: Scan, channels: str) -> list[Scan]:
    options = {option: value for option, value in step.items() if option != "name"}
    operator = catalogue.resolve("operator", step["name"])
    if catalogue.OPERATORS[step["name"]].of_scans:
        result = operator(scan, **options)
        return result if isinstance(result, list) else [result]
    scan = _shown(scan, channels)
    record, levels = catalogue.OPERATORS[step["name"]], _gray_levels(scan)
    image, mask = operator(levels, scan.mask, **options)
    if record.keeps_grid:
        return [scan._replace(values=image, mask=mask)]
    grid = None if scan.grid is None else moved(scan.grid, *record.place_of(levels, **options))
    return [scan._replace(values=image, mask=mask, affine=None, grid=grid)]


def _shown(scan: Scan, channels: str = "gray") -> Scan:
    """A scan of gray levels: as its file asks to show it, where no step has made them; an image in so many channels.

    Raises:
        NeedsWindow: The values have more than 8 bits and no window.
    """
    if scan.views:
        scan = file_window(scan)
    elif scan.values.dtype != np.uint8 and scan.window is None:
        raise _needs_window(scan.values)
    if channels == "rgb" and scan.values.ndim == 2:
        return scan._replace(values=cv2.cvtColor(scan.values, cv2.COLOR_GRAY2RGB), of_volume=False)
    return scan


def _needs_window(values: np.ndarray) -> NeedsWindow:
    span = f"low: {np.nanmin(values):.6g}, high: {np.nanmax(values):.6g}"
    return NeedsWindow(
        "more than 8 bits: add clip_percentiles or window to the steps, before operators for images, such as "
        f"{{name: window, {span}}}, which are the least and the greatest value of this file"
    )


def _gray_levels(scan: Scan) -> np.ndarray:
    """The values of a scan of gray levels as uint8."""
    return scan.values if scan.values.dtype == np.uint8 else scan.values.round().clip(0, 255).astype(np.uint8)


def _pack(scan: Scan, dtype: str) -> np.ndarray:
    """A scan's gray levels as the store holds them, with a last axis of channels."""
    values = _gray_levels(scan) if dtype == "uint8" else to_uint16(scan.values)
    return values.reshape(*scan.shape, -1)


def _slab_numbers(scan: Scan) -> np.ndarray:
    numbers = np.zeros(scan.shape, np.uint8)
    for slab, number in NUMBERS.items():
        numbers[in_slab(scan, slab)] = number
    return numbers
