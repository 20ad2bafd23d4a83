from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rescan import catalogue
from rescan.preparation.image_operators import CannotPrepare, clahe, crop_brain, resize


def head():
    """A bright box in rows 20–69 and columns 30–99, a smaller one, a bright line that erosion removes, a dim frame."""
    image = np.full((120, 140), 20, np.uint8)
    image[20:70, 30:100] = 200
    image[100:110, 5:15] = 255
    image[90:91, :] = 255
    return image


def disc():
    """A bright disc with a darker part on black: what every operator can work on."""
    rows, columns = np.mgrid[:120, :140]
    image = np.where((rows - 58) ** 2 + (columns - 72) ** 2 <= 50**2, 60 + columns, 0)
    return image.astype(np.uint8)


@pytest.mark.parametrize("name", sorted(name for name, record in catalogue.OPERATORS.items() if not record.of_scans))
def test_every_operator_takes_gray_and_color_with_and_without_mask(name):
    operator = catalogue.resolve("operator", name)
    options = catalogue.OPERATORS[name].defaults
    mask = np.where(disc() > 100, np.uint8(255), np.uint8(0))
    for image in (disc(), np.dstack([disc()] * 3)):
        image.flags.writeable = False
        before = image.copy()
        alone, nothing = operator(image, None, **options)
        assert nothing is None
        result, turned = operator(image, mask, **options)
        np.testing.assert_array_equal(result, alone)
        assert result.dtype == turned.dtype == np.uint8
        assert result.ndim == image.ndim
        assert turned.shape == result.shape[:2]
        assert set(np.unique(turned)) == {0, 255}
        np.testing.assert_array_equal(image, before)


def test_crop_brain_keeps_the_largest_bright_region():
    # The blur spreads a bright edge by one pixel; erosion and dilation then cancel.
    image, mask = crop_brain(head(), head())
    assert image.shape == (52, 72)
    np.testing.assert_array_equal(image, head()[19:71, 29:101])
    np.testing.assert_array_equal(mask, image)
    color, _ = crop_brain(np.dstack([head()] * 3), None)
    np.testing.assert_array_equal(color[..., 1], image)


def test_crop_brain_margin_ends_at_the_image():
    assert crop_brain(head(), None, margin=10)[0].shape == (72, 92)
    assert crop_brain(head(), None, margin=500)[0].shape == head().shape


@pytest.mark.parametrize("value", [0, 45])
def test_crop_brain_without_a_bright_region(value):
    with pytest.raises(CannotPrepare, match="no contour above the threshold 45"):
        crop_brain(np.full((50, 50), value, np.uint8), None, threshold=45)


def test_resize_shrinks_by_area_averaging():
    image = np.random.default_rng(0).integers(0, 256, (64, 96), dtype=np.uint8)
    expected = image.reshape(16, 4, 32, 3).mean(axis=(1, 3))
    result, _ = resize(image, None, size=[16, 32])
    assert abs(result - expected).max() <= 0.5
    tall, _ = resize(image, None, size=[16, 192])  # shrinks one side, enlarges the other
    np.testing.assert_array_equal(
        tall, cv2.resize(cv2.resize(image, (96, 16), interpolation=cv2.INTER_AREA), (192, 16))
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(16, 90), st.integers(16, 90), st.integers(8, 70), st.integers(8, 70), st.booleans())
def test_resize_gives_height_and_width_and_keeps_a_constant(h, w, height, width, keep_aspect):
    image, mask = np.full((h, w, 3), 90, np.uint8), np.full((h, w), 255, np.uint8)
    result, turned = resize(image, mask, size=[height, width], keep_aspect=keep_aspect)
    assert result.shape == (height, width, 3)
    inside = turned == 255
    assert (result[inside] == 90).all()
    assert (result[~inside] == 0).all()
    if not keep_aspect:
        assert inside.all()


def test_resize_keeps_aspect_and_centers():
    image = np.full((40, 80), 200, np.uint8)
    result, mask = resize(image, image // 200 * 255, size=[40, 40], keep_aspect=True)
    expected = np.zeros((40, 40), np.uint8)
    expected[10:30] = 200
    np.testing.assert_array_equal(result, expected)
    np.testing.assert_array_equal(mask > 0, expected > 0)


def test_clahe_evens_out_contrast_and_keeps_colors():
    columns = np.arange(160)
    weak = np.where(columns < 80, 2, 40) * np.sin(columns / 3) + 120
    image = np.tile(np.rint(weak), (160, 1)).astype(np.uint8)
    result, mask = clahe(image, image, clip=4.0, tiles=4)
    assert mask is image
    gain = [result[:, half].std() / image[:, half].std() for half in (slice(0, 70), slice(90, 160))]
    assert gain[0] > 2 * gain[1]  # what had little contrast gains most
    more = clahe(image, None, clip=40.0, tiles=4)[0]
    assert more[:, :70].std() > result[:, :70].std()  # and the limit limits it
    color = np.dstack([image // 2 + 40, image, image // 4 + 60])
    before, after = (cv2.cvtColor(part, cv2.COLOR_RGB2LAB).astype(int) for part in (color, clahe(color, None)[0]))
    assert abs(after - before)[..., 1:].max() <= 3  # but for rounding only the lightness changes
    assert abs(after - before)[..., 0].max() > 10
