"""Augmentation of volumes: warps beside SciPy, flips, draws. What images have, too, is tested with them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation

from rescan import catalogue
from rescan.training import warps
from rescan.training.augment import augment, preview, preview_each
from rescan.training.warps import affine, warp

EVERY = {
    "rotation": 30,
    "tilt": 20,
    "shift": 0.2,
    "zoom": [0.8, 1.2],
    "scale": [0.8, 1.2],
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "flip_depth": 0.5,
    "brightness": [0.8, 1.2],
    "contrast": [0.8, 1.2],
    "gamma": [0.7, 1.4],
    "noise": 0.05,
}
WARPS = ("rotation", "tilt", "shift", "zoom", "scale")
NONE = {"amount": 0, "range": [1, 1], "probability": 0}
FRAME = 12  # voxels of background around a volume, in SciPy's hands


def volumes(count=3, depth=6, height=9, width=12, dtype=torch.uint8):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, depth, height, width), generator=generator).to(dtype)


def scipys(volume, matrix, background):
    """What SciPy makes of a volume (D, H, W) by a matrix (3, 4) of places from the center along D, H and W."""
    framed = np.pad(volume.astype(float), FRAME, constant_values=background)
    center = (np.array(framed.shape) - 1) / 2
    offset = center + matrix[:, 3] - matrix[:, :3] @ center
    seen = ndimage.affine_transform(framed, matrix[:, :3], offset, order=1, mode="constant", cval=background)
    return seen[FRAME:-FRAME, FRAME:-FRAME, FRAME:-FRAME]


def turned(volume, degrees, axes, background):
    """What SciPy makes of a volume turned in the plane of two of its axes."""
    framed = np.pad(volume.astype(float), FRAME, constant_values=background)
    seen = ndimage.rotate(framed, degrees, axes, reshape=False, order=1, mode="constant", cval=background)
    return seen[FRAME:-FRAME, FRAME:-FRAME, FRAME:-FRAME]


def test_all_are_there():
    assert set(EVERY) == {name for name, record in catalogue.AUGMENTATIONS.items() if record.is_for(3)}
    assert all(catalogue.AUGMENTATIONS[name].applies == "affine" for name in WARPS)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize("name", EVERY)
def test_every_augmentation_by_name(name, dtype):
    batch = volumes(dtype=dtype)
    before = batch.clone()
    one, again = (augment(batch, {name: EVERY[name]}, 1, 0) for _ in range(2))
    assert one.shape == batch.shape
    assert one.dtype == torch.float32
    assert one.min() >= 0
    assert one.max() <= 255
    assert torch.equal(one, again)
    assert torch.equal(batch, before)
    assert torch.equal(one, augment(volumes(), {name: EVERY[name]}, 1, 0))
    many = [augment(batch, {name: EVERY[name]}, seed, 0) for seed in range(6)]
    assert any(not torch.equal(different, batch.float()) for different in many)
    assert any(not torch.equal(one, different) for different in many)


@pytest.mark.parametrize("name", EVERY)
def test_no_strength_leaves_every_gray_level(name):
    batch, form = volumes(), catalogue.AUGMENTATIONS[name].form
    assert torch.equal(augment(batch, {name: NONE[form]}, 0, 7), batch.float())
    almost = {"amount": 1e-9, "range": [1 - 1e-9, 1 + 1e-9], "probability": 1e-9}[form]
    assert torch.allclose(augment(batch, {name: almost}, 0, 7), batch.float(), atol=0.01)


@pytest.mark.parametrize("name", EVERY)
def test_each_volume_has_a_draw_of_its_own(name):
    seen = augment(volumes(1).repeat(16, 1, 1, 1, 1), {name: EVERY[name]}, 5, 0)
    assert len({volume.numpy().tobytes() for volume in seen}) > (1 if "flip" in name else 15)


def test_each_volume_is_warped_by_its_own_matrix_only():
    batch = volumes(4)
    generators = {name: torch.Generator().manual_seed(3) for name in WARPS}
    matrices = affine({name: EVERY[name] for name in WARPS}, batch.shape, generators)
    together = warp(batch.float(), matrices, 5)
    for number in range(4):
        alone = warp(batch[number : number + 1].float(), matrices[number : number + 1], 5)
        assert torch.allclose(together[number], alone[0], atol=1e-4)


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 4), ("flip_vertical", 3), ("flip_depth", 2)])
def test_flips_are_exact(name, axis):
    batch = volumes()
    assert torch.equal(augment(batch, {name: 1.0}, 0, 0), batch.flip(axis).float())


def test_flips_are_drawn_apart():
    flips = {name: 0.5 for name in EVERY if "flip" in name}
    batch = volumes(1).repeat(200, 1, 1, 1, 1)
    seen = augment(batch, flips, 0, 0).numpy()[:, 0]
    eight = [np.flip(volumes(1).numpy()[0, 0], axes) for axes in ((), 0, 1, 2, (0, 1), (0, 2), (1, 2), (0, 1, 2))]
    counts = [sum(np.array_equal(volume, one) for volume in seen) for one in eight]
    assert sum(counts) == 200
    assert min(counts) > 10  # 25 on average, with a standard deviation of 4.7


def test_a_quarter_turn_of_a_cube_is_rot90(drawing):
    batch = volumes(2, 11, 11, 11)
    drawing(90)
    assert torch.allclose(augment(batch, {"rotation": 90}, 0, 0), torch.rot90(batch.float(), 1, (3, 4)), atol=0.01)
    drawing(90, 0)  # about the height, then the width
    assert torch.allclose(augment(batch, {"tilt": 90}, 0, 0), torch.rot90(batch.float(), 1, (2, 4)), atol=0.01)
    drawing(0, 90)
    assert torch.allclose(augment(batch, {"tilt": 90}, 0, 0), torch.rot90(batch.float(), 1, (2, 3)), atol=0.01)


def test_right_angles_are_kept_where_the_sides_differ(drawing):
    # A quarter turn of a 7 × 5 × 9 volume keeps its inner 5 columns of each slice inside: those voxels, turned.
    batch = volumes(1, 7, 5, 9)
    drawing(90)
    seen = augment(batch, {"rotation": 90}, 0, 0)
    assert torch.allclose(seen[..., 2:7], torch.rot90(batch.float()[..., 2:7], 1, (3, 4)), atol=0.01)
    drawing(90, 0)
    seen = augment(batch, {"tilt": 90}, 0, 0)
    assert torch.allclose(seen[..., 1:8], torch.rot90(batch.float()[..., 1:8], 1, (2, 4)), atol=0.01)


def test_turns_beside_scipy(drawing):
    batch = volumes(1, 8, 11, 15)
    volume = batch[0, 0].numpy()
    drawing(33)
    np.testing.assert_allclose(augment(batch, {"rotation": 40}, 0, 60)[0, 0], turned(volume, 33, (2, 1), 60), atol=0.02)
    drawing(33, 0)
    np.testing.assert_allclose(augment(batch, {"tilt": 40}, 0, 60)[0, 0], turned(volume, 33, (2, 0), 60), atol=0.02)
    drawing(0, -21)
    np.testing.assert_allclose(augment(batch, {"tilt": 40}, 0, 60)[0, 0], turned(volume, -21, (1, 0), 60), atol=0.02)


def test_all_warps_are_one_matrix_and_sample_once(drawing, monkeypatch):
    batch = volumes(1, 8, 11, 15)
    calls, sample = [], torch.nn.functional.grid_sample
    monkeypatch.setattr(
        warps.functional, "grid_sample", lambda *given, **options: calls.append(1) or sample(*given, **options)
    )
    drawing(25, 12, -8, 0.1, -0.2, 0.15, 0.8, 1.1, 0.9, 1.3)
    seen = augment(batch, {name: EVERY[name] for name in reversed(WARPS)}, 0, 40)[0, 0]
    assert len(calls) == 1
    # Along x, y, z: rotation · tilt · shift · zoom · scale, the turns by SciPy's Rotation.
    whole = np.eye(4)
    whole[:3, :3] = Rotation.from_euler("z", 25, degrees=True).as_matrix()
    whole[:3, :3] @= Rotation.from_euler("y", -12, degrees=True).as_matrix()
    whole[:3, :3] @= Rotation.from_euler("x", -8, degrees=True).as_matrix()
    shift = np.eye(4)
    shift[:3, 3] = 0.1 * 15, -0.2 * 11, 0.15 * 8
    whole = whole @ shift @ np.diag([0.8, 1.1, 0.9, 1]) @ np.diag([1.3, 1.3, 1.3, 1])
    along = [2, 1, 0]  # depth, height, width
    expected = scipys(batch[0, 0].numpy(), whole[along][:, [*along, 3]], 40)
    np.testing.assert_allclose(seen, expected, atol=0.05)
    assert np.abs(expected - batch[0, 0].numpy()).mean() > 20


def test_scale_is_zoom_with_one_factor_for_all_axes(drawing):
    batch = volumes()
    drawing(1.3, 1.3, 1.3)
    zoomed = augment(batch, {"zoom": [1, 2]}, 0, 50)
    drawing(1.3)
    assert torch.equal(augment(batch, {"scale": [1, 2]}, 0, 50), zoomed)


@settings(max_examples=30, deadline=None)
@given(
    sizes=st.tuples(*[st.integers(3, 9)] * 3),
    moves=st.tuples(*[st.integers(-2, 2)] * 3),
    background=st.integers(0, 255),
)
def test_a_shift_by_whole_voxels_is_a_slice(sizes, moves, background):
    volume = volumes(1, *sizes)
    matrix = torch.eye(4, dtype=torch.float64)[None]
    matrix[0, :3, 3] = torch.tensor(moves[::-1])  # x, y, z
    seen = warp(volume.float(), matrix, background)[0, 0].numpy()
    framed = np.pad(volume[0, 0].numpy(), 2, constant_values=background)
    expected = framed[tuple(slice(2 + move, 2 + move + size) for move, size in zip(moves, sizes))]
    np.testing.assert_allclose(seen, expected, atol=0.01)


@pytest.mark.parametrize("name", WARPS)
def test_a_uniform_volume_on_its_own_gray_stays_uniform(name):
    batch = torch.full((2, 1, 5, 9, 14), 77, dtype=torch.uint8)
    assert torch.equal(augment(batch, {name: EVERY[name]}, 2, 77), batch.float())


def test_uncovered_corners_get_the_background(drawing):
    drawing(45)
    seen = augment(torch.full((1, 1, 4, 33, 33), 250, dtype=torch.uint8), {"rotation": 45}, 0, 40)[0, 0]
    assert (seen[:, [0, 0, -1, -1], [0, -1, 0, -1]] == 40).all()
    assert (seen[:, 16, 16] == 250).all()


def test_gray_levels_change_by_the_whole_volume():
    batch = volumes(2)
    seen = augment(batch, {"contrast": [0.5, 0.5]}, 0, 0)
    for before, after in zip(batch.double(), seen):
        assert torch.allclose(after.double(), before.mean() + (before - before.mean()) / 2, atol=1e-3)


@pytest.mark.parametrize("name", EVERY)
def test_every_name_draws_the_same_beside_all_others(name, monkeypatch):
    states = []
    implementation, resolve = catalogue.resolve("augmentation", name), catalogue.resolve

    def spy(*given):
        states.append(next(argument for argument in given if isinstance(argument, torch.Generator)).get_state())
        return implementation(*given)

    monkeypatch.setattr(catalogue, "resolve", lambda kind, asked: spy if asked == name else resolve(kind, asked))
    for recipe in ({name: EVERY[name]}, EVERY):
        augment(volumes(), recipe, 3, 0)
    assert torch.equal(*states)


def test_a_volume_of_one_slice_is_turned_as_an_image():
    batch = volumes(3, 1, 12, 10)
    recipe = {"rotation": 40, "flip_vertical": 0.5, "brightness": [0.5, 1.5]}
    assert torch.allclose(augment(batch, recipe, 8, 9)[:, :, 0], augment(batch[:, :, 0], recipe, 8, 9), atol=0.01)


def test_preview_is_the_same_on_volumes_of_a_store():
    batch = volumes()
    seen = preview(batch.movedim(1, -1).numpy(), EVERY, 1, 9)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen, augment(batch, EVERY, 1, 9).round().movedim(1, -1).numpy())
    deep = batch.movedim(1, -1).numpy().astype(np.uint16) * 257
    np.testing.assert_array_equal(preview(deep, EVERY, 1, 9), seen)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_preview_each_shows_every_name_alone_and_visibly(dtype):
    volume = volumes(1)[0].movedim(0, -1).numpy()
    shown = preview_each(volume if dtype == np.uint8 else volume.astype(dtype) * 257, EVERY, 128)
    assert [name for name, _ in shown] == [name for name in catalogue.AUGMENTATIONS if name in EVERY]
    for name, seen in shown:
        assert seen.shape == volume.shape
        assert seen.dtype == np.uint8
        assert np.abs(seen.astype(float) - volume).mean() > 4, name


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_and_is_not_waited_for():
    recipe = {name: value for name, value in EVERY.items() if name != "noise"}  # drawn on the device
    batch = volumes(2, 24, 32, 40)
    on_gpu = batch.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen = augment(on_gpu, EVERY, 0, 9), augment(on_gpu, recipe, 0, 9)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert seen[0].is_cuda
    assert (seen[1].cpu() - augment(batch, recipe, 0, 9)).abs().mean() < 0.5
