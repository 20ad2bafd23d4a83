from __future__ import annotations

import itertools
import random
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pydicom
import pytest
from nibabel import orientations
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from scipy.io import savemat

from rescan.data.audit.inspection import inspect
from rescan.data.readers import volumes
from rescan.data.readers.images import Unreadable

AXES = ("LR", "PA", "IS")
ORIENTATIONS = [codes for order in itertools.permutations(AXES) for codes in itertools.product(*order)]


def write_stack(folder, volume, names=None):
    """Write (D, H, W) uint8 as B-scans 1.bmp …, unsorted."""
    folder.mkdir(parents=True, exist_ok=True)
    names = names or [f"{number + 1}.bmp" for number in range(volume.shape[1])]
    for name, scan in random.Random(0).sample(list(zip(names, volume.transpose(1, 0, 2))), len(names)):
        cv2.imwrite(str(folder / name), scan)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def world(affine, index):
    return (affine @ [*index, 1])[:3]


def test_b_scans_are_stacked_by_their_number(tmp_path):
    volume = noise(6, 12, 5)
    write_stack(tmp_path / "eye", volume)
    (tmp_path / "eye" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "eye" / "Thumbs.db").write_bytes(b"x")
    found = volumes.read(tmp_path / "eye", extent=(2, 6, 3))
    assert np.array_equal(found.values, volume)
    assert np.diag(found.affine) == pytest.approx([2 / 6, 6 / 12, 3 / 5, 1])
    assert (found.values.shape, found.values.dtype, found.kind) == ((6, 12, 5), "uint8", "stack")
    assert np.diag(volumes.read(tmp_path / "eye").affine).tolist() == [1, 1, 1, 1]


def test_gray_b_scans_in_color_files_are_gray(tmp_path):
    volume = noise(6, 3, 5)
    (tmp_path / "eye").mkdir()
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"eye/{number}.png"), np.repeat(volume[:, number, :, None], 3, axis=2))
    assert np.array_equal(volumes.read(tmp_path / "eye").values, volume)


def test_b_scans_of_sixteen_bits_keep_their_values(tmp_path):
    volume = np.random.default_rng(0).integers(0, 60000, (6, 4, 5)).astype(np.uint16)
    write_stack(tmp_path / "eye", volume, [f"{number}.png" for number in range(4)])
    found = volumes.read(tmp_path / "eye").values
    assert np.array_equal(found, volume)
    cv2.imwrite(str(tmp_path / "eye/2.png"), noise(6, 5))
    with pytest.raises(Unreadable, match=r"B-scans differ in depth: 2\.png uint8, 0\.png uint16"):
        volumes.read(tmp_path / "eye")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda eye: (eye / "7.bmp").unlink(), r"missing B-scan: 7 of 1 to 12"),
        (lambda eye: [(eye / f"{n}.bmp").unlink() for n in (1, 2)], r"missing B-scan: 1, 2 of 1 to 12"),
        (lambda eye: (eye / "007.bmp").write_bytes((eye / "7.bmp").read_bytes()), "doubled B-scan: 007.bmp and 7.bmp"),
        (lambda eye: cv2.imwrite(str(eye / "7.bmp"), noise(6, 9)), "differ in size: 7.bmp 6x9, 1.bmp 6x5"),
        (lambda eye: (eye / "7.bmp").rename(eye / "x7.bmp"), "x7.bmp is no numbered B-scan"),
        (lambda eye: (eye / "7.bmp").write_bytes(b"BM"), "7.bmp is no image"),
        (lambda eye: (eye / "7.bmp").write_bytes(b""), "7.bmp is no image"),
        (lambda eye: cv2.imwrite(str(eye / "7.bmp"), noise(6, 5, 3)), "7.bmp is in color"),
        (lambda eye: (eye / "notes.txt").write_text("x"), "notes.txt beside 12 B-scans"),
        (lambda eye: [file.unlink() for file in eye.iterdir()], "empty folder"),
    ],
)
def test_damaged_stacks_are_named(tmp_path, change, said):
    write_stack(tmp_path / "eye", noise(6, 12, 5))
    change(tmp_path / "eye")
    with pytest.raises(Unreadable, match=said):
        volumes.read(tmp_path / "eye")
    assert inspect(tmp_path / "eye").problem != ""


def affine_of(codes, sizes=(0.7, 1.3, 2.9), turn=0.1):
    """An affine with these axis codes, slightly oblique, with an offset."""
    wanted = orientations.axcodes2ornt(codes)
    turned = np.eye(4)
    turned[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    turned[:3, 3] = (-31, 12, 7)
    axes = np.zeros((4, 4))
    axes[3, 3] = 1
    for place, (axis, flip) in enumerate(wanted.astype(int)):
        axes[axis, place] = flip * sizes[place]
    return turned @ axes


@pytest.mark.parametrize("codes", ORIENTATIONS, ids="".join)
def test_every_orientation_is_turned_to_one_and_keeps_its_world(tmp_path, codes):
    values = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
    affine = affine_of(codes)
    nibabel.save(nibabel.Nifti1Image(values, affine), tmp_path / "v.nii.gz")
    found = volumes.read(tmp_path / "v.nii.gz")
    assert orientations.aff2axcodes(found.affine) == ("S", "P", "L")
    for value in (0, 17, 63, 119):
        before = np.argwhere(values == value)[0]
        after = np.argwhere(found.values == value)[0]
        assert world(found.affine, after) == pytest.approx(world(affine, before), abs=1e-4)
    # nibabel's own way to the same axes
    closest = nibabel.as_closest_canonical(nibabel.load(tmp_path / "v.nii.gz"))
    assert np.array_equal(found.values, np.asarray(closest.dataobj).transpose(2, 1, 0)[:, ::-1, ::-1])
    assert volumes.source_grid(tmp_path / "v.nii.gz")[0] == (4, 5, 6)


def test_types_and_scales_of_nifti(tmp_path):
    values = (np.arange(60).reshape(3, 4, 5) - 7).astype(np.int16)
    image = nibabel.Nifti1Image(values, np.eye(4))
    nibabel.save(image, tmp_path / "plain.nii")
    plain = volumes.read(tmp_path / "plain.nii").values
    assert plain.dtype == np.int16
    image.header.set_slope_inter(2, 5)
    content = bytearray(image.to_bytes())
    content[112:120] = np.array([2, 5], "<f4").tobytes()
    (tmp_path / "scaled.nii").write_bytes(content)
    scaled = volumes.read(tmp_path / "scaled.nii").values
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, plain * 2.0 + 5)
    big = nibabel.Nifti1Image(values.astype(">i2"), np.eye(4), nibabel.Nifti1Header(endianness=">"))
    nibabel.save(big, tmp_path / "big.nii")
    assert np.array_equal(volumes.read(tmp_path / "big.nii").values, plain)
    nibabel.save(nibabel.Nifti1Image(values[..., None], np.eye(4)), tmp_path / "one.nii")
    assert np.array_equal(volumes.read(tmp_path / "one.nii").values, plain)


def with_voxel(value):
    values = np.zeros((4, 4, 4), np.float32)
    values[1, 2, 3] = value
    return values


@pytest.mark.parametrize(
    ("values", "affine", "said"),
    [
        (with_voxel(np.nan), np.eye(4), "no finite numbers"),
        (with_voxel(np.inf), np.eye(4), "no finite numbers"),
        (np.zeros((4, 4, 4, 3), np.int16), np.eye(4), r"has 4 dimensions \(4 x 4 x 4 x 3\); split it into 3D files"),
        (np.zeros((4, 4), np.int16), np.eye(4), "has 2 dimensions"),
        (np.zeros((4, 4, 4), np.complex64), np.eye(4), "no gray levels"),
        (with_voxel(1), np.diag([1, 1, 0, 1]), "singular affine"),
        (with_voxel(1), np.array([[1, 0.3, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]), "sheared affine"),
    ],
)
def test_bad_nifti_files_are_named(tmp_path, values, affine, said):
    image = nibabel.Nifti1Image(values, None)
    image.header.set_sform(affine, code=1)
    (tmp_path / "v.nii").write_bytes(image.to_bytes())
    with pytest.raises(Unreadable, match=said):
        volumes.read(tmp_path / "v.nii")


def test_truncated_and_other_files(tmp_path):
    nibabel.save(nibabel.Nifti1Image(noise(20, 20, 20), np.eye(4)), tmp_path / "v.nii.gz")
    content = (tmp_path / "v.nii.gz").read_bytes()
    (tmp_path / "v.nii.gz").write_bytes(content[: len(content) // 2])
    with pytest.raises(Unreadable, match="truncated"):
        volumes.read(tmp_path / "v.nii.gz")
    for name, content in (("text.nii", b"hello " * 100), ("none.nii", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Unreadable, match=r"not a volume|empty file"):
            volumes.read(tmp_path / name)
    with pytest.raises(Unreadable, match="no such file"):
        volumes.read(tmp_path / "gone.nii.gz")


def test_what_does_not_fit_into_memory_is_said_before_it_is_read(tmp_path, monkeypatch):
    write_stack(tmp_path / "eye", noise(6, 12, 5))
    nibabel.save(nibabel.Nifti1Image(noise(20, 20, 20), np.eye(4)), tmp_path / "v.nii")
    monkeypatch.setattr(np, "empty", lambda *_, **__: pytest.fail("read"))
    for path in (tmp_path / "eye", tmp_path / "v.nii"):
        with pytest.raises(Unreadable, match=r"larger than memory: needs 0.0 GB, 0.0 GB are free"):
            volumes.read(path, memory=100)


def write_series(
    folder, volume, spacing=(1.5, 0.8, 0.6), slope=1, intercept=0, series=None, skip=(), photometric="MONOCHROME2"
):
    """Write (slices, rows, columns) int16 as a DICOM series in a random order, slices going downward."""
    folder.mkdir(exist_ok=True)
    series = series or generate_uid()
    for number in random.Random(1).sample(range(len(volume)), len(volume)):
        if number in skip:
            continue
        meta = FileMetaDataset()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        meta.MediaStorageSOPClassUID = pydicom.uid.MRImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        data = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
        data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        data.SeriesInstanceUID, data.Modality = series, "MR"
        data.Rows, data.Columns = volume.shape[1:]
        data.PixelSpacing = [spacing[1], spacing[2]]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.ImagePositionPatient = [10, 20, 100 - spacing[0] * number]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, photometric
        data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 1
        data.RescaleSlope, data.RescaleIntercept = slope, intercept
        data.PixelData = volume[number].astype("<i2").tobytes()
        data.save_as(folder / f"{random.Random(number).random()}.dcm")


def test_a_dicom_series_is_sorted_by_position(tmp_path):
    volume = noise(5, 6, 7).astype(np.int16) * 9
    write_series(tmp_path / "mr", volume, intercept=-1024)
    found = volumes.read(tmp_path / "mr")
    assert np.array_equal(found.values, volume[::-1].astype(int) - 1024)  # from inferior to superior
    # voxel (slice 4, row 2, column 3) as the headers place it, in LPS; the world of NIfTI is RAS
    placed = np.array([10 + 0.6 * 3, 20 + 0.8 * 2, 100 - 1.5 * 4]) * [-1, -1, 1]
    assert world(found.affine, (0, 2, 3)) == pytest.approx(placed)
    assert found.kind == "dicom"
    write_series(tmp_path / "inverse", -1 - volume, photometric="MONOCHROME1")
    assert np.array_equal(volumes.read(tmp_path / "inverse").values, volume[::-1])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skip": (2,)}, "a slice is missing, or slices are uneven: 3.00 mm"),
        ({"second": True}, "holds 2 DICOM series"),
    ],
)
def test_bad_series_are_named(tmp_path, options, said):
    second = options.pop("second", False)
    write_series(tmp_path / "mr", noise(6, 6, 7).astype(np.int16), **options)
    if second:
        write_series(tmp_path / "mr", noise(2, 6, 7).astype(np.int16))
    with pytest.raises(Unreadable, match=said):
        volumes.read(tmp_path / "mr")


def test_other_faults_of_series(tmp_path):
    write_series(tmp_path / "twice", noise(3, 6, 7).astype(np.int16), series="1.2.3")
    first = next((tmp_path / "twice").iterdir())
    (tmp_path / "twice" / "copy.dcm").write_bytes(first.read_bytes())
    with pytest.raises(Unreadable, match=r"doubled slice: .* are at one place"):
        volumes.read(tmp_path / "twice")
    write_series(tmp_path / "short", noise(3, 6, 7).astype(np.int16))
    first = next((tmp_path / "short").iterdir())
    first.write_bytes(first.read_bytes()[:-20])
    with pytest.raises(Unreadable, match=f"{first.name}: cannot be decoded"):
        volumes.read(tmp_path / "short")
    (tmp_path / "text").mkdir()
    (tmp_path / "text/readme").write_text("hello")
    with pytest.raises(Unreadable, match="readme is neither a B-scan nor a DICOM file"):
        volumes.read(tmp_path / "text")


@pytest.mark.parametrize("kind", ["stack", "nifti"])
def test_maps_are_written_back_to_the_source_s_grid(tmp_path, kind):
    volume = noise(6, 12, 5)
    if kind == "stack":
        write_stack(tmp_path / "v", volume)
        path, extent = tmp_path / "v", (2, 6, 3)
    else:
        path, extent = tmp_path / "v.nii.gz", None
        nibabel.save(nibabel.Nifti1Image(volume, affine_of("LPI")), path)
    read = volumes.read(path, extent)
    shape, affine = volumes.source_grid(path, extent)
    peak = np.array([3, 7, 2])
    source_index = np.linalg.solve(affine, [*world(read.affine, peak), 1])[:3].round().astype(int)
    values = np.zeros(shape, np.float32)
    values[tuple(source_index)] = 1
    volumes.write_nifti(tmp_path / "map.nii.gz", values, affine)
    again = nibabel.load(tmp_path / "map.nii.gz")
    assert again.shape == shape
    found = np.argwhere(np.asarray(again.dataobj) == 1)[0]
    assert world(again.affine, found) == pytest.approx(world(read.affine, peak), abs=1e-4)
    content = Path(tmp_path / "map.nii.gz").read_bytes()
    volumes.write_nifti(tmp_path / "map.nii.gz", values, affine)
    assert Path(tmp_path / "map.nii.gz").read_bytes() == content


def test_layers_of_either_order(tmp_path):
    layers = np.sort(np.random.default_rng(0).uniform(0, 30, (6, 12, 5)).astype(np.float32), axis=0)
    savemat(tmp_path / "wide.mat", {"Layer": layers.transpose(0, 2, 1)})
    savemat(tmp_path / "tall.mat", {"Layer": layers})
    np.save(tmp_path / "plain.npy", layers)
    for name in ("wide.mat", "tall.mat", "plain.npy"):
        assert np.array_equal(volumes.read_layers(tmp_path / name, (40, 12, 5)), layers), name
    slipped = layers.copy()
    slipped[[0, 1], 3, 2] = slipped[[1, 0], 3, 2]
    np.save(tmp_path / "slipped.npy", slipped)
    expected = layers.copy()
    expected[:, 3, 2] = np.nan
    assert np.array_equal(volumes.read_layers(tmp_path / "slipped.npy", (40, 12, 5)), expected, equal_nan=True)
    np.save(tmp_path / "crossed.npy", layers[::-1])
    savemat(tmp_path / "other.mat", {"Layers": layers})
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}], object))
    for name, said in (
        ("crossed.npy", "surfaces cross"),
        ("other.mat", "no variable Layer"),
        ("objects.npy", "damaged"),
        ("gone.mat", "no such file"),
    ):
        with pytest.raises(Unreadable, match=f"layers: .*{said}"):
            volumes.read_layers(tmp_path / name, (40, 12, 5))
    with pytest.raises(Unreadable, match="do not fit a volume of 13 B-scans of 5 columns"):
        volumes.read_layers(tmp_path / "plain.npy", (40, 13, 5))


def test_inspection_of_a_volume(tmp_path):
    volume = noise(16, 24, 20)
    write_stack(tmp_path / "eye", volume)
    nibabel.save(nibabel.Nifti1Image(volume[:, ::-1, ::-1].transpose(2, 1, 0), np.eye(4)), tmp_path / "eye.nii.gz")
    stack, nifti = inspect(tmp_path / "eye"), inspect(tmp_path / "eye.nii.gz")
    assert (stack.problem, stack.depth, stack.height, stack.width) == ("", 16, 24, 20)
    assert stack.bytes == sum(file.stat().st_size for file in (tmp_path / "eye").iterdir())
    assert stack.pixels == nifti.pixels
    assert not stack.constant
    nibabel.save(nibabel.Nifti1Image(np.full((20, 20, 20), 7, np.int16), np.eye(4)), tmp_path / "flat.nii.gz")
    assert inspect(tmp_path / "flat.nii.gz").constant
    assert inspect(tmp_path / "gone").problem == "no such file"
