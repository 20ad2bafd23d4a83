from __future__ import annotations

import gzip
import os
from pathlib import Path

import nibabel
import numpy as np
import pytest
from nibabel.testing import data_path
from PIL import Image
from pydicom.data import get_testdata_file

from rescan.data.readers.kinds import kind_of

GRAYS = np.arange(24 * 32, dtype=np.uint8).reshape(24, 32)
VOLUME = nibabel.Nifti1Image(np.zeros((4, 5, 6), np.int16), np.eye(4))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "JPEG2000", "PPM"])
def test_pictures_are_known_by_their_content(tmp_path, form):
    Image.fromarray(GRAYS).save(tmp_path / "x.dcm", form)
    assert kind_of(tmp_path / "x.dcm") == "image"


def test_volumes_are_known_by_their_content(tmp_path):
    big = nibabel.Nifti1Image(np.zeros((4, 5, 6), ">i2"), np.eye(4), nibabel.Nifti1Header(endianness=">"))
    contents = {
        "plain.nii.gz": VOLUME.to_bytes(),
        "zipped.nii": gzip.compress(VOLUME.to_bytes()),
        "big.png": big.to_bytes(),
        "two": nibabel.Nifti2Image(np.zeros((4, 5, 6), np.int16), np.eye(4)).to_bytes(),
        "brain.mgh": nibabel.MGHImage(np.zeros((4, 5, 6), np.int16), np.eye(4)).to_bytes(),
        "head.nrrd": b"NRRD0004\ntype: short\ndimension: 3\n",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert kind_of(tmp_path / name) == "volume", name
    for name in ("test.mgz", "example_nifti2.nii.gz", "anatomical.nii", "nifti1.hdr"):
        assert kind_of(Path(data_path, name)) == "volume", name


@pytest.mark.parametrize(
    "name",
    [
        "CT_small.dcm",
        "no_meta_group_length.dcm",
        "ExplVR_BigEndNoMeta.dcm",
        "ExplVR_LitEndNoMeta.dcm",
        "nested_priv_SQ.dcm",
        "image_dfl.dcm",
    ],
)
def test_dicom_is_known_by_its_content(name):
    assert kind_of(get_testdata_file(name)) == "dicom"


def test_other_files_are_of_no_kind(tmp_path):
    contents = {
        "empty.png": b"",
        "text.nii": b"hello " * 100,
        "BMW.bmp": b"BMW is a car, " * 30,
        "table.png": b"P5 and P6 are pages\n",
        "cut.nii.gz": gzip.compress(VOLUME.to_bytes())[:40],
        "text.nii.gz": gzip.compress(b"hello " * 100),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        assert kind_of(tmp_path / name) is None, name
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    for name in ("pipe.png", "folder.png", "gone.png"):
        assert kind_of(tmp_path / name) is None, name
    assert kind_of(get_testdata_file("DICOMDIR")) is None
