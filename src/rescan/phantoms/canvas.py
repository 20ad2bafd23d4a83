"""Drawing that several kinds of phantoms share: smooth random fields, layers drawn finer than the image."""

from __future__ import annotations

import cv2
import numpy as np

Array = np.ndarray
SUBPIXEL = 4  # binary digits of the fraction in OpenCV's coordinates
FINE = 2  # layers are drawn that many times finer, then averaged


def smooth(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Array:
    """A smooth random field: (H, W) float32, standard normal at the nodes of a grid of cells × cells."""
    nodes = rng.standard_normal((cells, cells), np.float32)
    return cv2.resize(nodes, shape[::-1], interpolation=cv2.INTER_CUBIC)


def fixed_point(places: Array, fine: int = 1) -> Array:
    """Places in pixels, (…, 2), in those of a layer `fine` times finer, as OpenCV takes them.

    Returns:
        (…, 2) int32 with SUBPIXEL binary digits of fraction.
    """
    return to_fixed((places + 0.5) * fine - 0.5)


def to_fixed(pixels: Array) -> Array:
    """Pixels of a layer as OpenCV takes them: int32 with SUBPIXEL binary digits of fraction."""
    return np.rint(pixels * (1 << SUBPIXEL)).astype(np.int32)


def new_layer(shape: tuple[int, int], fine: int = FINE) -> Array:
    """An empty layer: (fine H, fine W) uint8, to be drawn on with 255."""
    return np.zeros((shape[0] * fine, shape[1] * fine), np.uint8)


def stroke(layer: Array, points: Array, thickness: Array) -> None:
    """Draw curves of varying thickness.

    Args:
        layer: Is drawn on.
        points: (B, S, 2) int32 points of B curves, from `to_fixed`.
        thickness: (B, S) in pixels of the layer; the last point's is not used.
    """
    segments = np.stack([points[:, :-1], points[:, 1:]], axis=2).reshape(-1, 2, 2)
    thickness = np.maximum(1, np.rint(thickness[:, :-1])).astype(int).ravel()
    for value in np.unique(thickness):
        cv2.polylines(layer, segments[thickness == value], False, 255, int(value), cv2.LINE_8, SUBPIXEL)


def average(layer: Array, shape: tuple[int, int]) -> Array:
    """A fine layer at an image's size: (H, W) float32."""
    return cv2.resize(layer, shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float32)


def coverage(layer: Array, shape: tuple[int, int]) -> Array:
    """The share of each pixel that a layer covers: (H, W) float32 in [0, 1]."""
    return average(layer, shape) / 255
