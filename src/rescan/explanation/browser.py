"""What the page's slice browser shows of a volume: sheets of slices and of the map's slices, small and inside JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from rescan.explanation.five_panels import is_patient, peak, voxel_sizes

SLICES, PIXELS, QUALITY = 48, 192, 80  # of a view, at most: slices, and pixels of a slice's longer side
BUDGET = 400_000  # bytes of a volume in the page
SMALLER = 0.8  # how much smaller the slices are made until they fit
BLOCK = 8  # pixels; JPEG's: slices that share none do not run into each other
COLORS = base64.b64encode((colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes())


def browsed(volume: NDArray[np.uint8], scaled: NDArray[np.float32], affine: NDArray[np.float64]) -> dict[str, Any]:
    """Make what the browser needs of a volume, in at most BUDGET bytes of JSON.

    Args:
        volume: (D, H, W) uint8, prepared.
        scaled: Its map, (D, H, W) in [0, 1].
        affine: (4, 4), of the index (d, h, w) to millimeters.

    Returns:
        `spacing`, millimeters of a prepared voxel along D, H, W; `colors`, of the map's values 0 to 255, and `views`,
        along the depth and along the rows (see `_view`). All bytes are base64: of the colors R, G, B, else JPEG.
    """
    spacing, best = voxel_sizes(affine), peak(scaled)
    upright = is_patient(affine)
    names = ("slices", "sections") if upright else ("en-face slices", "B-scans")
    found: dict[str, Any] = {"spacing": spacing.round(4).tolist(), "colors": COLORS.decode()}
    pixels = float(PIXELS)
    while True:
        found["views"] = [
            {"name": names[0], **_view(volume, scaled, spacing[1:], best[0], pixels)},
            {"name": names[1], **_view(*_sections(volume, scaled, upright), spacing[[0, 2]], best[1], pixels)},
        ]
        if sum(len(view["slices"]) + len(view["maps"]) for view in found["views"]) < BUDGET - 4000:
            return found
        pixels *= SMALLER


def _sections(
    volume: NDArray[np.uint8], scaled: NDArray[np.float32], upright: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The same by row, (H, D, W), heads up."""
    turn = slice(None, None, -1) if upright else slice(None)
    return volume[turn].swapaxes(0, 1), scaled[turn].swapaxes(0, 1)


def _view(
    volume: NDArray[np.uint8], scaled: NDArray[np.float32], spacing: NDArray[np.float64], best: int, pixels: float
) -> dict[str, Any]:
    """Make the sheets of the slices along the first axis: all, or SLICES of them at equal steps.

    Returns:
        `of`, how many slices the volume has; `numbers`, which of them are shown, from 1; `start`, the place among these
        of the one nearest to `best`; `width` and `height` of a slice, which shows square pixels, `cell`, width and
        height of its place in the sheets, and `columns` of them; the JPEG files `slices` and `maps`, gray.
    """
    count = len(volume)
    chosen = np.unique(np.linspace(0, count - 1, min(count, SLICES)).round().astype(int))
    millimeters = spacing * volume.shape[1:]
    scale = min(pixels, max(volume.shape[1:])) / millimeters.max()
    height, width = (max(1, round(side * scale)) for side in millimeters)
    cell = [-(-width // BLOCK) * BLOCK, -(-height // BLOCK) * BLOCK]
    columns = max(1, round((len(chosen) * cell[1] / cell[0]) ** 0.5))
    small = [_small(volume[number], width, height) for number in chosen]
    maps = [_small((scaled[number] * 255).round().astype(np.uint8), width, height) for number in chosen]
    return {
        "of": count,
        "numbers": (chosen + 1).tolist(),
        "start": int(np.abs(chosen - best).argmin()),
        "width": width,
        "height": height,
        "cell": cell,
        "columns": columns,
        "slices": _sheet(small, cell, columns),
        "maps": _sheet(maps, cell, columns),
    }


def _small(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=way), np.uint8)


def _sheet(images: Sequence[NDArray[np.uint8]], cell: Sequence[int], columns: int) -> str:
    """Lay images out in rows, each in a cell whose rest repeats its edge; a JPEG file in base64."""
    (height, width), rows = images[0].shape, -(-len(images) // columns)
    sheet = np.zeros((rows, columns, cell[1], cell[0]), np.uint8)
    for number, image in enumerate(images):
        padded = np.pad(image, ((0, cell[1] - height), (0, cell[0] - width)), mode="edge")
        sheet[divmod(number, columns)] = padded
    whole = Image.fromarray(sheet.swapaxes(1, 2).reshape(rows * cell[1], columns * cell[0]))
    stream = io.BytesIO()
    whole.save(stream, "JPEG", quality=QUALITY, optimize=True)
    return base64.b64encode(stream.getvalue()).decode()
