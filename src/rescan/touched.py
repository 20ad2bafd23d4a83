"""Which files a step reads and writes: noted where all reading and writing passes, while someone wants to know."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional, Union

AnyPath = Union[str, "os.PathLike[str]"]


class Signature(NamedTuple):
    """What changes when a file is written again: its size in bytes and its time of change in nanoseconds."""

    bytes: int
    modified: int


@dataclass
class Notes:
    """The files of a step by their paths, as the step names them.

    Attributes:
        read: Those that it read and had not written before, as they were when it first read them.
        written: Those that it wrote.
    """

    read: dict[str, Signature] = field(default_factory=dict)
    written: dict[str, None] = field(default_factory=dict)


_notes: Optional[Notes] = None


@contextmanager
def noting() -> Iterator[Notes]:
    """Note all files that this process reads and writes within the block; its pool's workers do not."""
    global _notes  # noqa: PLW0603 - who reads a file knows nothing of who notes it
    before, _notes = _notes, Notes()
    try:
        yield _notes
    finally:
        _notes = before


def signature(path: AnyPath) -> Signature | None:
    """How a file is now; None if there is none."""
    try:
        state = Path(path).stat()
    except OSError:
        return None
    return Signature(state.st_size, state.st_mtime_ns)


def read(path: AnyPath) -> None:
    """Note that a file is read."""
    if _notes is None:
        return
    name = os.path.normpath(path)
    if name not in _notes.written and name not in _notes.read and (state := signature(path)):
        _notes.read[name] = state


def wrote(path: AnyPath) -> None:
    """Note that a file was written."""
    if _notes is not None:
        _notes.written[os.path.normpath(path)] = None


def moved(folder: AnyPath, place: AnyPath) -> None:
    """Note that a folder, with what was written in it, has gone to another place."""
    if _notes is None:
        return
    start, end = f"{os.path.normpath(folder)}/", os.path.normpath(place)
    names = [name for name in _notes.written if name.startswith(start)]
    for name in names:
        del _notes.written[name]
        _notes.written[f"{end}/{name[len(start) :]}"] = None
