"""The necks, over their names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from rescan import names

MAPS = torch.tensor([[[[1.0, 2.0, 3.0], [4.0, 5.0, 9.0]], [[-1.0, -2.0, 0.0], [1.0, 2.0, -6.0]]]])  # (1, 2, 2, 3)
EXPECTED = {
    "avg": [4.0, -1.0],
    "max": [9.0, 2.0],
    "avg+max": [4.0, -1.0, 9.0, 2.0],
    "flatten": [1.0, 2.0, 3.0, 4.0, 5.0, 9.0, -1.0, -2.0, 0.0, 1.0, 2.0, -6.0],
}


@pytest.mark.parametrize("name", sorted(names.NECKS))
def test_out_features_is_what_comes_out(name):
    neck = names.resolve("neck", name)(5, 4, 3)
    assert neck(torch.rand(2, 5, 4, 3)).shape == (2, neck.out_features)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_values_by_hand(name):
    np.testing.assert_allclose(names.resolve("neck", name)(2, 2, 3)(MAPS)[0].numpy(), EXPECTED[name], atol=1e-6)
