"""Looking at some samples: what they are, how large, how deep."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Optional, TypeVar

import numpy as np
import pandas as pd

from rescan.data.headers import with_headers
from rescan.data.pool import one_by_one
from rescan.data.readers import images, volumes

Entry = TypeVar("Entry")
MOST = 40  # samples that are looked at


class Looked(NamedTuple):
    """What one sample is.

    Attributes:
        problem: Why it cannot be read; "" if it can.
        shape: (height, width) of an image, (depth, height, width) of a volume.
        is_color: Whether it has colors.
        needs_window: Whether it has more gray levels than 256, and does not say how to show them.
    """

    problem: str
    shape: tuple[int, ...] = ()
    is_color: bool = False
    needs_window: bool = False


def spread(entries: Sequence[Entry], most: int = MOST) -> list[Entry]:
    """Some entries of a list, evenly spread, the first and the last among them."""
    places = np.linspace(0, len(entries) - 1, min(most, len(entries))).round().astype(int)
    return [entries[place] for place in dict.fromkeys(places.tolist())]


def with_hidden_headers(root: Path, manifest: pd.DataFrame, key: Optional[bytes]) -> pd.DataFrame:
    """Fill what a manifest lacks from DICOM headers, as `index` does."""
    if manifest.empty:
        return manifest
    return with_headers(manifest, [root / path for path in manifest["path"]], key)


def look_at(paths: Sequence[Path]) -> list[Looked]:
    """Look at some samples; if any is DICOM in another process, which its decoder may end."""
    return list(one_by_one(look, paths, "looking", Looked) if volumes.any_dicom(paths) else map(look, paths))


def look(path: Path) -> Looked:
    """Read a sample: an image, or a volume's file or folder."""
    try:
        if not volumes.is_volume(path):
            with suppress(images.Several):
                image, info = images.read(path)
                color = image.ndim == 3 and bool((image != image[..., :1]).any())
                return Looked("", image.shape[:2], color, image.dtype != np.uint8 and not info.views)
        values, *_ = volumes.read(path)
    except images.Unreadable as error:
        return Looked(str(error))
    return Looked("", values.shape, needs_window=values.dtype != np.uint8)


def span(shapes: Sequence[tuple[int, ...]]) -> str:
    """The smallest and the largest of each size, in words: `100 to 120 × 80`."""
    axes = [sorted(set(axis)) for axis in zip(*shapes)]
    return " × ".join(f"{axis[0]}" if len(axis) == 1 else f"{axis[0]} to {axis[-1]}" for axis in axes)
