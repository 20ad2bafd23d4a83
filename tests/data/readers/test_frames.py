"""Frames of DICOM files as samples of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_files import write_dicom
from PIL import Image
from pydicom.data import get_testdata_file

from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.readers import images, volumes
from rescan.data.readers.images import Unreadable
from rescan.data.sources.download import download
from rescan.paths import Paths
from rescan.predict import files_to_predict
from rescan.results.manifest import MANIFEST

pytestmark = pytest.mark.filterwarnings("ignore")
GRAY = np.random.default_rng(0).integers(0, 256, (3, 20, 24)).astype(np.uint8)


@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "examples_ybr_color.dcm", "emri_small_RLE.dcm"])
def test_a_frame_is_that_of_pydicom(name):
    file = get_testdata_file(name, download=False)
    if file is None:
        pytest.skip("this pydicom does not ship it")
    content = pydicom.dcmread(file)
    pixels = content.pixel_array
    if content.PhotometricInterpretation == "YBR_FULL_422" and pydicom.__version__.startswith("2."):
        pixels = pydicom.pixel_data_handlers.convert_color_space(pixels, "YBR_FULL", "RGB")
    elif content.PhotometricInterpretation == "YBR_FULL_422":
        pixels = pydicom.pixels.pixel_array(file)
    for number in (1, int(content.NumberOfFrames)):
        np.testing.assert_array_equal(images.read(f"{file}#{number}")[0], pixels[number - 1])


def test_what_is_no_frame(tmp_path):
    write_dicom(tmp_path / "a", GRAY)
    np.testing.assert_array_equal(images.read(tmp_path / "a#2")[0], GRAY[1])
    with pytest.raises(Unreadable, match="has 3 frames, no frame 4"):
        images.read(tmp_path / "a#4")
    with pytest.raises(Unreadable, match="frames: each to data"):
        images.read(tmp_path / "a")
    with pytest.raises(Unreadable, match=r"is one frame of a file; .* take frames: each out"):
        volumes.read(tmp_path / "a#2")
    with pytest.raises(Unreadable, match="no such file"):
        images.read(tmp_path / "b#2")
    Image.fromarray(GRAY[0]).save(tmp_path / "c", "PNG")
    with pytest.raises(Unreadable, match="is no DICOM file, and has no frame 1"):
        images.read(tmp_path / "c#1")
    Image.fromarray(GRAY[2]).save(tmp_path / "c#1", "PNG")  # what is called so is a file
    np.testing.assert_array_equal(images.read(tmp_path / "c#1")[0], GRAY[2])


def test_a_study_may_take_each_frame(study, tmp_path, monkeypatch, textures):
    monkeypatch.chdir(tmp_path)
    for folder in ("cat", "dog"):
        (tmp_path / "raw" / folder).mkdir(parents=True)
    frames = textures(9)
    write_dicom(tmp_path / "raw/cat/a", np.stack(frames[:3]))
    write_dicom(tmp_path / "raw/cat/b", np.stack(frames[3:5]), PatientID="p 7")
    write_dicom(tmp_path / "raw/dog/c", np.stack(frames[5:8]))
    write_dicom(tmp_path / "raw/dog/d", frames[8])
    pets = study({"frames": "each", "patients": "as_is"}, test=0.2)
    paths = Paths("demo", "pets")
    download(pets)
    index(pets)
    manifest = MANIFEST.read(paths.manifest)
    assert manifest["sample"].tolist() == [
        *(f"cat/a#{number}" for number in (1, 2, 3)),
        *(f"cat/b#{number}" for number in (1, 2)),
        *(f"dog/c#{number}" for number in (1, 2, 3)),
        "dog/d",
    ]
    assert manifest["patient"].tolist() == [*["cat/a"] * 3, *["p 7"] * 2, *["dog/c"] * 3, ""]
    audit(pets, 1)
    report = json.loads(Path(paths.audit).read_text())
    assert report["unreadable"] == []
    assert report["classes"] == {"all": {"cat": 5, "dog": 4}}
    audit(study({"frames": "each", "patients": "as_is"}, test=0.2, group_by=["near_duplicate"]), 1)
    groups = pd.read_csv(paths.groups).set_index("sample")["group"]
    of_file = groups.groupby(groups.index.str.partition("#").get_level_values(0)).nunique()
    assert of_file.tolist() == [1, 1, 1, 1]
    assert groups.nunique() == 4


def test_frames_are_predicted_one_by_one(tmp_path):
    write_dicom(tmp_path / "a", GRAY)
    assert [path.name for path in files_to_predict([tmp_path], reads_volumes=False)] == ["a#1", "a#2", "a#3"]
    assert [path.name for path in files_to_predict([tmp_path / "a#2"], reads_volumes=False)] == ["a#2"]
    assert [path.name for path in files_to_predict([tmp_path / "a"], reads_volumes=True)] == ["a"]
    write_dicom(tmp_path / "b", GRAY)
    assert [path.name for path in files_to_predict([tmp_path], reads_volumes=True)] == ["a", "b"]
