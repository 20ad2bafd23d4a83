"""One lock for all that must not be done twice at the same time: `flock` on a hidden file beside what is written.

The kernel frees it when its process ends, however it ends. So no lock is ever stale, and the file stays where it is: to
remove it would let a process that waits for it, and one that makes it anew, both have it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from rescan.errors import RescanError
from rescan.log import logger

POLL_SECONDS = 0.02, 1.0  # first, and at most
_without_locks: set[int] = set()  # devices of which it is said


def lock_of(place: str | Path) -> Path:
    """The file that is locked while a place, a file or a folder, is written: `.<name>.lock` beside it."""
    return Path(place).with_name(f".{Path(place).name.lstrip('.')}.lock")


@contextmanager
def locked(
    place: str | Path, what: str, stop_waiting: Callable[[], str | None] = lambda: None, *, must: bool = False
) -> Iterator[None]:
    """Hold the exclusive lock of a place; while another process holds it, say so once, and wait.

    Args:
        place: The file or folder that is to be written.
        what: Who writes it, for messages: "train", say.
        stop_waiting: Gives the reason to stop waiting, or None.
        must: Whether a file system without locks is an error; else it is said once that nothing keeps two apart there.

    Raises:
        RescanError: There is a reason to stop waiting; or there are no locks, and there must be.
    """
    lock = lock_of(place)
    told, (pause, longest) = False, POLL_SECONDS
    while True:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("a+", encoding="utf-8") as stream:
            if _lock(stream, lock, what, must=must):
                if not _is_at(lock, stream):
                    continue  # it was removed meanwhile: another process may hold the one that is there now
                with suppress(OSError):  # of a full disk: the name only tells who waits
                    os.ftruncate(stream.fileno(), 0)
                    os.write(stream.fileno(), _own_name().encode())
                yield
                return
            stream.seek(0)
            holder = f"{place}: another `{what}` of it is under way ({stream.read() or 'just begun'})"
            if (reason := stop_waiting()) is not None:
                raise RescanError(f"{holder}; {reason}")
        if not told:
            logger.info("%s: waiting for it", holder)
            told = True
        time.sleep(pause)
        pause = min(2 * pause, longest)


def _lock(stream: TextIO, lock: Path, what: str, *, must: bool) -> bool:
    """Try to lock; return whether another process does not hold it."""
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        fault = f"{lock.parent}: is on a file system without locks ({error.strerror}), which keep two {what} apart"
        if must:
            remedy = "mount it with flock, or make a folder above it a link to one that has locks"
            raise RescanError(f"{fault}; {remedy}") from None
        device = os.fstat(stream.fileno()).st_dev
        if device not in _without_locks:
            _without_locks.add(device)
            logger.warning("%s; do not start two at once", fault)
    return True


def _is_at(lock: Path, stream: TextIO) -> bool:
    """Whether an open file is the one that lies at the lock's place."""
    try:
        return os.path.samestat(lock.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _own_name() -> str:
    job = os.environ.get("SLURM_JOB_ID")
    return f"pid {os.getpid()} on {socket.gethostname()}" + (f", SLURM job {job}" if job else "")
