"""2D encoders: torchvision's networks without their heads, under torchvision's names, so that its weights fit.

The Grad-CAM target of each is the output of the last convolution with its normalization and activation: the maps that
the rest of the network sees. In ResNets and DenseNets the last convolution alone would be one summand of them, or a few
of the concatenated maps.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn
from torchvision import models

HEADS = ("avgpool", "fc", "classifier")


class Encoder(nn.Module):
    """A convolutional network without its head.

    Attributes:
        body: The layers in order, under torchvision's names.
        channels: Number of maps that `features` returns.
    """

    def __init__(self, network: nn.Module, channels: int, target: str, **after: nn.Module) -> None:
        """Take a torchvision network's layers but its head.

        Args:
            network: The torchvision network.
            channels: Number of its last maps.
            target: Name of the Grad-CAM target inside `body`.
            **after: Layers to add behind: what the network's own `forward` does beyond its layers.
        """
        super().__init__()
        layers = [(name, layer) for name, layer in network.named_children() if name not in HEADS]
        self.body = nn.Sequential(OrderedDict([*layers, *after.items()]))
        self.channels = channels
        self._target = target

    @property
    def target_layer(self) -> nn.Module:
        """The module whose output Grad-CAM weighs."""
        return self.body.get_submodule(self._target)

    def features(self, images: Tensor) -> Tensor:
        """Compute the last maps.

        Args:
            images: (B, C, H, W) float32, normalized, C = 1 or 3. One channel is repeated, which equals summing the
                first convolution's weights over its channels.

        Returns:
            (B, channels, h, w) float32.
        """
        return self.body(images.expand(-1, 3, -1, -1) if images.shape[1] == 1 else images)

    forward = features


def resnet18() -> Encoder:
    """ResNet18 (He et al. 2016): the last residual block's output is the target."""
    return Encoder(models.resnet18(weights=None), 512, "layer4")


def resnet152() -> Encoder:
    """ResNet152 (He et al. 2016), torchvision's V1.5; target as for ResNet18."""
    return Encoder(models.resnet152(weights=None), 2048, "layer4")


def densenet169() -> Encoder:
    """DenseNet169 (Huang et al. 2017): the target is the ReLU after all concatenated maps' batch norm."""
    return Encoder(models.densenet169(weights=None), 1664, "relu", relu=nn.ReLU(inplace=True))


def vgg19() -> Encoder:
    """VGG19 (Simonyan & Zisserman 2015), no batch norm; the target is the last ReLU, before the last max pooling."""
    return Encoder(models.vgg19(weights=None), 512, "features.35")


def mobilenet_v3_large() -> Encoder:
    """MobileNetV3-Large (Howard et al. 2019): the target is the last 1 × 1 convolution, with its hard swish."""
    return Encoder(models.mobilenet_v3_large(weights=None), 960, "features.16")
