"""Reading and writing the project's files: every output is written beside its place and renamed into it."""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescan import touched
from rescan.errors import FULL, RescanError, fault_of

if TYPE_CHECKING:
    import pandas as pd


PROBED = 1 << 24  # bytes, more than what a failed library removes behind itself
# Of each block of `together` what is written, by its place; None of one of `at_once`.
_waiting: list[dict[Path, Path] | None] = []


@contextmanager
def writing(path: str | Path, *, new: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` that keeps its suffix; rename it into place if the block succeeds.

    It is on the disk before it gets its name, and its name before this returns: a computer that loses its power has the
    old file or the new one, whole.

    Args:
        path: The final file. Its folder is made if needed.
        new: Whether a file that is there must stay.

    Yields:
        The temporary path to write to. It is removed if the block raises, and `path` stays as it was.

    Raises:
        RescanError: Something else than a file or a link is there, such as a pipe or a device.
        FileExistsError: A file is there, and must stay.
        OSError: The disk is full, whatever a library makes of that; it names `path`.
    """
    path = Path(path)
    if os.path.lexists(path) and stat.S_IFMT(path.lstat().st_mode) not in (stat.S_IFREG, stat.S_IFLNK):
        raise RescanError(f"{path}: is a folder, or no regular file; move it away")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    waits = False
    try:
        yield temporary
        os.umask(umask := os.umask(0))
        temporary.chmod(0o666 & ~umask)  # some libraries make files that only their owner can read
        sync(temporary)
        block = _waiting[-1] if _waiting else None
        if new:
            os.link(temporary, path)
            sync(path.parent)
            touched.wrote(path)
        elif block is not None:
            block[path], waits = temporary, True
        else:
            _place(temporary, path)
    except Exception as error:
        if (full := _full(error, temporary, path)) is not None:
            raise full from error
        raise
    finally:
        if not waits:
            temporary.unlink(missing_ok=True)


@contextmanager
def together() -> Iterator[None]:
    """Let what is written in the block take its places when the block ends; if it raises, all stays as it was."""
    block: dict[Path, Path] = {}
    _waiting.append(block)
    try:
        yield
        for path, temporary in block.items():
            _place(temporary, path)
    finally:
        _waiting.pop()
        for temporary in block.values():
            temporary.unlink(missing_ok=True)


@contextmanager
def at_once() -> Iterator[None]:
    """Let what is written in the block take its place at once, also within `together`."""
    _waiting.append(None)
    try:
        yield
    finally:
        _waiting.pop()


def _place(temporary: Path, path: Path) -> None:
    temporary.replace(path)
    sync(path.parent)
    touched.wrote(path)


def _full(error: Exception, temporary: Path, path: Path) -> OSError | None:
    """The error that says that `path` has no room, if that is why writing it failed.

    What is known of the file itself is its name; else the system is asked again, for libraries say "encoder error -2".
    """
    if isinstance(error, RescanError):
        return None
    fault = fault_of(error)
    if fault is not None:
        number, file = fault
        return OSError(number, os.strerror(number), str(path)) if file in ("", str(temporary)) else None
    try:
        with temporary.open("ab", buffering=0) as stream:
            while stream.tell() < PROBED:
                stream.write(bytes(1 << 20))
    except OSError as probed:
        if probed.errno in FULL:
            return OSError(probed.errno, probed.strerror, str(path))
    return None


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, to the disk; some file systems cannot, and need not be told."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):
            raise
    finally:
        os.close(handle)


def remove_temporaries(place: Path) -> None:
    """Remove the temporary files of `writing` that a killed process left; call it while no other writes there.

    Args:
        place: The file, or a folder all of whose files are meant.
    """
    name = r".+" if place.is_dir() else re.escape(place.stem)
    suffix = r"(\.\w+)?" if place.is_dir() else re.escape(place.suffix)
    temporary = re.compile(rf"\.+{name}(\.\d+)+{suffix}")
    for path in place.rglob(".*") if place.is_dir() else place.parent.glob(".*"):
        if temporary.fullmatch(path.name):
            path.unlink(missing_ok=True)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented UTF-8 JSON."""
    with writing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")


def write_table(path: str | Path, table: pd.DataFrame) -> None:
    """Write a table as UTF-8 CSV without its index; missing values become empty fields.

    Bytes of a file's name that are no UTF-8 are written by their number.
    """
    texts = table.select_dtypes(exclude="number")
    # Before Python 3.13, csv quotes no carriage return, which would end a line for who reads it.
    returns = any(texts[name].astype(str).str.contains("\r", regex=False).any() for name in texts)
    quoting: Any = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    with writing(path) as temporary:
        table.to_csv(temporary, index=False, lineterminator="\n", quoting=quoting, errors="backslashreplace")


def write_tensors(
    path: str | Path, save_file: Callable[..., None], tensors: dict[str, Any], metadata: dict[str, str] | None = None
) -> None:
    """Write named tensors as safetensors.

    Args:
        path: The file.
        save_file: That of `safetensors.torch` or `safetensors.numpy`.
        tensors: Name to tensor, as `save_file` takes them.
        metadata: More texts of the file.

    Raises:
        OSError: The file cannot be written.
    """
    from safetensors import SafetensorError

    with writing(path) as temporary:
        try:
            save_file(tensors, str(temporary), metadata)
        except SafetensorError as error:  # of a full disk, too
            raise OSError(None, str(error), str(path)) from None


def copy_file(source: Path, target: Path) -> None:
    """Copy a file's content; where the file system can, the copy shares its blocks until one of the two is edited."""
    with source.open("rb") as reading, target.open("wb") as written:
        try:
            while os.copy_file_range(reading.fileno(), written.fileno(), 1 << 30):
                pass
        except (AttributeError, OSError):  # not on this system, or not between these two file systems
            shutil.copyfileobj(reading, written)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's content, read in blocks."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(content: Any) -> str:
    """A short stable hash (16 hex digits) of JSON-like content, independent of key order."""
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
