from __future__ import annotations

import gzip
import os
import random
from pathlib import Path, PurePosixPath

import cv2
import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
from dicom_files import write_dicom
from nibabel.testing import data_path
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from rescan.data.audit.inspection import inspect
from rescan.data.index import Files
from rescan.data.layouts import folders
from rescan.data.readers import images, volumes
from rescan.data.readers.images import Unreadable
from rescan.preparation.sample import prepare
from rescan.study import Preparation

pytestmark = pytest.mark.filterwarnings("ignore")
VALUES = np.random.default_rng(0).integers(-900, 3000, (18, 20, 22)).astype(np.int16)
AFFINE = np.array([[-0.9, 0, 0, 12], [0, 1.1, 0, -7], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
IMAGE = nibabel.Nifti1Image(VALUES, AFFINE)
PREPARED = [{"name": "clip_percentiles", "low": 0, "high": 100}, {"name": "resize_volume", "size": [8, 8, 8]}]


@pytest.fixture
def expected(tmp_path):
    nibabel.save(IMAGE, tmp_path / "expected.nii")
    return volumes.read(tmp_path / "expected.nii")


def check(path, expected, **options):
    found = volumes.read(path, **options)
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_allclose(found.affine, expected.affine, atol=1e-4)
    return found


def test_the_content_says_what_a_volume_is_not_the_name(tmp_path, expected):
    contents = {
        "plain.nii.gz": IMAGE.to_bytes(),
        "zipped.nii": gzip.compress(IMAGE.to_bytes()),
        "two.img": nibabel.Nifti2Image(VALUES, AFFINE).to_bytes(),
        "brain.mgh": nibabel.MGHImage(VALUES, AFFINE).to_bytes(),
        "brain.mgz": gzip.compress(nibabel.MGHImage(VALUES, AFFINE).to_bytes()),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        check(tmp_path / name, expected)
        assert volumes.is_volume(tmp_path / name)
        shape, affine = volumes.source_grid(tmp_path / name)
        assert shape == VALUES.shape
        np.testing.assert_allclose(affine, AFFINE, atol=1e-4)
        assert inspect(tmp_path / name).pixels == inspect(tmp_path / "expected.nii").pixels


@pytest.mark.parametrize("name", ["anatomical.nii", "standard.nii.gz", "example_nifti2.nii.gz", "test.mgz"])
def test_nibabel_s_own_files_are_read_as_nibabel_reads_them(name):
    path = Path(data_path, name)
    image = nibabel.load(path)
    if image.ndim == 4:
        with pytest.raises(Unreadable, match="has 4 dimensions"):
            volumes.read(path)
        return
    expected = np.asarray(nibabel.as_closest_canonical(image).dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]
    np.testing.assert_array_equal(volumes.read(path).values, expected.astype(np.float32))


@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_nrrd_files(tmp_path, expected, encoding):
    lps = np.diag([-1.0, -1, 1, 1]) @ AFFINE
    header = {
        "space": "left-posterior-superior",
        "space directions": lps[:3, :3].T,
        "space origin": lps[:3, 3],
        "encoding": encoding,
    }
    nrrd.write(str(tmp_path / "a.nrrd"), VALUES, header)
    check(tmp_path / "a.nrrd", expected)
    nrrd.write(str(tmp_path / "b.nrrd"), VALUES, {})
    with pytest.raises(Unreadable, match="does not say where the patient's right is; convert it to NIfTI"):
        volumes.read(tmp_path / "b.nrrd")


@pytest.mark.parametrize("beside", [False, True])
def test_a_nrrd_file_that_unpacks_to_more_than_it_says_is_refused(tmp_path, beside):
    header = {"space": "lps", "space directions": np.eye(3), "space origin": np.zeros(3), "encoding": "gzip"}
    path = tmp_path / ("a.nhdr" if beside else "a.nrrd")
    nrrd.write(str(path), np.zeros((8, 64, 64, 256), np.uint8), header, detached_header=beside)
    content = path.read_bytes().replace(b"dimension: 4", b"dimension: 3")
    path.write_bytes(content.replace(b"sizes: 8 64 64 256", b"sizes: 8 64 64"))
    with pytest.raises(Unreadable, match="its compressed voxels are more than its header says"):
        volumes.read(path)


def test_a_nrrd_file_of_the_other_byte_order_and_one_with_its_data_beside(tmp_path, expected):
    affine = np.diag([-1, -1, 1, 1]) @ AFFINE
    header = {"space": "lps", "space directions": affine[:3, :3].T, "space origin": affine[:3, 3]}
    nrrd.write(str(tmp_path / "a.nrrd"), VALUES.astype(">i2"), {**header, "encoding": "raw", "endian": "big"})
    assert check(tmp_path / "a.nrrd", expected).values.dtype.isnative
    nrrd.write(str(tmp_path / "b.nhdr"), VALUES, header, detached_header=True)
    check(tmp_path / "b.nhdr", expected)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementDataFile = LOCAL\n", r"is MetaImage \(.mha, .mhd\)"),
        (nibabel.AnalyzeImage(VALUES, np.eye(4)).header.binaryblock, "is Analyze 7.5"),
        (b"\x89HDF\r\n\x1a\n" + bytes(500), "is HDF5"),
    ],
)
def test_other_kinds_of_volumes_are_named_with_the_remedy(tmp_path, content, said):
    (tmp_path / "a.mhd").write_bytes(content)
    for read in (volumes.read, images.read):
        with pytest.raises(Unreadable, match=f"^{said}.*, which is not read; convert it to NIfTI$"):
            read(tmp_path / "a.mhd")
    assert folders.samples_below(tmp_path)[0] == [PurePosixPath("a.mhd")]


def test_what_systems_leave_in_a_folder_is_no_slice(tmp_path):
    folder = tmp_path / "scan"
    folder.mkdir()
    for number in range(16):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 20), number, np.uint8))
    for name in ("Thumbs.db", "ehthumbs.db", "DICOMDIR", "._1.png", ".DS_Store"):
        (folder / name).write_bytes(b"x")
    (folder / "@eaDir").mkdir()
    os.mkfifo(folder / "pipe")
    assert volumes.read(folder).values.shape == (20, 16, 20)
    (folder / "notes.txt").write_bytes(b"x")
    with pytest.raises(Unreadable, match=r"holds notes.txt beside 16 B-scans; remove it"):
        volumes.read(folder)


def test_no_flipped_bit_of_a_compressed_file_is_read_as_other_voxels(tmp_path, expected):
    content = gzip.compress(IMAGE.to_bytes(), mtime=0)
    draw = random.Random(0)
    for _ in range(100):
        damaged = bytearray(content)
        place = draw.randrange(10, len(content))  # after gzip's header, of which nothing depends
        damaged[place] ^= 1 << draw.randrange(8)
        (tmp_path / "a.nii.gz").write_bytes(damaged)
        with pytest.raises(Unreadable):
            volumes.read(tmp_path / "a.nii.gz")
    (tmp_path / "a.nii.gz").write_bytes(content)
    check(tmp_path / "a.nii.gz", expected)


def test_voxels_that_are_nan(tmp_path):
    values = VALUES.astype(np.float32).clip(1, None)
    values[:9] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "a.nii.gz")
    with pytest.raises(Unreadable, match=r"50% of its values .* add nan: black to the preparation"):
        prepare(Files(tmp_path / "a.nii.gz"), Preparation(reads="volume", channels="gray", steps=PREPARED))
    taken = Preparation(reads="volume", channels="gray", steps=PREPARED, nan="black")
    found = prepare(Files(tmp_path / "a.nii.gz"), taken)
    black = nibabel.Nifti1Image(np.nan_to_num(values), np.eye(4))
    nibabel.save(black, tmp_path / "b.nii.gz")
    same = prepare(Files(tmp_path / "b.nii.gz"), taken)  # percentiles do not count zeros either; the least value is 1
    assert abs(found.items[0].astype(int) - same.items[0]).max() <= 1
    other = prepare(Files(tmp_path / "a.nii.gz"), taken.model_copy(update={"steps": PREPARED[::-1]}))
    assert np.isfinite(other.window).all()
    assert "NaN" in inspect(tmp_path / "a.nii.gz").problem
    assert inspect(tmp_path / "a.nii.gz", gaps=True).problem == ""


# ----- DICOM


def slices(folder, values, **attributes):
    """Write (slices, rows, columns) as a series, 2.5 mm apart."""
    folder.mkdir()
    for number, pixels in enumerate(values):
        place = {"ImagePositionPatient": [0, 0, 2.5 * number], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        given = {**place, "PixelSpacing": [1.1, 0.9], "SeriesInstanceUID": "1.2", **attributes}
        write_dicom(folder / f"{number}", pixels, **given)


@pytest.mark.parametrize("name", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_an_empty_attribute_of_a_slice_is_one_that_it_lacks(tmp_path, name):
    slices(tmp_path / "a", VALUES[:3], **{name: None})
    with pytest.raises(Unreadable, match=f"lacks {name}"):
        volumes.read(tmp_path / "a")


def test_an_empty_scale_is_none(tmp_path):
    slices(tmp_path / "a", VALUES[:3], RescaleSlope=None, RescaleIntercept=None, SliceThickness=None)
    np.testing.assert_array_equal(volumes.read(tmp_path / "a").values, VALUES[:3])


def test_padding_of_a_series_is_black(tmp_path):
    values = VALUES[:4].clip(1, None)
    values[:, :5] = -2000
    slices(tmp_path / "a", values, PixelPaddingValue=-2000)
    found = volumes.read(tmp_path / "a").values
    assert np.isnan(found[:, :5]).all()
    np.testing.assert_array_equal(found[:, 5:], values[:, 5:])
    prepared = prepare(Files(tmp_path / "a"), Preparation(reads="volume", channels="gray", steps=PREPARED[:1]))
    assert (prepared.items[0][:, :5] == 0).all()


def frame_groups(starts, slope=None):
    """Functional groups of an enhanced file, a frame each."""
    groups = []
    for start in starts:
        group, place = Dataset(), Dataset()
        place.ImagePositionPatient = [0, 0, start]
        group.PlanePositionSequence = [place]
        if slope:
            scale = Dataset()
            scale.RescaleSlope, scale.RescaleIntercept = slope, -10
            group.PixelValueTransformationSequence = [scale]
        groups.append(group)
    return groups


def shared_group():
    group, orientation, measures = Dataset(), Dataset(), Dataset()
    orientation.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    measures.PixelSpacing, measures.SliceThickness = [1.1, 0.9], 2.5
    group.PlaneOrientationSequence, group.PixelMeasuresSequence = [orientation], [measures]
    return [group]


def test_an_enhanced_file_is_the_volume_of_its_frames(tmp_path):
    slices(tmp_path / "series", VALUES[:6])
    expected = volumes.read(tmp_path / "series")
    order = [3, 0, 5, 1, 4, 2]
    groups = {"SharedFunctionalGroupsSequence": shared_group()}
    starts = [2.5 * number for number in order]
    write_dicom(tmp_path / "a", VALUES[order], PerFrameFunctionalGroupsSequence=frame_groups(starts), **groups)
    assert check(tmp_path / "a", expected).kind == "dicom"
    (tmp_path / "folder").mkdir()
    (tmp_path / "a").rename(tmp_path / "folder/a")
    check(tmp_path / "folder", expected)
    write_dicom(tmp_path / "b", VALUES[order], PerFrameFunctionalGroupsSequence=frame_groups(starts, 0.5), **groups)
    np.testing.assert_allclose(volumes.read(tmp_path / "b").values, expected.values * 0.5 - 10)
    write_dicom(tmp_path / "c", VALUES[:3], PerFrameFunctionalGroupsSequence=frame_groups([0, 2.5, 9]), **groups)
    with pytest.raises(Unreadable, match="a slice is missing, or slices are uneven"):
        volumes.read(tmp_path / "c")


def test_frames_without_a_place_lie_along_the_depth(tmp_path):
    write_dicom(tmp_path / "a", VALUES[:5])
    found = volumes.read(tmp_path / "a", extent=(10, 20, 22))
    np.testing.assert_array_equal(found.values, VALUES[:5])
    assert (found.kind, np.diag(found.affine).tolist()) == ("frames", [2, 1, 1, 1])
    inspected = inspect(tmp_path / "a")
    assert (inspected.problem, inspected.depth) == ("", 5)
    write_dicom(tmp_path / "b", np.zeros((3, 20, 22, 3), np.uint8))
    with pytest.raises(Unreadable, match=r"its frames are in color \(RGB\); a volume is gray"):
        volumes.read(tmp_path / "b")


def test_a_shipped_dose_is_read_as_pydicom_reads_it():
    path = get_testdata_file("rtdose.dcm")
    found = volumes.read(path)
    np.testing.assert_array_equal(found.values, pydicom.dcmread(path).pixel_array)


def test_what_a_series_cannot_hold_is_named(tmp_path):
    slices(tmp_path / "a", VALUES[:3])
    write_dicom(tmp_path / "a/color", np.zeros((20, 22, 3), np.uint8), SeriesInstanceUID="1.2")
    with pytest.raises(Unreadable, match="color is no gray slice: RGB"):
        volumes.read(tmp_path / "a")
    slices(tmp_path / "b", VALUES[:3])
    write_dicom(tmp_path / "b/many", VALUES[:3], SeriesInstanceUID="1.2")
    with pytest.raises(Unreadable, match="many holds several frames beside other files"):
        volumes.read(tmp_path / "b")
