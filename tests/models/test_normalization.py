"""From pixel values to what a network takes, and back."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rescan import catalogue
from rescan.models.normalization import denormalize, normalize


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", sorted(catalogue.NORMALIZATIONS))
def test_denormalize_undoes_normalize(name, channels):
    images = torch.rand(2, channels, 3, 4, 5) * 255
    torch.testing.assert_close(denormalize(normalize(images, name), name), images, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize("name", sorted(catalogue.NORMALIZATIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_normalize_by_hand(name, channels):
    images = torch.arange(2 * channels * 4 * 5, dtype=torch.uint8).view(2, channels, 4, 5) * 2
    constants = catalogue.NORMALIZATIONS[name]
    scale, mean, std = constants.scale, constants.mean, constants.std
    if channels == 1:
        mean, std = [np.mean(mean)], [np.mean(std)]
    expected = np.stack([(images[:, c].numpy() / 255 * scale - mean[c]) / std[c] for c in range(channels)], axis=1)
    found = normalize(images, name)
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(normalize(images.float(), name).numpy(), expected, rtol=1e-5, atol=1e-5)
    volumes = images[:, :, None]
    np.testing.assert_allclose(normalize(volumes, name).numpy()[:, :, 0], expected, rtol=1e-5, atol=1e-5)
