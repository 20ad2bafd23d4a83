"""What the page's slice browser shows of a volume: sheets of slices and of the map's slices, small and inside JSON."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image

from rescan.explanation.five_panels import is_patient, opening, voxel_sizes
from rescan.results.map_files import BrowsedView, BrowsedVolume

SLICES, PIXELS, QUALITY = 48, 192, 80  # of a view, at most: slices, and pixels of a slice's longer side
BUDGET = 400_000  # bytes of a volume in the page
SMALLER = 0.8  # how much smaller the slices are made until they fit
BLOCK = 8  # pixels; JPEG's: slices that share none do not run into each other
COLORS = base64.b64encode((colormaps["inferno"](np.arange(256))[:, :3] * 255).round().astype(np.uint8).tobytes())


def browse(
    title: str,
    target: str,
    volume: NDArray[np.uint8],
    scaled: NDArray[np.float32],
    affine: NDArray[np.float64],
    mask: NDArray[np.uint8] | None = None,
) -> BrowsedVolume:
    """Make what the browser needs of a volume, in at most BUDGET bytes of JSON.

    Args:
        title: Of the volume.
        target: What the map is evidence for.
        volume: (D, H, W) uint8, prepared.
        scaled: Its map, (D, H, W) in [0, 1].
        affine: (4, 4), of the index (d, h, w) to millimeters.
        mask: (D, H, W), nonzero inside the lesion, where the views open; without a known one, at the map's maximum.
    """
    spacing, best = voxel_sizes(affine), opening(scaled, mask)
    upright = is_patient(affine)
    names = ("slices", "sections") if upright else ("en-face slices", "B-scans")
    pixels = float(PIXELS)
    while True:
        views = [
            _view(names[0], volume, scaled, spacing[1:], best[0], pixels),
            _view(names[1], *_sections(volume, scaled, upright), spacing[[0, 2]], best[1], pixels),
        ]
        if sum(len(view.slices) + len(view.maps) for view in views) < BUDGET - 4000:
            break
        pixels *= SMALLER
    colors = COLORS.decode()
    return BrowsedVolume(title=title, target=target, spacing=spacing.round(4).tolist(), colors=colors, views=views)


def _sections(
    volume: NDArray[np.uint8], scaled: NDArray[np.float32], upright: bool
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A volume and its map by row, (H, D, W), heads up."""
    turn = slice(None, None, -1) if upright else slice(None)
    return volume[turn].swapaxes(0, 1), scaled[turn].swapaxes(0, 1)


def _view(
    name: str,
    volume: NDArray[np.uint8],
    scaled: NDArray[np.float32],
    spacing: NDArray[np.float64],
    best: int,
    pixels: float,
) -> BrowsedView:
    """Make the sheets of the slices along the first axis: all, or SLICES of them at equal steps."""
    count = len(volume)
    numbers = np.unique(np.linspace(0, count - 1, min(count, SLICES)).round().astype(int))
    millimeters = spacing * volume.shape[1:]
    scale = min(pixels, max(volume.shape[1:])) / millimeters.max()
    height, width = (max(1, round(side * scale)) for side in millimeters)
    cell = [-(-width // BLOCK) * BLOCK, -(-height // BLOCK) * BLOCK]
    columns = max(1, round((len(numbers) * cell[1] / cell[0]) ** 0.5))
    slices = [_resize(volume[number], width, height) for number in numbers]
    maps = [_resize((scaled[number] * 255).round().astype(np.uint8), width, height) for number in numbers]
    return BrowsedView(
        name=name,
        of=count,
        numbers=(numbers + 1).tolist(),
        start=int(np.abs(numbers - best).argmin()),
        width=width,
        height=height,
        cell=cell,
        columns=columns,
        slices=_sheet(slices, cell, columns),
        maps=_sheet(maps, cell, columns),
    )


def _resize(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Resize a slice: by area averaging, or linearly where a side grows."""
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=interpolation), np.uint8)


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
