"""Why a file cannot be read."""

from __future__ import annotations

import stat
from pathlib import Path

from rescan.errors import is_of_machine
from rescan.memory import free_memory

WORKING = 6  # bytes per voxel that preparing takes beside the voxels themselves: a copy as float32, and masks
MUCH = 2**27  # bytes; of smaller files it is not asked whether there is memory


class Unreadable(ValueError):  # noqa: N818 - a finding, not a fault of the program
    """A file cannot be used; the message is the reason in a few words, and what to do."""


class Several(Unreadable):
    """A file holds several pictures where one is wanted: it is a volume."""


def check_file(path: Path) -> int:
    """Look at a file before it is opened: a pipe waits for a writer, and a device has no end.

    Returns:
        Its size in bytes.

    Raises:
        Unreadable: It is not there, no regular file, empty, or does not fit into memory.
    """
    try:
        state = path.stat()
    except FileNotFoundError:
        raise Unreadable("no such file") from None
    except (OSError, ValueError) as error:  # ValueError: NUL in its name
        raise Unreadable(one_line(error)) from None
    if not stat.S_ISREG(state.st_mode):
        raise Unreadable("not a file")
    if state.st_size == 0:
        raise Unreadable("empty file")
    if state.st_size > MUCH and state.st_size > (free := free_memory()):
        raise Unreadable(f"larger than memory: has {state.st_size / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")
    return state.st_size


def check_memory(voxels: int, size: int, memory: int | None) -> None:
    """Refuse what would not fit, before it is read.

    Args:
        voxels: How many, or pixels.
        size: Bytes of one.
        memory: Bytes that may be used; by default what is free.

    Raises:
        Unreadable: It needs more memory than there is.
    """
    needed, free = voxels * (size + WORKING), memory if memory is not None else free_memory()
    if needed > free:
        raise Unreadable(f"larger than memory: needs {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free")


def several(count: int, what: str) -> Several:
    """The error of a file of so many frames or pages."""
    alone = ", or frames: each to data" if what == "frames" else ", or split it"
    return Several(f"holds {count} {what}, an image is one; add reads: volume to the preparation{alone}")


def one_line(error: Exception, most: int = 200) -> str:
    """What an error of another library says, in one line of at most so many characters."""
    text = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
    return text if len(text) <= most else text[: most - 2] + " …"


def damage(error: Exception) -> Unreadable:
    """What is wrong with a file whose reader raised an error; a fault of the machine is raised again."""
    if is_of_machine(error):
        raise error
    if isinstance(error, MemoryError):
        return Unreadable("larger than memory, or damaged")
    text = one_line(error)
    return Unreadable("truncated" if "truncated" in text.lower() else f"damaged: {text}")
