"""Safe extraction of zip and tar archives that somebody else made."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, Callable, NamedTuple

from rescan.errors import NoRoomError, RescanError, is_full
from rescan.log import logger

NESTED = re.compile(r"(.+\.zip)(?:\.(\d{3}))?", re.IGNORECASE)
PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
BROKEN = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError)


class Member(NamedTuple):
    """What an archive holds under one name."""

    name: str
    kind: str  # "file" or "folder"; else what it is, and it is refused
    size: int  # bytes
    open: Callable[[], IO[bytes] | Any]  # of a file


def extract(archive: Path, into: Path) -> None:
    """Extract a zip or tar archive (plain, gz, bz2, xz) into a new folder, whole or not at all.

    Only plain files and folders are taken, with fresh permissions. Zip archives that then lie at the top of the folder
    (x.zip, or x.zip.001, x.zip.002, … which are one in parts) are extracted there too, and removed; those in them are
    not.

    Args:
        archive: The archive; its kind follows from its content.
        into: The folder to make. It is removed if anything goes wrong.

    Raises:
        RescanError: The archive is not whole, or larger than the free space, or has a member that is a link or a
            device, that needs a password or another program to unpack, or whose name is absolute, leads out of the
            folder, is no valid file name, or comes twice.
    """
    into.mkdir(parents=True)
    whole = False
    try:
        _extract(archive, into)
        for parts in _nested(archive, into):
            joined = _join(parts)
            _extract(joined, into)
            joined.unlink()
        whole = True
    finally:
        if not whole:
            shutil.rmtree(into)


def _extract(archive: Path, into: Path) -> None:
    try:
        free = shutil.disk_usage(into).free
        if size := _size(archive):
            logger.info("extracting %s: %.2f GB, of %.2f GB free", archive, size / 1e9, free / 1e9)
        if size > free:
            need = f"{(size - free) / 1e9:.2f} GB more than"
            raise NoRoomError(f"{archive}: holds {need} the free space of {into.parent}; make room")
        for member in _members(archive):
            target = into / _checked(member, archive)
            free -= member.size
            if free < 0:
                raise NoRoomError(f"{archive}: holds more than the free space of {into.parent}; make room")
            if member.kind == "folder":
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as content, target.open("xb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
    except (FileExistsError, NotADirectoryError) as error:
        name = Path(error.filename).relative_to(into)
        raise RescanError(f"{archive}: the member '{name}' comes twice; refused, nothing was extracted") from None
    except BROKEN as error:
        reason = " ".join(str(error).split())
        raise RescanError(f"{archive}: not a whole zip or tar archive ({reason[:100]}); get it again") from None
    except OSError as error:
        if is_full(error):
            raise NoRoomError(f"{archive}: no space left in {into.parent} to extract it; make room there") from None
        raise RescanError(f"{archive}: cannot be extracted ({error.strerror or error}); check file and disk") from None


def _is_zip(archive: Path) -> bool:
    with archive.open("rb") as stream:
        return stream.read(2) == b"PK"


def _size(archive: Path) -> int:
    """How many bytes a zip archive holds; 0 for a tar, whose size is unknown before it is read."""
    if not _is_zip(archive):
        return 0
    with zipfile.ZipFile(archive) as opened:
        return sum(info.file_size for info in opened.infolist())


def _nested(archive: Path, folder: Path) -> list[list[Path]]:
    """The zip archives at the top of a folder, each as its parts in order."""
    archives: dict[str, list[tuple[str, Path]]] = {}  # number and file of each part
    for file in sorted(folder.iterdir()):
        if (match := NESTED.fullmatch(file.name)) and file.is_file():
            archives.setdefault(match[1], []).append((match[2] or "001", file))
    for name, parts in archives.items():
        numbers = [number for number, _ in parts]
        if numbers != [f"{number:03d}" for number in range(1, len(parts) + 1)]:
            raise RescanError(f"{archive}: of {name} it holds only the parts {', '.join(numbers)}; get it again")
    return [[file for _, file in parts] for parts in archives.values()]


def _join(parts: list[Path]) -> Path:
    """Append all parts to the first, removing each; returns the first."""
    first, *rest = parts
    try:
        with first.open("ab") as out:
            for part in rest:
                with part.open("rb") as stream:
                    shutil.copyfileobj(stream, out, 1 << 20)
                part.unlink()
    except OSError as error:
        if is_full(error):
            raise NoRoomError(f"{first}: no space left to join it with its other parts; make room there") from None
        raise RescanError(f"{first}: cannot be joined with its other parts ({error.strerror}); make room") from None
    return first


def _checked(member: Member, archive: Path) -> PurePosixPath:
    """The member's path in the folder.

    Raises:
        RescanError: The member, or its name, is refused.
    """
    name = member.name
    path = PurePosixPath(name)
    reason = ""
    if member.kind not in ("file", "folder"):
        reason = f"is a {member.kind}"
    elif path.is_absolute() or re.match(r"[A-Za-z]:|\\", name):
        reason = "is an absolute path"
    elif ".." in re.split(r"[/\\]", name):
        reason = "leads out of the folder"
    elif any(c < " " or c == "\\" for c in name) or any(len(os.fsencode(part)) > 255 for part in path.parts):
        reason = "is no valid file name"
    if reason:
        raise RescanError(f"{archive}: the member {name[:100]!a} {reason}; refused, nothing was extracted")
    return path


def _members(archive: Path) -> Iterator[Member]:
    """All members, in order; a tar's can only be opened as they come."""
    if _is_zip(archive):
        kinds = {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
        with zipfile.ZipFile(archive) as opened:
            for info in opened.infolist():
                if fault := _packing_fault(info):
                    remedy = "unpack it with another program, and give the folder as the source"
                    raise RescanError(f"{archive}: the member {info.filename[:100]!a} {fault}; {remedy}")
                kind = "folder" if info.is_dir() else kinds.get(stat.S_IFMT(info.external_attr >> 16), "device")
                yield Member(info.filename, kind, info.file_size, partial(opened.open, info))
        return
    with tarfile.open(archive) as tar:
        for item in tar:
            link = "link" if item.issym() or item.islnk() else "device"
            kind = "file" if item.isreg() else "folder" if item.isdir() else link
            yield Member(item.name, kind, item.size, partial(tar.extractfile, item))
        # tarfile takes a header that is cut or damaged for the end, and leaves a checksum after the end unread.
        stream: Any = tar.fileobj
        stream.seek(tar.offset)
        if stream.read(tarfile.BLOCKSIZE).strip(tarfile.NUL) or stream.tell() != tar.offset + tarfile.BLOCKSIZE:
            raise tarfile.ReadError("its end is missing")
        while stream.read(1 << 20):
            pass


def _packing_fault(info: zipfile.ZipInfo) -> str:
    """Why a member of a zip archive cannot be unpacked here, "" if it can."""
    if info.flag_bits & 1:
        return "needs a password"
    if info.compress_type in PACKINGS:
        return ""
    name = zipfile.compressor_names.get(info.compress_type, "an unknown one")  # type: ignore[attr-defined]
    return f"is packed by method {info.compress_type} ({name}), which Python does not know"
