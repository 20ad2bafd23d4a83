"""Folders of results: new ones are filled beside the old ones, which go only when the new ones stand."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rescan import touched
from rescan.errors import is_full
from rescan.files import at_once, sync


@contextmanager
def replacing(folder: str | Path) -> Iterator[Path]:
    """Yield an empty folder beside `folder`; if the block succeeds it takes its place, else `folder` stays as it was.

    One process at a time may do this with a folder.

    Args:
        folder: The folder, which need not be there; if it is a link, what that leads to.

    Raises:
        OSError: The disk is full, or the folder cannot be replaced; it names what is in `folder`.
    """
    put_right(folder)
    place, part, old = _places(folder)
    try:
        part.mkdir(parents=True)
        with at_once():
            yield part
        for written in (*part.iterdir(), part):  # what `writing` wrote is synced; not what lies deeper: it is much
            sync(written)
        if place.exists():
            place.rename(old)
        try:
            part.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
        sync(place.parent)
        touched.moved(part, folder)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _named(error, part, Path(folder)) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def put_right(folder: str | Path) -> None:
    """Remove what a killed process left of `replacing`; if the new folder had no name yet, the old one is back."""
    place, part, old = _places(folder)
    if old.is_dir() and not place.exists():
        old.rename(place)
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)


def _places(folder: str | Path) -> tuple[Path, Path, Path]:
    """Where the folder is, where a new one is filled, and where the old one waits until that stands."""
    place = Path(os.path.realpath(folder))
    return place, place.with_name(f".{place.name}.part"), place.with_name(f".{place.name}.old")


def _named(error: OSError, part: Path, folder: Path) -> OSError:
    """An error that names what was written as what it would have become."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else ""
    if name == str(part) or name.startswith(f"{part}/"):
        return OSError(error.errno, error.strerror, str(folder / os.path.relpath(name, part)))
    return OSError(error.errno, error.strerror, str(folder)) if not name and is_full(error) else error
