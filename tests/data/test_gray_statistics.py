from __future__ import annotations

import numpy as np
import pytest

from rescan.data.gray_statistics import gray_statistics


@pytest.mark.parametrize(
    ("shape", "dtype"), [((40, 50, 3), "uint8"), ((40, 50, 1), "uint16"), ((9, 20, 30, 1), "uint16")]
)
def test_they_are_those_of_numpy(shape, dtype):
    images = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (4, *shape), dtype)
    levels = images.astype(float) / (1 if dtype == "uint8" else 257)
    axes = tuple(range(1, levels.ndim))
    detail = abs(np.diff(levels, axis=-2)).mean(axes)
    expected = np.stack([levels.mean(axes), levels.std(axes), detail], axis=1)
    np.testing.assert_allclose(gray_statistics(images), expected, rtol=1e-9)


def test_noise_and_blur_change_the_detail_and_a_shift_of_gray_levels_only_the_mean():
    ramp = np.tile(np.arange(64, dtype=np.uint8), (64, 1))[..., None]
    noisy = ramp + np.random.default_rng(0).integers(0, 40, ramp.shape, np.uint8)
    plain, shifted, rough = gray_statistics([ramp, ramp + 50, noisy])
    assert shifted.tolist() == pytest.approx([plain[0] + 50, plain[1], plain[2]])
    assert plain[2] == 1
    assert rough[2] > 10
