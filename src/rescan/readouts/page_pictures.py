"""Pictures inside a page: a prepared image, and its maps as layers of color that a page lays over it."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from rescan.data.gray_levels import of_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rescan.explanation.new_maps import NewMaps

PIXELS, MAP_PIXELS = 768, 128  # of the longer side, at most: a map is smooth
QUALITY, EFFORT = 90, 2  # of WebP
LEVELS = 64  # of a map: finer ones cannot be told apart
SMALL = 128  # pixels: a smaller image is shown with its pixels to be seen
COLORS = mpl.colormaps["inferno"](np.linspace(0, 1, LEVELS))


class Layer(NamedTuple):
    """A map over an image.

    Attributes:
        evidence: What it is evidence for.
        role: Why it is shown; "" of a head of grades.
        is_empty: Whether it is zero everywhere.
        source: A PNG file as a data URI, the more transparent the lower the map.
    """

    evidence: str
    role: str
    is_empty: bool
    source: str


class Layers(NamedTuple):
    """An image and its maps; sizes in pixels of the prepared image."""

    source: str
    width: int
    height: int
    is_small: bool
    maps: list[Layer]

    @property
    def size(self) -> int:
        """Bytes in the page."""
        return len(self.source) + sum(len(layer.source) for layer in self.maps)


def layers_of(image: NDArray[np.integer], maps: NewMaps | None, classes: Sequence[str]) -> Layers:
    """Make what a page shows of a prepared image, (H, W, C) uint8 or uint16, and of its maps."""
    height, width = image.shape[:2]
    drawn: list[Layer] = []
    if maps is not None:
        evidence = maps.evidence(classes)
        drawn = [
            Layer(name, role, not scaled.any(), _map_source(scaled))
            for name, role, scaled in zip(evidence, maps.roles, maps.scaled)
        ]
    return Layers(_image_source(levels_of(image)), width, height, max(height, width) < SMALL, drawn)


def levels_of(image: NDArray[np.integer]) -> NDArray[np.uint8]:
    """A prepared image's values as uint8, for the eye."""
    levels: NDArray[np.uint8] = of_store(image).round().astype(np.uint8)
    return levels


def _image_source(image: NDArray[np.uint8]) -> str:
    pixels = _within(image, PIXELS)
    stream = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels).save(
        stream, "WEBP", quality=QUALITY, method=EFFORT, lossless=max(pixels.shape[:2]) < SMALL
    )
    return _data("webp", stream)


def _map_source(scaled: NDArray[np.float32]) -> str:
    """A map, (H, W) in [0, 1], in color: its value is its opacity, too."""
    levels = (_within(scaled, MAP_PIXELS) * (LEVELS - 1)).round().clip(0, LEVELS - 1).astype(np.uint8)
    picture = Image.fromarray(levels, "P")
    picture.putpalette((COLORS[:, :3] * 255).round().astype(np.uint8).tobytes())
    stream = io.BytesIO()
    opacity = np.linspace(0, 255, LEVELS).round().astype(np.uint8).tobytes()
    picture.save(stream, "PNG", transparency=opacity, optimize=True)
    return _data("png", stream)


def _within(image: NDArray[Any], most: int) -> NDArray[Any]:
    """An image whose longer side has so many pixels at most."""
    scale = most / max(image.shape[:2])
    if scale >= 1:
        return image
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA))


def _data(kind: str, stream: io.BytesIO) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
