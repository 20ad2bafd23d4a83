"""Statistics of gray levels against NumPy's, and what noise, blur and brightness do to them."""

from __future__ import annotations

import numpy as np
import pytest

from rescan.data.gray_statistics import as_vectors, gray_statistics


@pytest.mark.parametrize(
    ("shape", "dtype"), [((40, 48, 3), "uint8"), ((40, 48, 1), "uint16"), ((8, 24, 32, 1), "uint16")]
)
def test_mean_and_spread_are_those_of_numpy(shape, dtype):
    images = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (4, *shape), dtype)
    levels = (images.astype(float) / (1 if dtype == "uint8" else 257)).mean(axis=-1).reshape(4, -1)
    statistics = gray_statistics(images)
    assert statistics.shape == (4, 6)
    np.testing.assert_allclose(statistics[:, 0], levels.mean(1), rtol=1e-5)
    np.testing.assert_allclose(statistics[:, 1], levels.std(1), rtol=1e-5)


def test_detail_is_what_half_as_many_pixels_lack():
    """Of stripes as wide as a pixel half of the contrast; of wider ones nothing but at their edges, or at a scale."""
    stripes = np.tile(np.uint8([0, 200] * 32), (64, 1))[..., None]
    flat, wide = np.full_like(stripes, 9), stripes.repeat(4, axis=1)[:, :64]
    fine, none, coarse = gray_statistics([stripes, flat, wide])[:, 2:]
    assert fine.tolist() == pytest.approx([100, 0, 0, 0], abs=0.01)
    assert none.tolist() == [0] * 4
    assert coarse[2] > 70 > 40 > coarse[0]


def test_noise_blur_and_brightness_are_seen_where_they_should_be():
    random = np.random.default_rng(0)
    plain = random.integers(50, 150, (64, 64, 1)).astype(np.uint8)
    blurred = plain.reshape(16, 4, 16, 4, 1).mean(axis=(1, 3)).repeat(4, 0).repeat(4, 1).astype(np.uint8)
    one, brighter, soft = gray_statistics([plain, plain + 50, blurred])
    assert brighter - one == pytest.approx([50, 0, 0, 0, 0, 0], abs=0.01)
    assert soft[2] < one[2] / 4
    vectors = as_vectors(np.array([[32, 1, 0, 0.25, 0.75, 0]]))
    assert vectors.tolist() == [[2, 1, 0, 1, 2, 0]]
