"""The members of zip and tar archives, in order; what lies in an archive about itself is found."""

from __future__ import annotations

import bz2
import gzip
import lzma
import stat
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Any, Callable, NamedTuple

from rescan.errors import RescanError

PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
COMPRESSIONS: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
END = struct.Struct(
    "<4s4H2LH"
)  # of a zip: mark, two disks, members on this one, members, size, place, comment's length
LONG_END = struct.Struct("<4sQ2H2L4Q")  # the same where numbers need 64 bits: the members are the eighth
MOST_COMMENT, MANY = 2**16 - 1, 2**16 - 1
SPANNED = 4  # bytes that may lie before the first member, of an archive that once was in parts
LOCAL = 30  # bytes of a member's own header, without its name
MOST_HEADER = 2**24  # bytes that are read at once: a tar's headers can say that they have any number


class Member(NamedTuple):
    """What an archive holds under one name."""

    name: str
    kind: str  # "file" or "folder"; else what it is, and it is refused
    size: int  # bytes
    open: Callable[[], IO[bytes] | Any]  # of a file


def is_zip(archive: Path) -> bool:
    """Whether an archive is a zip, by its first bytes."""
    with archive.open("rb") as stream:
        return stream.read(2) == b"PK"


def size_of(archive: Path) -> int:
    """How many bytes a zip archive says that it holds; 0 for a tar, whose size is unknown before it is read."""
    if not is_zip(archive):
        return 0
    with zipfile.ZipFile(archive) as opened:
        return sum(info.file_size for info in opened.infolist())


def members(archive: Path) -> Iterator[Member]:
    """Yield all members, in order; a tar's can only be opened as they come.

    Raises:
        RescanError: A member cannot be unpacked here.
        zipfile.BadZipFile: The directory of a zip is not that of what it holds.
        tarfile.TarError: The same of a tar's headers, or its end is missing.
    """
    return _of_zip(archive) if is_zip(archive) else _of_tar(archive)


def _of_zip(archive: Path) -> Iterator[Member]:
    kinds = {0: "file", stat.S_IFREG: "file", stat.S_IFLNK: "link"}
    with zipfile.ZipFile(archive) as opened:
        _check_directory(archive, opened)
        for info in opened.infolist():
            if fault := _packing_fault(info):
                remedy = "unpack it with another program, and give the folder as the source"
                raise RescanError(f"{archive}: the member {info.filename[:100]!a} {fault}; {remedy}")
            kind = "folder" if info.filename[-1:] == "/" else kinds.get(stat.S_IFMT(info.external_attr >> 16), "device")
            yield Member(info.orig_filename, kind, info.file_size, partial(opened.open, info))


def _check_directory(archive: Path, opened: zipfile.ZipFile) -> None:
    """Refuse a zip whose directory does not name all that it holds, once: another program would see other files.

    Raises:
        zipfile.BadZipFile: How it is not.
    """
    with archive.open("rb") as stream:
        stream.seek(max(0, archive.stat().st_size - END.size - MOST_COMMENT))
        tail = stream.read()
        place = tail.rfind(b"PK\5\6")
        _, _, _, _, count, _, _, comment = END.unpack_from(tail, place)
        if place + END.size + comment != len(tail):
            raise zipfile.BadZipFile("bytes behind its end")
        if count == MANY and tail[place - 20 : place - 16] == b"PK\6\7":
            stream.seek(struct.unpack_from("<Q", tail, place - 12)[0])
            count = LONG_END.unpack(stream.read(LONG_END.size))[7]
    infos = sorted(opened.infolist(), key=lambda info: info.header_offset)
    if count != len(infos):
        raise zipfile.BadZipFile(f"its directory has {len(infos)} members, its end says {count}")
    if infos and infos[0].header_offset not in (0, SPANNED):
        raise zipfile.BadZipFile("bytes before its first member")
    starts = [*(info.header_offset for info in infos[1:]), opened.start_dir]
    for info, start in zip(infos, starts):
        if info.header_offset + LOCAL + info.compress_size > start:
            raise zipfile.BadZipFile(f"{info.filename[:50]!a} overlaps what lies behind it")


def _packing_fault(info: zipfile.ZipInfo) -> str:
    """Why a member of a zip archive cannot be unpacked here, "" if it can."""
    if info.flag_bits & 1:
        return "needs a password"
    if info.compress_type in PACKINGS:
        return ""
    name = zipfile.compressor_names.get(info.compress_type, "an unknown one")  # type: ignore[attr-defined]
    return f"is packed by method {info.compress_type} ({name}), which Python does not know"


class _Bounded:
    """A stream that is not read without bounds."""

    def __init__(self, stream: IO[bytes] | Any) -> None:
        self.stream, self.seek, self.tell = stream, stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        """Read so many bytes.

        Raises:
            tarfile.ReadError: They are too many.
        """
        if not 0 <= size <= MOST_HEADER:
            raise tarfile.ReadError(f"a header of {size} bytes")
        content: bytes = self.stream.read(size)
        return content


def _of_tar(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as raw:
        head = raw.read(8)
        raw.seek(0)
        form = next((form for mark, form in COMPRESSIONS.items() if head.startswith(mark)), None)
        stream = _Bounded(form(raw) if form else raw)
        with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
            for item in tar:
                link = "link" if item.issym() or item.islnk() else "device"
                kind = "file" if item.isreg() else "folder" if item.isdir() else link
                yield Member(item.name, kind, item.size, partial(tar.extractfile, item))
            # tarfile takes a header that is cut or damaged for the end, and leaves a checksum after the end unread.
            stream.seek(tar.offset)
            end = stream.read(tarfile.BLOCKSIZE)
            if end.strip(tarfile.NUL) or len(end) != tarfile.BLOCKSIZE:
                raise tarfile.ReadError("its end is missing")
            while stream.read(1 << 20):
                pass
