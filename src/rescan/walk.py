"""The files of a folder of data: regular files, also behind links, without what systems and Rescan itself leave there.

Everything that lists data lists it by this module, so that all agree on what is there.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

from rescan.errors import RescanError, is_of_machine

# Beside hidden ones, among them what macOS adds: `._x.png`, `.DS_Store`.
LEFT_BEHIND = {
    "__macosx",
    "$recycle.bin",
    "@eadir",
    "desktop.ini",
    "dicomdir",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "system volume information",
    "thumbs.db",
}
OUTPUTS = {"data", "logs", "results"}  # folders that Rescan writes where it runs …
FILES = {"index.html"}
IN_OUTPUTS = {"demo", "small", "full", "weights", *FILES}  # … with what is in them
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # among them all that ends a line


def _refused(error: OSError) -> RescanError:
    return RescanError(f"{error.filename}: cannot be read ({error.strerror}); mend or remove it")


def _refuse(error: OSError) -> None:
    raise _refused(error) from None


def entries_of(folder: str | Path) -> list[Path]:
    """The files and folders in a folder, sorted by name.

    Raises:
        RescanError: It cannot be read.
    """
    try:
        return [Path(entry.path) for entry in _visible(str(folder))]
    except OSError as error:
        raise _refused(error) from None


def files_below(folder: str | Path, failed: Callable[[OSError], None] = _refuse) -> Iterator[os.DirEntry[str]]:
    """All files below a folder, however deep, in no order.

    Each folder is read once, by its own path rather than by a link to it, so that links cannot lead in circles. No path
    is made of the entries: OCTA-500 has 361,600 files, and every command looks at all.

    Args:
        folder: The folder.
        failed: Called with the error of a folder that cannot be read; by default a `RescanError` is raised.
    """
    seen: set[tuple[int, int]] = set()
    folders: list[str] = [str(folder)]
    links: deque[str] = deque()
    while folders or links:
        place = folders.pop() if folders else links.popleft()
        try:
            state = os.stat(place)  # noqa: PTH116 - no path is made
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            entries = _visible(place)
        except OSError as error:
            failed(error)
            continue
        for entry in entries:
            if not _leads_to(entry, os.DirEntry.is_dir):
                yield entry
            elif entry.is_symlink():
                links.append(entry.path)
            else:
                folders.append(entry.path)


def _visible(folder: str) -> list[os.DirEntry[str]]:
    """The files and folders in a folder, sorted by name; no pipes, sockets, devices. A link to nothing is a file."""
    with os.scandir(folder) as entries:
        visible = [
            entry
            for entry in entries
            if not entry.name.startswith(".")
            and entry.name.casefold() not in LEFT_BEHIND
            and (_leads_to(entry, os.DirEntry.is_file) or _leads_to(entry, os.DirEntry.is_dir) or _is_broken(entry))
            and not _is_output(entry)
        ]
    return sorted(visible, key=lambda entry: entry.name)


def _leads_to(entry: os.DirEntry[str], kind: Callable[[os.DirEntry[str]], bool]) -> bool:
    """Whether an entry, or what it links to, is of a kind; a link that leads in a circle is of none."""
    try:
        return kind(entry)
    except OSError as error:
        if is_of_machine(error):
            raise
        return False


def _is_broken(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a link to nothing: whoever reads it says so."""
    return entry.is_symlink() and not Path(entry.path).exists()


def _is_output(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is what Rescan has written: `results/demo`, or `results` if it holds nothing else."""
    if entry.name not in OUTPUTS | IN_OUTPUTS or _leads_to(entry, os.DirEntry.is_dir) == (entry.name in FILES):
        return False
    path = Path(entry.path).absolute()
    if entry.name in IN_OUTPUTS:
        return path.parent.name in OUTPUTS and _is_used(path.parent.parent)
    return _is_used(path.parent) and {inner.name for inner in path.glob("[!.]*")} <= IN_OUTPUTS


def _is_used(folder: Path) -> bool:
    """Whether Rescan has run in a folder."""
    return any(folder.glob("results/*/*/study.json"))


def name_fault(name: str) -> str:
    """What is wrong with a text that is to stand in a table, as a file's name or an id; "" if nothing is."""
    try:
        name.encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 come as lone surrogates
        return "is not valid UTF-8"
    return "holds a line break or another control character" if CONTROL.search(name) else ""
