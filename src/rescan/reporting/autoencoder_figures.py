"""What an autoencoder makes of some validation images, beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rescan.reporting.grids import Rows, grid

LOOKS = {
    "mean along the depth": lambda volume: volume.mean(0),
    "middle slice": lambda volume: volume[:, volume.shape[1] // 2],
}


def reconstructions(pairs: Path, out: Path) -> None:
    """Draw images and their reconstructions, one below the other; of volumes a projection and a slice.

    Args:
        pairs: reconstructions.npy, (n, 2, *spatial, C) uint8: images, reconstructed images.
        out: The PNG.
    """
    shown = np.load(pairs)
    whole: dict[str, list[list[np.ndarray]]] = {"": [list(side) for side in shown.swapaxes(0, 1)]}
    if shown.ndim == 6:
        whole = {
            f", {name}": [[look(one[..., 0]).round().astype(np.uint8) for one in side] for side in whole[""]]
            for name, look in LOOKS.items()
        }
    rows: Rows = [
        (f"{said}{what}", images, [])
        for what, sides in whole.items()
        for said, images in zip(("validation images", "reconstructed"), sides)
    ]
    grid(rows, out, max(3, len(shown)))
