"""What a preparation makes of a sample: how many items, of which shape."""

from __future__ import annotations

import math
from typing import NamedTuple

from rescan.study import Preparation

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


def items_of(preparation: Preparation) -> Items:
    """Follow the sizes through the steps."""
    shape, number = (UNKNOWN,) * (3 if preparation.reads == "volume" else 2), 1
    for step in preparation.steps:
        if step["name"] in ("resize", "resize_volume", "pad_volume"):
            shape = tuple(step["size"])
        elif step["name"] == "project":
            shape = shape[1:]
        elif step["name"] == "patches":
            number = math.prod(step["grid"])
            shape = tuple(size // parts for size, parts in zip(shape, step["grid"]))
    channels = 3 if preparation.channels == "rgb" else 1
    width = 2 if preparation.dtype == "uint16" else 1
    return Items(number, shape, channels, math.prod(shape) * channels * width)
