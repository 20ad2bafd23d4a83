"""EfficientNet-Lite0: EfficientNet-B0 without squeeze-and-excitation, with ReLU6 (Google 2020, "EfficientNet-Lite").

A network for phones, and so for training without a GPU. Its published weights were trained with TensorFlow, whose
padding of a strided convolution is not symmetric.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from rescan.models.checkpointing import Chain
from rescan.models.encoder import Encoder

EPSILON = 1e-3  # of batch norm, as the weights were trained with
# Of each stage: how many blocks, kernel, stride of the first, how many times wider inside, maps.
STAGES = ((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192),
          (1, 3, 1, 6, 320))  # fmt: skip


class SameConv(nn.Conv2d):
    """A convolution with TensorFlow's padding "same": what is odd of it goes to the right and below."""

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, maps, ⌈H / stride⌉, ⌈W / stride⌉)."""
        height, width = (
            max(kernel - ((size - 1) % stride + 1), 0)
            for size, stride, kernel in zip(images.shape[2:], self.stride, self.kernel_size)
        )
        padded = functional.pad(images, (width // 2, width - width // 2, height // 2, height - height // 2))
        return super().forward(padded)


def _layer(inputs: int, maps: int, kernel: int = 1, stride: int = 1, groups: int = 1, active: bool = True) -> nn.Module:
    """A convolution, its batch norm and, if `active`, ReLU6."""
    layers = [
        ("conv", SameConv(inputs, maps, kernel, stride, groups=groups, bias=False)),
        ("norm", nn.BatchNorm2d(maps, EPSILON)),
    ]
    return nn.Sequential(OrderedDict([*layers, *([("relu", nn.ReLU6(inplace=True))] if active else [])]))


class Block(nn.Module):
    """A mobile inverted residual block (Sandler et al. 2018): widened, filtered per map, narrowed, and added."""

    def __init__(self, inputs: int, maps: int, kernel: int, stride: int, wider: int) -> None:
        super().__init__()
        inner = inputs * wider
        self.expand = _layer(inputs, inner) if wider > 1 else nn.Identity()
        self.depthwise = _layer(inner, inner, kernel, stride, groups=inner)
        self.project = _layer(inner, maps, active=False)
        self.is_residual = stride == 1 and inputs == maps

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, inputs, H, W) to (B, maps, ⌈H / stride⌉, ⌈W / stride⌉)."""
        maps = self.project(self.depthwise(self.expand(images)))
        return maps + images if self.is_residual else maps


def efficientnet_lite0() -> Encoder:
    """EfficientNet-Lite0: the target is the last 1 × 1 convolution, with its ReLU6."""
    blocks, inputs = [], 32
    for count, kernel, stride, wider, maps in STAGES:
        for number in range(count):
            blocks.append(Block(inputs, maps, kernel, 1 if number else stride, wider))
            inputs = maps
    layers = [("stem", _layer(3, 32, 3, 2)), ("features", nn.Sequential(*blocks)), ("head", _layer(inputs, 1280))]
    network = Chain(OrderedDict(layers))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out")
    return Encoder(network, 1280, "head")
