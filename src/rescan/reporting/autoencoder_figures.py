"""What an autoencoder makes of some validation images, beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rescan.reporting.grids import Rows, grid


def _looks(volume: np.ndarray) -> dict[str, np.ndarray]:
    """Images of a volume (D, H, W): a projection and a slice."""
    projection = volume.mean(0).round().astype(np.uint8)
    return {"mean along the depth": projection, "middle slice": volume[:, volume.shape[1] // 2]}


def reconstructions(pairs: Path, out: Path) -> None:
    """Draw images and their reconstructions, one below the other; of volumes a projection and a slice.

    Args:
        pairs: reconstructions.npy, (n, 2, *spatial, C) uint8: images, reconstructed images.
        out: The PNG.
    """
    shown = np.load(pairs)
    looks = [[_looks(one[..., 0]) if shown.ndim == 6 else {"": one} for one in side] for side in shown.swapaxes(0, 1)]
    rows: Rows = [
        (f"{said}{what and ', '}{what}", [look[what] for look in side], [])
        for what in looks[0][0]
        for said, side in zip(("validation images", "reconstructed"), looks)
    ]
    grid(rows, out, max(3, len(shown)))
