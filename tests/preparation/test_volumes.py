"""Volumes through the steps of a preparation, into the store and out of it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pandas as pd
import pytest
from nibabel.affines import apply_affine
from sample_files import read_json, write_groups, write_manifest, write_source

from rescan.data.index import Files
from rescan.data.readers.images import Unreadable
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.preparation.export import export
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.preprocess import preprocess
from rescan.preparation.sample import prepare, stages_of
from rescan.preparation.store import Rows, open_beside, open_store
from rescan.study import Preparation, Study

PATHS = Paths("demo", "eyes")
EXTENT = "2 3 3"
STEPS = [
    {"name": "crop_retina", "depth": 16},
    {"name": "resize_volume", "size": [16, 12, 10]},
    {"name": "clip_percentiles", "low": 5.0, "high": 99.9},
]
FLAT = [*STEPS, "project", {"name": "patches", "grid": [2, 2]}, {"name": "resize", "size": [16, 20]}]


def preparation(steps=STEPS, **options):
    return Preparation.model_validate({"reads": "volume", "channels": "gray", "steps": steps, **options})


def make_study(steps=STEPS, **options):
    settings = preparation(steps, **options)
    encoder = "cnn5_3d" if settings.dimensions == 3 else "cnn5"
    arm = {
        "preparation": "p",
        "network": {"encoder": encoder, "weights": "none"},
        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
    }
    return Study.model_validate(
        {
            "name": "eyes",
            "scale": "demo",
            "title": "Eyes",
            "data": {"source": {"path": "raw"}, "layout": "table", "classes": ["a", "b"]},
            "preparations": {"p": settings.model_dump()},
            "arms": {"x": arm},
        }
    )


def eye(seed, shape=(40, 20, 18)):
    """A bright band in noise."""
    values = np.random.default_rng(seed).integers(0, 60, shape).astype(np.uint8)
    values[12:24] += 100
    return values


def write_stack(folder, values):
    folder.mkdir(parents=True)
    for number in range(values.shape[1]):
        cv2.imwrite(str(folder / f"{number + 1}.bmp"), values[:, number])


def write_nifti(path, values, affine=None):
    """The file's axes are (W, H, D), its index runs to the right, to the front and up."""
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.5, 0.6, 2, 1]) if affine is None else affine
    nibabel.save(nibabel.Nifti1Image(values, affine), path)


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write_tables(**columns):
    """The tables of samples in raw/, given by columns of the manifest, of which `path` is one; labels alternate."""
    table = pd.DataFrame(columns)
    defaults = {"mask": "", "layers": "", "extent": EXTENT, "sample": [f"s{number}" for number in range(len(table))]}
    table = table.assign(**{name: value for name, value in defaults.items() if name not in table})
    table["label"] = ["ab"[number % 2] for number in range(len(table))]
    write_manifest(PATHS, table)
    write_groups(PATHS, table[["sample"]])
    write_source(PATHS)


def write_lesion(name, place=None):
    lesion = np.full((40, 20, 18), 40, np.uint8)  # too dark to be marked
    if place:
        lesion[place] = 255
    write_stack(Path("raw", name), lesion)


def stored(name):
    return open_beside(PATHS.store("p"), name)


def about_store():
    return read_json(f"{PATHS.store('p')}/preparation.json")


@pytest.mark.parametrize("processes", [1, 2])
def test_a_store_of_volumes(processes):
    for number in range(4):
        write_stack(Path("raw", str(number)), eye(number))
    np.save("raw/0.npy", np.stack([np.full((20, 18), depth, np.float32) for depth in (12, 15, 17, 20, 22, 24)]))
    write_lesion("m1", np.s_[14:20, 4:12, 6:12])
    write_lesion("m2")
    write_tables(path=list("0123"), layers=["0.npy", "", "", ""], mask=["", "m1", "m2", ""])
    preprocess(make_study(), "p", processes)
    volumes, items = open_store(PATHS.store("p"))
    masks, affines, slabs = stored("masks"), stored("affines"), stored("layers")
    assert (volumes.shape, volumes.dtype) == ((4, 16, 12, 10, 1), np.uint8)
    assert (masks.shape, slabs.shape, affines.shape) == ((4, 16, 12, 10), (4, 16, 12, 10), (4, 4, 4))
    assert items["sample"].tolist() == ["s0", "s1", "s2", "s3"]
    assert items["mask"].tolist() == [0, 1, 1, 0]
    assert items["digest"].tolist() == [
        hashlib.blake2b(volume.tobytes(), digest_size=8).hexdigest() for volume in volumes
    ]
    for number in range(1, 4):
        prepared = prepare(Files(Path("raw", str(number)), extent=(2, 3, 3)), preparation())
        np.testing.assert_array_equal(volumes[number], prepared.items[0])
        np.testing.assert_array_equal(affines[number], prepared.affine)
        assert (items["low"][number], items["high"][number]) == pytest.approx(prepared.window)
    # the middle of the layers is row 18: 16 rows from row 10 on; then voxels of 3 / 12 and 3 / 10 mm
    d, h, w = 2 / 40, 3 / 12, 3 / 10
    expected = [[d, 0, 0, 10 * d], [0, h, 0, (h - 3 / 20) / 2], [0, 0, w, (w - 3 / 18) / 2], [0, 0, 0, 1]]
    np.testing.assert_allclose(affines[0], expected, atol=1e-12)
    np.testing.assert_array_equal(slabs[0][:, 5, 5], np.repeat([0, 1, 2, 0], [2, 5, 7, 2]))
    assert not slabs[1:].any()
    center = apply_affine(affines[1], np.argwhere(masks[1])).mean(axis=0)
    np.testing.assert_allclose(center, [16.5 * 2 / 40, 7.5 * 3 / 20, 8.5 * 3 / 18], atol=0.06)
    assert not masks[[0, 2, 3]].any()
    about = about_store()
    assert about["empty_masks"] == ["s2"]
    assert (about["dtype"], about["dimensions"], about["patches"]) == ("uint8", 3, 1)
    assert about["shape"] == [4, 16, 12, 10, 1]
    assert not list(Path(PATHS.store("p")).glob(".*"))


def test_patches_are_several_items_of_a_sample():
    for name in "012":
        write_stack(Path("raw", name), eye(int(name)))
    Path("raw/gone").mkdir()
    write_lesion("m", np.s_[:, 12:18, 2:6])  # in the lower left patch
    write_tables(path=["0", "gone", "2", "1"], mask=["m", "", "", "m"])
    preprocess(make_study(FLAT), "p", 2)
    images, items = open_store(PATHS.store("p"))
    assert images.shape == (12, 16, 20, 1)
    assert items["sample"].tolist() == ["s0"] * 4 + ["s2"] * 4 + ["s3"] * 4
    assert items["patch"].tolist() == [0, 1, 2, 3] * 3
    assert items["mask"].tolist() == [1] * 4 + [0] * 4 + [1] * 4
    assert items["item"].tolist() == list(range(12))
    for start, name in ((0, "0"), (4, "2"), (8, "1")):
        prepared = prepare(Files(Path("raw", name), extent=(2, 3, 3)), preparation(FLAT))
        np.testing.assert_array_equal(images[start : start + 4], prepared.items)
    lit = [False, False, True, False]
    assert stored("masks").any(axis=(1, 2)).tolist() == [*lit, *[False] * 4, *lit]
    assert stored("affines") is None
    about = about_store()
    assert (about["patches"], about["dimensions"], about["empty_masks"]) == (4, 2, [])
    assert about["left_out"] == [{"sample": "s1", "problem": "empty folder"}]


def test_patches_join_to_the_image_that_they_were_cut_from():
    write_stack(Path("raw/0"), eye(0))
    whole = prepare(Files(Path("raw/0")), preparation([*STEPS, "project"])).items[0]
    prepared = prepare(Files(Path("raw/0")), preparation([*STEPS, "project", {"name": "patches", "grid": [2, 2]}]))
    rows = [np.concatenate(prepared.items[start : start + 2], axis=1) for start in (0, 2)]
    np.testing.assert_array_equal(np.concatenate(rows), whole)


def test_a_modality_is_read_and_who_lacks_it_is_left_out():
    for name in "012":
        write_stack(Path("raw/oct", name), eye(int(name) + 5))
    write_tables(path=["x"] * 3, path_oct=["oct/0", "", "oct/2"])
    with pytest.raises(RescanError, match="class 'b'"):  # the only sample of class b
        preprocess(make_study(modality="oct"), "p", 1)
    write_tables(path=["x"] * 4, path_oct=["oct/0", "", "oct/2", "oct/1"])
    preprocess(make_study(modality="oct"), "p", 1)
    assert open_store(PATHS.store("p"))[1]["sample"].tolist() == ["s0", "s2", "s3"]
    assert about_store()["left_out"] == [{"sample": "s1", "problem": "has no file of modality 'oct'"}]
    with pytest.raises(RescanError, match="no sample has a file of modality 'octa'"):
        preprocess(make_study(modality="octa"), "p", 1)


def test_more_than_8_bits_need_a_window_and_16_bits_keep_them():
    values = np.arange(20 * 18 * 16, dtype=np.int16).reshape(20, 18, 16)
    for number in range(2):
        write_nifti(Path(f"raw/{number}.nii.gz"), values)
    write_tables(path=["0.nii.gz", "1.nii.gz"])
    size = {"name": "pad_volume", "size": [16, 18, 20]}
    window = {"name": "window", "low": 0.0, "high": 5759.0}
    for steps in ([size], [size, "project"], [size, "project", "clahe"]):
        with pytest.raises(RescanError, match=r"0\.nii\.gz: more than 8 bits: add clip_percentiles or window"):
            preprocess(make_study(steps), "p", 1)
    preprocess(make_study([size, window, "project", "clahe"]), "p", 1)
    errors = []
    for dtype, top in (("uint8", 255), ("uint16", 65535)):
        preprocess(make_study([size, window], dtype=dtype), "p", 1)
        volumes, items = open_store(PATHS.store("p"))
        assert volumes.dtype == dtype == about_store()["dtype"]
        assert items[["low", "high"]].to_numpy().tolist() == [[0, 5759]] * 2
        source = volumes[0, ..., 0].astype(float) / top * 5759
        # (W, H, D) to the right, front and up, read as up, back, left
        errors.append(abs(source - values.transpose(2, 1, 0)[:, ::-1, ::-1]).max())
    assert errors[0] == pytest.approx(5759 / 255 / 2, rel=0.05)
    assert errors[1] < 0.06


def test_gray_levels_of_8_bits_are_257_times_as_much_in_16():
    write_stack(Path("raw/0"), eye(0))
    steps = [{"name": "pad_volume", "size": [40, 20, 18]}]
    fine = prepare(Files(Path("raw/0")), preparation(steps, dtype="uint16"))
    assert fine.items[0].dtype == np.uint16
    np.testing.assert_array_equal(fine.items[0][..., 0], eye(0) * np.uint16(257))
    assert fine.window is None


def test_sizes_that_differ_name_the_step_that_is_missing():
    write_stack(Path("raw/0"), eye(0))
    write_stack(Path("raw/1"), eye(1)[:, :18])
    write_tables(path=["0", "1"])
    with pytest.raises(RescanError, match=r"s1 differs in size.*let the steps end with resize_volume or pad_volume"):
        preprocess(make_study([{"name": "crop_retina", "depth": 16}]), "p", 1)


def test_a_mask_must_lie_where_the_volume_lies():
    rng = np.random.default_rng(0)
    write_nifti(Path("raw/v.nii"), rng.integers(0, 900, (18, 20, 16)).astype(np.int16))
    labels = np.zeros((18, 20, 16), np.uint8)
    labels[10:14, 5:9, 8:12] = 2  # a label, not a picture
    moved = np.diag([0.5, 0.6, 2, 1])
    moved[0, 3] = 0.2
    write_nifti(Path("raw/m.nii"), labels)
    write_nifti(Path("raw/moved.nii"), labels, moved)
    write_nifti(Path("raw/small.nii"), labels[1:])
    write_nifti(Path("raw/turned.nii.gz"), labels[::-1], np.diag([0.5, 0.6, 2, 1]) @ flip(18))
    steps = preparation([{"name": "window", "low": 0.0, "high": 900.0}])
    prepared = prepare(Files(Path("raw/v.nii"), Path("raw/m.nii")), steps)
    np.testing.assert_array_equal(prepared.masks[0], labels.transpose(2, 1, 0)[:, ::-1, ::-1] // 2 * 255)
    turned = prepare(Files(Path("raw/v.nii"), Path("raw/turned.nii.gz")), steps)
    np.testing.assert_array_equal(turned.masks[0], prepared.masks[0])
    for name, problem in {
        "moved.nii": "mask lies elsewhere",
        "small.nii": "mask has 16x20x17 voxels, the volume 16x20x18",
        "none.nii": "mask: no such file",
    }.items():
        with pytest.raises(CannotPrepare, match=problem):
            prepare(Files(Path("raw/v.nii"), Path("raw", name)), steps)


def flip(length):
    turn = np.diag([-1.0, 1, 1, 1])
    turn[0, 3] = length - 1
    return turn


def test_images_of_a_known_extent_can_be_cropped_until_they_are_resized():
    values = np.random.default_rng(0).integers(0, 255, (400, 400), dtype=np.uint8)
    Path("raw").mkdir()
    cv2.imwrite("raw/e.png", values)
    lesion = np.zeros((30, 400, 400), np.uint8)
    lesion[20, 110:150, 260:290] = 255
    write_stack(Path("raw/lesion"), lesion)
    files = Files(Path("raw/e.png"), Path("raw/lesion"), extent=(2, 6, 6))
    box, patches, size = {"name": "crop_center"}, {"name": "patches"}, {"name": "resize", "size": [50, 50]}
    steps = {"reads": "image", "channels": "gray"}
    prepared = prepare(files, Preparation.model_validate({**steps, "steps": ["clahe", box, patches]}))
    assert [item.shape for item in prepared.items] == [(100, 100, 1)] * 4
    expected = lesion.max(axis=0)[100:300, 100:300]
    np.testing.assert_array_equal(np.block([prepared.masks[:2], prepared.masks[2:]]), expected)
    plain = prepare(files, Preparation.model_validate({**steps, "steps": [box, patches]}))
    np.testing.assert_array_equal(
        np.block([[p[..., 0] for p in plain.items[:2]], [p[..., 0] for p in plain.items[2:]]]), values[100:300, 100:300]
    )
    for sample, order in ((files, [size, box]), (files._replace(extent=None), [box])):
        with pytest.raises(CannotPrepare, match="size in millimeters is unknown"):
            prepare(sample, Preparation.model_validate({**steps, "steps": order}))


def test_a_volume_is_no_image():
    write_stack(Path("raw/0"), eye(0))
    steps = Preparation.model_validate({"steps": ["resize"]})
    with pytest.raises(Unreadable, match="add reads: volume"):
        prepare(Files(Path("raw/0")), steps)


def test_stages_are_pictures_of_the_middle():
    write_stack(Path("raw/0"), eye(0))
    write_nifti(Path("raw/v.nii"), np.arange(18 * 20 * 16, dtype=np.int16).reshape(18, 20, 16) * 5)
    stages = stages_of(Files(Path("raw/0"), extent=(2, 3, 3)), preparation(FLAT))
    assert [name for name, _ in stages] == ["raw", "crop_retina", "resize_volume", "clip_percentiles"] + [
        "project",
        "patches",
        "resize",
    ]
    np.testing.assert_array_equal(stages[0][1], eye(0)[:, 10])
    shapes = [picture.shape for _, picture in stages]
    assert shapes == [(40, 18), (16, 18), (16, 10), (16, 10), (12, 10), (6, 5), (16, 20)]
    assert all(picture.dtype == np.uint8 for _, picture in stages)
    prepared = prepare(Files(Path("raw/0")), preparation(FLAT))
    np.testing.assert_array_equal(stages[-1][1], prepared.items[0][..., 0])
    raw = stages_of("raw/v.nii", preparation([{"name": "pad_volume", "size": [16, 20, 18]}]))[0][1]
    assert raw.shape == (20, 18)  # a slice across the depth
    assert (raw.min(), raw.max()) == (0, 255)


def test_rows_are_written_read_and_left_out(tmp_path):
    rows = Rows(tmp_path / "a.npy", 5, (3, 2), "uint16")
    rows.create()
    values = np.random.default_rng(0).integers(0, 65535, (5, 3, 2)).astype(np.uint16)
    for row in (4, 0, 2):
        rows.write(row, values[row][:, ::-1])
    expected = np.where(np.isin(np.arange(5), [4, 0, 2])[:, None, None], values[:, :, ::-1], 0)
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected)
    np.testing.assert_array_equal(rows.read(4), expected[4])
    rows.keep([0, 4])
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), expected[[0, 4]])
    assert [path.name for path in tmp_path.iterdir()] == ["a.npy"]


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_exported_volumes_lie_where_the_source_lies(dtype, tmp_path):
    """A ramp along each axis of the world, resampled: its value is a voxel's place, wherever it was turned to."""
    affine = np.diag([0.5, 0.6, 2, 1.0])[:, [1, 0, 2, 3]]
    affine[:3, 3] = -4, 7, 30
    shape = (20, 18, 16)
    world = apply_affine(affine, np.stack(np.indices(shape), axis=-1))
    names = ["x/0.nii.gz", "x/1.nii.gz", "x/2.nii.gz"]
    for axis, name in enumerate(names):
        write_nifti(Path("raw", name), world[..., axis].astype(np.float32), affine)
    write_tables(path=names, sample=names)
    steps = [
        {"name": "resample", "millimeters": [1.5, 0.9, 0.0]},
        {"name": "pad_volume", "size": [18, 14, 15]},
        {"name": "window", "low": -20.0, "high": 70.0},
    ]
    study = make_study(steps, dtype=dtype)
    preprocess(study, "p", 1)
    export(study, "p", tmp_path / "out", names[1:])
    assert sorted(path.name for path in (tmp_path / "out/x").iterdir()) == ["1.nii.gz", "2.nii.gz"]
    for axis in (1, 2):
        image = nibabel.load(tmp_path / "out" / names[axis])
        assert image.get_data_dtype() == ("uint8" if dtype == "uint8" else "float32")
        assert image.shape == (15, 14, 18)
        source = np.asarray(image.dataobj) / 255 * 90 - 20
        place = apply_affine(image.affine, np.stack(np.indices(image.shape), axis=-1))
        low, high = world.reshape(-1, 3).min(0), world.reshape(-1, 3).max(0)
        inner = ((place > low + 1) & (place < high - 1)).all(axis=-1)
        assert inner.sum() > 1000
        # what is left: gray levels, and that a mean of whole voxels is not quite that of the line
        assert abs(source - place[..., axis])[inner].max() < 90 / 255 / 2 + 0.08
    with pytest.raises(RescanError, match=r"no sample 'x/4\.nii\.gz'; did you mean"):
        export(study, "p", tmp_path / "out", ["x/4.nii.gz"])


def test_only_volumes_are_exported(tmp_path):
    with pytest.raises(RescanError, match=r"preparations\.p: makes images"):
        export(make_study(FLAT), "p", tmp_path)


@pytest.mark.parametrize(
    "step", [{"name": "resize_volume", "size": [16, 8, 8]}, {"name": "pad_volume", "size": [16, 8, 8]}]
)
def test_a_volume_of_three_columns_is_no_image_of_three_colors(step):
    write_nifti(Path("raw/v.nii"), np.random.default_rng(0).integers(0, 900, (3, 20, 16)).astype(np.int16))
    steps = preparation([step, {"name": "window", "low": 0.0, "high": 900.0}])
    (item,) = prepare(Files(Path("raw/v.nii")), steps).items
    assert item.shape == (16, 8, 8, 1)
    slim = preparation([{"name": "window", "low": 0.0, "high": 900.0}])
    assert prepare(Files(Path("raw/v.nii")), slim).items[0].shape == (16, 20, 3, 1)


@pytest.mark.parametrize("reads", ["image", "volume"])
def test_a_path_that_no_file_can_have_is_a_finding(reads):
    cv2.imwrite("a.png", eye(0)[:, :, 0])
    long, flat = Path("x" * 300), Preparation.model_validate({"steps": ["clahe"]})
    steps = preparation([{"name": "window", "low": 0.0, "high": 900.0}]) if reads == "volume" else flat
    with pytest.raises(Unreadable, match="File name too long"):
        prepare(Files(long), steps)
    with pytest.raises(CannotPrepare, match="mask: File name too long"):
        prepare(Files(Path("a.png"), long), flat)
