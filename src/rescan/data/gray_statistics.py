"""What the gray levels of a prepared image are like, in three numbers: enough to tell a picture of another kind."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from rescan.data.gray_levels import STEPS

STATISTICS = ("mean", "spread", "detail")


def gray_statistics(images: Iterable[np.ndarray]) -> np.ndarray:
    """Statistics of prepared images.

    Args:
        images: Each (*spatial, C) uint8, or uint16 with 257 steps per gray level, as a store holds them.

    Returns:
        (n, 3) float64, in gray levels of [0, 255]: the mean; the standard deviation; and the mean difference of
        neighbors along the width, which is large in a noisy image and small in a blurred one.
    """
    return np.array([_of_image(np.asarray(image)) for image in images]).reshape(-1, len(STATISTICS))


def _of_image(image: np.ndarray) -> list[float]:
    rows = np.ascontiguousarray(image).reshape(-1, image.shape[-2] * image.shape[-1])
    mean, spread = (float(value[0, 0]) for value in cv2.meanStdDev(rows))
    channels = image.shape[-1]
    detail = float(cv2.mean(cv2.absdiff(rows[:, channels:], rows[:, :-channels]))[0])
    scale = 1 if image.dtype == np.uint8 else STEPS
    return [mean / scale, spread / scale, detail / scale]
