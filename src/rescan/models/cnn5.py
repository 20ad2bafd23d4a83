"""A network of five blocks, for images and for volumes."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from rescan.models.checkpointing import Chain
from rescan.models.encoder import Encoder

CNN5 = (8, 16, 32, 64, 128)


def _cnn5(dimensions: int, inputs: int) -> Encoder:
    """Make five blocks of convolution, batch norm, leaky ReLU and max pooling; the last leaky ReLU is the target."""
    conv, norm, pool = {2: (nn.Conv2d, nn.BatchNorm2d, nn.MaxPool2d), 3: (nn.Conv3d, nn.BatchNorm3d, nn.MaxPool3d)}[
        dimensions
    ]
    blocks: OrderedDict[str, nn.Module] = OrderedDict()
    for number, channels in enumerate(CNN5, 1):
        layers: dict[str, nn.Module] = {
            "conv": conv(inputs, channels, 3, padding=1),
            "norm": norm(channels),
            "relu": nn.LeakyReLU(inplace=True),
            "pool": pool(2),
        }
        blocks[f"block{number}"] = nn.Sequential(OrderedDict(layers))
        inputs = channels
    return Encoder(Chain(blocks), inputs, "block5.relu", dimensions=dimensions)


def cnn5() -> Encoder:
    """The five-block network of images: as `cnn5_3d`, with 3 × 3 convolutions."""
    return _cnn5(2, 3)


def cnn5_3d() -> Encoder:
    """The convolutions of ClinicaDL's Conv5_FC3 (Thibeau-Sutre et al. 2022), with leaky ReLUs as OCTA-500's code."""
    return _cnn5(3, 1)
