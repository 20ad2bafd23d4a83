"""What an autoencoder makes of some validation samples, beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rescan.reporting.figures.grids import Rows, grid
from rescan.reporting.figures.looks import views


def _looks(volume: np.ndarray) -> dict[str, np.ndarray]:
    """Images of a volume (D, H, W): a projection and a slice."""
    projection, cut = views(volume)
    return {"mean along the depth": projection.round().astype(np.uint8), "middle slice": cut}


def _brightened(looks: list[list[dict[str, np.ndarray]]], what: str) -> list[list[np.ndarray]]:
    """A look of the samples and of their reconstructions, both as bright as the brightest sample allows."""
    samples, made = ([look[what] for look in side] for side in looks)
    factor = 255 / max(1, *(image.max() for image in samples))
    return [[(image * factor).clip(0, 255).astype(np.uint8) for image in side] for side in (samples, made)]


def reconstructions(pairs: Path, out: Path) -> None:
    """Draw images and their reconstructions, one below the other; of volumes a projection and a slice.

    Args:
        pairs: reconstructions.npy, (n, 2, *spatial, C) uint8: images, reconstructed images.
        out: The PNG.
    """
    shown = np.load(pairs)
    looks = [[_looks(one[..., 0]) if shown.ndim == 6 else {"": one} for one in side] for side in shown.swapaxes(0, 1)]
    rows: Rows = [
        (f"{said}{what and ', '}{what}", images, [])
        for what in looks[0][0]
        for said, images in zip(("validation samples", "reconstructed"), _brightened(looks, what))
    ]
    grid(rows, out, max(3, len(shown)))
