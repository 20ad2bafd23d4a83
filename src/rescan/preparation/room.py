"""Whether there is room for what a preparation makes, said before the first sample is read."""

from __future__ import annotations

import shutil
from pathlib import Path

from rescan.errors import NoRoomError, RescanError
from rescan.log import logger
from rescan.memory import free_memory
from rescan.study import Preparation
from rescan.workload.estimate_rows import size_of
from rescan.workload.shapes import Peak, has_known_size, items_of, peak_of

MUCH = 2**29  # bytes; less is not asked for
MEGABYTE = 1e6


def memory_fault(preparation: Preparation) -> str:
    """Why a sample cannot be prepared in the memory that is free, beginning with the step; "" if it can."""
    peak = peak_of(preparation)
    if has_known_size(preparation) and 0 in peak.shape:
        return f"{peak.step}: makes items of {_by(peak.shape)} pixels; take fewer patches, or larger images"
    if peak.bytes < MUCH or peak.bytes <= (free := free_memory()):
        return ""
    return f"{peak.step}: {_needs(peak)}, {size_of(free / MEGABYTE)} are free; make it smaller"


def check_disk(store: str | Path, needed: float) -> None:
    """Refuse to begin if a store has no room on its disk.

    Args:
        store: The folder of the store, or where that will be.
        needed: Bytes.

    Raises:
        NoRoomError: It has none.
    """
    place = Path(store).absolute()
    free = shutil.disk_usage(next(folder for folder in (place, *place.parents) if folder.is_dir())).free
    if needed > free:
        sizes = f"needs about {size_of(needed / MEGABYTE)}, {size_of(free / MEGABYTE)} are free"
        raise NoRoomError(f"{store}: no space left; {sizes}; make room there, or make items smaller")


def check_room(preparation: Preparation, where: str, store: str | Path, samples: int, processes: int) -> None:
    """Refuse a preparation for which there is no memory, or, where its steps set a size, no room on the disk.

    Args:
        preparation: The preparation.
        where: What it is called, for messages.
        store: As for `check_disk`.
        samples: How many.
        processes: How many prepare samples at once; a warning says that there is no memory for so many.

    Raises:
        RescanError: One line that says how much it needs.
    """
    if fault := memory_fault(preparation):
        raise RescanError(f"{where}: {fault}")
    peak, free = peak_of(preparation), free_memory()
    if peak.bytes * processes > free:
        message = "%s: %s, %d processes more than the %s that are free; fewer (--cores) are safer"
        logger.warning(message, where, _needs(peak), processes, size_of(free / MEGABYTE))
    if has_known_size(preparation):
        items = items_of(preparation)
        check_disk(store, samples * items.number * items.bytes)


def _needs(peak: Peak) -> str:
    many = f"{peak.number} items" if peak.number > 1 else "an item"
    return f"{many} of {_by(peak.shape)} takes about {size_of(peak.bytes / MEGABYTE)} of memory"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
