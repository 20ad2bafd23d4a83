"""DICOM's stored values as values in units of their own, and the ways in which a file asks to show them."""

from __future__ import annotations

from contextlib import suppress
from typing import NamedTuple

import numpy as np
from pydicom.dataset import Dataset

from rescan.data.readers.dicom_pixels import FLOATS, described, entries_of, numbers_of, value_of
from rescan.data.readers.display import View, turned
from rescan.data.readers.nifti import ABSURD
from rescan.data.readers.unreadable import Unreadable

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


class Values(NamedTuple):
    """Gray values of a frame.

    Attributes:
        values: (H, W), whole numbers or float32; NaN where padding lies. More is brighter.
        views: How the file asks to show them, the first one first.
    """

    values: np.ndarray
    views: tuple[View, ...]


class _Table(NamedTuple):
    """A lookup table: its entries, the stored value of the first, and the greatest value that entries can have."""

    entries: np.ndarray
    first: int
    most: int


def gray_values(content: Dataset, pixels: np.ndarray, frame: int = 0) -> Values:
    """Take a frame's stored values through the modality's table or scale; turn those of which more is darker around.

    Args:
        content: The file's header.
        pixels: (H, W) as decoded; may be changed.
        frame: Its number.

    Returns:
        Values and views. Those of MONOCHROME1, and of the presentation's shape INVERSE, are turned around within the
        range that the file's bits have: windows mean the same for both kinds of files.

    Raises:
        Unreadable: A table or scale cannot be used.
    """
    places = described(content, frame)
    is_float = any(name in content for name in FLOATS)
    bits, signed = int(content.BitsStored), bool(content.PixelRepresentation)
    padding = _padding_of_fractions(content, pixels) if is_float else _padding(content, pixels)
    values, span, raw = _in_units(places, pixels, _span(bits, signed=signed))
    views = _views(places, signed=span[0] < 0)
    if _is_inverse(content):
        if is_float:
            raise Unreadable("its values are fractions and low ones are bright (MONOCHROME1); invert it")
        total = span[0] + span[1]
        values = _turned(values, total)
        views = [turned(view, total) for view in views]
    if raw and bits <= 8 and not signed and not is_float:
        if not views and (bits < 8 or padding is not None):
            views = [View("", 0.0, float(2**bits - 1))]
        values = values.astype(np.uint8, copy=False)
    if padding is not None:
        values = values.astype(np.float32)
        np.copyto(values, np.float32(np.nan), where=padding)
    if values.dtype == np.float64:
        values = values.astype(np.float32)
    return Values(values, tuple(views))


def _span(bits: int, *, signed: bool) -> tuple[float, float]:
    return (-(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1) if signed else (0.0, 2.0**bits - 1)


def _padding(content: Dataset, pixels: np.ndarray) -> np.ndarray | None:
    """Which pixels are padding, (H, W) bool; None if none is."""
    ends = numbers_of([content], "PixelPaddingValue")[:1]
    if not ends:
        return None
    ends += numbers_of([content], "PixelPaddingRangeLimit")[:1]
    size = 2 ** (8 * pixels.dtype.itemsize)
    least = np.iinfo(pixels.dtype).min
    ends = [(end - least) % size + least for end in ends]  # written with the other sign
    return _between(pixels, ends)


def _padding_of_fractions(content: Dataset, pixels: np.ndarray) -> np.ndarray | None:
    """The same of a file whose pixels are fractions."""
    kind = next(name[: -len("PixelData")] for name in FLOATS if name in content)
    ends = numbers_of([content], f"{kind}PixelPaddingValue")[:1]
    ends += numbers_of([content], f"{kind}PixelPaddingRangeLimit")[:1] if ends else []
    return _between(pixels, ends) if ends else None


def _between(pixels: np.ndarray, ends: list[float]) -> np.ndarray | None:
    padding = (pixels >= min(ends)) & (pixels <= max(ends)) if len(ends) > 1 else pixels == ends[0]
    if padding.all():
        raise Unreadable("holds padding only")
    return padding if padding.any() else None


def _in_units(
    places: list[Dataset], pixels: np.ndarray, span: tuple[float, float]
) -> tuple[np.ndarray, tuple[float, float], bool]:
    """Values after the modality's table or scale, the range that they can have, and whether they are as stored."""
    if sequence := value_of(places, "ModalityLUTSequence"):
        table = _table(sequence[0], places[-1], signed=span[0] < 0, what="Modality LUT")
        entries = table.entries.astype(np.uint8 if table.most < 256 else np.uint16)
        values = entries[np.clip(pixels.astype(np.int32) - table.first, 0, len(entries) - 1)]
        return values, (0.0, float(table.most)), False
    slope = (numbers_of(places, "RescaleSlope") or [1.0])[0]
    intercept = (numbers_of(places, "RescaleIntercept") or [0.0])[0]
    if not 1 / ABSURD < abs(slope) < ABSURD or not abs(intercept) < ABSURD:
        raise Unreadable(f"RescaleSlope is {slope:g} and RescaleIntercept {intercept:g}; mend the header")
    if (slope, intercept) == (1, 0):
        return pixels, span, True
    low, high = sorted(end * slope + intercept for end in span)
    if slope == 1 and intercept == int(intercept) and pixels.dtype.kind in "iu":
        if pixels.dtype.itemsize == 2 and max(-low, high, span[1]) < 2**15:
            return pixels.view(np.int16) + np.int16(intercept), (low, high), False
        return np.add(pixels, int(intercept), dtype=np.int32, casting="unsafe"), (low, high), False
    scaled = np.multiply(pixels, np.float32(slope), dtype=np.float32)
    return np.add(scaled, np.float32(intercept), out=scaled), (low, high), False


def _is_inverse(content: Dataset) -> bool:
    """Whether low values are the bright ones."""
    if value_of([content], "PresentationLUTSequence"):
        raise Unreadable("has a Presentation LUT Sequence, which is not read; convert it")
    shape = str(value_of([content], "PresentationLUTShape") or "IDENTITY").strip().upper()
    if shape not in ("IDENTITY", "INVERSE"):
        raise Unreadable(f"its Presentation LUT Shape is {shape}; only IDENTITY and INVERSE are read")
    return shape == "INVERSE" or content.PhotometricInterpretation == "MONOCHROME1"


def _turned(values: np.ndarray, total: float) -> np.ndarray:
    """`total` minus the values, in place where they may be changed."""
    if values.dtype.kind == "f":
        return np.subtract(np.float32(total), values, out=values)
    if int(total) > np.iinfo(values.dtype).max:
        values = values.astype(np.int32)
    return np.subtract(values.dtype.type(int(total)), values, out=values if values.flags.writeable else None)


def _views(places: list[Dataset], *, signed: bool) -> list[View]:
    """The file's ways to show values: its tables of interest, then its windows; those that make no sense left out."""
    views = []
    for item in value_of(places, "VOILUTSequence") or []:
        if value_of([item], "LUTDescriptor") is None or value_of([item], "LUTData") is None:
            continue
        table = _table(item, places[-1], signed=signed, what="VOI LUT")
        gray = table.entries.astype(np.float32) * np.float32(255 / table.most)
        last = float(table.first + len(gray) - 1)
        views.append(View(str(item.get("LUTExplanation") or ""), float(table.first), last, table=gray))
    centers: list[float] = []
    widths: list[float] = []
    with suppress(Unreadable):  # windows that cannot be read are none
        centers, widths = numbers_of(places, "WindowCenter"), numbers_of(places, "WindowWidth")
    names = value_of(places, "WindowCenterWidthExplanation") or []
    names = [names] if isinstance(names, str) else list(names)
    function = str(value_of(places, "VOILUTFunction") or "LINEAR").strip().upper()
    if centers and widths and function not in FUNCTIONS:
        raise Unreadable(f"its VOI LUT Function is {function}; only {', '.join(FUNCTIONS)} are read")
    for number, (center, width) in enumerate(zip(centers, widths)):
        if not (abs(center) < ABSURD and ABSURD > width >= (1 if function == "LINEAR" else 1e-9)):  # NaN is neither
            continue
        name = str(names[number]) if number < len(names) else ""
        middle, half = (center - 0.5, (width - 1) / 2) if function == "LINEAR" else (center, width / 2)
        views.append(View(name, middle - half, middle + half, sigmoid=function == "SIGMOID"))
    return views


def _table(item: Dataset, content: Dataset, *, signed: bool, what: str) -> _Table:
    """A lookup table's entries, of 8 or 16 bits each, in either form that files have them."""
    descriptor = numbers_of([item], "LUTDescriptor")
    if len(descriptor) != 3 or value_of([item], "LUTData") is None:
        raise Unreadable(f"its {what} lacks LUTDescriptor or LUTData")
    count, first, depth = (int(number) for number in descriptor)
    count = count % 2**16 or 2**16
    if signed and first >= 2**15:
        first -= 2**16  # written as unsigned
    data = item.LUTData
    if isinstance(data, bytes):
        entries = entries_of(content, data, count)
    else:
        entries = np.atleast_1d(np.asarray(data, np.int64)) % 2**16
    if len(entries) < count or not 1 <= depth <= 16:
        raise Unreadable(f"its {what} has {len(entries)} entries of {depth} bits; {count} are needed")
    entries = entries[:count]
    return _Table(entries, first, max(2**depth - 1, int(entries.max())))
