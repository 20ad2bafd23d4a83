from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from rescan import names
from rescan.training import augmentation
from rescan.training.augmentation import augment, preview, warp

VALUES = {"amount": 0.1, "range": [0.8, 1.2], "probability": 0.5}
EVERY = {name: VALUES[entry.options["value"]] for name, entry in names.AUGMENTATIONS.items()}


def random_batch(count=3, channels=3, height=12, width=10):
    return torch.randint(
        0, 256, (count, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def matrix(entries):
    whole = torch.eye(3, dtype=torch.float64)[None].clone()
    for (row, column), value in entries.items():
        whole[0, row, column] = value
    return whole


def drawing(values, monkeypatch):
    """Make the next draws of `_uniform` these values, in order."""
    left = list(values)
    monkeypatch.setattr(
        augmentation,
        "_uniform",
        lambda _low, _high, count, _: torch.full((count,), float(left.pop(0)), dtype=torch.float64),
    )


@pytest.mark.parametrize("name", names.AUGMENTATIONS)
def test_every_augmentation_by_name(name):
    batch = random_batch()
    one, again = (augment(batch, {name: EVERY[name]}, 1, 0) for _ in range(2))
    assert one.shape == batch.shape
    assert one.dtype == torch.float32
    assert one.min() >= 0
    assert one.max() <= 255
    assert torch.equal(one, again)
    many = [augment(batch, {name: EVERY[name]}, seed, 0) for seed in range(8)]
    assert any(not torch.equal(one, different) for different in many)


def test_nothing_to_do_leaves_every_gray_level():
    batch = random_batch()
    still = {
        "rotation": 0,
        "shear": 0,
        "shift": 0,
        "zoom": [1, 1],
        "flip_horizontal": 0,
        "brightness": [1, 1],
        "noise": 0,
    }
    assert torch.equal(augment(batch, still, 0, 7), batch.float())
    assert torch.equal(augment(batch, {}, 0, 7), batch.float())


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 3), ("flip_vertical", 2)])
def test_flips_are_exact(name, axis):
    batch = random_batch()
    assert torch.equal(augment(batch, {name: 1.0}, 0, 0), batch.flip(axis).float())


def test_flip_probability():
    batch = random_batch(count=2000, height=1, width=2)
    flipped = (augment(batch, {"flip_horizontal": 0.3}, 0, 0) != batch.float()).flatten(1).any(dim=1).float().mean()
    assert abs(flipped - 0.3) < 0.05


def test_rotation_by_90_degrees_is_rot90(monkeypatch):
    drawing([90], monkeypatch)
    batch = random_batch(count=2, height=11, width=11)
    turned = augment(batch, {"rotation": 90}, 0, 0)
    assert torch.allclose(turned, torch.rot90(batch.float(), 1, (2, 3)), atol=0.01)


def test_rotation_keeps_right_angles_where_the_image_is_not_square():
    # A quarter turn of a 5 × 9 image keeps its central 5 × 5 pixels inside: they must be those pixels, turned.
    batch = random_batch(count=1, height=5, width=9)
    quarter = matrix({(0, 0): 0, (0, 1): -1, (1, 0): 1, (1, 1): 0})
    turned = warp(batch.float(), quarter, 0)
    assert torch.allclose(turned[..., 2:7], torch.rot90(batch.float()[..., 2:7], 1, (2, 3)), atol=0.01)


def test_shear_is_in_degrees_and_goes_down(monkeypatch):
    # Keras: input row = row - sin(angle) · column, from the center: a level line falls by sin(30°) = 1/2 a column.
    drawing([30], monkeypatch)
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


def test_shear_narrows_columns_as_keras(monkeypatch):
    drawing([60], monkeypatch)
    batch = torch.zeros(1, 1, 41, 41, dtype=torch.uint8)
    batch[..., 15] = 200  # a vertical line 5 left of the center appears at 5 / cos(60°) = 10
    sheared = augment(batch, {"shear": 60}, 0, 0)[0, 0]
    assert sheared[20].argmax() == 10


def test_shift_by_a_share_of_each_side(monkeypatch):
    drawing([0.2, 0.5], monkeypatch)
    batch = random_batch(height=12, width=10)
    shifted = augment(batch, {"shift": 0.5}, 0, 0)
    assert torch.allclose(shifted[:, :, :6, :8], batch.float()[:, :, 6:, 2:], atol=0.01)


def test_zoom_above_one_shows_more(monkeypatch):
    drawing([2, 1], monkeypatch)
    batch = torch.full((1, 1, 16, 16), 100, dtype=torch.uint8)
    zoomed = augment(batch, {"zoom": [1, 2]}, 0, 0)[0, 0]
    assert torch.allclose(zoomed[:, 5:11], torch.full((16, 6), 100.0), atol=0.01)
    assert torch.equal(zoomed[:, :3], torch.zeros(16, 3))


def test_uncovered_corners_get_the_background(monkeypatch):
    drawing([45], monkeypatch)
    batch = torch.full((1, 3, 33, 33), 250, dtype=torch.uint8)
    turned = augment(batch, {"rotation": 45}, 0, 40)
    corners = turned[0, :, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert torch.equal(corners, torch.full((3, 4), 40.0))
    assert turned[0, 0, 16, 16] == 250


def test_warps_are_one_matrix_in_keras_order(monkeypatch):
    # Keras multiplies rotation · shift · shear · zoom. Drawn in that order: 30°, (.1, -.2), 10°, (.8, 1.1).
    drawing([30, 0.1, -0.2, 10, 0.8, 1.1], monkeypatch)
    seen = []
    monkeypatch.setattr(augmentation, "warp", lambda images, matrices, _: seen.append(matrices) or images)
    augment(random_batch(count=1, height=20, width=10), {"zoom": [1, 1], "shear": 1, "shift": 1, "rotation": 1}, 0, 0)
    t, s = math.radians(30), math.radians(10)
    rotation = np.array([[math.cos(t), -math.sin(t), 0], [math.sin(t), math.cos(t), 0], [0, 0, 1]])
    shift = np.array([[1, 0, 0.1 * 10], [0, 1, -0.2 * 20], [0, 0, 1]])
    shear = np.array([[math.cos(s), 0, 0], [-math.sin(s), 1, 0], [0, 0, 1]])
    zoom = np.diag([0.8, 1.1, 1])
    np.testing.assert_allclose(seen[0][0].numpy(), rotation @ shift @ shear @ zoom, atol=1e-12)


def test_intensities_by_hand(monkeypatch):
    batch = torch.tensor([[[[10, 30], [50, 110]]]], dtype=torch.uint8)  # mean 50
    drawing([1.5], monkeypatch)
    assert augment(batch, {"brightness": [1, 2]}, 0, 0).flatten().tolist() == [15, 45, 75, 165]
    drawing([0.5], monkeypatch)
    assert augment(batch, {"contrast": [0, 1]}, 0, 0).flatten().tolist() == [30, 40, 50, 80]


def test_noise_has_its_standard_deviation():
    batch = torch.full((4, 1, 64, 64), 128, dtype=torch.uint8)
    noisy = augment(batch, {"noise": 0.05}, 0, 0)
    assert noisy.mean().item() == pytest.approx(128, abs=0.5)
    assert noisy.std().item() == pytest.approx(0.05 * 255, rel=0.03)


def test_adding_one_leaves_the_draws_of_the_others():
    batch = random_batch(height=16, width=16)
    alone = augment(batch, {"brightness": [0.5, 1.5]}, 3, 0)
    both = augment(batch, {"flip_horizontal": 0.5, "brightness": [0.5, 1.5]}, 3, 0)
    for one, other in zip(alone, both):
        assert torch.equal(one, other) or torch.equal(one, other.flip(-1))


def test_the_global_generator_is_left_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    augment(random_batch(), EVERY, 0, 0)
    assert torch.equal(torch.get_rng_state(), before)


def test_preview_is_the_same_on_numpy_images():
    batch = random_batch()
    seen = preview(batch.permute(0, 2, 3, 1).numpy(), EVERY, 1, 9)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen, augment(batch, EVERY, 1, 9).round().permute(0, 2, 3, 1).numpy())
