from __future__ import annotations

import io

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from rescan.data.readers import images
from rescan.data.readers.jpeg_sizes import sizes_of
from rescan.data.readers.unreadable import Unreadable


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"comment": b"x" * 60000}, {"exif": b"Exif\0\0" + b"y" * 99}]
)
def test_sizes_are_those_of_the_pictures(options):
    data = b"before"
    noise = np.random.default_rng(0).integers(0, 255, (300, 200, 3), np.uint8)
    for rows, columns in ((20, 31), (300, 200)):
        stream = io.BytesIO()
        Image.fromarray(noise[:rows, :columns]).save(stream, "JPEG", **options)
        data += stream.getvalue() + b"between"
    assert list(sizes_of(data)) == [(20, 31), (300, 200)]


@pytest.mark.parametrize(
    "data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0\xff\xff", b"no picture", b"\xff\xd8\xff\xda" + b"1" * 20]
)
def test_what_has_no_size_has_none(data):
    assert list(sizes_of(data)) == []


@pytest.mark.parametrize("name", ["JPEGLSNearLossless_16.dcm", "SC_rgb_jpeg_gdcm.dcm", "JPEGLSNearLossless_08.dcm"])
@pytest.mark.parametrize("attribute", ["Rows", "Columns"])
def test_a_picture_of_another_size_than_its_header_says_is_refused(tmp_path, name, attribute):
    """The decoder of these kinds would end the process: std::terminate."""
    path = get_testdata_file(name)
    if path is None:
        pytest.skip("this version of pydicom does not ship the file")
    content = pydicom.dcmread(path)
    size = (content.Rows, content.Columns)
    assert list(sizes_of(content.PixelData)) == [size]
    setattr(content, attribute, 2000)
    content.save_as(tmp_path / "x.dcm")
    with pytest.raises(Unreadable, match=f"damaged: its compressed picture has {size[0]}x{size[1]} pixels, its header"):
        images.read(tmp_path / "x.dcm")
