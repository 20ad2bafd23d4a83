"""Where what a network is shown of a sample lies in the sample's file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from rescan.data.index import Files
from rescan.data.readers.images import Unreadable
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import each_apart, taken_through
from rescan.preparation.scan_reading import Source, read_followed
from rescan.study import Preparation


class Placement(NamedTuple):
    """Where a prepared sample lies.

    Attributes:
        source: The grid of its file.
        items: (4, 4) per item, from its index (d, h, w, 1) to the source's world; of an image d is 0.
    """

    source: Source
    items: list[np.ndarray]


def placement(files: Files, preparation: Preparation) -> Placement:
    """Prepare a sample again, and follow where its pixels come from.

    Raises:
        Unreadable: The file cannot be read.
        CannotPrepare: A step fails.
    """
    scan, source = read_followed(files._replace(mask=None), preparation)
    grids = [own.grid for own in taken_through(scan, preparation)]
    return Placement(source, [grid for grid in grids if grid is not None])


def placements(files: Sequence[Files], preparation: Preparation) -> Iterator[Placement | Unreadable | CannotPrepare]:
    """The placement of each of some samples, or why there is none."""
    return each_apart(partial(_placement_or_fault, preparation=preparation), files)


def _placement_or_fault(files: Files, preparation: Preparation) -> Placement | Unreadable | CannotPrepare:
    try:
        return placement(files, preparation)
    except (Unreadable, CannotPrepare) as error:
        return error
