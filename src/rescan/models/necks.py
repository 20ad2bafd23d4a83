"""Necks: what turns an encoder's maps (B, C, h, w) into one vector (B, D) for the fully connected layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Avg(nn.Module):
    """Global average pooling: D = C."""

    def __init__(self, channels: int, height: int, width: int) -> None:  # noqa: ARG002 - every neck is told all three
        super().__init__()
        self.out_features = channels

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C)."""
        return maps.mean(dim=(2, 3))


class Max(nn.Module):
    """Global max pooling: D = C."""

    def __init__(self, channels: int, height: int, width: int) -> None:  # noqa: ARG002 - every neck is told all three
        super().__init__()
        self.out_features = channels

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C)."""
        return maps.amax(dim=(2, 3))


class AvgMax(nn.Module):
    """Global average and global max pooling, one behind the other: D = 2C."""

    def __init__(self, channels: int, height: int, width: int) -> None:  # noqa: ARG002 - every neck is told all three
        super().__init__()
        self.out_features = 2 * channels

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, 2C)."""
        return torch.cat([maps.mean(dim=(2, 3)), maps.amax(dim=(2, 3))], dim=1)


class Flatten(nn.Module):
    """All values as one vector: D = C · h · w, so the network takes one image size only."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__()
        self.out_features = channels * height * width

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, h, w) to (B, C · h · w)."""
        return maps.flatten(1)
