"""2D encoders: torchvision's networks without their heads, under torchvision's names, so that its weights fit.

The Grad-CAM target of each is the output of the last convolution with its normalization and activation: the maps that
the rest of the network sees. In ResNets and DenseNets the last convolution alone would be one summand of them, or a few
of the concatenated maps.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torchvision import models

from rescan.catalogue.normalizations import IMAGENET_MEAN, IMAGENET_STD
from rescan.models.checkpointing import Chain
from rescan.models.encoder import Encoder, headless


def resnet18() -> Encoder:
    """ResNet18 (He et al. 2016): the last residual block's output is the target."""
    return Encoder(headless(models.resnet18(weights=None)), 512, "layer4")


def resnet34() -> Encoder:
    """ResNet34 (He et al. 2016); target as for ResNet18."""
    return Encoder(headless(models.resnet34(weights=None)), 512, "layer4")


def resnet50() -> Encoder:
    """ResNet50 (He et al. 2016), torchvision's V1.5; target as for ResNet18."""
    return Encoder(headless(models.resnet50(weights=None)), 2048, "layer4")


def resnet101() -> Encoder:
    """ResNet101 (He et al. 2016), torchvision's V1.5; target as for ResNet18."""
    return Encoder(headless(models.resnet101(weights=None)), 2048, "layer4")


def resnet152() -> Encoder:
    """ResNet152 (He et al. 2016), torchvision's V1.5; target as for ResNet18."""
    return Encoder(headless(models.resnet152(weights=None)), 2048, "layer4")


def densenet121() -> Encoder:
    """DenseNet121 (Huang et al. 2017): the target is the ReLU after all concatenated maps' batch norm."""
    return Encoder(headless(models.densenet121(weights=None), relu=nn.ReLU(inplace=True)), 1024, "relu")


def densenet169() -> Encoder:
    """DenseNet169 (Huang et al. 2017); target as for DenseNet121."""
    return Encoder(headless(models.densenet169(weights=None), relu=nn.ReLU(inplace=True)), 1664, "relu")


def vgg16() -> Encoder:
    """VGG16 (Simonyan & Zisserman 2015), no batch norm; the target is the last ReLU, before the last max pooling."""
    return Encoder(headless(models.vgg16(weights=None)), 512, "features.29")


def vgg19() -> Encoder:
    """VGG19 (Simonyan & Zisserman 2015), no batch norm; target as for VGG16."""
    return Encoder(headless(models.vgg19(weights=None)), 512, "features.35")


def mobilenet_v3_large() -> Encoder:
    """MobileNetV3-Large (Howard et al. 2019): the target is the last 1 × 1 convolution, with its hard swish."""
    return Encoder(headless(models.mobilenet_v3_large(weights=None)), 960, "features.16")


def efficientnet_b0() -> Encoder:
    """EfficientNet-B0 (Tan & Le 2019): the target is the last 1 × 1 convolution, with its swish."""
    return Encoder(headless(models.efficientnet_b0(weights=None)), 1280, "features.8")


def efficientnet_b4() -> Encoder:
    """EfficientNet-B4 (Tan & Le 2019); target as for EfficientNet-B0."""
    return Encoder(headless(models.efficientnet_b4(weights=None)), 1792, "features.8")


def efficientnet_b5() -> Encoder:
    """EfficientNet-B5 (Tan & Le 2019); target as for EfficientNet-B0."""
    return Encoder(headless(models.efficientnet_b5(weights=None)), 2048, "features.8")


class HalfCentered(nn.Module):
    """Turns what `normalization: imagenet` feeds into (x − 0.5) / 0.5, x in [0, 1].

    That is what InceptionV3's published weights were trained on; torchvision calls it `transform_input`.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self) -> None:
        super().__init__()
        mean, std = torch.tensor([IMAGENET_MEAN, IMAGENET_STD]).view(2, 1, 3, 1, 1)
        self.register_buffer("scale", std / 0.5, persistent=False)
        self.register_buffer("shift", (mean - 0.5) / 0.5, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) to the same shape."""
        return images * self.scale + self.shift


def inception_v3() -> Encoder:
    """InceptionV3 (Szegedy et al. 2016), no auxiliary head; the target is the last block's concatenated maps."""
    network = headless(models.inception_v3(weights=None, aux_logits=False, init_weights=True))
    layers = [("transform_input", HalfCentered()), *network.named_children()]
    return Encoder(Chain(OrderedDict(layers)), 2048, "Mixed_7c")
