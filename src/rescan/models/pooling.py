"""Necks: what turns an encoder's maps (B, C, *cells) into one vector (B, D) for the fully connected layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rescan.errors import RescanError


class Neck(nn.Module):
    """Vectors pooled from maps, one behind the other; each after a batch norm if there are any; then dropout.

    Attributes:
        out_features: D, the joined vector's size.
    """

    def __init__(self, channels: int, *cells: int, batch_norm: bool = False, dropout: float = 0.0) -> None:
        """Take the maps' number, their size along each spatial dimension, and the neck's options (catalogue.NECKS).

        Raises:
            RescanError: Dropout would leave nothing.
        """
        super().__init__()
        if dropout >= 1:
            raise RescanError(f"network: neck: dropout must be below 1, but is {dropout:g}")
        sizes = [vector.shape[1] for vector in self.pool(torch.zeros(1, channels, *cells))]
        self.norms = nn.ModuleList([nn.BatchNorm1d(size) for size in sizes] if batch_norm else [])
        self.dropout = nn.Dropout(dropout)
        self.out_features = sum(sizes)

    def pool(self, maps: Tensor) -> list[Tensor]:
        """Pool maps (B, C, *cells) into vectors, each (B, size)."""
        raise NotImplementedError

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, *cells) to (B, D)."""
        vectors = self.pool(maps)
        if self.norms:
            vectors = [norm(vector) for norm, vector in zip(self.norms, vectors)]
        return self.dropout(torch.cat(vectors, dim=1))


def _spatial(maps: Tensor) -> tuple[int, ...]:
    return tuple(range(2, maps.ndim))


class Avg(Neck):
    """Global average pooling: D = C."""

    def pool(self, maps: Tensor) -> list[Tensor]:
        """Pool maps (B, C, *cells) into (B, C)."""
        return [maps.mean(dim=_spatial(maps))]


class Max(Neck):
    """Global max pooling: D = C."""

    def pool(self, maps: Tensor) -> list[Tensor]:
        """Pool maps (B, C, *cells) into (B, C)."""
        return [maps.amax(dim=_spatial(maps))]


class AvgMax(Neck):
    """Global average and global max pooling: D = 2C."""

    def pool(self, maps: Tensor) -> list[Tensor]:
        """Pool maps (B, C, *cells) into two vectors (B, C)."""
        return [maps.mean(dim=_spatial(maps)), maps.amax(dim=_spatial(maps))]


class Flatten(Neck):
    """All values as one vector: D = C · cells, so the network takes one input size only."""

    def pool(self, maps: Tensor) -> list[Tensor]:
        """Lay maps (B, C, *cells) out as (B, C · cells)."""
        return [maps.flatten(1)]
