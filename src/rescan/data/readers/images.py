"""Reading an image file as 8-bit gray or RGB, or the reason why it cannot be read."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}  # of the images that layouts list
SMALLEST_SIDE = 16  # pixels; below this there is nothing to classify, and no perceptual hash
GRAY_MODES = {"1", "L", "LA", "La"}
DEEP_MODES = {"I", "F", "I;16", "I;16L", "I;16B", "I;16N"}
# Pillow turns 16-bit color into 8 bits silently; only its raw mode still differs. (BMP's "BGR;16" is 5-6-5 bits.)
DEEP_RAW_MODE = re.compile(r";16[BLN]")
SIDEWAYS = {5, 6, 7, 8}  # EXIF orientations that swap width and height
STRIP = 64  # rows


class ImageInfo(NamedTuple):
    """An image file's own size in pixels, upright, and Pillow's name of its pixel format."""

    width: int
    height: int
    mode: str


class Unreadable(ValueError):  # noqa: N818 - a finding, not a fault of the program
    """An image file cannot be used; the message is the reason in a few words."""


def read(path: str | Path, at_least: int | None = None) -> tuple[np.ndarray, ImageInfo]:
    """Read the first frame of an image file.

    EXIF orientation is applied; transparent pixels are laid over black; palette, CMYK and other color modes become RGB.

    Args:
        path: The image file, of any format that Pillow reads.
        at_least: Lets a JPEG file be decoded at 1/2, 1/4 or 1/8 of its size, the smallest whose shorter side still has
            this many pixels: quicker, and much like averaging over blocks of pixels.

    Returns:
        The image, (H, W) for a gray file, else (H, W, 3), uint8 in [0, 255]; and what the file itself is.

    Raises:
        Unreadable: No such file, empty, truncated, no image, too small, too large, or more than 8 bits per channel.
    """
    path = Path(path)
    try:
        if path.stat().st_size == 0:
            raise Unreadable("empty file")
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as file:
                return _decode(file, at_least)
    except Unreadable:
        raise
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except UnidentifiedImageError:
        raise Unreadable("not an image") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise Unreadable(f"more than {Image.MAX_IMAGE_PIXELS} pixels") from None
    except Exception as error:  # noqa: BLE001 - damaged files make Pillow raise anything, from SyntaxError to struct.error
        text = str(getattr(error, "strerror", None) or error) or type(error).__name__
        raise Unreadable("truncated" if "truncated" in text.lower() else f"damaged: {text}") from None


def _decode(file: Image.Image, at_least: int | None) -> tuple[np.ndarray, ImageInfo]:
    mode = file.mode
    if mode in DEEP_MODES or DEEP_RAW_MODE.search(repr(getattr(file, "tile", ""))):
        raise Unreadable("more than 8 bits: a window or percentile is needed")
    if min(file.size) < SMALLEST_SIDE:
        raise Unreadable(f"too small: {file.width}x{file.height} pixels, at least {SMALLEST_SIDE} per side are needed")
    size = file.size
    if at_least:
        file.draft(None, (at_least, at_least))
    is_sideways = file.getexif().get(ExifTags.Base.Orientation) in SIDEWAYS
    ImageOps.exif_transpose(file, in_place=True)
    image = file
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "black"), image)
    target = "L" if mode in GRAY_MODES else "RGB"
    image = image if image.mode == target else image.convert(target)  # to convert is to copy
    width, height = reversed(size) if is_sideways else size
    return _pixels(image), ImageInfo(width, height, mode)


def _pixels(image: Image.Image) -> np.ndarray:
    """`np.asarray(image)` strip by strip: at once it would take as long as decoding a photograph."""
    width, height = image.size
    pixels = np.empty((height, width) if image.mode == "L" else (height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, width, bottom)))
    return pixels
