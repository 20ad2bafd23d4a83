"""Opening DICOM files, and decoding their pixels."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Optional

import numpy as np
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, RLELossless

from rescan.data.readers.jpeg_sizes import sizes_of
from rescan.data.readers.kinds import kind_of
from rescan.data.readers.unreadable import Unreadable, one_line
from rescan.errors import is_of_machine

# What pydicom does with pixels, and from its version 3 on how it decodes them.
IS_OLD = pydicom.__version__.startswith("2.")
library: Any = import_module("pydicom.pixel_data_handlers" if IS_OLD else "pydicom.pixels")

FLOATS = ("FloatPixelData", "DoubleFloatPixelData")
NEEDED = ("Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated")
# What to install for data of each transfer syntax, by the end of its UID after 1.2.840.10008.1.2.
PACKAGES = {
    **dict.fromkeys((".4.50", ".4.51", ".4.57", ".4.70", ".4.80", ".4.81", ".5"), "python-gdcm"),
    **dict.fromkeys((".4.90", ".4.91"), "pylibjpeg-openjpeg"),
    **dict.fromkeys((".4.201", ".4.202", ".4.203"), "'pydicom>=3' pylibjpeg-openjpeg, which need Python 3.10"),
}
# An item of encapsulated pixels that begins with the mark of a JPEG, JPEG-LS or JPEG 2000 picture.
PICTURES = re.compile(rb"\xfe\xff\x00\xe0....(?:\xff\xd8\xff|\xff\x4f\xff\x51)", re.DOTALL)
ROOT = "1.2.840.10008.1.2"
GROUPS = (  # of an enhanced file: what may differ from frame to frame
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "PixelMeasuresSequence",
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
)


def open_dicom(path: Path, *, pixels: bool = True) -> Dataset:
    """Read a DICOM file that holds pixels.

    Args:
        path: The file.
        pixels: Whether the pixels are read too.

    Raises:
        Unreadable: It is no DICOM file; or it lacks what tells how to read its pixels.
    """
    if kind_of(path) != "dicom":
        raise Unreadable(f"{path.name} is not a DICOM file")
    with quiet():
        content = pydicom.dcmread(path, stop_before_pixels=not pixels, force=True)
        if pixels and not any(name in content for name in ("PixelData", *FLOATS)):
            what = UID(str(content.get("SOPClassUID", ""))).name or "DICOM"
            is_cut = not len(content) or "Rows" in content  # what ends within its pixels loses them
            raise Unreadable("truncated: its pixels are lost" if is_cut else f"holds no pixels ({what})")
        _check_header(content)
        if not getattr(content, "file_meta", None):
            content.file_meta = pydicom.dataset.FileMetaDataset()
        if not content.file_meta.get("TransferSyntaxUID"):
            content.file_meta.TransferSyntaxUID = _guessed_syntax(content)
    return content


def _check_header(content: Dataset) -> None:
    """Fill what a header may leave out.

    Raises:
        Unreadable: It lacks what tells how to read its pixels.
    """
    if not _is_number(content, "NumberOfFrames"):
        del content.NumberOfFrames
    for name in NEEDED:
        if value_of([content], name) is None:
            raise Unreadable(f"lacks {name}")
    if value_of([content], "BitsStored") is None:
        content.BitsStored = content.BitsAllocated
    if not 1 <= int(content.BitsStored) <= int(content.BitsAllocated):
        raise Unreadable(f"stores {content.BitsStored} of {content.BitsAllocated} bits; mend the header")
    if value_of([content], "PixelRepresentation") is None:
        content.PixelRepresentation = 0


def _is_number(content: Dataset, name: str) -> bool:
    """Whether an attribute is a whole number, or absent."""
    try:
        return content.get(name) is None or int(content.get(name)) > 0
    except (TypeError, ValueError):
        return False


def _guessed_syntax(content: Dataset) -> UID:
    """The transfer syntax of a file that does not say it, which pydicom has found while reading."""
    implicit, little = getattr(content, "original_encoding", (True, True))
    if implicit is None:  # pydicom 2
        implicit, little = content.is_implicit_VR, content.is_little_endian
    return UID(ROOT if implicit else f"{ROOT}.1" if little else f"{ROOT}.2")


@contextmanager
def quiet() -> Iterator[None]:
    """Without pydicom's warnings, of values that break the standard's rules and cost no pixel."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def frames_of(content: Dataset) -> int:
    """How many frames a file holds."""
    return max(1, int(value_of([content], "NumberOfFrames") or 1))


def described(content: Dataset, frame: int = 0) -> list[Dataset]:
    """The data sets that say something of a frame, the most particular first."""
    per_frame = content.get("PerFrameFunctionalGroupsSequence") or []
    shared = content.get("SharedFunctionalGroupsSequence") or []
    groups = [*per_frame[frame : frame + 1], *shared[:1]]
    return [group[name].value[0] for group in groups for name in GROUPS if group.get(name)] + [content]


def value_of(places: Sequence[Dataset], name: str) -> Any:
    """The first value of an attribute that is not empty; None without one."""
    for place in places:
        value = place.get(name)
        if value is not None and value != "" and not (hasattr(value, "__len__") and len(value) == 0):
            return value
    return None


def numbers_of(places: Sequence[Dataset], name: str) -> list[float]:
    """The numbers of an attribute; none where it is absent or empty.

    Raises:
        Unreadable: They are no numbers.
    """
    try:
        value = value_of(places, name)
        values = [] if value is None else list(value) if hasattr(value, "append") else [value]
        return [float(number) for number in values]
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{name} is no number: {one_line(error)}") from None


def entries_of(content: Dataset, data: bytes, count: int) -> np.ndarray:
    """The entries of a lookup table, of 8 or 16 bits each; more or fewer than `count` if the data have so many.

    Args:
        content: The file's header.
        data: The table as in the file: 16-bit words, of its byte order.
        count: How many entries it says it has.
    """
    words = np.frombuffer(data[: len(data) // 2 * 2], "<u2" if _is_little(content) else ">u2").astype("<u2")
    return words if len(words) >= count else words.view(np.uint8)


def _is_little(content: Dataset) -> bool:
    try:
        return bool(content.file_meta.TransferSyntaxUID.is_little_endian)
    except ValueError:  # as in `_is_compressed`
        return True


def decoded(content: Dataset, frame: Optional[int] = None) -> tuple[np.ndarray, str]:
    """Decode the pixels of all frames; or of one of several, by its number from 0 on.

    Returns:
        ([frames,] H, W [, samples] of the file's own type, with as many bits as it stores; and what the samples are
        now: its photometric interpretation, or RGB if the decoder has turned colors to it.

    Raises:
        Unreadable: They are truncated, damaged, or compressed in a way that nothing installed can decode.
    """
    syntax = content.file_meta.TransferSyntaxUID
    in_words = not _is_compressed(syntax) or syntax == RLELossless  # else the decoder gives the values
    _check_sizes(content)
    shift = 0
    if in_words and "PixelData" in content:
        shift = max(0, int(value_of([content], "HighBit") or 0) + 1 - int(content.BitsStored))
        content.BitsStored += shift
    try:
        with quiet():
            if IS_OLD:
                pixels, photometric = content.pixel_array, content.PhotometricInterpretation
                pixels = pixels if frame is None else pixels[frame]
                if syntax == JPEGBaseline8Bit and photometric == "RGB" and b"JFIF" in content.PixelData[:100]:
                    photometric = "YBR_FULL"  # what JFIF holds, as later versions know
            else:
                if syntax == JPEGExtended12Bit and content.BitsStored > 8 and find_spec("gdcm"):
                    # pydicom does not let gdcm read these, though it can; gdcm goes by the data's own header
                    content.file_meta.TransferSyntaxUID = syntax = JPEGLossless
                decoder = library.get_decoder(syntax)
                # gdcm ends the whole process at some damaged baseline JPEG data; Pillow gives the same values
                plugin = "pillow" if syntax == JPEGBaseline8Bit and "pillow" in decoder.available_plugins else ""
                pixels, properties = decoder.as_array(content, index=frame, decoding_plugin=plugin)
                photometric = properties["photometric_interpretation"]
    except Exception as error:
        if is_of_machine(error):
            raise
        raise Unreadable(_why_not(syntax, error)) from None
    pixels = pixels.astype(pixels.dtype.newbyteorder("="), copy=False)
    if pixels.dtype.kind in "iu" and in_words:
        pixels = _own_bits(pixels, int(content.BitsStored), shift)
        content.BitsStored -= shift
    return pixels, str(photometric)


def _check_sizes(content: Dataset) -> None:
    """Refuse pixels of more frames than the file says, whose others would be lost without a word.

    And JPEG pictures of another size: gdcm would end the whole process.

    Raises:
        Unreadable: The number or size of both.
    """
    said = int(content.Rows), int(content.Columns)
    data = content.get("PixelData") or b""
    if not _is_compressed(content.file_meta.TransferSyntaxUID):
        one = said[0] * said[1] * int(content.SamplesPerPixel) * int(content.BitsAllocated) // 8
        if one and len(data) // one > frames_of(content):
            raise Unreadable(f"holds pixels of {len(data) // one} frames, its header says {frames_of(content)}")
        return
    if (count := len(PICTURES.findall(data))) > frames_of(content):
        raise Unreadable(f"holds {count} compressed pictures, its header says {frames_of(content)}")
    for size in sizes_of(data):
        if size != said:
            own, header = (f"{rows}x{columns}" for rows, columns in (size, said))
            raise Unreadable(f"damaged: its compressed picture has {own} pixels, its header says {header}")


def _is_compressed(syntax: UID) -> bool:
    try:
        return bool(syntax.is_compressed)
    except ValueError:  # a maker's own, or one that this pydicom does not know yet
        return True


def _own_bits(pixels: np.ndarray, bits: int, shift: int) -> np.ndarray:
    """Without what lies in the unused bits: overlays in those above, nothing in those below."""
    unused = pixels.dtype.itemsize * 8 - bits
    if unused > 0 and IS_OLD:  # later ones do it themselves
        pixels = (pixels << unused) >> unused
    return pixels >> shift if shift else pixels


def _why_not(syntax: UID, error: Exception) -> str:
    """Why pixels were not decoded, and what to install where that would help."""
    if _is_compressed(syntax) and not _has_decoder(syntax):
        package = PACKAGES.get(str(syntax)[len(ROOT) :]) if str(syntax).startswith(ROOT) else None
        remedy = f"pip install {package}" if package else "not a still image that is read; convert it"
        return f"compressed as {syntax.name}, which nothing installed decodes: {remedy}"
    return f"cannot be decoded: {one_line(error)}"


def _has_decoder(syntax: UID) -> bool:
    if IS_OLD:
        handlers = pydicom.config.pixel_data_handlers
        return any(handler.is_available() and handler.supports_transfer_syntax(syntax) for handler in handlers)
    try:
        return bool(library.get_decoder(syntax).is_available)
    except NotImplementedError:
        return False
