"""Temporary folders that a process has for itself; those of processes that were killed are removed by the next one."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """Yield a new folder, which is removed behind the block."""
    folder, lock = locked_folder(prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def locked_folder(prefix: str, longest: int | None = None) -> tuple[Path, int]:
    """Make a folder in the system's folder for temporary files, and lock it; remove those that nobody has locked.

    Args:
        prefix: How its name, and those of the others, begin.
        longest: Bytes of the path of the folder that it lies in, at most; of a longer one /tmp takes the place.

    Returns:
        The folder, and the handle that locks it until it is closed or this process ends.
    """
    place = tempfile.gettempdir()
    if longest is not None and len(os.fsencode(place)) > longest:
        place = "/tmp"  # noqa: S108 - whoever makes the folder owns it
    for old in Path(place).glob(f"{prefix}*"):
        with suppress(OSError):  # of another user, or of a process that lives
            lock = _lock(old)
            shutil.rmtree(old, ignore_errors=True)
            os.close(lock)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
        try:
            return folder, _lock(folder)
        except (BlockingIOError, FileNotFoundError):  # another process took it for an old one before it was locked
            continue
        except OSError:  # no locks there
            return folder, os.open(folder, os.O_RDONLY)


def _lock(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise
    return handle
