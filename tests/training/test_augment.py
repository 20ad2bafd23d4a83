from __future__ import annotations

from functools import partial

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage

from rescan import catalogue
from rescan.training import augment as augmentation
from rescan.training.augment import augment, preview, preview_each

IMAGES = [name for name, record in catalogue.AUGMENTATIONS.items() if record.is_for(2)]
# Strengths that a recipe might have: all change random images.
EVERY = {
    "rotation": 180,
    "shift": 0.1,
    "shear": 10,
    "zoom": [0.8, 1.2],
    "scale": [0.9, 1.1],
    "crop_and_pad": 0.1,
    "optical_distortion": 0.1,
    "grid_distortion": 0.3,
    "piecewise_affine": 0.03,
    "flip_horizontal": 0.5,
    "flip_vertical": 0.5,
    "brightness": [0.8, 1.2],
    "contrast": [0.8, 1.2],
    "gamma": [0.7, 1.4],
    "rgb_shift": 0.1,
    "blur": 1.5,
    "sharpen": 0.3,
    "emboss": 0.3,
    "noise": 0.05,
    "cutout": 0.5,
}
NONE = {"amount": 0, "range": [1, 1], "probability": 0}


def random_batch(count=3, channels=3, height=12, width=10):
    return torch.randint(
        0, 256, (count, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.fixture
def drawing(drawing_in):
    """The same of what follows the warps."""
    return partial(drawing_in, augmentation)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", IMAGES)
def test_every_augmentation_by_name(name, channels):
    batch = random_batch(channels=channels)
    before = batch.clone()
    one, again = (augment(batch, {name: EVERY[name]}, 1, 0) for _ in range(2))
    assert one.shape == batch.shape
    assert one.dtype == torch.float32
    assert one.min() >= 0
    assert one.max() <= 255
    assert torch.equal(one, again)
    assert torch.equal(batch, before)
    many = [augment(batch, {name: EVERY[name]}, seed, 0) for seed in range(8)]
    assert any(not torch.equal(different, batch.float()) for different in many)
    assert any(not torch.equal(one, different) for different in many)


@pytest.mark.parametrize("name", IMAGES)
def test_no_strength_leaves_every_gray_level(name):
    batch = random_batch()
    form = catalogue.AUGMENTATIONS[name].form
    assert torch.equal(augment(batch, {name: NONE[form]}, 0, 7), batch.float())
    # Nor does a draw that is the identity, or nearly, beside others that are not.
    almost = {"amount": 1e-9, "range": [1 - 1e-9, 1 + 1e-9], "probability": 1e-9}[form]
    assert torch.allclose(augment(batch, {name: almost}, 0, 7), batch.float(), atol=0.01)


def test_nothing_at_all_leaves_every_gray_level():
    batch = random_batch()
    assert torch.equal(augment(batch, {}, 0, 7), batch.float())


@pytest.mark.parametrize("name", IMAGES)
def test_each_image_has_a_draw_of_its_own(name):
    batch = random_batch(count=1).repeat(16, 1, 1, 1)
    seen = augment(batch, {name: EVERY[name]}, 5, 0)
    assert len({image.numpy().tobytes() for image in seen}) > 1


@pytest.mark.parametrize(("name", "axis"), [("flip_horizontal", 3), ("flip_vertical", 2)])
def test_flips_are_exact(name, axis):
    batch = random_batch()
    assert torch.equal(augment(batch, {name: 1.0}, 0, 0), batch.flip(axis).float())


def test_flip_probability():
    batch = random_batch(count=2000, height=1, width=2)
    flipped = (augment(batch, {"flip_horizontal": 0.3}, 0, 0) != batch.float()).flatten(1).any(dim=1).float().mean()
    assert abs(flipped - 0.3) < 0.05


def test_brightness_and_contrast_by_hand(drawing):
    batch = torch.tensor([[[[10, 30], [50, 110]]]], dtype=torch.uint8)  # mean 50
    drawing(1.5)
    assert augment(batch, {"brightness": [1, 2]}, 0, 0).flatten().tolist() == [15, 45, 75, 165]
    drawing(0.5)
    assert augment(batch, {"contrast": [0, 1]}, 0, 0).flatten().tolist() == [30, 40, 50, 80]


def test_gamma_by_hand(drawing):
    batch = torch.tensor([[[[0, 51], [102, 255]]]], dtype=torch.uint8)  # 0, .2, .4 and 1
    drawing(2)
    darker = augment(batch, {"gamma": [1, 3]}, 0, 0).flatten()
    assert darker.tolist() == pytest.approx([0, 0.04 * 255, 0.16 * 255, 255], abs=1e-3)
    drawing(0.5)
    lighter = augment(batch, {"gamma": [0.5, 1]}, 0, 0).flatten()
    assert lighter.tolist() == pytest.approx([0, 0.2**0.5 * 255, 0.4**0.5 * 255, 255], abs=1e-3)


def test_gamma_of_what_left_the_range_is_a_number(drawing):
    batch = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    drawing(3, 0.7)  # three times the contrast: far below 0 and far above 255
    assert augment(batch, {"contrast": [1, 3], "gamma": [0.5, 1]}, 0, 0).flatten().tolist() == pytest.approx([0, 255])


def test_rgb_shift_is_one_draw_a_channel(drawing):
    batch = torch.full((2, 3, 2, 2), 100, dtype=torch.uint8)
    drawing([0.1, -0.2, 0, 0.3, 0.3, -0.3])
    seen = augment(batch, {"rgb_shift": 0.3}, 0, 0)
    expected = 100 + 255 * torch.tensor([[0.1, -0.2, 0], [0.3, 0.3, -0.3]])
    assert torch.allclose(seen, expected[:, :, None, None].expand(2, 3, 2, 2))


def test_blur_beside_scipy(drawing):
    deviations = [0.4, 1.1, 2]
    drawing(deviations)
    batch = random_batch(height=30, width=41)
    seen = augment(batch, {"blur": 2}, 0, 0)
    for image, blurred, deviation in zip(batch.numpy(), seen, deviations):
        expected = ndimage.gaussian_filter(image.astype(float), deviation, axes=(1, 2), mode="nearest")
        np.testing.assert_allclose(blurred, expected, atol=0.4)


def test_sharpen_and_emboss_beside_opencv(drawing):
    batch = random_batch(height=20, width=15)
    kernels = {
        "sharpen": np.array([[-1, -1, -1], [-1, 9, -1], [-1, -1, -1]]),
        "emboss": np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
    }
    for name, kernel in kernels.items():
        drawing([0, 0.3, 1])
        seen = augment(batch, {name: 1}, 0, 0).permute(0, 2, 3, 1)
        for image, filtered, share in zip(batch.permute(0, 2, 3, 1).numpy().astype(np.float32), seen, (0, 0.3, 1)):
            classic = cv2.filter2D(image, -1, kernel.astype(np.float32), borderType=cv2.BORDER_REPLICATE)
            expected = np.clip((1 - share) * image + share * classic, 0, 255)
            np.testing.assert_allclose(filtered, expected, atol=1e-3)


@pytest.mark.parametrize("name", ["blur", "sharpen", "emboss"])
def test_filters_leave_a_uniform_image(name):
    batch = torch.full((3, 3, 8, 8), 99, dtype=torch.uint8)
    assert torch.allclose(augment(batch, {name: 1.5}, 0, 0), batch.float(), atol=1e-3)


def test_noise_has_its_standard_deviation():
    batch = torch.full((4, 1, 64, 64), 128, dtype=torch.uint8)
    noisy = augment(batch, {"noise": 0.05}, 0, 0)
    assert noisy.mean().item() == pytest.approx(128, abs=0.5)
    assert noisy.std().item() == pytest.approx(0.05 * 255, rel=0.03)


def test_cutout_is_a_box_of_its_share_of_each_side(drawing):
    shares = [0.5, 0.25, 0]
    drawing(shares, [0.999, 0, 0], [0, 0.5, 0])  # then where it lies, down and right
    batch = torch.full((3, 3, 20, 40), 200, dtype=torch.uint8)
    seen = augment(batch, {"cutout": 0.5}, 0, 31)
    for image, share in zip(seen, shares):
        assert (image == 31).sum() == 3 * (20 * share) * (40 * share)
        assert ((image == 31) | (image == 200)).all()
    assert (seen[0, :, 10:, :20] == 31).all()
    assert (seen[1, :, :5, 15:25] == 31).all()


def test_cutout_lies_everywhere_and_wholly_inside():
    batch = torch.full((400, 1, 10, 10), 200, dtype=torch.uint8)
    boxes = augment(batch, {"cutout": 1}, 0, 0)[:, 0] == 0
    heights, widths = boxes.any(dim=2).sum(dim=1), boxes.any(dim=1).sum(dim=1)
    assert torch.equal(heights, widths)
    assert torch.equal(boxes.sum(dim=(1, 2)), heights * widths)
    assert set(heights.tolist()) == set(range(11))
    assert boxes.any(dim=0).all()


def test_what_follows_the_warps_is_in_the_order_of_the_table(drawing):
    batch = torch.tensor([[[[10, 30], [50, 110]]]], dtype=torch.uint8)
    drawing(2, 0.5, 0.1)  # doubled, then half the contrast about the new mean of 100, then 25.5 added
    seen = augment(batch, {"rgb_shift": 1, "contrast": [0, 1], "brightness": [1, 2]}, 0, 0)
    assert seen.flatten().tolist() == pytest.approx([60 + 25.5, 80 + 25.5, 100 + 25.5, 160 + 25.5])


def test_a_batch_of_finer_gray_levels_is_augmented_as_one_of_whole_ones():
    batch = random_batch().float()
    before = batch.clone()
    assert torch.equal(augment(batch, EVERY, 6, 3), augment(batch.byte(), EVERY, 6, 3))
    for recipe in ({}, EVERY):
        assert augment(batch, recipe, 6, 3).data_ptr() != batch.data_ptr()
        assert torch.equal(batch, before)
    assert torch.equal(augment(batch * 0.99, {"flip_vertical": 1}, 0, 0), batch.flip(2) * 0.99)


def test_channels_last_in_memory_is_the_same():
    batch = random_batch()
    expected = augment(batch, EVERY, 6, 3)
    assert torch.equal(augment(batch.contiguous(memory_format=torch.channels_last), EVERY, 6, 3), expected)


def test_adding_one_leaves_the_draws_of_the_others():
    batch = random_batch(height=16, width=16)
    alone = augment(batch, {"brightness": [0.5, 1.5]}, 3, 0)
    both = augment(batch, {"flip_horizontal": 0.5, "brightness": [0.5, 1.5]}, 3, 0)
    for one, other in zip(alone, both):
        assert torch.equal(one, other) or torch.equal(one, other.flip(-1))


@pytest.mark.parametrize("name", IMAGES)
def test_every_name_draws_the_same_beside_all_others(name, monkeypatch):
    """The generator that a name gets is in the same state with and without the others."""
    states = []
    implementation = catalogue.resolve("augmentation", name)

    def spy(*given):
        states.append(next(argument for argument in given if isinstance(argument, torch.Generator)).get_state())
        return implementation(*given)

    resolve = catalogue.resolve
    monkeypatch.setattr(catalogue, "resolve", lambda kind, asked: spy if asked == name else resolve(kind, asked))
    for recipe in ({name: EVERY[name]}, EVERY):
        augment(random_batch(), recipe, 3, 0)
    assert torch.equal(*states)


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


@pytest.mark.parametrize("channels", [1, 3])
def test_preview_each_shows_every_name_alone_and_visibly(channels):
    image = random_batch(1, channels, 24, 20)[0].permute(1, 2, 0).numpy()
    shown = preview_each(image, dict(reversed(EVERY.items())), 128)
    assert [name for name, _ in shown] == IMAGES
    for name, seen in shown:
        assert seen.shape == image.shape
        assert seen.dtype == np.uint8
        others = [preview(image[None], {name: EVERY[name]}, seed, 128)[0].astype(float) for seed in range(20)]
        assert np.abs(seen.astype(float) - image).mean() > np.mean([np.abs(other - image).mean() for other in others])
    for (_, one), (_, again) in zip(shown, preview_each(image, EVERY, 128)):
        np.testing.assert_array_equal(one, again)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_draws_the_same_and_is_not_waited_for():
    recipe = {name: value for name, value in EVERY.items() if name != "noise"}  # drawn on the device
    batch = random_batch(height=64, width=64)
    on_gpu = batch.cuda()
    torch.cuda.set_sync_debug_mode("error")
    try:
        seen = augment(on_gpu, EVERY, 0, 9), augment(on_gpu, recipe, 0, 9)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert seen[0].is_cuda
    assert (seen[1].cpu() - augment(batch, recipe, 0, 9)).abs().mean() < 0.5
