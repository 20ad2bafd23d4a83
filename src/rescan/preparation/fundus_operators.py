"""Operators for fundus photographs: a bright disc on black. Signature and contracts as in `image_operators`.

"The article" is the APTOS study's, whose code `crop_gray`, `circle_mask`, `enhance` and `swap_channels` repeat.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import cv2
import numpy as np

from rescan.preparation.image_operators import Box, CannotPrepare, Pair, Place, cropped, place_of, to_gray

SMALL_SIDE = 512  # pixels: least longest side of the halved copy on which the disc is looked for
EDGE_POINTS, TRIPLES = 150, 150  # of the disc's edge, and the circles that are tried through three of them
ROUNDNESS = 0.02  # share of the radius by which a disc's edge may differ from a circle
ON_CIRCLE = 0.5  # share of the edge that must lie on one circle
SMALL_SIGMA = 3.75  # blocks: least blur of block averages, below which the blocks show


def crop_circle(image: np.ndarray, mask: np.ndarray | None, threshold: int = 7) -> Pair:
    """Crop to the square around the disc, with black outside of the circle; the mask likewise.

    Where the photograph cuts the disc off, the square is filled up with black, so that the disc is always centered and
    whole. Specks, letters, notches and unlit parts of the disc do not move the circle.

    Args:
        image: The image.
        mask: Its mask.
        threshold: Gray levels, 0–255, by which the disc exceeds the darkest place.

    Raises:
        CannotPrepare: Nothing is bright enough, there is no dark border, or the outline of what is bright is no circle.
    """
    left, top, side = _square(image, threshold)
    square = _window(image, left, top, side)
    return circle_mask(square, None if mask is None else _window(mask, left, top, side))


def place_of_circle(image: np.ndarray, threshold: int = 7) -> Place:
    """Where the pixels of `crop_circle` lie."""
    left, top, _ = _square(image, threshold)
    return (top, left), (1, 1)


def crop_gray(image: np.ndarray, mask: np.ndarray | None, threshold: int = 7) -> Pair:
    """Crop to the bounding box of all that is brighter than a gray value, as the article does.

    Raises:
        CannotPrepare: Nothing exceeds the threshold.
    """
    return cropped(image, mask, _gray_box(image, threshold))


def place_of_gray(image: np.ndarray, threshold: int = 7) -> Place:
    """Where the pixels of `crop_gray` lie."""
    return place_of(_gray_box(image, threshold))


def _gray_box(image: np.ndarray, threshold: int) -> Box:
    left, top, width, height = cv2.boundingRect(cv2.threshold(to_gray(image), threshold, 255, cv2.THRESH_BINARY)[1])
    if not width:
        raise CannotPrepare(f"no pixel exceeds the threshold {threshold}")
    return slice(top, top + height), slice(left, left + width)


def circle_mask(image: np.ndarray, mask: np.ndarray | None, radius: float = 1.0, fill: int = 0) -> Pair:
    """Fill what lies outside of the centered circle, as the article does; there the mask becomes 0.

    Args:
        image: The image.
        mask: Its mask.
        radius: Of the circle, in halves of the image's shorter side.
        fill: Gray value, 0–255.
    """
    height, width = image.shape[:2]
    disc = np.zeros((height, width), np.uint8)
    cv2.circle(disc, (width // 2, height // 2), int(radius * (min(height, width) // 2)), 255, -1)
    filled = cv2.copyTo(image, disc, np.full(image.shape, fill, np.uint8))
    return filled, None if mask is None else cv2.bitwise_and(mask, disc)


def enhance(
    image: np.ndarray,
    mask: np.ndarray | None,
    sigma: float = 30.0,
    gain: float = 4.0,
    offset: float = 128.0,
    fast: bool = True,
) -> Pair:
    """Subtract the local average color: gain · (image − Gaussian blur) + offset, clipped to [0, 255].

    Graham, Kaggle diabetic retinopathy detection competition report, 2015.

    Args:
        image: The image.
        mask: Its mask, left as it is.
        sigma: Of the blur, in pixels.
        gain: Factor of the difference.
        offset: Gray value of what equals its surroundings.
        fast: Blur on a shrunk copy; the result differs from that of OpenCV's own blur by less than 2 gray levels on
            average. Else OpenCV's own, as in the article.
    """
    blurred = _fast_blur(image, sigma) if fast else cv2.GaussianBlur(image, (0, 0), sigma)
    return cv2.addWeighted(image, gain, blurred, -gain, offset), mask


def swap_channels(image: np.ndarray, mask: np.ndarray | None) -> Pair:
    """Swap red and blue: a fault of the article's code, repeated on purpose. A gray image stays as it is."""
    return (image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)), mask


def _square(image: np.ndarray, threshold: int) -> tuple[int, int, int]:
    """Left, top and side of the square around the disc; it may reach beyond the image."""
    small, scale = _small_gray(image)
    x, y, radius = _find_circle(small, threshold)
    # In steps that an image at half or a quarter of its size has, too, so that it is cropped alike.
    step = max(1, scale // 2)
    side = max(1, round(2 * radius * scale / step))
    left, top = (round(value * scale / step - side / 2) * step for value in (x, y))
    return left, top, side * step


def _window(image: np.ndarray, left: int, top: int, side: int) -> np.ndarray:
    """A square part of an image, black where it goes beyond."""
    height, width = image.shape[:2]
    part = image[max(0, top) : top + side, max(0, left) : left + side]
    before, after = (max(0, -top), max(0, -left)), (max(0, top + side - height), max(0, left + side - width))
    if not any((*before, *after)):
        return part
    return cv2.copyMakeBorder(part, before[0], after[0], before[1], after[1], cv2.BORDER_CONSTANT, value=0)


class _Circle(NamedTuple):
    """In pixels; the image's top left corner is (0, 0), its first pixel's center (.5, .5)."""

    x: float
    y: float
    radius: float


def _small_gray(image: np.ndarray) -> tuple[np.ndarray, int]:
    """A gray copy, halved until it is small, without specks; and how many pixels per side one of its pixels covers."""
    gray, scale = to_gray(image), 1
    while max(gray.shape) >= 2 * SMALL_SIDE:
        height, width = (side // 2 for side in gray.shape)
        gray = cv2.resize(gray[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA)
        scale *= 2
    return cv2.medianBlur(gray, 5), scale


def _find_circle(small: np.ndarray, threshold: int) -> _Circle:
    """Fit a circle to the outline of the largest bright region, by random sample consensus, then least squares."""
    bright = cv2.threshold(small, float(small.min()) + threshold, 255, cv2.THRESH_BINARY)[1]
    contours = cv2.findContours(bright, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    if not contours:
        raise CannotPrepare(f"no circle: gray values from {small.min()} to {small.max()} only (threshold {threshold})")
    points = max(contours, key=cv2.contourArea)[:, 0].astype(float)
    height, width = small.shape
    inside = (points > 1).all(axis=1) & (points[:, 0] < width - 2) & (points[:, 1] < height - 2)
    points = points[inside]  # the rest is where the photograph ends, not the disc
    if len(points) < 16:
        raise CannotPrepare("no circle: what is bright has no dark border")
    # A larger circle has no dark corners in the photograph, a smaller one is a speck.
    least, most = min(height, width) / 8, 0.75 * max(height, width)
    circle, share = _consensus(points, least, most)
    if share < ON_CIRCLE or not least <= circle.radius <= most:
        raise CannotPrepare("no circle: the outline of what is bright is not round")
    # A contour runs through the outermost pixels' centers, half a pixel inside of the edge.
    return _Circle(circle.x + 0.5, circle.y + 0.5, circle.radius + 0.5)


def _consensus(points: np.ndarray, least: float, most: float) -> tuple[_Circle, float]:
    """The circle, of a radius from `least` to `most`, on which most points lie, and their share.

    Args:
        points: (N, 2).
        least: Pixels.
        most: Pixels.
    """
    some = points[np.linspace(0, len(points) - 1, min(len(points), EDGE_POINTS)).astype(int)]
    a, b, c = np.random.default_rng(0).choice(some, (TRIPLES, 3)).transpose(1, 0, 2)
    ab, ac = b - a, c - a
    twice_area = 2 * (ab[:, 0] * ac[:, 1] - ab[:, 1] * ac[:, 0])
    with np.errstate(divide="ignore", invalid="ignore"):  # three points on a line
        ab2, ac2 = (ab**2).sum(1), (ac**2).sum(1)
        dx = (ac[:, 1] * ab2 - ab[:, 1] * ac2) / twice_area
        dy = (ab[:, 0] * ac2 - ac[:, 0] * ab2) / twice_area
        radii = np.hypot(dx, dy)
        centers = a + np.stack([dx, dy], axis=1)
        near = abs(np.linalg.norm(some - centers[:, None], axis=2) - radii[:, None]) <= 1 + ROUNDNESS * radii[:, None]
    votes = np.where((radii >= least) & (radii <= most), near.sum(axis=1), 0)
    best = int(votes.argmax())
    if not votes[best]:
        return _Circle(0, 0, 0), 0.0
    circle = _Circle(float(centers[best, 0]), float(centers[best, 1]), float(radii[best]))
    for _ in range(3):
        distances = np.hypot(*(points - circle[:2]).T)
        near_points = points[abs(distances - circle.radius) <= 1 + ROUNDNESS * circle.radius]
        circle = _least_squares(near_points)
    return circle, len(near_points) / len(points)


def _least_squares(points: np.ndarray) -> _Circle:
    """The circle of the least algebraic error, x² + y² = 2 x₀ x + 2 y₀ y + c (Kåsa 1976)."""
    unknowns = np.column_stack([2 * points, np.ones(len(points))])
    x, y, c = np.linalg.lstsq(unknowns, (points**2).sum(axis=1), rcond=None)[0]
    return _Circle(float(x), float(y), float(np.sqrt(c + x * x + y * y)))


def _fast_blur(image: np.ndarray, sigma: float) -> np.ndarray:
    """OpenCV's 8-bit Gaussian blur, nearly: average over blocks, blur what is left, enlarge linearly.

    Blocks of b pixels add b²/12 to the variance, linear interpolation between them b²/6; the blur does the rest.
    """
    block = int(sigma / SMALL_SIGMA)
    if block < 2:
        return cv2.GaussianBlur(image, (0, 0), sigma)
    height, width = image.shape[:2]
    rows, columns = -(-height // block), -(-width // block)
    reach = math.ceil(3 * sigma / block)  # blocks: OpenCV cuts the kernel off at three sigma
    margin = (reach + 1) * block
    ends = margin + rows * block - height, margin + columns * block - width
    padded = cv2.copyMakeBorder(image, margin, ends[0], margin, ends[1], cv2.BORDER_REFLECT_101)
    size = padded.shape[1] // block, padded.shape[0] // block
    small = cv2.resize(padded, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    rest = math.sqrt((sigma / block) ** 2 - 0.25)
    kernel = 2 * round(3 * rest) + 1
    blurred = cv2.GaussianBlur(small, (kernel, kernel), rest)[reach : reach + rows + 2, reach : reach + columns + 2]
    large = cv2.resize(blurred, None, fx=block, fy=block, interpolation=cv2.INTER_LINEAR)
    return np.rint(large[block : block + height, block : block + width]).astype(np.uint8)
