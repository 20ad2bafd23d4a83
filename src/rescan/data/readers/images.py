"""Reading an image file, or the reason why it cannot be read: pictures through Pillow, and DICOM."""

from __future__ import annotations

import io
import itertools
import re
import struct
import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple, Optional

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from rescan.data.readers.display import View
from rescan.data.readers.frames import file_and_frame
from rescan.data.readers.kinds import NEEDED, is_dicom, is_image, of_other_kind
from rescan.data.readers.png_parts import PNG_MARK, needed_parts
from rescan.data.readers.unreadable import Several, Unreadable, check_file, check_memory, damage, several
from rescan.errors import is_of_machine

__all__ = ["SUFFIXES", "ImageInfo", "Several", "Unreadable", "read"]

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}  # of the images that layouts list
SMALLEST_SIDE = 16  # pixels; below this there is nothing to classify, and no perceptual hash
GRAY_MODES = {"1", "L", "LA", "La"}
DEEP_MODES = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
# Pillow turns 16-bit color into 8 bits silently; only its raw mode still differs. (BMP's "BGR;16" is 5-6-5 bits.)
DEEP_RAW_MODE = re.compile(r";16[BLN]|;12")
DEEP_COLOR = "color or transparency of more than 8 bits per channel; convert it to 8 bits, or to gray"
UPRIGHT = {  # by EXIF orientation
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that swap width and height
STRIP = 64  # rows
MOST_PAGES = 10_000  # of a TIFF file: to count them takes as long as their number squared
PHOTOMETRIC, BITS, SUBFILE, SAMPLE_FORMAT = 262, 258, 254, 339  # TIFF's tags
SIGNED = 2  # of SAMPLE_FORMAT


class ImageInfo(NamedTuple):
    """An image file's own size in pixels, upright, the name of its pixel format, and how it asks to be shown.

    Attributes:
        width: In pixels.
        height: In pixels.
        mode: Pillow's name of the pixel format; of DICOM its photometric interpretation and bits.
        views: Ways to show the values, the first one first; without any, 8-bit values are gray levels.
    """

    width: int
    height: int
    mode: str
    views: tuple[View, ...] = ()


def read(path: str | Path, at_least: int | None = None, *, gaps: bool = False) -> tuple[np.ndarray, ImageInfo]:
    """Read an image file that holds one picture.

    EXIF orientation is applied; transparent pixels are laid over black; palette, CMYK and other color modes become RGB.
    In what is read from a DICOM file, and from a TIFF file where white is zero, more is brighter.

    Args:
        path: The image file, DICOM or of any format that Pillow reads; or one frame of it, as `frames` names it.
        at_least: Lets a JPEG file be decoded at 1/2, 1/4 or 1/8 of its size, the smallest whose shorter side still has
            this many pixels: quicker, and much like averaging over blocks of pixels.
        gaps: Whether some of its values may be NaN.

    Returns:
        The image, (H, W) for a gray file, else (H, W, 3), uint8 in [0, 255]; a gray image of more than 8 bits, or of a
        DICOM file in units of its own, has its own values: whole numbers or float32, NaN where DICOM's padding lies.
        And what the file itself is.

    Raises:
        Several: It holds several pictures.
        Unreadable: No such file, empty, truncated, no image, too small, too large, or color of more than 8 bits.
    """
    path, frame = file_and_frame(Path(path))
    try:
        check_file(path)
        return _read(path, frame, at_least, gaps=gaps)
    except Unreadable:
        raise
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable(f"more than {Image.MAX_IMAGE_PIXELS} pixels") from None
    except UnidentifiedImageError:
        raise Unreadable("its picture is damaged, or of a kind that is not read; convert it to PNG or TIFF") from None
    except Exception as error:  # noqa: BLE001 - damaged files make readers raise anything, from SyntaxError to struct.error
        raise damage(error) from None


def _read(path: Path, frame: Optional[int], at_least: int | None, *, gaps: bool) -> tuple[np.ndarray, ImageInfo]:
    with path.open("rb") as stream:
        head = stream.read(NEEDED)
        stream.seek(0)
        if is_dicom(head):
            from rescan.data.readers import dicom

            (image, views), mode = dicom.read_picture(path, frame)
            check_size(image.shape[1], image.shape[0])
            return image, ImageInfo(image.shape[1], image.shape[0], mode, views)
        if frame is not None:
            raise Unreadable(f"is no DICOM file, and has no frame {frame}")
        if not is_image(head):  # Pillow opens others too, and starts other programs for some
            raise Unreadable(of_other_kind(path) or "not an image")
        image, info = (_read_png if head.startswith(PNG_MARK) else _opened)(stream, at_least)
    check_finite(image, gaps=gaps)
    return image, info


def read_pages(path: Path, memory: int | None) -> tuple[np.ndarray, str]:
    """Read the pages of a TIFF file, or the pictures of another one: gray, all of one size and type.

    Returns:
        (pages, H, W) of the file's own type, and Pillow's name of it.

    Raises:
        Unreadable: A page is in color, or differs from the first; or they are too many, or do not fit into memory.
    """
    with Image.open(path) as file:
        pages: list[np.ndarray] = []
        mode = file.mode
        numbers = _pages(file)
        check_memory(len(numbers) * file.width * file.height, 4 if mode in DEEP_MODES else 1, memory)
        for number in numbers:
            file.seek(number)
            page = _decode(file, None)[0]
            if page.ndim == 3 and (page != page[..., :1]).any():
                raise Unreadable(f"page {number + 1} is in color; a volume is gray")
            page = page if page.ndim == 2 else page[..., 0]
            if pages and (page.shape, page.dtype) != (pages[0].shape, pages[0].dtype):
                raise Unreadable(f"page {number + 1} has another size or depth than the first")
            pages.append(page)
    return np.stack(pages), mode


def _read_png(stream: BinaryIO, at_least: int | None) -> tuple[np.ndarray, ImageInfo]:
    content = stream.read()
    parts = needed_parts(content)
    try:
        return _opened(io.BytesIO(content), at_least)
    except (Unreadable, Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise
    except Exception:  # noqa: BLE001 - what is wrong may be what the pixels don't need
        return _opened(io.BytesIO(b"".join(parts)), at_least)


def _opened(stream: BinaryIO, at_least: int | None) -> tuple[np.ndarray, ImageInfo]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(stream) as file:
            if (count := len(_pages(file))) > 1:
                raise several(count, "pages" if file.format == "TIFF" else "pictures")
            return _decode(file, at_least)


def _pages(file: Image.Image) -> list[int]:
    """The pages of a file that are pictures of their own, not smaller copies of others."""
    if file.format != "TIFF":
        return list(range(getattr(file, "n_frames", 1) if file.format != "MPO" else 1))  # a photograph, and its parts
    pages = []
    for number in itertools.count():
        try:
            file.seek(number)
        except EOFError:
            break
        if number == MOST_PAGES:
            raise Unreadable(f"holds more than {MOST_PAGES:,} pages; split it")
        if not _tag(file, SUBFILE, 0) & 1:
            pages.append(number)
    file.seek(pages[0] if pages else 0)
    return pages or [0]


def _tag(file: Image.Image, number: int, default: int) -> int:
    value = getattr(file, "tag_v2", {}).get(number, default)
    return int(value[0] if isinstance(value, tuple) else value)


def check_size(width: int, height: int) -> None:
    """Refuse an image that is too small to be one, as `Unreadable`."""
    if min(width, height) < SMALLEST_SIDE:
        raise Unreadable(f"too small: {width}x{height} pixels, at least {SMALLEST_SIDE} per side are needed")


def _decode(file: Image.Image, at_least: int | None) -> tuple[np.ndarray, ImageInfo]:
    mode, tile = file.mode, getattr(file, "tile", [])
    # Raw tiles are read as they are (some versions of Pillow give them three numbers, too).
    is_scaled = file.format == "PPM" and bool(tile) and tile[0][0] != "raw" and isinstance(tile[0][3], tuple)
    most = tile[0][3][-1] if is_scaled else 0
    is_signed = file.format == "TIFF" and mode == "L" and _tag(file, SAMPLE_FORMAT, 1) == SIGNED
    is_deep = mode in DEEP_MODES or is_signed
    if not is_deep and (DEEP_RAW_MODE.search(repr(tile)) or _is_deep_jpeg2000(file) or most > 255):
        raise Unreadable(DEEP_COLOR)
    if file.format == "TIFF":
        file.load()  # which may turn it upright, and then takes the orientation out of what it says
    size = file.size
    check_size(*size)
    if at_least:
        file.draft(None, (at_least, at_least))
    turn = _orientation(file)
    width, height = reversed(size) if turn in SIDEWAYS else size
    if is_deep:
        file.load()
        upright = file.transpose(UPRIGHT[turn]) if turn in UPRIGHT else file
        values = _deep_values(file, upright)
        if is_signed:
            values = values.view(np.int8).astype(np.int16)
        elif most:  # Pillow has stretched them
            values = np.rint(values * (most / 65535)).astype(np.uint16)
        return values, ImageInfo(width, height, mode)
    image: Image.Image = file
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    target = "L" if mode in GRAY_MODES else "RGB"
    image = image if image.mode == target else image.convert(target)  # to convert is to copy
    image = image.transpose(UPRIGHT[turn]) if turn in UPRIGHT else image
    return _pixels(image), ImageInfo(width, height, mode)


def _orientation(file: Image.Image) -> int:
    """The EXIF orientation; 1, upright, where EXIF is broken."""
    try:
        return int(file.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception as error:
        if is_of_machine(error):
            raise
        return 1


def _is_deep_jpeg2000(file: Image.Image) -> bool:
    """Whether a JPEG 2000 file has components of more than 8 bits, which its header's marker SIZ says."""
    stream = getattr(file, "fp", None)
    if file.format != "JPEG2000" or stream is None:
        return False
    place = stream.tell()
    stream.seek(0)
    head = stream.read(4096)
    stream.seek(place)
    start = head.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(head) < start + 43:
        return False
    (count,) = struct.unpack_from(">H", head, start + 40)
    return any((head[place] & 0x7F) > 7 for place in range(start + 42, min(start + 42 + 3 * count, len(head)), 3))


def _deep_values(file: Image.Image, upright: Image.Image) -> np.ndarray:
    """A deep image's own values; of a TIFF file where white is zero, turned around."""
    values = np.asarray(upright)
    values = values.astype(values.dtype.newbyteorder("="), copy=False)
    if file.format == "TIFF":
        bits = _tag(file, BITS, 16)
        if values.dtype == np.int32 and bits == 32 and _tag(file, SAMPLE_FORMAT, 1) == 1:
            values = values.view(np.uint32)
        if _tag(file, PHOTOMETRIC, 1) == 0:
            if values.dtype.kind != "u":
                raise Unreadable("its values are signed or fractions and white is zero; invert it")
            values = values.dtype.type(2**bits - 1) - values
    elif file.format == "PNG":
        values = values.astype(np.uint16, copy=False)  # earlier Pillows give it as int32
    return values


def check_finite(values: np.ndarray, *, gaps: bool) -> None:
    """Refuse values that are no finite numbers; NaN is none only where there may be no gaps.

    Raises:
        Unreadable: There are such values.
    """
    if values.dtype.kind != "f":
        return
    unknown = np.isnan(values)
    if unknown.all() or np.isinf(values).any():
        raise Unreadable("holds values that are no finite numbers" + (" only" if unknown.all() else " (infinite)"))
    if unknown.any() and not gaps:
        raise Unreadable(
            f"{unknown.mean():.0%} of its values are no finite numbers (NaN); if these are background, add nan: black "
            "to the preparation"
        )


def _pixels(image: Image.Image) -> np.ndarray:
    """`np.asarray(image)` strip by strip: at once it would take as long as decoding a photograph."""
    width, height = image.size
    pixels = np.empty((height, width) if image.mode == "L" else (height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels
