"""Archives that lie about what they hold: none is extracted in part, and nothing leaves its folder."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import shutil
import stat
import struct
import tarfile
import zipfile
from pathlib import Path

import pytest

from rescan.data.sources import archives
from rescan.data.sources.archives import extract
from rescan.errors import RescanError

FILES = {f"c{number % 3}/x{number}.png": random.Random(number).randbytes(700) for number in range(12)}
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}


def tar(form: int = tarfile.GNU_FORMAT, files: dict[str, bytes] = FILES, **changes: object) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            for key, value in changes.items():
                setattr(info, key, value)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


def zipped(files: dict[str, bytes] = FILES, mode: int = 0, packing: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo("x")
            info.filename, info.external_attr, info.compress_type = name, mode << 16, packing
            archive.writestr(info, content)
    return stream.getvalue()


def outcome(folder: Path, content: bytes) -> str:
    """What comes of an archive: "whole", "other", or the reason of the refusal, which leaves nothing behind."""
    (folder / "inside").mkdir()
    archive, into = folder / "inside/a.bin", folder / "inside/raw"
    archive.write_bytes(content)
    try:
        extract(archive, into)
    except RescanError as error:
        is_clean = sorted(folder.rglob("*")) == [folder / "inside", archive] and "\n" not in str(error)
        return str(error).partition("a.bin: ")[2] if is_clean else "other: left behind, or several lines"
    else:
        found = {file.relative_to(into).as_posix(): file.read_bytes() for file in into.rglob("*") if file.is_file()}
        return "whole" if found == FILES else f"other: {len(found)}"
    finally:
        shutil.rmtree(folder / "inside")


@pytest.mark.parametrize("form", FORMATS)
def test_a_tar_that_is_cut_at_any_header_is_refused(tmp_path, form):
    content = tar(FORMATS[form], {**FILES, ("é" * 60 + "/") * 2 + "x.png" if form != "ustar" else "y": b"1"})
    end = len(content.rstrip(b"\0")) // 512 + 3  # two blocks of zeros end it
    for blocks in range(1, end - 1):
        reason = outcome(tmp_path, content[: 512 * blocks])
        assert "not a whole zip or tar" in reason, (blocks, reason)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, lambda _: zipped()])
def test_a_cut_or_flipped_archive_is_whole_or_refused(tmp_path, pack):
    content, rng = pack(tar()), random.Random(0)
    for _ in range(12):
        assert outcome(tmp_path, content[: rng.randrange(len(content) - 1)]) not in ("whole", "other")
        place = rng.randrange(8 * len(content))
        flipped = bytearray(content)
        flipped[place // 8] ^= 1 << place % 8
        assert not outcome(tmp_path, bytes(flipped)).startswith("other")


def test_a_flipped_bit_loses_no_member_of_a_tar(tmp_path):
    content, rng = tar(), random.Random(1)
    for _ in range(25):
        flipped = bytearray(content)
        flipped[rng.randrange(len(content) // 512) * 512 + rng.randrange(512)] ^= 1 << rng.randrange(8)
        found = outcome(tmp_path, bytes(flipped))
        assert found in ("whole", "other: 12") or "whole zip or tar" in found or "refused" in found


def changed(content: bytes, mark: bytes, place: int, form: str, value: int) -> bytes:
    """An archive with another number at a place behind a mark."""
    own = bytearray(content)
    struct.pack_into(form, own, own.index(mark) + place, value)
    return bytes(own)


DIRECTORY, END, LOCAL = b"PK\1\2", b"PK\5\6", b"PK\3\4"
TWO = zipped({"a/x.png": b"data", "a/y.png": b"more"})


def overlapping() -> bytes:
    """Two members with names of their own whose data are the same bytes: the second's header lies in the first's."""
    inner = zipped({"b": b"data"})
    inner = inner[: inner.index(DIRECTORY)]
    outer = bytearray(zipped({"a": inner}))
    start = outer.index(DIRECTORY)
    entry = bytearray(zipped({"b": b"data"}))
    entry = entry[entry.index(DIRECTORY) : entry.index(END)]
    struct.pack_into("<L", entry, 42, 31)  # the place of its own header
    end = outer.index(END)
    directory = bytes(outer[start:end]) + bytes(entry)
    return bytes(outer[:start]) + directory + struct.pack("<4s4H2LH", END, 0, 0, 2, 2, len(directory), start, 0)


def of_headers(size: bytes, kind: bytes = b"x") -> bytes:
    """A tar of one header that says it has so many bytes."""
    info = tarfile.TarInfo("x")
    info.type = kind
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[124:136] = size
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * 32 + sum(header[156:]))
    return bytes(header) + bytes(1024)


LIES = {
    "less than it has": (changed(TWO, DIRECTORY, 24, "<L", 1), "not a whole zip"),
    "more than it has": (changed(TWO, DIRECTORY, 24, "<L", 400), "has 4 bytes, not 400 as the archive says"),
    "fewer members": (changed(TWO, END, 10, "<H", 1), "its directory has 2 members, its end says 1"),
    "more members": (changed(TWO, END, 10, "<H", 9), "its directory has 2 members, its end says 9"),
    "bytes before": (b"PK" + bytes(500) + TWO, "bytes before its first member"),
    "two archives in one": (zipped() + TWO, "bytes before its first member"),
    "bytes behind": (TWO + b"more", "bytes behind its end"),
    "another name": (TWO.replace(b"x.png", b"z.png", 1), "not a whole zip"),
    "overlapping": (overlapping(), "overlaps what lies behind it"),
    "no name": (zipped({"": b"1"}), "has no name"),
    "a dot": (zipped({".": b"1"}), "has no name"),
    "zero in a name": (zipped({"a\0b": b"1"}), "no valid file name"),
    "backslash": (zipped({"a\\b": b"1"}), "no valid file name"),
    "Rescan's mark": (zipped({".Made_From/x": b"1"}), "a name that Rescan uses itself"),
    "deep": (zipped({"a/" * 2000 + "x": b"1"}), "folders deep"),
    "a pipe": (zipped(mode=stat.S_IFIFO), "is a device"),
    "empty zip": (zipped({}), "holds nothing"),
    "empty tar": (tar(files={}), "holds nothing"),
    "zeros": (bytes(512), "holds nothing"),
    "password": (changed(changed(TWO, DIRECTORY, 8, "<H", 1), LOCAL, 6, "<H", 1), "needs a password"),
    "a link, and a file through it": (tar(type=tarfile.SYMTYPE, linkname="/tmp"), "is a link"),
    "hard link": (tar(type=tarfile.LNKTYPE, linkname="../../etc/passwd"), "is a link"),
    "device": (tar(type=tarfile.CHRTYPE), "is a device"),
    "sparse of 2**45": (
        tar(tarfile.PAX_FORMAT, pax_headers={"GNU.sparse.map": "0,1", "GNU.sparse.size": str(2**45)}),
        "more than the free space",
    ),
    "sparse without a map": (
        tar(tarfile.PAX_FORMAT, pax_headers={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
        "",
    ),
    "out by pax": (tar(tarfile.PAX_FORMAT, pax_headers={"path": "../../x"}), "leads out of the folder"),
    "negative size": (of_headers(b"\xff" * 12, tarfile.REGTYPE), ""),
    "a header of 8 GB": (gzip.compress(of_headers(b"77777777777\0")), "a header of"),
    "a size of nan": (tar(tarfile.PAX_FORMAT, pax_headers={"size": "nan"}), "its end is missing"),
    "text": (b"hello", "not a whole zip or tar"),
    "gzip of text": (gzip.compress(b"hello" * 200), "not a whole zip or tar"),
}


@pytest.mark.parametrize(("content", "reason"), LIES.values(), ids=LIES)
def test_an_archive_that_lies_is_refused(tmp_path, content, reason):
    found = outcome(tmp_path, content)
    assert not found.startswith(("whole", "other"))
    assert reason in found


def test_the_size_and_number_of_members_are_bounded(tmp_path, monkeypatch):
    bomb = zipped({"big": bytes(10**6)}, packing=zipfile.ZIP_DEFLATED)
    assert outcome(tmp_path, bomb) == "other: 1"
    monkeypatch.setattr(archives, "SMALL", 1000)
    assert "over 250 times its own size, as no data set does" in outcome(tmp_path, bomb)
    assert outcome(tmp_path, zipped()) == "whole"
    monkeypatch.setattr(archives, "MOST_MEMBERS", 11)
    assert outcome(tmp_path, tar()).startswith("holds 12 members, as no data set does")


def test_as_many_members_as_there_is_room_for(tmp_path, monkeypatch):
    real = archives.os.statvfs(tmp_path)
    few = type("Room", (), {"f_files": 100, "f_favail": 11, "f_bavail": real.f_bavail, "f_frsize": real.f_frsize})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10**9}))
    monkeypatch.setattr(archives.os, "statvfs", lambda _: few)
    assert outcome(tmp_path, tar()).startswith("holds more files than")


def test_more_members_than_a_zip_counts_in_16_bits(tmp_path):
    """The end of a zip of 65,536 members and more says so in 64 bits."""
    content = zipped()
    end = content.index(END)
    size, start = struct.unpack_from("<2L", content, end + 12)
    long = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, 12, 12, size, start)
    long += struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    short = struct.pack("<4s4H2LH", END, 0, 0, 0xFFFF, 0xFFFF, size, start, 0)
    assert outcome(tmp_path, content[:end] + long + short) == "whole"
    assert "end says 13" in outcome(
        tmp_path, content[:end] + long.replace(b"\x0c" + bytes(7), b"\x0d" + bytes(7)) + short
    )
