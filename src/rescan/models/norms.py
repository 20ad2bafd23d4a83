"""Normalizations that do not depend on the batch, in the place of batch norm: needed where a batch is one volume."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm


class InstanceNorm(nn.Module):
    """Instance norm (Ulyanov et al. 2016) of maps of any dimensions, with one weight and one bias per channel."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, *cells) to the same shape.

        Raises:
            ValueError: A map is one cell, which would become the bias, whatever it held.
        """
        if not len(maps):  # torch refuses an empty batch, by which sizes are found
            return maps
        return functional.instance_norm(maps, weight=self.weight, bias=self.bias, eps=self.eps)


NORMS = (_BatchNorm, InstanceNorm, nn.GroupNorm, nn.LayerNorm)


def group_norm(channels: int, eps: float = 1e-5) -> nn.GroupNorm:
    """Group norm (Wu & He 2018) with their 32 groups, or as many as leave two channels or more to each."""
    return nn.GroupNorm(math.gcd(64, channels) // 2 or 1, channels, eps)


KINDS = {"instance": InstanceNorm, "group": group_norm}


def set_momentum(module: nn.Module, momentum: float | None) -> bool:
    """Let each batch move the running statistics of all batch norms inside a module by another share of the way.

    Args:
        module: Changed in place.
        momentum: In (0, 1], or None to leave them as they are.

    Returns:
        Whether there are any.
    """
    layers = [layer for layer in module.modules() if isinstance(layer, _BatchNorm)]
    for layer in layers:
        layer.momentum = layer.momentum if momentum is None else momentum
    return bool(layers)


def replace(module: nn.Module, norm: str) -> None:
    """Put another norm in the place of every batch norm inside a module: of the same channels and epsilon, untrained.

    Args:
        module: Changed in place; names of weights stay as they are, running statistics go.
        norm: `batch` (nothing changes), `instance` or `group`.
    """
    if norm == "batch":
        return
    for parent in list(module.modules()):
        for name, child in parent.named_children():
            if isinstance(child, _BatchNorm):
                setattr(parent, name, KINDS[norm](child.num_features, child.eps))
