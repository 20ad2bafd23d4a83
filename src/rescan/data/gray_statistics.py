"""What the gray levels of a prepared image are like, in a few numbers: enough to tell a picture of another kind."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from rescan.data.gray_levels import of_store

SCALES = (1, 2, 4, 8)  # pixels
STATISTICS = ("mean", "spread", *(f"detail_{scale}" for scale in SCALES))
MEAN_UNIT, DETAIL_UNIT = 16, 4  # how much brighter, and how much finer, weighs as much as twice the contrast


def gray_statistics(images: Iterable[np.ndarray]) -> np.ndarray:
    """Statistics of prepared images.

    Args:
        images: Each (*spatial, C) uint8, or uint16 with 257 steps per gray level, as a store holds them.

    Returns:
        (n, 6) float64 by STATISTICS, in gray levels of [0, 255]: the mean; the standard deviation; and the mean
        absolute difference between the image, at half, a quarter and an eighth of its size, too, and itself with half
        as many pixels. A volume's slices are taken as one tall image.
    """
    return np.array([_of_image(np.asarray(image)) for image in images]).reshape(-1, len(STATISTICS))


def as_vectors(statistics: np.ndarray) -> np.ndarray:
    """Statistics (n, 6) as vectors (n, 6) float32 whose distances mean something: contrast and detail as logarithms."""
    mean, spread, detail = statistics[:, :1] / MEAN_UNIT, statistics[:, 1:2], statistics[:, 2:] * DETAIL_UNIT
    return np.hstack([mean, np.log2(1 + spread), np.log2(1 + detail)]).astype(np.float32)


def _of_image(image: np.ndarray) -> list[float]:
    """The statistics of one image; OpenCV needs a seventh of the time that NumPy does."""
    channels = image.shape[-1]
    colors = of_store(image).astype(np.float32).reshape(-1, image.shape[-2], channels)
    levels: np.ndarray = colors[..., 0]
    if channels > 1:
        levels = cv2.transform(colors, np.full((1, channels), 1 / channels))
    numbers = [float(value[0, 0]) for value in cv2.meanStdDev(levels)]
    for _ in SCALES:
        height, width = levels.shape
        half = cv2.resize(levels, (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA)
        again = cv2.resize(half, (width, height), interpolation=cv2.INTER_LINEAR)
        numbers.append(cv2.norm(levels, again, cv2.NORM_L1) / levels.size)
        levels = half
    return numbers
