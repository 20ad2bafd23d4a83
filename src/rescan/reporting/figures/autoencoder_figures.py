"""What an autoencoder makes of some validation samples, beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rescan.reporting.figures.grids import Rows, grid
from rescan.reporting.figures.looks import views
from rescan.results.arrays import read_array

SIDES = ("validation samples", "reconstructed")


def _views(volume: np.ndarray) -> dict[str, np.ndarray]:
    """Pictures of a volume (D, H, W) by title: a projection and a slice."""
    projection, section = views(volume)
    return {"mean along the depth": projection.round().astype(np.uint8), "middle slice": section}


def _brightened(sides: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """Pictures of samples and of their reconstructions, both as bright as the brightest sample allows."""
    factor = 255 / max(1, *(image.max() for image in sides[0]))
    return [[(image * factor).clip(0, 255).astype(np.uint8) for image in side] for side in sides]


def reconstructions(pairs: Path, out: Path) -> None:
    """Draw images and their reconstructions, one below the other; of volumes a projection and a slice.

    Args:
        pairs: reconstructions.npy, (n, 2, *spatial, C) uint8: images, reconstructed images.
        out: The PNG.
    """
    images = read_array(pairs, "pretrain", dtypes=("uint8",))
    sides = [[_views(one[..., 0]) if images.ndim == 6 else {"": one} for one in side] for side in images.swapaxes(0, 1)]
    rows: Rows = [
        (f"{title}{view and ', '}{view}", pictures, [])
        for view in sides[0][0]
        for title, pictures in zip(SIDES, _brightened([[one[view] for one in side] for side in sides]))
    ]
    grid(rows, out, max(3, len(images)))
