from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from rescan.preparation.fundus_operators import circle_mask, crop_circle, crop_gray, enhance, swap_channels
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import prepare_image
from rescan.study import Preparation


def disc(height, width, x, y, radius, border=0):
    """A disc around (x, y) with a soft texture; the first pixel's center is (.5, .5)."""
    rows, columns = np.mgrid[:height, :width] + 0.5
    texture = 110 + 40 * np.sin(columns / (radius / 9)) * np.cos(rows / (radius / 7))
    return np.where(np.hypot(rows - y, columns - x) <= radius, texture, border).astype(np.uint8)


def inside(image):
    """Where a square's inscribed circle is, with 1 % of margin; and where it is surely not."""
    side = len(image)
    assert image.shape[:2] == (side, side)
    rows, columns = np.mgrid[:side, :side] + 0.5
    distance = np.hypot(rows - side / 2, columns - side / 2) / (side / 2)
    return distance < 0.98, distance > 1.02


def is_found(image, x, y, radius, tolerance=1.5):
    """Whether the crop is the disc around (x, y): coordinates are marked and followed through the crop."""
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    pieces = [
        crop_circle(image, (value > limit).astype(np.uint8) * 255)[1] for value, limit in ((columns, x), (rows, y))
    ]
    side = len(pieces[0])
    middle = [(piece[side // 2].argmax(), piece[:, side // 2].argmax()) for piece in pieces]
    return (
        abs(side - 2 * radius) <= 2 * tolerance
        and abs(middle[0][0] - side / 2) <= tolerance + 1
        and abs(middle[1][1] - side / 2) <= tolerance + 1
    )


@settings(max_examples=40, deadline=None)
@given(st.integers(60, 160), st.floats(0.35, 0.65), st.floats(0.35, 0.65), st.integers(0, 12))
def test_crop_circle_finds_the_disc_wherever_it_is_and_cut(radius, across, down, border):
    image = disc(240, 320, across * 320, down * 240, radius, border)
    assert is_found(image, across * 320, down * 240, radius)
    crop, mask = crop_circle(image, np.full_like(image, 255))
    inner, outer = inside(crop)
    assert (crop[outer] == 0).all()
    assert (mask[outer] == 0).all()
    assert (crop[inner & (mask > 0)] > 12).all()


DISC = disc(600, 800, 420, 300, 260)


def lettered():
    image = DISC.copy()
    cv2.putText(image, "OD 12.03", (5, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.5, 255, 4)
    cv2.putText(image, "RIGHT", (560, 560), cv2.FONT_HERSHEY_SIMPLEX, 2, 255, 6)  # this one touches the disc
    return image


def notched():
    image = DISC.copy()
    image[60:140, 600:660] = 120
    return image


def specked():
    image, random = DISC.copy(), np.random.default_rng(0)
    image[random.random(image.shape) < 0.004] = 255
    return image


def noisy():
    return np.clip(DISC + np.random.default_rng(0).normal(0, 5, DISC.shape), 0, 255).astype(np.uint8)


def half_lit():
    return (DISC * np.clip((np.arange(800) - 400) / 200, 0, 1)).astype(np.uint8)


@pytest.mark.parametrize("make", [lettered, notched, specked, noisy, half_lit])
def test_crop_circle_is_not_moved_by(make):
    assert is_found(make(), 420, 300, 260, tolerance=2.5)


@pytest.mark.parametrize("radius", [150, 180])
def test_crop_circle_where_the_disc_touches_every_border(radius):
    assert is_found(disc(300, 300, 150, 150, radius), 150, 150, radius)


def test_crop_circle_is_the_same_at_every_size():
    large = np.dstack([disc(1600, 2400, 1180, 830, 700)] * 3)
    crops = [crop_circle(large, None)[0]]
    for factor in (2, 4, 8):
        small = cv2.resize(large, (2400 // factor, 1600 // factor), interpolation=cv2.INTER_AREA)
        crops.append(crop_circle(small, None)[0])
        assert abs(len(crops[-1]) * factor - len(crops[0])) <= factor
    pictures = [cv2.resize(crop, (128, 128), interpolation=cv2.INTER_AREA).astype(int) for crop in crops]
    assert max(abs(image - pictures[0]).mean() for image in pictures) < 2


def ellipse(width, height):
    image = np.zeros((300, 400), np.uint8)
    return cv2.ellipse(image, (200, 150), (width, height), 0, 0, 360, 150, -1)


def box():
    image = np.zeros((300, 400), np.uint8)
    image[40:260, 100:320] = 150
    return image


@pytest.mark.parametrize(
    ("image", "reason"),
    [
        (np.zeros((300, 400), np.uint8), "no circle: gray values from 0 to 0 only"),
        (np.full((20, 20), 255, np.uint8), "no circle: gray values from 255 to 255 only"),
        (np.random.default_rng(0).integers(0, 256, (300, 400), dtype=np.uint8), "no dark border"),
        (np.random.default_rng(0).integers(0, 20, (300, 400), dtype=np.uint8), "not round"),
        (np.tile(np.linspace(0, 255, 400).astype(np.uint8), (300, 1)), "not round"),
        (box(), "not round"),
        (ellipse(180, 120), "not round"),
        (disc(300, 400, 200, 150, 12), "not round"),
    ],
    ids=["black", "white", "noise", "dim-noise", "gradient", "box", "ellipse", "speck"],
)
def test_crop_circle_says_why_there_is_none(image, reason):
    for picture in (image, np.dstack([image] * 3)):
        with pytest.raises(CannotPrepare, match=reason):
            crop_circle(picture, None)


def test_crop_circle_of_a_tiny_image():
    assert len(crop_circle(disc(20, 20, 10, 10, 9), None)[0]) in (17, 18, 19)


def test_crop_gray_is_the_bounding_box():
    image = np.full((30, 40, 3), 7, np.uint8)
    image[5, 9] = image[20, 30] = 8
    crop, mask = crop_gray(image, image[..., 0] * 31)
    np.testing.assert_array_equal(crop, image[5:21, 9:31])
    np.testing.assert_array_equal(mask, crop[..., 0] * 31)
    with pytest.raises(CannotPrepare, match="no pixel exceeds the threshold 8"):
        crop_gray(image, None, threshold=8)


@settings(max_examples=30, deadline=None)
@given(st.integers(16, 60), st.integers(16, 60), st.floats(0.3, 1.2), st.integers(0, 255))
def test_circle_mask_fills_what_lies_outside(height, width, radius, fill):
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    result, mask = circle_mask(image, np.full((height, width), 255, np.uint8), radius, fill)
    rows, columns = np.mgrid[:height, :width]
    distance = np.hypot(rows - height // 2, columns - width // 2) - radius * min(height, width) / 2
    np.testing.assert_array_equal(result[distance < -2], image[distance < -2])
    assert (result[distance > 1] == fill).all()
    assert (mask[distance < -2] == 255).all()
    assert (mask[distance > 1] == 0).all()


def textures(side):
    random = np.random.default_rng(side)
    noise = random.integers(0, 256, (side, side, 3), dtype=np.uint8)
    photograph = np.dstack([disc(side, side, side / 2, side / 2, side * 0.49)] * 3)
    step = np.full((side, side), 30, np.uint8)
    step[:, side // 3 :] = 220
    return noise, photograph, step


@pytest.mark.parametrize("side", [20, 96, 224, 512])
@pytest.mark.parametrize("sigma", [5, 10, 30])
def test_the_fast_blur_is_within_two_gray_levels_of_opencv_s(side, sigma):
    for image in textures(side):
        direct = enhance(image, None, sigma=sigma, fast=False)[0].astype(int)
        quick = enhance(image, None, sigma=sigma)[0]
        assert abs(direct - quick).mean() <= 2


def test_enhance_is_gain_times_the_difference_to_the_local_average():
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (150, 210), dtype=np.uint8), (0, 0), 3)
    average = ndimage.gaussian_filter(image.astype(float), 20, mode="mirror", truncate=3)
    expected = np.clip(3 * (image - average) + 100, 0, 255)
    for fast in (True, False):
        result = enhance(image, None, sigma=20, gain=3, offset=100, fast=fast)[0]
        assert abs(result - expected).mean() < 1.5


def test_swap_channels():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(swap_channels(image, None)[0], image[..., ::-1])
    np.testing.assert_array_equal(swap_channels(image[..., 0], None)[0], image[..., 0])


AS_RUN = [
    {"name": "resize", "size": [512, 512]},
    "crop_gray",
    "circle_mask",
    "crop_gray",
    {"name": "enhance", "fast": False},
    {"name": "resize", "size": [512, 512]},
    "swap_channels",
    {"name": "resize", "size": [320, 320]},
]


def article(path):
    """The steps of the article in OpenCV's own calls and channel order; a side that shrinks is averaged, as ours."""

    def crop(image):
        rows, columns = np.nonzero(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) > 7)
        return image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]

    image = crop(cv2.resize(cv2.imread(str(path)), (512, 512), interpolation=cv2.INTER_AREA))
    height, width = image.shape[:2]
    circle = cv2.circle(np.zeros((height, width), np.uint8), (width // 2, height // 2), min(height, width) // 2, 1, -1)
    image = crop(cv2.bitwise_and(image, image, mask=circle))
    image = cv2.addWeighted(image, 4, cv2.GaussianBlur(image, (0, 0), 30), -4, 128)
    image = cv2.resize(image, (512, 512), interpolation=cv2.INTER_LINEAR)
    return cv2.resize(image, (320, 320), interpolation=cv2.INTER_AREA)


def test_the_article_s_order_of_steps(tmp_path):
    photograph = disc(700, 1000, 480, 360, 320)
    photograph = np.dstack([photograph // 3, photograph // 2, photograph])
    photograph[200:220, 300:330] = [40, 180, 200]
    cv2.imwrite(str(tmp_path / "a.png"), photograph)
    result, _ = prepare_image(tmp_path / "a.png", Preparation.model_validate({"steps": AS_RUN}))
    # It reads blue first and hands on blue first; ours reads red first and swaps.
    assert abs(result.astype(int) - article(tmp_path / "a.png")).mean() < 0.1
