"""What a preparation makes of a sample: how many items, of which shape."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

from rescan.study import Preparation

COPIES = 12  # of a sample's values that preparing it holds at once, in bytes: floats, and their source
ITEM = 1000  # bytes of an item beside its values
TABLE = 256  # bytes of a tile's gray levels
UNKNOWN = 256  # pixels along an axis that no step sets


class Items(NamedTuple):
    """The items of a sample.

    Attributes:
        number: How many.
        shape: Their size along each spatial axis.
        channels: Of each.
        bytes: That one takes in the store.
    """

    number: int
    shape: tuple[int, ...]
    channels: int
    bytes: int

    @property
    def pixels(self) -> int:
        """Pixels or voxels of one."""
        return math.prod(self.shape)


class Peak(NamedTuple):
    """The step of a preparation at which a sample takes the most memory.

    Attributes:
        step: Its name.
        number: Of items.
        shape: Of each.
        bytes: That it takes.
    """

    step: str
    number: int
    shape: tuple[int, ...]
    bytes: int


def items_of(preparation: Preparation) -> Items:
    """Follow the sizes through the steps."""
    *_, (_, number, shape, _) = _followed(preparation)
    channels = 3 if preparation.channels == "rgb" else 1
    width = 2 if preparation.dtype == "uint16" else 1
    return Items(number, shape, channels, math.prod(shape) * channels * width)


def has_known_size(preparation: Preparation) -> bool:
    """Whether the steps say how large items are."""
    return bool([*_followed(preparation)][-1][3])


def peak_of(preparation: Preparation) -> Peak:
    """The most memory that preparing a sample takes, as far as the steps say it."""
    channels = 3 if preparation.channels == "rgb" else 1
    peaks = []
    for step, number, shape, _ in _followed(preparation):
        tables = step.get("tiles", 0) ** 2 * TABLE if step["name"] == "clahe" else 0
        size = number * (math.prod(shape) * channels * COPIES + ITEM) + tables
        peaks.append(Peak(step["name"], number, shape, size))
    return max(peaks, key=lambda peak: peak.bytes)


def _followed(preparation: Preparation) -> Iterator[tuple[dict[str, Any], int, tuple[int, ...], bool]]:
    """Yield each step, the number and shape of items behind it, and whether the shape is known."""
    shape, number, known = (UNKNOWN,) * (3 if preparation.reads == "volume" else 2), 1, False
    for step in preparation.steps:
        if step["name"] in ("resize", "resize_volume", "pad_volume"):
            shape, known = tuple(step["size"]), True
        elif step["name"] == "project":
            shape = shape[1:]
        elif step["name"] == "patches":
            number = math.prod(step["grid"])
            shape = tuple(size // parts for size, parts in zip(shape, step["grid"]))
        yield step, number, shape, known
