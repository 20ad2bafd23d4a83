"""Operators of a preparation: each takes an image and its lesion mask, if any, and returns both.

image: (H, W) or (H, W, 3) uint8. mask: (H, W) uint8 of 0 and 255, or None.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Optional

import cv2
import numpy as np

Pair = tuple[np.ndarray, Optional[np.ndarray]]
# Where a result's pixels lie: index i of each axis, (row, column), is start + step · i of the image.
Box = tuple[slice, slice]
Place = tuple[tuple[float, float], tuple[float, float]]


class CannotPrepare(ValueError):  # noqa: N818 - a finding, not a fault of the program
    """Why an image cannot be prepared, in a few words."""


def to_gray(image: np.ndarray) -> np.ndarray:
    """An image, (H, W) or (H, W, 3), in gray: (H, W)."""
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def to_mask(values: np.ndarray, above: float = 127) -> np.ndarray:
    """A mask, uint8 of 255 where values exceed `above`, else 0."""
    return np.where(values > above, np.uint8(255), np.uint8(0))


def crop_brain(image: np.ndarray, mask: np.ndarray | None, threshold: int = 45, margin: int = 0) -> Pair:
    """Crop to the bounding box of the largest bright region.

    Gray, Gaussian blur 3×3, threshold, two erosions and two dilations 3×3, the contour of largest area. Follows the
    brain tumor study's published code.

    Args:
        image: The image.
        mask: Its mask, cropped likewise.
        threshold: Gray value that a pixel must exceed, 0–255.
        margin: Pixels left around the box, as far as the image goes.

    Raises:
        CannotPrepare: Nothing exceeds the threshold.
    """
    return cropped(image, mask, brain_box(image, threshold, margin))


def cropped(image: np.ndarray, mask: np.ndarray | None, box: Box) -> Pair:
    """A part of an image, and of its mask."""
    return image[box], None if mask is None else mask[box]


def place_of(box: Box) -> Place:
    """Where the pixels of a part lie in its image."""
    rows, columns = box
    return (rows.start, columns.start), (1, 1)


def brain_box(image: np.ndarray, threshold: int = 45, margin: int = 0) -> Box:
    """What `crop_brain` crops to."""
    gray = to_gray(image)
    bright = cv2.threshold(cv2.GaussianBlur(gray, (3, 3), 0), threshold, 255, cv2.THRESH_BINARY)[1]
    square = np.ones((3, 3), np.uint8)
    bright = cv2.dilate(cv2.erode(bright, square, iterations=2), square, iterations=2)
    contours = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
    if not contours:
        raise CannotPrepare(f"no contour above the threshold {threshold} (brightest pixel: {gray.max()})")
    left, top, width, height = cv2.boundingRect(max(contours, key=cv2.contourArea))
    return (
        slice(max(0, top - margin), top + height + margin),
        slice(max(0, left - margin), left + width + margin),
    )


def place_of_brain(image: np.ndarray, threshold: int = 45, margin: int = 0) -> Place:
    """Where the pixels of `crop_brain` lie."""
    return place_of(brain_box(image, threshold, margin))


def resize(
    image: np.ndarray, mask: np.ndarray | None, size: Sequence[int] = (256, 256), keep_aspect: bool = False
) -> Pair:
    """Resize to `size`: a side that shrinks by area averaging, one that grows linearly.

    Args:
        image: The image.
        mask: Its mask; a pixel stays in it if at least half of its area was.
        size: [height, width] in pixels.
        keep_aspect: Keep the proportions and pad the shorter side, centered, with 0; else stretch.
    """
    height, width = _fitted(image, size, keep_aspect=keep_aspect)
    image = _scale(image, height, width)
    mask = None if mask is None else to_mask(_scale(mask, height, width))
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    pad = ((top, size[0] - height - top), (left, size[1] - width - left))
    image = np.pad(image, (*pad, (0, 0))[: image.ndim])
    return image, None if mask is None else np.pad(mask, pad)


def place_of_resized(image: np.ndarray, size: Sequence[int] = (256, 256), keep_aspect: bool = False) -> Place:
    """Where the pixels of `resize` lie: their edges, not their centers, are where those of the image are."""
    fitted = _fitted(image, size, keep_aspect=keep_aspect)
    (row, column), (down, across) = zip(
        *(
            ((0.5 - (whole - own) // 2) * old / own - 0.5, old / own)
            for old, own, whole in zip(image.shape, fitted, size)
        )
    )
    return (row, column), (down, across)


def _fitted(image: np.ndarray, size: Sequence[int], *, keep_aspect: bool) -> tuple[int, int]:
    """The height and width that an image is resized to before it is padded to a size."""
    height, width = size
    if keep_aspect:
        scale = min(height / image.shape[0], width / image.shape[1])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return height, width


def _scale(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize to (height, width)."""
    # OpenCV's area averaging needs both sides to shrink, so they shrink first and grow after.
    smaller = cv2.resize(image, (min(width, image.shape[1]), min(height, image.shape[0])), interpolation=cv2.INTER_AREA)
    return cv2.resize(smaller, (width, height), interpolation=cv2.INTER_LINEAR)


def clahe(image: np.ndarray, mask: np.ndarray | None, clip: float = 2.0, tiles: int = 8) -> Pair:
    """Contrast-limited adaptive histogram equalization: of a gray image, or of a color image's lightness (CIELAB).

    Zuiderveld 1994, in OpenCV's form.

    Args:
        image: The image.
        mask: Its mask, left as it is.
        clip: Limit of a gray level's count in a tile, in multiples of the mean count.
        tiles: Along each side.
    """
    equalize = cv2.createCLAHE(clip, (tiles, tiles)).apply
    if image.ndim == 2:
        return equalize(image), mask
    lightness, *colors = cv2.split(cv2.cvtColor(image, cv2.COLOR_RGB2LAB))
    return cv2.cvtColor(cv2.merge([equalize(lightness), *colors]), cv2.COLOR_LAB2RGB), mask
