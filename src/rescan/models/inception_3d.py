"""InceptionV3 (Szegedy et al. 2016) carried to 3D, layer by layer, with its numbers of channels.

A k × k convolution becomes k × k × k. What 2D splits over two axes, 3D splits over three: 1 × 7 and 7 × 1 behind each
other become 1 × 1 × 7, 1 × 7 × 1 and 7 × 1 × 1; the last blocks' 1 × 3 and 3 × 1 side by side, of 384 channels each,
become three side by side, of 256 each, so that they have as many channels, and weights, as before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Union

import torch
from torch import Tensor, nn

from rescan.models.checkpointing import Chain
from rescan.models.encoder import Encoder
from rescan.models.encoders_3d import initialized

Size = Union[int, tuple[int, int, int]]


def axes(size: int) -> list[tuple[int, int, int]]:
    """The kernels that a cube is split into: along W, along H, along D."""
    return [(1, 1, size), (1, size, 1), (size, 1, 1)]


class Parallel(nn.ModuleDict):
    """Branches that see the same maps; what they return is concatenated."""

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, C, D, H, W) to (B, sum of the branches' channels, d, h, w)."""
        return torch.cat([branch(maps) for branch in self.values()], dim=1)


def conv(inputs: int, outputs: int, kernel: Size = 1, stride: int = 1, *, pad: bool = True) -> nn.Sequential:
    """A convolution that keeps the size, unless it has a stride or is told not to pad; batch norm; ReLU."""
    depth, height, width = kernel if isinstance(kernel, tuple) else (kernel,) * 3
    padding = (depth // 2, height // 2, width // 2) if pad else 0
    layers: dict[str, nn.Module] = {
        "conv": nn.Conv3d(inputs, outputs, kernel, stride, padding, bias=False),
        "bn": nn.BatchNorm3d(outputs, eps=1e-3),
        "relu": nn.ReLU(inplace=True),
    }
    return nn.Sequential(OrderedDict(layers))


def split(channels: int, outputs: int, kernels: list[tuple[int, int, int]]) -> list[nn.Sequential]:
    """Convolutions behind each other, one a kernel; only the last has `outputs` channels."""
    widths = [*[channels] * len(kernels), outputs]
    return [conv(*pair, kernel) for pair, kernel in zip(zip(widths, widths[1:]), kernels)]


def branch(*layers: nn.Module) -> nn.Sequential:
    """A branch's layers."""
    return nn.Sequential(*layers)


def pooled(inputs: int, outputs: int) -> nn.Sequential:
    """The branch of average pooling, padded apart: AvgPool3d refuses maps smaller than its kernel, padding or not."""
    return branch(nn.ConstantPad3d(1, 0.0), nn.AvgPool3d(3, stride=1), conv(inputs, outputs))


def inception_a(inputs: int, pool: int) -> Parallel:
    """The blocks 5b to 5d."""
    return Parallel(
        {
            "branch1x1": conv(inputs, 64),
            "branch5x5": branch(conv(inputs, 48), conv(48, 64, 5)),
            "branch3x3dbl": branch(conv(inputs, 64), conv(64, 96, 3), conv(96, 96, 3)),
            "branch_pool": pooled(inputs, pool),
        }
    )


def inception_b(inputs: int) -> Parallel:
    """The block 6a, which halves the size."""
    return Parallel(
        {
            "branch3x3": conv(inputs, 384, 3, 2, pad=False),
            "branch3x3dbl": branch(conv(inputs, 64), conv(64, 96, 3), conv(96, 96, 3, 2, pad=False)),
            "branch_pool": nn.MaxPool3d(3, stride=2),
        }
    )


def inception_c(inputs: int, channels: int) -> Parallel:
    """The blocks 6b to 6e."""
    return Parallel(
        {
            "branch1x1": conv(inputs, 192),
            "branch7x7": branch(conv(inputs, channels), *split(channels, 192, axes(7))),
            "branch7x7dbl": branch(conv(inputs, channels), *split(channels, 192, 2 * axes(7)[::-1])),
            "branch_pool": pooled(inputs, 192),
        }
    )


def inception_d(inputs: int) -> Parallel:
    """The block 7a, which halves the size."""
    return Parallel(
        {
            "branch3x3": branch(conv(inputs, 192), conv(192, 320, 3, 2, pad=False)),
            "branch7x7x3": branch(conv(inputs, 192), *split(192, 192, axes(7)), conv(192, 192, 3, 2, pad=False)),
            "branch_pool": nn.MaxPool3d(3, stride=2),
        }
    )


def inception_e(inputs: int) -> Parallel:
    """The blocks 7b and 7c."""

    def spread() -> Parallel:
        return Parallel({f"axis{number}": conv(384, 256, kernel) for number, kernel in enumerate(axes(3))})

    return Parallel(
        {
            "branch1x1": conv(inputs, 320),
            "branch3x3": branch(conv(inputs, 384), spread()),
            "branch3x3dbl": branch(conv(inputs, 448), conv(448, 384, 3), spread()),
            "branch_pool": pooled(inputs, 192),
        }
    )


def inception_v3_3d() -> Encoder:
    """InceptionV3 in 3D, no auxiliary head; the target is the last block's concatenated maps."""
    layers: dict[str, nn.Module] = {
        "conv_1a": conv(1, 32, 3, 2, pad=False),
        "conv_2a": conv(32, 32, 3, pad=False),
        "conv_2b": conv(32, 64, 3),
        "maxpool1": nn.MaxPool3d(3, stride=2),
        "conv_3b": conv(64, 80),
        "conv_4a": conv(80, 192, 3, pad=False),
        "maxpool2": nn.MaxPool3d(3, stride=2),
        "mixed_5b": inception_a(192, 32),
        "mixed_5c": inception_a(256, 64),
        "mixed_5d": inception_a(288, 64),
        "mixed_6a": inception_b(288),
        "mixed_6b": inception_c(768, 128),
        "mixed_6c": inception_c(768, 160),
        "mixed_6d": inception_c(768, 160),
        "mixed_6e": inception_c(768, 192),
        "mixed_7a": inception_d(768),
        "mixed_7b": inception_e(1280),
        "mixed_7c": inception_e(2048),
    }
    return Encoder(initialized(Chain(OrderedDict(layers))), 2048, "mixed_7c", dimensions=3)
