"""The exception for mistakes that a user can correct, and the faults of the machine in words."""

from __future__ import annotations

import errno
import os

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
MEMORY = "use fewer processes or a smaller batch, end other programs, or raise the limit (ulimit -v, --mem of SLURM)"
NETWORK = "check the disk, or the connection to it, and run the same again"
# Not of one file, so that no sample is left out for them.
OF_MACHINE = {
    *FULL,
    *(errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN),
}
# By the system's number: what is wrong, and what to do.
FAULTS = {
    errno.ENOSPC: ("no space left", "make room there, and run the same again"),
    errno.EDQUOT: ("no space left in your quota", "make room, or ask for more, and run the same again"),
    errno.EFBIG: ("larger than a file may be here", "raise the limit (ulimit -f), or write to another disk"),
    errno.EMFILE: ("too many open files", "raise the limit (ulimit -n)"),
    errno.ENFILE: ("too many open files on this machine", "end other programs, and run the same again"),
    errno.ENOMEM: ("not enough memory", MEMORY),
    errno.EAGAIN: (
        "no more processes or threads can be started",
        "use fewer, or raise the limit (ulimit -u)",
    ),
    errno.EROFS: ("is on a disk that cannot be written to", "give a place of your own, or mount it for writing"),
    errno.EACCES: ("permission denied", "change its permissions, or give a place of your own"),
    errno.EPERM: ("not permitted", "give a place of your own, or ask its owner"),
    errno.EBUSY: ("is in use, or a disk of its own", "end what uses it, or mount the folder that it is in"),
    errno.ESTALE: ("has gone from the network disk", NETWORK),
    errno.EIO: ("the disk has a fault", NETWORK),
    errno.ETIMEDOUT: ("the network disk does not answer", NETWORK),
    errno.ENOTCONN: ("the network disk is not connected", NETWORK),
}
# How libraries say the same, in errors without a number.
PHRASES = {
    **{os.strerror(number): number for number in (*FULL, errno.EMFILE, errno.ENFILE, errno.ENOMEM)},
    "can't start new thread": errno.EAGAIN,
    "can't allocate memory": errno.ENOMEM,  # torch
    "Insufficient memory": errno.ENOMEM,  # OpenCV
    "failed to map segment": errno.ENOMEM,  # the loader of libraries
    "Unable to allocate": errno.ENOMEM,  # numpy
    "bad_alloc": errno.ENOMEM,
}


def shown(text: object) -> str:
    """A name or path as one line: what cannot be printed, such as a newline, by its number."""
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))


class RescanError(Exception):
    """What is wrong, where, and what to do, in one line per fault; shown without a traceback, exit code 1."""


class NotInstalledError(RescanError):
    """A package is not installed, or an older one than is needed."""


class NoRoomError(RescanError):
    """A disk is too full: nothing that was fetched or made before is lost by it."""


def is_of_machine(error: BaseException) -> bool:
    """Whether an error comes from the machine or its disks, whichever file is read or written."""
    fault = fault_of(error)
    return fault is not None and fault[0] in OF_MACHINE


def is_full(error: BaseException) -> bool:
    """Whether an error comes from a full disk, a quota, or a limit of files' sizes."""
    fault = fault_of(error)
    return fault is not None and fault[0] in FULL


def fault_of(error: BaseException) -> tuple[int, str] | None:
    """The number of the system's fault that an error comes from, and the file, "" if unknown; None if of none."""
    seen: BaseException | None = error
    passed: set[int] = set()  # an error may come from one that came from it
    while seen is not None and id(seen) not in passed:
        passed.add(id(seen))
        if isinstance(seen, OSError) and seen.errno is not None:
            if seen is error or seen.errno in FULL or seen.errno == errno.ENOMEM:
                return seen.errno, os.fsdecode(seen.filename) if isinstance(seen.filename, (str, bytes)) else ""
        elif isinstance(seen, MemoryError):
            return errno.ENOMEM, ""
        else:
            text = str(seen)
            for phrase, number in PHRASES.items():
                if phrase in text:
                    return number, ""
        seen = seen.__cause__ or seen.__context__
    return None


def in_words(error: BaseException, needed: str = "") -> str | None:
    """A fault of the machine as one line: where, what is wrong, what to do; None if the error is something else.

    Args:
        error: What was raised.
        needed: How much space was needed, if known.
    """
    fault = fault_of(error)
    if fault is None:
        if not isinstance(error, OSError):
            return None
        return f"a file: {' '.join(str(error).split())}; check the path, its permissions and the disk"
    number, file = fault
    words = getattr(error, "strerror", None) or os.strerror(number)
    what, remedy = FAULTS.get(number, (words, "check the path, its permissions and the disk"))
    parts = [what, f"needs about {needed}" if needed and number in FULL else "", remedy]
    return (f"{shown(file)}: " if file else "") + "; ".join(filter(None, parts))
