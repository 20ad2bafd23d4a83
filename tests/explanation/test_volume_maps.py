"""Maps of volumes: where they lie in the world, and all that is written of an arm of volumes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sample_files import model_header, write_items, write_manifest, write_source, write_store
from sample_predictions import write_splits_of
from scipy.spatial.transform import Rotation

from rescan.data.index import Files
from rescan.data.readers import volumes
from rescan.errors import RescanError
from rescan.explanation import gradcam as overlays
from rescan.explanation import maps
from rescan.explanation.cam import gradcam
from rescan.explanation.five_panels import peak
from rescan.explanation.new_maps import draw_volume, maps_of, write_volume_maps
from rescan.explanation.volume_maps import grid_of, to_source, write
from rescan.heads.outputs import HEADS
from rescan.models.model_files import load, save
from rescan.models.networks import build
from rescan.models.normalization import normalize
from rescan.paths import Paths
from rescan.results.posttraining import Fits, NetworkFile, Posttraining
from rescan.study import Study
from rescan.training.lease import Machine

LPS = np.array([[-2.0, 0, 0, 31], [0, -1.5, 0, -17], [0, 0, 4, 5], [0, 0, 0, 1]])  # of a file in LPS order
OBLIQUE = np.eye(4)  # its axes run near those of the world, in another order
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [8, -12, 5], degrees=True).as_matrix()[:, [2, 0, 1]] * [4, 1.5, 2]
OBLIQUE[:3, 3] = -8, 3, 40


def world(affine, index):
    return affine[:3, :3] @ index + affine[:3, 3]


def hot(shape, place):
    values = np.zeros(shape, np.float32)
    values[place] = 1
    return values


# A crop moves the origin, a resampling changes the voxel sizes and moves the first center, a flip turns an axis.
PREPARED = {
    "crop": ((9, 8, 6), np.eye(3), np.array([4.0, 5, 3])),
    "flip": ((14, 18, 12), np.diag([-1.0, 1, -1]), np.array([13.0, 0, 11])),
    "coarser": ((7, 6, 4), np.diag([2.0, 3, 3]), np.array([0.5, 1, 1])),
    "finer": ((28, 18, 24), np.diag([0.5, 1, 0.5]), np.array([-0.25, 0, -0.25])),
    "flipped crop, coarser along the depth": ((5, 9, 6), np.diag([2.0, -1, 1]), np.array([2.5, 12, 3])),
}


@pytest.mark.parametrize("way", PREPARED)
@pytest.mark.parametrize("file_affine", [LPS, OBLIQUE, np.diag([1.0, 2, 3, 1])], ids=["LPS", "oblique", "RAS"])
def test_a_hot_voxel_peaks_at_its_place_in_the_world(tmp_path, file_affine, way):
    """The source is (12, 18, 14) in its own order; `volumes.read` turns it; the preparation crops, flips, resamples."""
    path = tmp_path / "source.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((12, 18, 14), np.int16), file_affine), path)
    values, axes, _ = volumes.read(path)
    shape, turn, start = PREPARED[way]
    shape = tuple(np.minimum(shape, values.shape))  # where the file's axes come in another order
    change = np.eye(4)
    change[:3, :3], change[:3, 3] = turn, start
    affine = axes @ change  # prepared index → index as read → world
    place = tuple(size // 2 for size in shape)
    write(tmp_path / "map.nii.gz", hot(shape, place), affine, grid_of(Files(path)))

    written = nibabel.load(tmp_path / "map.nii.gz")
    values = written.get_fdata()
    np.testing.assert_allclose(written.affine, nibabel.load(path).affine, atol=1e-5)
    assert values.shape == (12, 18, 14)
    assert written.get_data_dtype() == np.float32
    assert 0 < values.max() <= 1
    highest = world(written.affine, np.array(np.unravel_index(values.argmax(), values.shape)))
    half_a_voxel = np.linalg.norm(np.linalg.norm(file_affine[:3, :3], axis=0)) / 2
    assert np.linalg.norm(highest - world(affine, np.array(place))) <= half_a_voxel + 1e-5


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1, 1])] * 3), st.integers(0, 1000))
def test_what_is_only_turned_and_cropped_comes_back_exactly_and_the_rest_is_zero(order, signs, seed):
    rng = np.random.default_rng(seed)
    source_affine = np.eye(4)
    source_affine[:3, :3] = np.diag(rng.uniform(0.5, 4, 3)) @ np.linalg.qr(rng.normal(size=(3, 3)))[0]
    source_affine[:3, 3] = rng.normal(0, 50, 3)
    shape, full = (6, 7, 8), rng.random((6, 7, 8), np.float32) + 0.1
    first, last = np.array([1, 2, 0]), np.array([5, 6, 8])
    box = tuple(map(slice, first, last))
    index = np.zeros((4, 4))  # prepared index → source index
    index[3, 3] = 1
    for axis, (old, sign) in enumerate(zip(order, signs)):
        index[old, axis] = sign
        index[old, 3] = first[old] if sign > 0 else last[old] - 1
    prepared = full[box].transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    on_source = to_source(prepared, source_affine @ index, shape, source_affine)
    expected = np.zeros_like(full)
    expected[box] = full[box]
    np.testing.assert_allclose(on_source, expected, atol=1e-3)


def test_prepared_voxels_reach_to_their_edges_and_not_beyond():
    """A prepared voxel of 2 covers the source voxels 2 and 3, whose centers lie a quarter of it off its own."""
    affine = np.diag([2.0, 1, 1, 1])
    affine[0, 3] = 2.5
    on_source = to_source(np.ones((2, 3, 4), np.float32), affine, (9, 3, 5), np.eye(4))
    expected = np.zeros((9, 3, 5), np.float32)
    expected[2:6, :, :4] = 1
    np.testing.assert_array_equal(on_source, expected)
    affine[0, 3] = 100
    assert not to_source(np.ones((2, 3, 4), np.float32), affine, (9, 3, 5), np.eye(4)).any()


def test_a_stack_of_b_scans_gets_its_map_in_the_order_of_its_affine(tmp_path):
    """Depth is the B-scan's row, so the file's order, (W, H, D), has it last."""
    rng = np.random.default_rng(0)
    for number in range(1, 21):
        Image.fromarray(rng.integers(0, 256, (24, 30), np.uint8)).save(tmp_path / f"{number}.bmp")
    source = Files(tmp_path, extent=(2.0, 3.0, 6.0))
    values, affine, _ = volumes.read(source.path, source.extent)
    assert values.shape == (24, 20, 30)
    write(tmp_path / "map.nii.gz", hot((24, 20, 30), (5, 7, 11)), affine, grid_of(source))
    written = nibabel.load(tmp_path / "map.nii.gz")
    assert written.shape == (30, 20, 24)
    place = np.array(np.unravel_index(written.get_fdata().argmax(), written.shape))
    np.testing.assert_allclose(place, [11, 7, 5])
    np.testing.assert_allclose(world(written.affine, place), world(affine, np.array([5, 7, 11])), atol=1e-5)
    np.testing.assert_allclose(np.sort(written.header.get_zooms()), sorted([2 / 24, 3 / 20, 6 / 30]), rtol=1e-5)


def test_a_source_that_is_gone_is_said(tmp_path):
    with pytest.raises(RescanError, match=r"gone\.nii"):
        write(tmp_path / "map.nii.gz", np.ones((2, 2, 2), np.float32), np.eye(4), grid_of(Files(tmp_path / "gone.nii")))


CLASSES = ["NORMAL", "CNV"]
D, H, W = 40, 36, 32
FOLDER = Path("results/demo/made_up")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A made-up study in a folder of its own: 12 volumes from NIfTI files, 9 of them test, with masks and layers.

    Arm `volumes` is explained with arm `projections` beside it.
    """
    folder = tmp_path_factory.mktemp("volumes")
    stage = {"epochs": 1, "optimizer": "adam"}
    steps = [{"name": "resize_volume", "size": [D, H, W]}]
    preparations = {
        "whole": {"reads": "volume", "steps": steps, "channels": "gray"},
        "flat": {"reads": "volume", "steps": [*steps, "project"], "channels": "gray"},
    }
    networks = {"volumes": ("whole", "cnn5_3d"), "projections": ("flat", "mobilenet_v3_large")}
    study = Study.model_validate(
        {
            "name": "made_up",
            "scale": "demo",
            "title": "Made up",
            "data": {"source": {"path": "x"}, "layout": "table", "classes": CLASSES},
            "preparations": preparations,
            "arms": {
                arm: {
                    "preparation": preparation,
                    "normalization": "unit",
                    "network": {"encoder": encoder, "weights": "none", "norm": "instance"},
                    "stages": {"main": stage},
                }
                for arm, (preparation, encoder) in networks.items()
            },
            "gradcam": {"images_a_class": 1, "slab": "deep", "beside": "projections"},
        }
    )
    rng = np.random.default_rng(0)
    values = rng.integers(0, 256, (12, D, H, W, 1)).astype(np.uint16) * 257
    target = np.arange(12) % 2
    masks = np.zeros((12, D, H, W), np.uint8)
    masks[target == 1, 4:12, 5:15, 3:9] = 255
    layers = np.zeros_like(masks)
    layers[:, 3:8], layers[:, 8:14] = 1, 2
    layers[target == 0] = 0  # their layers are unknown
    samples = [f"s{number}" for number in range(12)]
    raw = folder / "data/demo/made_up/raw"
    raw.mkdir(parents=True)
    affines = []
    for sample in samples:  # twice as fine as what is prepared, in LPS order
        nibabel.save(nibabel.Nifti1Image(np.zeros((2 * W, 2 * H, 2 * D), np.int16), LPS), raw / f"{sample}.nii.gz")
        half = np.diag([2.0, 2, 2, 1])
        half[:3, 3] = 0.5
        affines.append(volumes.read(raw / f"{sample}.nii.gz").affine @ half)
    items = pd.DataFrame({"sample": samples, "mask": 1})
    stores = folder / "data/demo/made_up"
    write_store(stores / "whole", values, items, masks=masks, affines=np.array(affines), layers=layers)
    write_store(stores / "flat", (values.mean(1) / 257).round().astype(np.uint8), items, masks=masks.max(1))
    rows = pd.DataFrame({"part": ["train"] * 3 + ["test"] * 9, "item": range(12), "sample": samples})
    rows = rows.assign(group=samples, patient=samples, eye="", study="", fold=0, seed=0, target=target)
    rows[HEADS["classification"].columns(2)] = np.stack(
        [0 * target, rng.choice([-1.0, 1], 12) * (2 * target - 1)], axis=1
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        paths, files = Paths("demo", "made_up"), [f"{sample}.nii.gz" for sample in samples]
        write_source(paths, raw.as_posix())
        write_manifest(paths, pd.DataFrame({"sample": samples, "path": files, "label": CLASSES[0]}))
        write_splits_of(study, 0, rows)
        for arm in networks:
            torch.manual_seed(1)
            recipe, shape = study.arms[arm], (1, D, H, W) if arm == "volumes" else (1, H, W)
            header = model_header(recipe, CLASSES, shape, arm=arm)
            save(FOLDER / arm / "fold0_seed0/model.safetensors", build(recipe, 2, shape), header)
            rows.to_csv(FOLDER / arm / "fold0_seed0/predictions.csv", index=False)
            Posttraining(
                head="classification",
                fit_on="crossfit",
                n=0,
                classes=2,
                temperatures={"classification": Fits(whole=1.0, crossfit=[1.0] * 5)},
                runs=[],
                models=[NetworkFile(file="fold0_seed0/model.safetensors", inference=recipe.inference)],
                ensemble=False,
                trim=0.0,
            ).write(FOLDER / arm / "posttraining.json")
        overlays.gradcam(study, "volumes", Machine("cpu"))
    return study, folder


@pytest.fixture
def study(finished, tmp_path, monkeypatch):
    """The study, explained, in a copy of its folder as the current one."""
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return finished[0]


def the_map(item, target):
    """An item's map by itself."""
    network, _ = load(FOLDER / "volumes/fold0_seed0/model.safetensors")
    values = np.load("data/demo/made_up/whole/images.npy")[item] / np.float32(257)
    fed = normalize(torch.from_numpy(np.moveaxis(values, -1, 0)[None].copy()), "unit")
    raw, scaled = gradcam(network, fed, torch.tensor([target]))
    return raw[0].numpy(), scaled[0].numpy()


@pytest.mark.usefixtures("study")
def test_make_writes_what_it_says():
    folder = FOLDER / "volumes/gradcam"
    chosen, summary = pd.read_csv(folder / "chosen.csv"), json.loads((folder / "summary.json").read_text())
    assert summary["kind"] == "volumes"
    assert summary["shown"] == "the predicted class"
    assert "test volumes" in summary["rule"]
    assert not (folder / "maps.npy").exists()
    assert sorted(chosen["picture"]) == sorted(f"images/{path.name}" for path in (folder / "images").iterdir())
    assert (folder / "sheet.png").is_file()
    affines, layers = (np.load(f"data/demo/made_up/whole/{name}.npy") for name in ("affines", "layers"))
    source_affine = nibabel.load("data/demo/made_up/raw/s0.nii.gz").affine
    files = chosen["map"].tolist() + chosen["map_deep"].dropna().tolist()
    assert sorted(files) == sorted(f"volumes/{path.name}" for path in (folder / "volumes").iterdir())
    for row in chosen.itertuples():
        item = int(row.sample[1:])
        raw, scaled = the_map(item, CLASSES.index(row.predicted))
        assert row.raw_maximum == pytest.approx(raw.max(), rel=1e-3)
        assert (row.depth, row.row) == peak(scaled)[:2]
        written = nibabel.load(folder / row.map)
        np.testing.assert_allclose(written.affine, source_affine)
        expected = to_source(scaled, affines[item], (2 * W, 2 * H, 2 * D), source_affine)
        np.testing.assert_allclose(written.get_fdata(), expected, atol=1e-3)
        if row.true == "NORMAL":
            assert pd.isna(row.map_deep)
            continue
        masked = nibabel.load(folder / row.map_deep).get_fdata()
        inside = np.argwhere(masked > 0) @ source_affine[:3, :3].T + source_affine[:3, 3]
        depth = (np.linalg.inv(affines[item]) @ np.c_[inside, np.ones(len(inside))].T)[0]
        assert ((depth > 7) & (depth < 14)).all()  # slab 2 is at depths 8 to 13; trilinear, it fades within a voxel
        deep = layers[item] == 2
        assert masked.max() == pytest.approx((scaled * deep).max(), abs=0.35)
        assert (masked <= written.get_fdata() + 1e-6).all()


@pytest.mark.usefixtures("study")
def test_energies_inside_lesions_are_of_the_whole_volume():
    folder, masks = FOLDER / "volumes/gradcam", np.load("data/demo/made_up/whole/masks.npy")
    scores = pd.read_csv(folder / "scores.csv")
    assert len(scores) == 5
    assert set(scores["target"]) == {1}
    np.testing.assert_allclose(scores["area_share"], 8 * 10 * 6 / (D * H * W))
    for row in scores.itertuples():
        item = int(row.sample[1:])
        raw, _ = the_map(item, row.predicted)
        inside = raw[masks[item] > 0].sum() / raw.sum() if raw.any() else np.nan
        np.testing.assert_allclose(row.energy_inside, inside, rtol=1e-3)
    assert scores["randomized"].between(0, 1).all()


@pytest.mark.usefixtures("study")
def test_the_browser_gets_one_that_is_right_and_one_that_is_not():
    chosen = pd.read_csv(FOLDER / "volumes/gradcam/chosen.csv")
    right = chosen["true"] == chosen["predicted"]
    assert set(right) == {True, False}
    browsed = json.loads((FOLDER / "volumes/gradcam/browser.json").read_text())["volumes"]
    assert len(browsed) == 2
    assert sorted("right" in volume["title"] for volume in browsed) == [False, True]
    for volume in browsed:
        row = chosen.set_index("sample").loc[volume["title"].partition(":")[0]]
        assert row["predicted"] in volume["target"]
        assert volume["spacing"] == pytest.approx([8, 3, 4])
        mask = np.load("data/demo/made_up/whole/masks.npy")[int(row.name[1:])] > 0
        slices = np.flatnonzero(mask.any((1, 2))) if mask.any() else [row["depth"]]  # the lesion is a box
        assert volume["views"][0]["start"] == slices[len(slices) // 2]


def test_the_map_of_the_arm_beside_is_that_of_its_own_network_and_image(study, monkeypatch):
    calls = []
    original = overlays.volume_maps.panels
    monkeypatch.setattr(
        overlays.volume_maps, "panels", lambda *arguments: calls.append(arguments) or original(*arguments)
    )
    monkeypatch.setattr(overlays.volume_maps.five_panels, "draw", lambda *_: None)
    overlays.gradcam(study, "volumes", Machine("cpu"))
    chosen = pd.read_csv(FOLDER / "volumes/gradcam/chosen.csv")
    network, _ = load(FOLDER / "projections/fold0_seed0/model.safetensors")
    images = np.load("data/demo/made_up/flat/images.npy")
    for number, row in enumerate(chosen.itertuples()):
        item, beside = int(row.sample[1:]), calls[number][-1]
        fed = normalize(torch.from_numpy(np.moveaxis(images[item], -1, 0)[None].copy()), "unit")
        alone = gradcam(network, fed, torch.tensor([CLASSES.index(row.predicted)]))[1][0]
        assert beside.arm == "projections"
        np.testing.assert_array_equal(beside.image, images[item])
        np.testing.assert_allclose(beside.scaled, alone, atol=1e-3)
        assert beside.mask.any() == (row.true == "CNV")


def test_the_same_twice_and_without_masks_layers_and_an_arm_beside(study, monkeypatch):
    folder = FOLDER / "volumes/gradcam"
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (folder / "volumes/stale.nii.gz").write_bytes(b"")
    overlays.gradcam(study, "volumes", Machine("cpu"))
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    monkeypatch.setattr(overlays.volume_maps.five_panels, "draw", lambda *_: None)
    for name in ("masks", "layers"):
        Path(f"data/demo/made_up/whole/{name}.npy").unlink()
    write_items("data/demo/made_up/whole", pd.read_csv("data/demo/made_up/whole/items.csv").assign(mask=0))
    alone = study.model_copy(update={"gradcam": study.gradcam.model_copy(update={"beside": None})})
    shutil.rmtree(FOLDER / "projections")
    overlays.gradcam(alone, "volumes", Machine("cpu"))
    assert pd.read_csv(folder / "chosen.csv")["map_deep"].isna().all()
    assert json.loads((folder / "summary.json").read_text())["energies"] == {}


@pytest.mark.usefixtures("study")
def test_new_volumes_have_five_panels_and_a_map_on_the_sources_grid():
    network, header = load(FOLDER / "volumes/fold0_seed0/model.safetensors")
    images, affines = (np.load(f"data/demo/made_up/whole/{name}.npy")[:2] for name in ("images", "affines"))
    probabilities = np.array([[0.8, 0.2], [0.3, 0.7]])
    found = list(maps_of(maps.Explained(network, "unit"), images, np.array([0, 1]), probabilities))
    for number, name in enumerate(("one", "two")):
        draw_volume(Path(f"out/{name}.png"), images[number], affines[number], found[number], header.classes)
        source = Files(Path(f"data/demo/made_up/raw/s{number}.nii.gz"))
        write_volume_maps(Path("out"), name, found[number], affines[number], source)
    assert sorted(path.name for path in Path("out").iterdir()) == [
        *("one.png", "one_map.nii.gz", "two.png", "two_map.nii.gz")
    ]
    expected = to_source(the_map(1, 1)[1], affines[1], (2 * W, 2 * H, 2 * D), LPS)
    np.testing.assert_allclose(nibabel.load("out/two_map.nii.gz").get_fdata(), expected, atol=1e-3)


@pytest.mark.usefixtures("study")
def test_maps_do_not_depend_on_batches_and_16_bits_hold_the_same_as_8(monkeypatch):
    network, _ = load(FOLDER / "volumes/fold0_seed0/model.safetensors")
    images, targets = np.load("data/demo/made_up/whole/images.npy"), np.stack([np.arange(12) % 2] * 2, axis=1)
    explained = maps.Explained(network, "unit")
    raw, _ = maps.compute_maps(explained, images, targets)
    monkeypatch.setattr(maps, "VOXELS", 5 * D * H * W)
    assert maps.batch_size((D, H, W)) == 5
    again, _ = maps.compute_maps(explained, images, targets)
    np.testing.assert_allclose(again, raw, rtol=1e-3, atol=1e-4 * raw.max())
    eight, _ = maps.compute_maps(explained, (images // 257).astype(np.uint8), targets)
    np.testing.assert_allclose(eight, raw, rtol=1e-3, atol=1e-4 * raw.max())
    np.testing.assert_array_equal(maps.gray_levels(images), images // 257)


def test_batches_hold_as_many_volumes_as_sixteen_images():
    assert maps.batch_size((600, 600)) == 16
    assert maps.batch_size((48, 48, 48)) == 9
    assert maps.batch_size((256, 192, 192)) == 1
    assert maps.batch_size((16, 16, 16)) == 16
