from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from rescan.data.readers import images

COLORS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
GRAYS = COLORS[..., 0]


def png(array, mode=None, **options):
    stream = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(stream, "PNG", **options)
    return stream.getvalue()


def jpeg(array, mode=None, **options):
    stream = io.BytesIO()
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(stream, "JPEG", **options)
    return stream.getvalue()


def deep_color_png():
    """A PNG of 16 bits a channel and color; Pillow cannot write one, so it is put together by hand."""
    import struct
    import zlib

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in COLORS.astype(np.uint16) * 257)
    head = struct.pack(">IIBBBBB", 32, 24, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (b"not an image at all", "not an image"),
        (jpeg(COLORS)[:-200], "truncated"),
        (png(COLORS)[:-200], "truncated"),
        (png(COLORS[:1, :1]), "too small: 1x1"),
        (deep_color_png(), "of more than 8 bits per channel"),
    ],
    ids=["empty", "text", "truncated-jpeg", "truncated-png", "1x1", "16-bit-color"],
)
def test_says_why_a_file_cannot_be_read(tmp_path, content, reason):
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    with pytest.raises(images.Unreadable, match=reason) as caught:
        images.read(path)
    assert "\n" not in str(caught.value)


def test_missing_files(tmp_path):
    with pytest.raises(images.Unreadable, match="no such file"):
        images.read(tmp_path / "b.tif")


@pytest.mark.parametrize("limit", [24 * 32 // 3, 24 * 32 - 1])
def test_refuses_a_decompression_bomb(tmp_path, monkeypatch, limit):
    (tmp_path / "a.png").write_bytes(png(COLORS))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(images.Unreadable, match="pixels"):
        images.read(tmp_path / "a.png")


def read(tmp_path, content):
    path = tmp_path / "image"
    path.write_bytes(content)
    return images.read(path)


def test_gray_stays_gray_and_color_color(tmp_path):
    image, info = read(tmp_path, png(GRAYS))
    np.testing.assert_array_equal(image, GRAYS)
    assert image.dtype == np.uint8
    assert info == (32, 24, "L", ())
    image, info = read(tmp_path, png(COLORS))
    np.testing.assert_array_equal(image, COLORS)
    assert info.mode == "RGB"
    image, info = read(tmp_path, png(GRAYS > 127))
    np.testing.assert_array_equal(image, np.where(GRAYS > 127, 255, 0))
    assert info.mode == "1"


def test_transparent_is_laid_over_black(tmp_path):
    alpha = np.zeros((24, 32), np.uint8)
    alpha[:, 16:] = 255
    image, info = read(tmp_path, png(np.dstack([COLORS, alpha])))
    assert info.mode == "RGBA"
    assert (image[:, :16] == 0).all()
    np.testing.assert_array_equal(image[:, 16:], COLORS[:, 16:])
    image, _ = read(tmp_path, png(np.dstack([GRAYS, alpha])))
    assert image.shape == (24, 32)
    assert (image[:, :16] == 0).all()
    np.testing.assert_array_equal(image[:, 16:], GRAYS[:, 16:])


def test_palette_and_cmyk_become_rgb(tmp_path):
    few = COLORS // 128 * 255  # 8 colors survive a palette
    stream = io.BytesIO()
    Image.fromarray(few).quantize(8, dither=Image.Dither.NONE).save(stream, "PNG")
    image, info = read(tmp_path, stream.getvalue())
    np.testing.assert_array_equal(image, few)
    assert info.mode == "P"
    smooth = np.tile(np.linspace(40, 200, 32, dtype=np.uint8)[None, :, None], (24, 1, 3))
    image, info = read(tmp_path, jpeg(smooth, "CMYK", quality=95))
    assert info.mode == "CMYK"
    assert abs(image.astype(int) - smooth).max() < 8


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° clockwise to show
    image, info = read(tmp_path, png(COLORS, exif=exif))
    np.testing.assert_array_equal(image, np.rot90(COLORS, -1))
    assert (info.width, info.height) == (24, 32)


UPRIGHT = {  # by orientation, as TIFF 6.0 describes where the first row and column lie
    1: lambda image: image,
    2: lambda image: image[:, ::-1],
    3: lambda image: image[::-1, ::-1],
    4: lambda image: image[::-1],
    5: lambda image: image.swapaxes(0, 1),
    6: lambda image: np.rot90(image, -1),
    7: lambda image: np.rot90(image, 2).swapaxes(0, 1),
    8: np.rot90,
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("pixels", [COLORS, COLORS[..., 0].astype(np.uint16) * 200, COLORS[..., 0] / np.float32(3)])
def test_a_tiff_file_is_turned_once(tmp_path, orientation, pixels):
    for compression in ("raw", "tiff_lzw"):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "TIFF", tiffinfo={0x0112: orientation}, compression=compression)
        image, info = read(tmp_path, stream.getvalue())
        expected = UPRIGHT[orientation](pixels)
        np.testing.assert_array_equal(image, expected)
        assert (info.height, info.width) == expected.shape[:2]


def test_what_pillow_would_open_by_other_programs_is_no_image(tmp_path):
    with pytest.raises(images.Unreadable, match="not an image"):
        read(tmp_path, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n")


def test_all_black_is_readable(tmp_path):
    assert read(tmp_path, png(np.zeros((20, 20), np.uint8)))[0].max() == 0


@pytest.mark.parametrize(("at_least", "factor"), [(None, 1), (97, 1), (96, 2), (49, 2), (48, 4), (24, 8), (1, 8)])
def test_a_jpeg_may_be_decoded_smaller(tmp_path, at_least, factor):
    blocks = np.random.default_rng(0).integers(60, 200, (24, 32), dtype=np.uint8)
    large = np.asarray(Image.fromarray(blocks).resize((256, 192), Image.Resampling.BICUBIC))
    exif = Image.Exif()
    exif[0x0112] = 6
    for turn, options in ((0, {}), (-1, {"exif": exif})):
        (tmp_path / "image").write_bytes(jpeg(large, quality=95, **options))
        image, info = images.read(tmp_path / "image", at_least)
        expected = np.rot90(large.reshape(192 // factor, factor, 256 // factor, factor).mean(axis=(1, 3)), turn)
        assert image.shape == expected.shape
        assert abs(image - expected).mean() < 2
        assert (info.height, info.width) == np.rot90(large, turn).shape


def test_large_images_come_whole(tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (images.STRIP * 2 + 5, 40, 3), dtype=np.uint8)
    np.testing.assert_array_equal(read(tmp_path, png(large))[0], large)
    np.testing.assert_array_equal(read(tmp_path, png(large[..., 0]))[0], large[..., 0])
