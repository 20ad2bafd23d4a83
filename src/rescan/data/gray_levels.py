"""Gray levels: how stores hold them, and how values that are none yet are made visible."""

from __future__ import annotations

import numpy as np

STEPS = 257  # of a uint16 store per gray level: 257 · 255 = 65,535
STRETCHED = (0.5, 99.5)  # percentiles that become black and white


def to_uint16(levels: np.ndarray) -> np.ndarray:
    """Gray levels in [0, 255], uint8 or float32, as a uint16 store holds them."""
    if levels.dtype == np.uint8:
        return levels.astype(np.uint16) * np.uint16(STEPS)
    return (levels * np.float32(STEPS)).round().clip(0, 65535).astype(np.uint16)


def of_store(images: np.ndarray) -> np.ndarray:
    """Images of a store as gray levels in [0, 255]: uint8, or float32 where the store is uint16."""
    return images if images.dtype == np.uint8 else images.astype(np.float32) / np.float32(STEPS)


def take(images: np.ndarray, rows: np.ndarray, levels: np.ndarray) -> None:
    """Write rows of a store as gray levels, as `of_store` gives them, straight into an array."""
    if images.dtype == np.uint8:
        np.take(images, rows, axis=0, out=levels, mode="clip")  # `raise` would copy twice
    else:
        np.divide(images[rows], np.float32(STEPS), out=levels, dtype=np.float32)


def stretched(
    picture: np.ndarray, as_in: np.ndarray | None = None, percentiles: tuple[float, float] = STRETCHED
) -> np.ndarray:
    """A picture as uint8 gray levels, stretched between two percentiles of it, or of another picture; NaN is black."""
    known = (picture if as_in is None else as_in).ravel()
    known = known[~np.isnan(known)]
    low, high = np.percentile(known, percentiles) if known.size else (0.0, 0.0)
    values = np.nan_to_num(picture.astype(np.float32), nan=low)
    return ((values - low) / max(high - low, 1e-6) * 255).clip(0, 255).round().astype(np.uint8)
