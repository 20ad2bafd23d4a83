"""Files that a person or a table names: a path may be any text, and what lies there anything."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from rescan.errors import RescanError, shown


def at_home(path: str | Path) -> Path:
    """A path with the home folder for its `~`; as it is, and so not there, where nobody's home is known."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path.expanduser raises RuntimeError then


def is_file(path: str | Path) -> bool:
    """Whether a path that a person names is a file's; False for what can be no path, as a name of 300 letters."""
    return os.path.isfile(path)  # noqa: PTH113 - Path.is_file raises OSError then


def is_folder(path: str | Path) -> bool:
    """Whether a path that a person names is a folder's."""
    return os.path.isdir(path)  # noqa: PTH112 - as above


def is_there(path: str | Path) -> bool:
    """Whether a file or folder is at a path that a person names; False for what can be no path."""
    return os.path.exists(path)  # noqa: PTH110 - as above


def regular(path: str | Path, most: int | None = None, remedy: str = "check the path") -> Path:
    """A file that a person or a table names, if its reading ends: a pipe waits for a writer, a device has no end.

    Args:
        path: The file; links are followed.
        most: The most bytes that it may have.
        remedy: What to do if it cannot be read.

    Raises:
        RescanError: It is not there, no regular file, or larger.
    """
    try:
        status = Path(path).stat()
    except (OSError, ValueError) as error:  # ValueError: NUL in its name
        reason = getattr(error, "strerror", None) or error
        raise RescanError(f"{shown(path)}: cannot be read ({reason}); {remedy}") from None
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, device or socket"
        raise RescanError(f"{shown(path)}: is {kind}, not a file; {remedy}")
    if most is not None and status.st_size > most:
        size = f"{status.st_size:,} bytes, more than the {most:,} that are read"
        raise RescanError(f"{shown(path)}: has {size}; {remedy}")
    return Path(path)


def read_bytes(path: str | Path, most: int | None = None, remedy: str = "check the path") -> bytes:
    """The content of a file that a person or a table names, as `regular` takes it.

    Raises:
        RescanError: It is not there, no regular file, larger, or cannot be read.
    """
    try:
        return regular(path, most, remedy).read_bytes()
    except OSError as error:
        raise RescanError(f"{shown(path)}: cannot be read ({error.strerror}); {remedy}") from None


def output(path: Path, inputs: Iterable[Path] = ()) -> Path:
    """Where a command may write a file that a person names: what a link leads to. Of hard links, one name is written.

    Args:
        path: As the person names it.
        inputs: What the command reads.

    Raises:
        RescanError: It is no regular file, such as /dev/stdout, or an input, or it or its folder cannot be written to.
    """
    place = Path(os.path.realpath(path))
    if path.exists() and not path.is_file():  # of /dev/stdout the real path may be no path
        raise RescanError(f"{path}: is a folder, or no regular file; give the name of a file to write")
    if str(place) in set(map(os.path.realpath, inputs)):
        raise RescanError(f"{path}: is one of the files to read; give the output another name")
    if place.exists() and not os.access(place, os.W_OK):
        raise RescanError(f"{path}: may not be written to; remove it, or give another name")
    folder = next(above for above in place.parents if above.exists())
    if not folder.is_dir():
        raise RescanError(f"{path}: {folder} is no folder; give another name")
    if not os.access(folder, os.W_OK):
        raise RescanError(f"{path}: nothing can be written in {folder}; give another name")
    return place
