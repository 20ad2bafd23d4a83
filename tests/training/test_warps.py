from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from rescan import catalogue
from rescan.training import augment as augmentation
from rescan.training import warps
from rescan.training.augment import augment
from rescan.training.warps import warp

EVERY = {
    "rotation": 30,
    "shift": 0.2,
    "shear": 20,
    "zoom": [0.8, 1.2],
    "scale": [0.8, 1.2],
    "crop_and_pad": 0.2,
    "optical_distortion": 0.3,
    "grid_distortion": 0.4,
    "piecewise_affine": 0.05,
}


def random_batch(count=3, channels=3, height=12, width=10):
    return torch.randint(
        0, 256, (count, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def matrix(entries):
    whole = torch.eye(3, dtype=torch.float64)[None].clone()
    for (row, column), value in entries.items():
        whole[0, row, column] = value
    return whole


def sampled(image, rows, columns, background):
    """What SciPy finds at places (in pixel indices) of an image (H, W), bilinearly; far outside lies the background."""
    framed = np.pad(image.astype(float), 1, constant_values=background)
    return ndimage.map_coordinates(framed, [rows + 1, columns + 1], order=1, mode="constant", cval=background)


def places(height, width):
    """Pixels right of and below the center (x, y), of each pixel of an image."""
    return np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)


def test_the_warps_are_those_of_the_table():
    records = catalogue.AUGMENTATIONS.values()
    fused = {record.name for record in records if record.applies in ("affine", "local")}
    assert {record.name for record in records if "warps:" in record.where} == fused
    assert {*EVERY, "tilt"} == fused


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", EVERY)
def test_a_uniform_image_on_its_own_gray_stays_uniform(name, channels):
    batch = torch.full((4, channels, 9, 14), 77, dtype=torch.uint8)
    assert torch.equal(augment(batch, {name: EVERY[name]}, 2, 77), batch.float())
    assert torch.equal(augment(batch, EVERY, 2, 77), batch.float())


@pytest.mark.parametrize("name", EVERY)
def test_every_channel_is_warped_alike(name):
    gray = random_batch(channels=1)
    alone = augment(gray, {name: EVERY[name]}, 4, 9)
    together = augment(gray.repeat(1, 3, 1, 1), {name: EVERY[name]}, 4, 9)
    assert torch.equal(together, alone.repeat(1, 3, 1, 1))


def test_all_warps_sample_the_images_once(monkeypatch):
    calls = []
    sample = torch.nn.functional.grid_sample
    monkeypatch.setattr(
        warps.functional, "grid_sample", lambda *given, **options: calls.append(1) or sample(*given, **options)
    )
    augment(random_batch(), EVERY, 0, 0)
    assert len(calls) == 1
    augment(random_batch(), {"brightness": [0.5, 2]}, 0, 0)
    assert len(calls) == 1


def test_rotation_by_90_degrees_is_rot90(drawing):
    drawing(90)
    batch = random_batch(count=2, height=11, width=11)
    turned = augment(batch, {"rotation": 90}, 0, 0)
    assert torch.allclose(turned, torch.rot90(batch.float(), 1, (2, 3)), atol=0.01)


def test_rotation_beside_scipy(drawing):
    drawing(33)
    batch = random_batch(count=1, channels=1, height=17, width=24)
    turned = augment(batch, {"rotation": 40}, 0, 60)[0, 0]
    # SciPy turns by the same angle about the same center; a frame of background is what lies outside.
    framed = np.pad(batch[0, 0].numpy().astype(float), 20, constant_values=60)
    expected = ndimage.rotate(framed, 33, reshape=False, order=1, cval=60)[20:-20, 20:-20]
    np.testing.assert_allclose(turned, expected, atol=0.02)


def test_rotation_keeps_right_angles_where_the_image_is_not_square():
    # A quarter turn of a 5 × 9 image keeps its central 5 × 5 pixels inside: they must be those pixels, turned.
    batch = random_batch(count=1, height=5, width=9)
    quarter = matrix({(0, 0): 0, (0, 1): -1, (1, 0): 1, (1, 1): 0})
    turned = warp(batch.float(), quarter, 0)
    assert torch.allclose(turned[..., 2:7], torch.rot90(batch.float()[..., 2:7], 1, (2, 3)), atol=0.01)


def test_shear_is_in_degrees_and_goes_down(drawing):
    # Keras: input row = row - sin(angle) · column, from the center: a level line falls by sin(30°) = 1/2 a column.
    drawing(30)
    batch = torch.zeros(1, 1, 41, 41, dtype=torch.uint8)
    batch[0, 0, 20] = 200
    sheared = augment(batch, {"shear": 30}, 0, 0)[0, 0]
    for column in (12, 16, 20, 24, 28):
        assert sheared[:, column].argmax() == 20 + (column - 20) / 2
        assert sheared[:, column].max() == pytest.approx(200, abs=0.1)


def test_shear_of_a_fifth_is_nearly_none():
    batch = random_batch(height=64, width=64)
    moved = augment(batch, {"shear": 0.2}, 0, 0) - batch.float()
    assert moved.abs().mean() < 255 * math.sin(math.radians(0.2)) * 16


def test_shear_narrows_columns_as_keras(drawing):
    drawing(60)
    batch = torch.zeros(1, 1, 41, 41, dtype=torch.uint8)
    batch[..., 15] = 200  # a vertical line 5 left of the center appears at 5 / cos(60°) = 10
    sheared = augment(batch, {"shear": 60}, 0, 0)[0, 0]
    assert sheared[20].argmax() == 10


def test_shift_by_a_share_of_each_side(drawing):
    drawing(0.2, 0.5)
    batch = random_batch(height=12, width=10)
    shifted = augment(batch, {"shift": 0.5}, 0, 0)
    assert torch.allclose(shifted[:, :, :6, :8], batch.float()[:, :, 6:, 2:], atol=0.01)


def test_zoom_above_one_shows_more(drawing):
    drawing(2, 1)
    batch = torch.full((1, 1, 16, 16), 100, dtype=torch.uint8)
    zoomed = augment(batch, {"zoom": [1, 2]}, 0, 0)[0, 0]
    assert torch.allclose(zoomed[:, 5:11], torch.full((16, 6), 100.0), atol=0.01)
    assert torch.equal(zoomed[:, :3], torch.zeros(16, 3))


def test_scale_is_zoom_with_one_factor_for_both_axes(drawing):
    batch = random_batch(height=20, width=30)
    drawing(1.3, 1.3)
    zoomed = augment(batch, {"zoom": [1, 2]}, 0, 50)
    drawing(1.3)
    assert torch.equal(augment(batch, {"scale": [1, 2]}, 0, 50), zoomed)


def test_crop_and_pad_is_numpys(drawing):
    batch = random_batch(count=1, channels=1, height=8, width=8)
    drawing(0.5, 0.5, 0, -0.5)  # 4 columns more at the left and at the right; the lower half cropped away
    framed = np.pad(batch[0, 0].numpy().astype(float), ((0, 0), (4, 4)), constant_values=30)[:4]
    # 4 × 16 pixels are scaled to 8 × 8: pairs of columns are averaged, the rows in between interpolated.
    rows, columns = np.meshgrid((np.arange(8) + 0.5) / 2 - 0.5, np.arange(8) * 2 + 0.5, indexing="ij")
    seen = augment(batch, {"crop_and_pad": 0.5}, 0, 30)[0, 0]
    expected = ndimage.map_coordinates(framed, [rows, columns], order=1)
    np.testing.assert_allclose(seen[1:7], expected[1:7], atol=0.01)


def test_uncovered_corners_get_the_background(drawing):
    drawing(45)
    batch = torch.full((1, 3, 33, 33), 250, dtype=torch.uint8)
    turned = augment(batch, {"rotation": 45}, 0, 40)
    corners = turned[0, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners, torch.full((3, 4), 40.0))
    assert turned[0, 0, 16, 16] == 250


def test_affine_warps_are_one_matrix_in_keras_order(drawing, monkeypatch):
    # Keras multiplies rotation · shift · shear · zoom; ours follow. Drawn in that order: 30°, (.1, -.2), 10° …
    drawing(30, 0.1, -0.2, 10, 0.8, 1.1, 1.5, 0.1, -0.2, 0, 0.3)
    seen = []
    monkeypatch.setattr(augmentation, "warp", lambda images, matrices, *_: seen.append(matrices) or images)
    recipe = {"zoom": [1, 2], "crop_and_pad": 1, "scale": [1, 2], "shear": 1, "shift": 1, "rotation": 1}
    augment(random_batch(count=1, height=20, width=10), recipe, 0, 0)
    t, s = math.radians(30), math.radians(10)
    rotation = np.array([[math.cos(t), -math.sin(t), 0], [math.sin(t), math.cos(t), 0], [0, 0, 1]])
    shift = np.array([[1, 0, 0.1 * 10], [0, 1, -0.2 * 20], [0, 0, 1]])
    shear = np.array([[math.cos(s), 0, 0], [-math.sin(s), 1, 0], [0, 0, 1]])
    zoom, scale = np.diag([0.8, 1.1, 1]), np.diag([1.5, 1.5, 1])
    # From x = -6 to 3 in place of -5 to 5, and from y = -10 to 16 in place of -10 to 10.
    crop_and_pad = np.array([[0.9, 0, -1.5], [0, 1.3, 3], [0, 0, 1]])
    np.testing.assert_allclose(seen[0][0].numpy(), rotation @ shift @ shear @ zoom @ scale @ crop_and_pad, atol=1e-12)


@pytest.mark.parametrize("coefficient", [0.15, -0.15])
def test_optical_distortion_by_its_radius(coefficient, drawing):
    drawing(coefficient)
    batch = random_batch(count=1, channels=1, height=21, width=31)
    seen = augment(batch, {"optical_distortion": 0.2}, 0, 5)[0, 0]
    x, y = places(21, 31)
    stretch = 1 + coefficient * (x**2 + y**2) / 10.5**2  # the radius is 1 at half the height
    expected = sampled(batch[0, 0].numpy(), y * stretch + 10, x * stretch + 15, 5)
    np.testing.assert_allclose(seen, expected, atol=0.02)
    assert seen[10, 15].item() == pytest.approx(batch[0, 0, 10, 15].item(), abs=1e-3)


def test_barrel_squeezes_and_pincushion_stretches_the_border(drawing):
    ring = torch.zeros(2, 1, 101, 101, dtype=torch.uint8)
    x, y = places(101, 101)
    ring[:, 0, np.abs(np.hypot(x, y) - 40) < 1] = 200
    drawing([0.2, -0.2])
    barrel, pincushion = augment(ring, {"optical_distortion": 0.2}, 0, 0)[:, 0, 50, 50:].argmax(dim=1)
    # Shown at r where r (1 ± .2 (r / 50.5)²) = 40.
    assert abs(barrel * (1 + 0.2 * (barrel / 50.5) ** 2) - 40) < 1
    assert abs(pincushion * (1 - 0.2 * (pincushion / 50.5) ** 2) - 40) < 1
    assert barrel < 40 < pincushion


def test_grid_distortion_moves_lines_and_is_linear_between(drawing):
    x_moves, y_moves = [0.4, -0.2, 0.1, 0], [-0.3, 0.3, 0, 0.2]
    drawing(x_moves, y_moves)
    batch = random_batch(count=1, channels=1, height=36, width=51)
    seen = augment(batch, {"grid_distortion": 0.4}, 0, 0)[0, 0]
    lines = np.arange(6)  # of a 5 × 5 grid between the outermost pixels, whose cells are 10 pixels wide and 7 high
    columns = np.interp(np.arange(51), lines * 10, (lines + [0, *x_moves, 0]) * 10)
    rows = np.interp(np.arange(36), lines * 7, (lines + [0, *y_moves, 0]) * 7)
    expected = sampled(batch[0, 0].numpy(), *np.meshgrid(rows, columns, indexing="ij"), 0)
    np.testing.assert_allclose(seen, expected, atol=0.02)


def test_grid_distortion_uncovers_nothing():
    batch = torch.full((8, 1, 40, 40), 200, dtype=torch.uint8)
    assert torch.allclose(augment(batch, {"grid_distortion": 0.45}, 0, 0), batch.float(), atol=0.01)


def test_piecewise_affine_without_jitter_stays():
    still = torch.zeros(2, 2, 12, 10)
    assert not warps.piecewise_affine(0, still, torch.Generator()).any()


def test_piecewise_affine_is_bilinear_between_control_points(monkeypatch):
    moves = torch.randn((1, 2, 4, 4), generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    monkeypatch.setattr(warps.torch, "randn", lambda *_, **__: moves)
    batch = random_batch(count=1, channels=1, height=31, width=46)
    seen = augment(batch, {"piecewise_affine": 0.05}, 0, 90)[0, 0]
    rows, columns = np.meshgrid(np.arange(31.0), np.arange(46.0), indexing="ij")
    in_cells = [rows / 10, columns / 15]
    x, y = (ndimage.map_coordinates(moves[0, axis].numpy(), in_cells, order=1, mode="nearest") for axis in (0, 1))
    expected = sampled(batch[0, 0].numpy(), rows + y * 0.05 * 31, columns + x * 0.05 * 46, 90)
    np.testing.assert_allclose(seen, expected, atol=0.05)


def test_piecewise_affine_has_its_standard_deviation():
    moves = warps.piecewise_affine(0.03, torch.zeros(500, 2, 10, 7), torch.Generator().manual_seed(0))
    corners = moves[:, :, [0, 0, -1, -1], [0, -1, 0, -1]] / 2  # a side is 2 long
    assert corners.std().item() == pytest.approx(0.03, rel=0.03)
    assert corners.mean().item() == pytest.approx(0, abs=0.002)


def test_local_and_affine_warps_together_are_one_after_the_other(drawing):
    # Smooth images, so that sampling once or twice makes little difference: first turned and scaled, then distorted.
    x, y = places(60, 60)
    smooth = (
        torch.from_numpy(120 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7 + x / 20)).round().to(torch.uint8)[None, None]
    )
    cells = [0.3, -0.3, 0.2, 0.1]
    drawing(25, 1.2, 0.1, cells, cells)
    recipe = {"rotation": 30, "scale": [1, 2], "optical_distortion": 0.2, "grid_distortion": 0.4}
    once = augment(smooth, recipe, 0, 120)
    drawing(25, 1.2)
    turned = augment(smooth, {"rotation": 30, "scale": [1, 2]}, 0, 120)
    drawing(0.1, cells, cells)
    twice = augment(turned, {"optical_distortion": 0.2, "grid_distortion": 0.4}, 0, 120)
    inner = (..., slice(15, 45), slice(15, 45))
    assert (once - twice)[inner].abs().max() < 2
    assert (once - turned)[inner].abs().max() > 40


def test_identical_points_and_matrices_leave_the_very_input():
    images = random_batch().float()
    assert warp(images, torch.eye(3, dtype=torch.float64).repeat(3, 1, 1), 7) is images
