"""Safe extraction of zip and tar archives that somebody else made."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from rescan.data.sources.members import Member, members, size_of
from rescan.errors import NoRoomError, RescanError, is_full
from rescan.log import logger

NESTED = re.compile(r"(.+\.zip)(?:\.(\d{3}))?", re.IGNORECASE)
BROKEN = (  # what damaged archives make their readers raise
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError),
    *(ValueError, LookupError, ArithmeticError, TypeError, MemoryError),
)
MADE_FROM = ".made_from"  # a file that `download` puts beside what was extracted
MOST_MEMBERS = 5_000_000  # OCTA-500 has 361,600 files
MOST_RATIO, SMALL = 250, 2**30  # what holds more bytes than SMALL, and so many times its own, is no data set
MOST_DEPTH = 64  # folders


def extract(archive: Path, into: Path) -> None:
    """Extract a zip or tar archive (plain, gz, bz2, xz) into a new folder, whole or not at all.

    Only plain files and folders are taken, with fresh permissions. Zip archives that then lie at the top of the folder
    (x.zip, or x.zip.001, x.zip.002, … which are one in parts) are extracted there too, and removed; those in them are
    not.

    Args:
        archive: The archive; its kind follows from its content.
        into: The folder to make. It is removed if anything goes wrong.

    Raises:
        RescanError: The archive is not whole, or larger than the free space; holds nothing, or more than any data set;
            or has a member that is a link or a device, that needs a password or another program to unpack, or whose
            name is absolute, leads out of the folder, is no valid file name, or comes twice.
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
        if size := size_of(archive):
            logger.info("extracting %s: %.2f GB, of %.2f GB free", archive, size / 1e9, free / 1e9)
        if size > free:
            need = f"{(size - free) / 1e9:.2f} GB more than"
            raise NoRoomError(f"{archive}: holds {need} the free space of {into.parent}; make room")
        for member, path in _checked_members(archive, into, free):
            target = into / path
            if member.kind == "folder":
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            with member.open() as content, target.open("xb") as out:
                shutil.copyfileobj(content, out, 1 << 20)
                if out.tell() != member.size:
                    lie = f"has {out.tell()} bytes, not {member.size} as the archive says"
                    raise RescanError(f"{archive}: the member {member.name[:100]!a} {lie}; get it again")
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


def _checked_members(archive: Path, into: Path, free: int) -> Iterator[tuple[Member, PurePosixPath]]:
    """Yield the members, each with its path in the folder.

    Raises:
        RescanError: A member is refused; they are too many or too large; or there are none.
    """
    room = os.statvfs(into)
    inodes = room.f_favail if room.f_files else MOST_MEMBERS  # some file systems do not count them
    most, held, count = max(SMALL, MOST_RATIO * archive.stat().st_size), 0, 0
    for count, member in enumerate(members(archive), 1):
        path = _checked(member, archive)
        held += member.size
        if held > free:
            raise NoRoomError(f"{archive}: holds more than the free space of {into.parent}; make room")
        if held > most or count > MOST_MEMBERS:
            much = f"{held / 1e9:.0f} GB, over {MOST_RATIO} times its own size" if held > most else f"{count} members"
            raise RescanError(f"{archive}: holds {much}, as no data set does; refused, nothing was extracted")
        if count > inodes:
            raise NoRoomError(f"{archive}: holds more files than {into.parent} has room for; make room")
        yield member, path
    if not count:
        raise RescanError(f"{archive}: holds nothing; get it again")


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
    elif member.kind == "file" and not path.parts:
        reason = "has no name"
    elif path.parts and path.parts[0].casefold() == MADE_FROM:
        reason = "has a name that Rescan uses itself"
    elif len(path.parts) > MOST_DEPTH:
        reason = f"lies more than {MOST_DEPTH} folders deep"
    if reason:
        raise RescanError(f"{archive}: the member {name[:100]!a} {reason}; refused, nothing was extracted")
    return path
