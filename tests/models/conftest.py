from __future__ import annotations

import pytest
import torch
from network_cases import recipe

from rescan.models.networks import build


@pytest.fixture(scope="module")
def resnet18():
    """A small network, built once."""
    torch.manual_seed(0)
    return build(recipe(neck="avg", hidden=[10]), 3, (3, 64, 64))
