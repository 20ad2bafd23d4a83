"""Reading a DICOM file as an image."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from rescan.data.readers.dicom_color import palette_colors, true_colors
from rescan.data.readers.dicom_pixels import decoded, frames_of, open_dicom, value_of
from rescan.data.readers.dicom_values import Values, gray_values
from rescan.data.readers.unreadable import Unreadable, several

GRAY = ("MONOCHROME1", "MONOCHROME2")
COLOR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"


def read_picture(path: Path, frame: Optional[int] = None) -> tuple[Values, str]:
    """Read a DICOM file of one frame; or one frame of a file, by its number from 1 on.

    Returns:
        Gray values as `gray_values` gives them, or (H, W, 3) uint8 without a view; and the name of their format.

    Raises:
        Several: It holds several frames.
        Unreadable: The reason.
    """
    content = open_dicom(path)
    check_kind(content)
    count = frames_of(content)
    if frame is not None and frame > count:
        raise Unreadable(f"has {count} frames, no frame {frame}")
    if count > 1 and frame is None:
        raise several(count, "frames")
    if int(content.Rows) * int(content.Columns) > (Image.MAX_IMAGE_PIXELS or np.inf):
        raise Unreadable(f"more than {Image.MAX_IMAGE_PIXELS} pixels")
    number = (frame or 1) - 1
    pixels, photometric = decoded(content, number if count > 1 else None)
    mode = f"{content.PhotometricInterpretation} {content.BitsStored}-bit"
    values = values_of(content, pixels, photometric, number)
    if pixels.dtype.kind == "f" and np.isinf(values.values).any():
        raise Unreadable("holds infinite values; mend it")
    return values, mode


def check_kind(content: Dataset) -> None:
    """Refuse a file whose values would not be what they seem.

    Raises:
        Unreadable: Its photometric interpretation is not among those that are read.
    """
    photometric, samples = str(content.PhotometricInterpretation), int(content.SamplesPerPixel)
    if photometric not in (*GRAY, *COLOR, PALETTE):
        known = ", ".join((*GRAY, *COLOR, PALETTE))
        raise Unreadable(f"its photometric interpretation is {photometric}; read are {known}")
    if samples != (3 if photometric in COLOR else 1):
        raise Unreadable(f"is {photometric} with {samples} samples per pixel; mend the header")
    if str(value_of([content], "PixelPresentation") or "") in ("COLOR", "MIXED"):
        raise Unreadable("is gray with a supplemental palette, which is not read; convert it")


def values_of(content: Dataset, pixels: np.ndarray, photometric: str, frame: int = 0) -> Values:
    """A decoded frame, (H, W) or (H, W, 3): gray values and views, or RGB.

    Raises:
        Unreadable: Tables or scales cannot be used, or colors have more than 8 bits.
    """
    if content.PhotometricInterpretation == PALETTE:
        return Values(palette_colors(content, pixels), ())
    if pixels.ndim != (3 if content.PhotometricInterpretation in COLOR else 2):
        raise Unreadable(f"its pixels are not {content.Rows} x {content.Columns} as its header says")
    if pixels.ndim == 3:
        return Values(true_colors(pixels, photometric, int(content.BitsStored)), ())
    return gray_values(content, pixels, frame)
