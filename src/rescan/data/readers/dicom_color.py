"""DICOM's colors as RGB."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from rescan.data.readers.dicom_pixels import entries_of, library, quiet, value_of
from rescan.data.readers.unreadable import Unreadable

DEEP_COLOR = "color of more than 8 bits per channel; convert it to 8 bits, or to gray"


def palette_colors(content: Dataset, pixels: np.ndarray) -> np.ndarray:
    """The colors of indices into the file's palette: (H, W) → (H, W, 3) uint8.

    Raises:
        Unreadable: The palette is missing or damaged.
    """
    descriptor = value_of([content], "RedPaletteColorLookupTableDescriptor")
    if descriptor is None:
        raise Unreadable("is PALETTE COLOR and lacks RedPaletteColorLookupTableDescriptor")
    count, first, depth = (int(number) for number in descriptor)
    count = count % 2**16 or 2**16
    if "RedPaletteColorLookupTableData" in content:
        names = [f"{color}PaletteColorLookupTableData" for color in ("Red", "Green", "Blue")]
        tables = [_entries(content, bytes(value_of([content], name) or b""), count) for name in names]
    else:  # segments, which pydicom expands
        whole = np.arange(first, first + count, dtype=np.int32)
        with quiet():
            tables = list(library.apply_color_lut(whole, content)[..., :3].T)
    palette = np.stack(tables, axis=-1)
    if depth > 8 and palette.max() > 255:  # some files call entries of 8 bits 16
        palette = palette >> 8
    places = np.clip(pixels.astype(np.int32) - first, 0, count - 1)
    return palette.astype(np.uint8)[places]


def _entries(content: Dataset, data: bytes, count: int) -> np.ndarray:
    entries = entries_of(content, data, count)
    if len(entries) < count:
        raise Unreadable(f"its palette has {len(entries)} entries; {count} are needed")
    return entries[:count]


def true_colors(pixels: np.ndarray, photometric: str, bits: int) -> np.ndarray:
    """Decoded samples, (H, W, 3), as RGB, uint8.

    Raises:
        Unreadable: They have more than 8 bits.
    """
    if bits > 8:
        raise Unreadable(DEEP_COLOR)
    pixels = pixels.astype(np.uint8, copy=False)
    return library.convert_color_space(pixels, photometric, "RGB") if photometric.startswith("YBR_FULL") else pixels
