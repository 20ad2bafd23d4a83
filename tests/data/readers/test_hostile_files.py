"""Files that lie about themselves, never end, or are none: each is refused by a reason, before memory is taken."""

from __future__ import annotations

import gzip
import io
import os
import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from rescan.data.audit.inspection import inspect
from rescan.data.readers import images, volumes
from rescan.data.readers.frames import frame_paths

NAN, INF = float("nan"), float("inf")
VOXELS = np.random.default_rng(0).normal(100, 20, (12, 14, 10)).astype(np.int16)
# The places of a NIfTI-1 header's fields, in bytes, and their types (nifti1.h).
DIM, TYPE, PIXDIM, OFFSET, SLOPE, INTERCEPT, SFORM, ROW, ORIGIN = 40, 70, 80, 108, 112, 116, 254, 280, 292


def nifti(*edits: tuple[int, str, object]) -> bytes:
    """A NIfTI file of 2 x 2 x 3 mm whose header has been changed at some places."""
    image = nibabel.Nifti1Image(VOXELS, np.diag([2, 2, 3, 1.0]))
    image.set_sform(np.diag([2, 2, 3, 1.0]))
    content = bytearray(image.to_bytes())
    for place, form, value in edits:
        struct.pack_into(form, content, place, *(value if isinstance(value, tuple) else (value,)))
    return bytes(content)


def no_affine(value: float) -> bytes:
    return nifti((SFORM, "<h", 0), (252, "<h", 0), (PIXDIM, "<f", value))


NIFTI = {
    **{f"dim {dim}": (nifti((DIM, "<8h", (3, *dim, 1, 1, 1, 1))), reason) for dim, reason in {
        (0, 14, 10): "holds no voxels: 10 x 14 x 0",
        (-12, 14, 10): "",
        (30000, 30000, 30000): "larger than memory: needs 216000.0 GB",
    }.items()},
    **{f"{number} dimensions": (nifti((DIM, "<h", number)), "") for number in (-1, 0, 2, 8)},
    **{f"slope {value}": (nifti((SLOPE, "<f", value)), "scl_slope is") for value in (NAN, INF, 1e30, 1e-40)},
    **{f"intercept {value}": (nifti((INTERCEPT, "<f", value)), "") for value in (NAN, INF, 1e38)},
    **{f"offset {value}": (nifti((OFFSET, "<f", value)), "") for value in (NAN, INF, 1e30, -5, 0, 100, 4000)},
    **{f"affine {value}": (nifti((ROW, "<f", value)), "") for value in (NAN, INF, 0, 1e30, 1e-30, 1e6)},
    **{f"origin {value}": (nifti((ORIGIN, "<f", value)), "") for value in (NAN, INF, 1e30)},
    **{f"voxels of {value} mm": (no_affine(value), "") for value in (NAN, INF, 0, -2, 1e30, 1e-30)},
    **{f"type {number}": (nifti((TYPE, "<h", number)), "") for number in (0, 1, 32, 128, 9999)},
}  # fmt: skip


@pytest.mark.parametrize(("content", "reason"), NIFTI.values(), ids=NIFTI)
def test_numbers_of_a_nifti_header_that_cannot_be_are_refused(tmp_path, content, reason):
    (tmp_path / "x.nii").write_bytes(content)
    with pytest.raises(images.Unreadable, match=reason or "."):
        volumes.read(tmp_path / "x.nii")


def test_the_unchanged_file_is_read(tmp_path):
    (tmp_path / "x.nii").write_bytes(nifti())
    volume = volumes.read(tmp_path / "x.nii")
    assert np.array_equal(volume.values, VOXELS.transpose(2, 1, 0)[:, ::-1, ::-1])
    (tmp_path / "x.nii").write_bytes(nifti((SLOPE, "<f", 0.0)))  # as stored, by the standard
    assert np.array_equal(volumes.read(tmp_path / "x.nii").values, volume.values)


def test_a_flipped_bit_of_a_compressed_file_is_found(tmp_path):
    """gzip's and PNG's checksums, wherever the bit is: another result without a word is what must not be."""
    png = io.BytesIO()
    Image.fromarray(VOXELS.astype(np.uint8).repeat(2, 0).repeat(2, 1).repeat(2, 2)[0]).save(png, "PNG")
    rng = random.Random(0)
    wrong = []
    for name, content, read in (
        ("x.nii.gz", gzip.compress(nifti()), lambda path: volumes.read(path).values),
        ("x.png", png.getvalue(), lambda path: images.read(path)[0]),
    ):
        path = tmp_path / name
        path.write_bytes(content)
        whole = read(path)
        for _ in range(60):
            place = rng.randrange(8 * len(content))
            damaged = bytearray(content)
            damaged[place // 8] ^= 1 << place % 8
            path.write_bytes(damaged)
            with suppress(images.Unreadable):
                wrong += [] if np.array_equal(read(path), whole) else [(name, place)]
    assert wrong == []


def series(folder: Path, changes: dict[str, str], number: int = 5) -> Path:
    """A DICOM series of 5 slices, 2 mm apart, whose slice 3 (from 0 on) is changed; a text is written as it is."""
    content = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    for place in range(number):
        own = changes if place == number // 2 else {}
        for name, text in {"ImagePositionPatient": f"0\\0\\{2 * place}", **own}.items():
            tag, value = Tag(name), (text + " " * (len(text) % 2)).encode()
            content[tag] = RawDataElement(tag, "DS", len(value), value, 0, False, True)
        content.save_as(folder / f"{place}.dcm")
        for name in own:
            del content[name]
        content.update(pydicom.dcmread(get_testdata_file("CT_small.dcm")))
    return folder


SLICES = {
    **{f"z {text}": {"ImagePositionPatient": f"0\\0\\{text}"} for text in ("nan", "inf", "1e30", "1e400", "x")},
    **{f"x {text}": {"ImagePositionPatient": f"{text}\\0\\4"} for text in ("nan", "inf", "1e30", "50")},
    **{f"spacing {text}": {"PixelSpacing": f"{text}\\0.5"} for text in ("nan", "inf", "0", "-1", "1e30", "1e-30")},
    **{f"direction {text}": {"ImageOrientationPatient": f"{text}\\0\\0\\0\\1\\0"} for text in ("nan", "0", "3", "1e9")},
    **{f"thickness {text}": {"SliceThickness": text} for text in ("nan", "inf", "-1", "1e30")},
    **{f"slope {text}": {"RescaleSlope": text} for text in ("nan", "inf", "0", "1e30", "1e-40", "x")},
    **{f"intercept {text}": {"RescaleIntercept": text} for text in ("nan", "inf", "1e30", "x")},
}


@pytest.mark.parametrize("change", SLICES.values(), ids=SLICES)
def test_numbers_of_one_slice_that_cannot_be_are_refused(tmp_path, change):
    assert len(volumes.read(series(tmp_path, {})).values) == 5
    with pytest.raises(images.Unreadable, match=r"2\.dcm|mm between"):
        volumes.read(series(tmp_path, change))


@pytest.mark.parametrize("window", ["nan\\100", "inf\\100", "1e30\\100", "100\\nan", "100\\0", "100\\-5", "100\\1e30"])
def test_a_window_that_cannot_be_is_none(tmp_path, window):
    content = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    for name, text in zip(("WindowCenter", "WindowWidth"), window.split("\\")):
        value = (text + " " * (len(text) % 2)).encode()
        content[Tag(name)] = RawDataElement(Tag(name), "DS", len(value), value, 0, False, True)
    content.save_as(tmp_path / "x.dcm")
    assert images.read(tmp_path / "x.dcm")[1].views == ()


def test_frames_that_a_file_cannot_hold_are_not_listed(tmp_path):
    content = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    content.NumberOfFrames = 10**9
    content.save_as(tmp_path / "x.dcm")
    assert frame_paths("x.dcm", tmp_path / "x.dcm") == ["x.dcm"]
    for read in (images.read, volumes.read):
        with pytest.raises(images.Unreadable):
            read(tmp_path / "x.dcm")


def png(width: int, height: int, pixels: bytes = b"\0") -> bytes:
    def part(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = part(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + part(b"IDAT", zlib.compress(pixels)) + part(b"IEND", b"")


BOMBS = {
    "png 60000": png(60000, 60000),
    "png 2**31": png(2**31 - 1, 2**31 - 1),
    "png 0": png(0, 32),
    "png 1": png(1, 1, b"\0\0"),
    "jpeg 65500": b"\xff\xd8\xff\xc0\0\x0b\x08\xff\xdc\xff\xdc\1\1\x11\0" + bytes(99),
    "bmp 2**31": b"BM" + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 2**31 - 1, 2**31 - 1, 1, 24, *(0,) * 6),
    "pnm 100000": b"P5 100000 100000 255\n" + bytes(100),
    "nrrd 30000": b"NRRD0004\ntype: short\ndimension: 3\nsizes: 30000 30000 30000\nspace: LPS\n"
    b"space directions: (2,0,0) (0,2,0) (0,0,3)\nencoding: raw\nendian: little\n\n",
    "nrrd of another's voxels": b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nspace: LPS\nendian: little\n"
    b"space directions: (2,0,0) (0,2,0) (0,0,3)\nencoding: raw\ndata file: /etc/passwd\n\n",
    "nrrd that skips": b"NRRD0004\ntype: short\ndimension: 3\nsizes: 2 2 2\nspace: LPS\nendian: little\n"
    b"space directions: (2,0,0) (0,2,0) (0,0,3)\nencoding: raw\nline skip: 1000000000\n\n",
    "empty": b"",
}


@pytest.mark.parametrize("content", BOMBS.values(), ids=BOMBS)
def test_sizes_are_checked_before_memory_is_taken(tmp_path, content, monkeypatch):
    monkeypatch.setattr("rescan.data.readers.unreadable.free_memory", lambda: 2**30)
    (tmp_path / "x").write_bytes(content)
    for read in (images.read, volumes.read):
        with pytest.raises(images.Unreadable):
            read(tmp_path / "x")
    assert inspect(tmp_path / "x").problem


def test_pages_are_counted_before_they_are_decoded(tmp_path):
    picture = Image.new("L", (64, 64))
    picture.save(tmp_path / "x.tif", save_all=True, append_images=[picture] * 9)
    assert volumes.read(tmp_path / "x.tif", memory=10 * 64 * 64 * 7).values.shape == (10, 64, 64)
    with pytest.raises(images.Unreadable, match="larger than memory"):
        volumes.read(tmp_path / "x.tif", memory=10 * 64 * 64 * 7 - 1)


def test_no_more_pages_are_counted_than_a_volume_may_have(tmp_path, monkeypatch):
    picture = Image.new("L", (64, 64))
    picture.save(tmp_path / "x.tif", save_all=True, append_images=[picture] * 9)
    monkeypatch.setattr(images, "MOST_PAGES", 10)
    assert volumes.read(tmp_path / "x.tif").values.shape == (10, 64, 64)
    monkeypatch.setattr(images, "MOST_PAGES", 9)
    for read in (images.read, volumes.read):
        with pytest.raises(images.Unreadable, match="holds more than 9 pages; split it"):
            read(tmp_path / "x.tif")


def test_a_file_larger_than_memory_is_not_begun(tmp_path):
    with (tmp_path / "x.png").open("wb") as stream:
        stream.write(png(32, 32, bytes(33 * 32)))
        stream.truncate(2**42)  # takes no room on the disk
    assert inspect(tmp_path / "x.png").problem.startswith("larger than memory: has 4398.0 GB")


def test_a_far_number_of_a_scan_is_a_gap(tmp_path):
    for number in (1, 2, 10**18):
        Image.new("L", (16, 16), 9).save(tmp_path / f"{number}.png")
    with pytest.raises(images.Unreadable, match=r"missing B-scan: 3, 4, 5, 6, 7 … of 1 to 1000000000000000000"):
        volumes.read(tmp_path)


@pytest.mark.parametrize("name", ["x.png", "x.nii.gz", "x.dcm", "x.npy"])
def test_what_is_no_file_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / "pipe")
    for target in (tmp_path / "pipe", "/dev/zero", tmp_path / "nothing", name):
        (tmp_path / name).symlink_to(target)
        for read in (images.read, volumes.read, lambda path: volumes.read_layers(path, (8, 8, 8))):
            with pytest.raises(images.Unreadable, match=r"not a file|no such file|symbolic links"):
                read(tmp_path / name)
        assert inspect(tmp_path / name).problem
        (tmp_path / name).unlink()
    assert inspect(tmp_path / ("n" * 300)).problem == "File name too long"
    assert inspect(tmp_path / "n\0").problem == "embedded null byte"


def npy(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    header = repr({"descr": kind, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header + bytes(64)


@pytest.mark.parametrize(
    "content", [npy((10**15,)), npy((5, 10**9, 8)), npy((-5, 8, 8)), npy((0, 8, 8)), npy((3,), "|O")]
)
def test_layers_of_an_array_that_lies(tmp_path, content):
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(images.Unreadable, match=r"^layers: "):
        volumes.read_layers(tmp_path / "x.npy", (8, 8, 8))
