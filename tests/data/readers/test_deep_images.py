from __future__ import annotations

import io
import struct
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from rescan.data.audit.inspection import inspect
from rescan.data.readers import images, volumes
from rescan.data.readers.images import Several, Unreadable
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import prepare_image, stages_of
from rescan.study import Preparation

DEEP = np.random.default_rng(0).integers(100, 4000, (20, 24)).astype(np.uint16)
FLOAT = DEEP.astype(np.float32) / 7
BYTES = (DEEP % 256).astype(np.uint8)


def save(path, pixels, form=None, **options):
    Image.fromarray(pixels).save(path, form, **options)
    return path


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_sixteen_bits_keep_their_values(tmp_path, form):
    image, info = images.read(save(tmp_path / "a", DEEP, form))
    np.testing.assert_array_equal(image, DEEP)
    assert image.dtype == np.uint16 or form == "PPM"
    assert (info.width, info.height) == (24, 20)


@pytest.mark.parametrize(
    "pixels", [FLOAT, FLOAT.astype(np.int32) - 300, DEEP.astype(">u2")], ids=["float", "int", "big"]
)
def test_deep_tiff_files_keep_their_values(tmp_path, pixels):
    image, _ = images.read(save(tmp_path / "a", pixels, "TIFF"))
    np.testing.assert_array_equal(image, pixels)
    assert image.dtype.isnative


@pytest.mark.parametrize("most", [255, 1000, 4095, 65535])
def test_a_pgm_file_of_any_depth_keeps_its_values(tmp_path, most):
    values = np.arange(20 * 24).reshape(20, 24) * 137 % (most + 1)
    data = values.astype(np.uint8 if most < 256 else ">u2").tobytes()
    (tmp_path / "a").write_bytes(b"P5\n# a comment\n24 20\n%d\n" % most + data)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], values)
    (tmp_path / "a").write_bytes(b"P2 24 20 %d\n" % most + " ".join(map(str, values.ravel())).encode())
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], values)


def test_color_of_a_deep_ppm_file_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"P6 24 20 4095\n" + bytes(24 * 20 * 6))
    with pytest.raises(Unreadable, match="color or transparency of more than 8 bits"):
        images.read(tmp_path / "a")


def test_signed_bytes_of_a_tiff_file_keep_their_sign(tmp_path):
    values = np.arange(-128, 112, dtype=np.int8).repeat(2).reshape(20, 24)
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[339] = 2
    Image.fromarray(values.view(np.uint8)).save(tmp_path / "a", "TIFF", tiffinfo=tags)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], values)


def test_white_may_be_zero_and_a_deep_image_be_turned(tmp_path):
    path = save(tmp_path / "a", DEEP, "TIFF", tiffinfo={262: 0})
    np.testing.assert_array_equal(images.read(path)[0], 65535 - DEEP)
    exif = Image.Exif()
    exif[0x0112] = 6
    image, info = images.read(save(tmp_path / "b", DEEP, "PNG", exif=exif))
    np.testing.assert_array_equal(image, np.rot90(DEEP, -1))
    assert (info.width, info.height) == (20, 24)


@pytest.mark.parametrize("form", [".png", ".tif", ".jp2"])
def test_color_of_sixteen_bits_is_refused(tmp_path, form):
    pixels = np.tile(DEEP[..., None], (4, 4, 3))  # OpenJPEG writes no smaller ones
    cv2.imwrite(str(tmp_path / f"a{form}"), pixels)
    with pytest.raises(Unreadable, match="of more than 8 bits per channel; convert"):
        images.read(tmp_path / f"a{form}")


@pytest.mark.parametrize("form", ["WEBP", "BMP", "JPEG2000", "GIF", "PPM"])
@pytest.mark.parametrize("shape", [(20, 24), (20, 24, 3)])
def test_other_forms_of_eight_bits(tmp_path, form, shape):
    pixels = np.full(shape, 77, np.uint8)
    pixels[:10] = 200
    image, _ = images.read(save(tmp_path / "a", pixels, form, **({"lossless": True} if form == "WEBP" else {})))
    assert abs(image.reshape(20, 24, -1)[..., 0].astype(int) - pixels.reshape(20, 24, -1)[..., 0]).max() <= 1


@pytest.mark.parametrize("kind", ["bmp565", "bmp32", "bilevel"])
def test_bmp_of_other_depths(tmp_path, kind):
    if kind == "bilevel":
        save(tmp_path / "a", DEEP > 2000, "BMP")
        expected = np.where(DEEP > 2000, 255, 0)
    else:
        bits = 16 if kind == "bmp565" else 32
        masks = struct.pack("<III", 0xF800, 0x7E0, 0x1F) if bits == 16 else struct.pack("<III", 0xFF0000, 0xFF00, 0xFF)
        rows = (np.full((20, 24), 0xFFFF, "<u2") if bits == 16 else np.full((20, 24), 0xFFFFFF, "<u4")).tobytes()
        head = struct.pack("<IiiHHIIiiII", 40, 24, 20, 1, bits, 3, len(rows), 0, 0, 0, 0)
        (tmp_path / "a").write_bytes(struct.pack("<2sIHHI", b"BM", 66 + len(rows), 0, 0, 66) + head + masks + rows)
        expected = np.full((20, 24, 3), 255)
    np.testing.assert_array_equal(images.read(tmp_path / "a")[0], expected)


def test_pages_are_a_volume_and_no_image(tmp_path):
    pages = np.random.default_rng(1).integers(0, 60000, (5, 20, 24)).astype(np.uint16)
    first, *rest = [Image.fromarray(page) for page in pages]
    first.save(tmp_path / "a.tif", save_all=True, append_images=rest)
    with pytest.raises(Several, match="holds 5 pages, an image is one; add reads: volume"):
        images.read(tmp_path / "a.tif")
    volume = volumes.read(tmp_path / "a.tif", extent=(10, 20, 48))
    np.testing.assert_array_equal(volume.values, pages)
    assert (volume.kind, np.diag(volume.affine).tolist()) == ("pages", [2, 1, 2, 1])
    found = inspect(tmp_path / "a.tif")
    assert (found.problem, found.depth, found.height, found.width) == ("", 5, 20, 24)
    first.save(tmp_path / "b.tif", save_all=True, append_images=[Image.fromarray(pages[0, :18])])
    with pytest.raises(Unreadable, match="page 2 has another size or depth"):
        volumes.read(tmp_path / "b.tif")


def test_a_smaller_copy_within_a_tiff_file_is_no_page(tmp_path):
    small = Image.fromarray(DEEP[::2, ::2])
    small.encoderinfo = {"tiffinfo": {254: 1}}
    Image.fromarray(DEEP).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    np.testing.assert_array_equal(images.read(tmp_path / "a.tif")[0], DEEP)


# ----- through a preparation


def prepare(path, *steps, **options):
    return prepare_image(path, Preparation(steps=list(steps), **{"channels": "gray", **options}))[0][..., 0]


def test_windows_and_percentiles_are_of_the_file_s_own_values(tmp_path):
    path = save(tmp_path / "a.png", DEEP)
    windowed = prepare(path, {"name": "window", "low": 1000, "high": 3000})
    expected = ((DEEP.astype(float) - 1000) / 2000 * 255).clip(0, 255)
    assert abs(windowed - expected).max() <= 0.5
    fine = prepare(path, {"name": "window", "low": 1000, "high": 3000}, dtype="uint16")
    assert abs(fine / 257 - expected).max() <= 0.5 / 257 + 1e-3
    clipped = prepare(path, {"name": "clip_percentiles", "low": 0, "high": 100})
    assert (clipped.min(), clipped.max()) == (0, 255)
    colored = prepare_image(path, Preparation(steps=[{"name": "window", "low": 1000, "high": 3000}, "clahe"]))[0]
    assert colored.shape == (20, 24, 3)


def test_without_a_window_the_message_says_the_step(tmp_path):
    path = save(tmp_path / "a.png", DEEP)
    said = rf"add clip_percentiles or window .* \{{name: window, low: {DEEP.min()}, high: {DEEP.max()}\}}"
    for steps in (["resize"], ["resize", {"name": "window", "low": 0, "high": 9}]):
        with pytest.raises(CannotPrepare, match=said):
            prepare(path, *steps)


def test_the_audit_and_figures_need_no_window(tmp_path):
    found = inspect(save(tmp_path / "a.png", DEEP))
    assert (found.problem, found.depth, found.width, found.constant) == ("", 0, 24, False)
    assert np.ptp(found.thumbnail.astype(float)) > 0
    step = {"name": "clip_percentiles", "low": 0, "high": 100}
    stages = stages_of(tmp_path / "a.png", Preparation(steps=[step], channels="gray"))
    assert [picture.dtype.name for _, picture in stages] == ["uint8", "uint8"]


def test_a_background_that_is_nan(tmp_path):
    pixels = FLOAT.copy()
    pixels[:10] = np.nan
    path = save(tmp_path / "a.tif", pixels)
    with pytest.raises(Unreadable, match=r"50% of its values .* add nan: black to the preparation"):
        prepare(path, {"name": "clip_percentiles", "low": 0, "high": 100})
    clipped = prepare(path, {"name": "clip_percentiles", "low": 0, "high": 100}, nan="black")
    assert (clipped[:10] == 0).all()
    low, high = pixels[10:].min(), pixels[10:].max()
    assert abs(clipped[10:] - (pixels[10:] - low) / (high - low) * 255).max() <= 0.5
    assert "NaN" in inspect(path).problem
    assert inspect(path, gaps=True).problem == ""
    pixels[0, 0] = np.inf
    assert "infinite" in inspect(save(tmp_path / "a.tif", pixels), gaps=True).problem


# ----- bad metadata


def chunk(name, content):
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def with_chunk(content, name, data):
    """A PNG file with a chunk more after its header."""
    return content[:33] + chunk(name, data) + content[33:]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        (b"eXIf", b"MM\0*\0\0\0\x08\xff\xff broken"),
        (b"eXIf", b"garbage"),
        (b"zTXt", b"note\0\0" + zlib.compress(b"x" * 2_000_000)),
        (b"iTXt", b"note\0\1\0\0\0" + zlib.compress(b"x" * 2_000_000)),
        (b"iCCP", b"profile\0\0" + zlib.compress(b"x" * 2_000_000)),
        (b"iCCP", b"profile\0\0damaged"),
        (b"tEXt", b"x" * 2_000_000),
        (b"zTXt", b"note\0\0damaged"),
    ],
)
def test_bad_metadata_of_a_png_file_costs_no_pixels(tmp_path, name, data):
    stream = io.BytesIO()
    Image.fromarray(BYTES).save(stream, "PNG")
    (tmp_path / "a.png").write_bytes(with_chunk(stream.getvalue(), name, data))
    np.testing.assert_array_equal(images.read(tmp_path / "a.png")[0], BYTES)


def test_a_checksum_of_metadata_costs_no_pixels_and_one_of_pixels_does(tmp_path):
    stream = io.BytesIO()
    Image.fromarray(BYTES).save(stream, "PNG")
    good = with_chunk(stream.getvalue(), b"tEXt", b"note\0some text")
    bad = bytearray(good)
    bad[good.index(b"some")] ^= 1
    (tmp_path / "a.png").write_bytes(bad)
    np.testing.assert_array_equal(images.read(tmp_path / "a.png")[0], BYTES)
    bad = bytearray(good)
    bad[good.index(b"IDAT") + 40] ^= 1
    (tmp_path / "a.png").write_bytes(bad)
    with pytest.raises(Unreadable):
        images.read(tmp_path / "a.png")


def test_broken_exif_of_a_jpeg_file_costs_no_pixels(tmp_path):
    save(tmp_path / "a.jpg", BYTES, quality=95)
    expected = images.read(tmp_path / "a.jpg")[0]
    content = (tmp_path / "a.jpg").read_bytes()
    for data in (b"Exif\0\0MM\0*\0\0\0\x08\xff\xff broken", b"Exif\0\0garbage"):
        marker = b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data
        (tmp_path / "b.jpg").write_bytes(content[:2] + marker + content[2:])
        np.testing.assert_array_equal(images.read(tmp_path / "b.jpg")[0], expected)
