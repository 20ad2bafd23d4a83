from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from rescan.data.sources import archives
from rescan.errors import RescanError

FILES = {"Training/glioma/a (1).jpg": b"one", "Testing/ä/b.jpg": b"two", "Testing/empty.txt": b""}


def make_zip(path: Path, files=FILES, mode: int = 0, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def make_tar(path: Path, members: list[tuple[tarfile.TarInfo, bytes]], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for info, content in members:
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o4777
    return info


def read(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(archive: Path, said: str) -> None:
    """The archive is refused in one line, and nothing stays or escapes."""
    before = set(archive.parent.parent.rglob("*"))
    with pytest.raises(RescanError) as raised:
        archives.extract(archive, archive.parent / "raw")
    assert said in str(raised.value)
    assert archive.name in str(raised.value)
    assert "\n" not in str(raised.value)
    assert set(archive.parent.parent.rglob("*")) == before


@pytest.fixture
def inside(tmp_path: Path) -> Path:
    folder = tmp_path / "inside"
    folder.mkdir()
    return folder


def test_zip(inside):
    archives.extract(make_zip(inside / "x.zip"), inside / "raw")
    assert read(inside / "raw") == FILES


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_tar(inside, mode):
    members = [(member("./", tarfile.DIRTYPE), b""), *((member(name), content) for name, content in FILES.items())]
    archives.extract(make_tar(inside / "x.bin", members, mode), inside / "raw")
    assert read(inside / "raw") == FILES
    assert not any(p.stat().st_mode & (stat.S_ISUID | stat.S_IWOTH) for p in (inside / "raw").rglob("*.jpg"))


BAD_NAMES = [
    ("../evil", "leads out"),
    ("a/../../evil", "leads out"),
    ("a\\..\\..\\evil", "leads out"),
    ("/tmp/evil", "absolute"),
    ("C:/evil", "absolute"),
    ("\\\\host\\evil", "absolute"),
    ("a\nb", "no valid file name"),
    ("x" * 300, "no valid file name"),
]


@pytest.mark.parametrize(("name", "said"), BAD_NAMES)
def test_bad_names(inside, name, said):
    refused(make_zip(inside / "x.zip", {"Training/a.jpg": b"1", name: b"2"}), said)
    (inside / "x.zip").unlink()
    refused(make_tar(inside / "x.tar", [(member("Training/a.jpg"), b"1"), (member(name), b"2")]), said)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "is a link"),
        (tarfile.LNKTYPE, "is a link"),
        (tarfile.FIFOTYPE, "is a device"),
        (tarfile.CHRTYPE, "is a device"),
    ],
)
def test_links_and_devices(inside, kind, said):
    refused(make_tar(inside / "x.tar", [(member("a", kind, "../.."), b""), (member("a/evil"), b"2")]), said)


def test_a_link_in_a_zip(inside):
    refused(make_zip(inside / "x.zip", {"a": b"../.."}, stat.S_IFLNK | 0o777), "is a link")


def test_a_name_twice(inside):
    refused(make_tar(inside / "x.tar", [(member("a.jpg"), b"1"), (member("a.jpg"), b"2")]), "comes twice")
    refused(make_zip(inside / "x.zip", {"a": b"1", "a/b": b"2"}), "comes twice")


def test_what_is_no_whole_archive(inside):
    whole = make_zip(inside / "x.zip", {"a": bytes(range(256)) * 99}, compression=zipfile.ZIP_STORED).read_bytes()
    (inside / "x.zip").write_bytes(whole[:-50])
    refused(inside / "x.zip", "not a whole zip or tar")
    (inside / "x.zip").write_bytes(whole[:99] + b"?" + whole[100:])
    refused(inside / "x.zip", "not a whole zip or tar")
    whole = make_tar(inside / "x.tar.gz", [(member("a"), bytes(range(256)) * 99)], "w:gz").read_bytes()
    (inside / "x.tar.gz").write_bytes(whole[: len(whole) // 2])
    refused(inside / "x.tar.gz", "not a whole zip or tar")
    for content in (b"", b"text", b"PK"):
        (inside / "x").write_bytes(content)
        refused(inside / "x", "not a whole zip or tar")


def test_a_tar_without_its_end(inside):
    """tarfile itself takes a header that is missing, cut or damaged for the end, and gives what came before it."""
    whole = make_tar(inside / "x.tar", [(member(f"{n}.jpg"), bytes([n]) * 700) for n in range(4)]).read_bytes()
    third = 2 * (512 + 1024)  # the header of the third member
    for damaged in (whole[:third], whole[: third + 200], whole[:third] + b"?" * 512 + whole[third + 512 :]):
        (inside / "x.tar").write_bytes(damaged)
        refused(inside / "x.tar", "its end is missing")
    (inside / "x.tar").write_bytes(whole[: 4 * (512 + 1024) + 512])  # one block of zeros is an end
    archives.extract(inside / "x.tar", inside / "raw")
    assert len(read(inside / "raw")) == 4


def test_a_wrong_checksum_behind_the_end_of_a_tar(inside):
    whole = make_tar(inside / "x.tar.gz", [(member("a"), bytes(range(256)) * 99)], "w:gz").read_bytes()
    (inside / "x.tar.gz").write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    refused(inside / "x.tar.gz", "CRC check failed")


@pytest.mark.parametrize(
    ("place", "value", "said"),
    [
        (8, 9, "'a.jpg' is packed by method 9 (deflate64), which Python does not know; unpack it with another program"),
        (8, 250, "'a.jpg' is packed by method 250 (an unknown one)"),
        (6, 1, "'a.jpg' needs a password; unpack it with another program, and give the folder as the source"),
    ],
)
def test_a_zip_that_python_cannot_unpack(inside, place, value, said):
    content = bytearray(make_zip(inside / "x.zip", {"a.jpg": b"1" * 99}).read_bytes())
    content[place] = content[content.index(b"PK\1\2") + place + 2] = value  # in the member's header and the directory
    (inside / "x.zip").write_bytes(content)
    refused(inside / "x.zip", said)


def test_more_than_fits(inside, monkeypatch):
    usage = type("Usage", (), {"free": 5})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    refused(make_zip(inside / "x.zip"), "free space")


def packed(files=FILES, **options) -> bytes:
    """A zip archive in memory."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, options.get("compression"))  # at the same time, always
    return stream.getvalue()


def test_archives_in_the_archive(inside):
    images = {f"train/{number}.jpeg": bytes([number]) * 5000 for number in range(4)}
    train = packed(images)
    parts = {
        f"train.zip.{number:03d}": train[start : start + 7000] for number, start in enumerate(range(0, 22000, 7000), 1)
    }
    assert b"".join(parts.values()) == train
    deeper = packed({"a.zip": packed()})
    files = {"trainLabels.csv.zip": packed({"trainLabels.csv": b"image,level"}), **parts, "Deep.ZIP": deeper}
    archives.extract(make_zip(inside / "x.zip", {**files, "docs/b.zip": b"kept as it is"}), inside / "raw")
    a_zip = {"a.zip": packed()}  # not opened: it came out of one in the archive
    expected = {**images, "trainLabels.csv": b"image,level", "docs/b.zip": b"kept as it is", **a_zip}
    assert read(inside / "raw") == expected


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"t.zip": packed({"../evil": b"1"})}, "leads out of the folder"),
        ({"t.zip": packed({"a": b"1"}), "a": b"2"}, "comes twice"),
        ({"t.zip": b"text"}, "not a whole zip"),
        ({"t.zip.001": packed()[:60], "t.zip.003": packed()[60:]}, "only the parts 001, 003"),
        ({"t.zip.001": packed()[:60], "t.zip.002": packed()[60:-9]}, "not a whole zip"),
        ({"t.zip": packed(), "t.zip.001": packed()}, "only the parts 001, 001"),
    ],
)
def test_a_bad_archive_in_the_archive(inside, files, said):
    with pytest.raises(RescanError) as raised:
        archives.extract(make_zip(inside / "x.zip", {"b.jpg": b"1", **files}), inside / "raw")
    assert said in str(raised.value)
    assert "\n" not in str(raised.value)
    assert [file.name for file in inside.parent.rglob("*")] == ["inside", "x.zip"]


def test_it_is_said_before_anything_is_written_that_it_does_not_fit(inside, monkeypatch):
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(archives, "size_of", lambda _: 3 * 10**9 + 10**7)
    monkeypatch.setattr(archives, "members", lambda _: pytest.fail("it is not read"))
    refused(make_zip(inside / "x.zip"), "2.01 GB more than the free space")
