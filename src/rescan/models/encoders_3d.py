"""Encoders of volumes. None has published weights that are downloaded; MedicalNet's files fit two of them.

The Grad-CAM target of each is, as in 2D, the output of the last convolution with its normalization and activation.
"""

from __future__ import annotations

from collections import OrderedDict

from monai.networks.nets.efficientnet import EfficientNetBN
from monai.networks.nets.resnet import ResNet
from torch import nn

from rescan.models.checkpointing import Chain
from rescan.models.encoder import Encoder, headless

VGG16 = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels and convolutions before each pooling


def initialized(module: nn.Module) -> nn.Module:
    """Draw the weights of all convolutions anew as torchvision does for VGG (He et al. 2015); biases are 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return module


def _resnet(block: str, blocks: list[int], channels: int) -> Encoder:
    """Make MONAI's ResNet: the first convolution keeps the depth (Hara et al. 2018), shortcuts are of type B.

    Weights of MedicalNet's ResNet10 and ResNet50 fit it; there the first convolution halves the depth.
    """
    network = ResNet(
        block,
        blocks,
        [64, 128, 256, 512],
        spatial_dims=3,
        n_input_channels=1,
        conv1_t_size=7,
        conv1_t_stride=(1, 2, 2),  # type: ignore[arg-type] # one number an axis
        shortcut_type="B",
        bias_downsample=False,
        feed_forward=False,
    )
    return Encoder(headless(network), channels, "layer4", dimensions=3)


def resnet10_3d() -> Encoder:
    """3D ResNet10 (Chen et al. 2019, MedicalNet): the last residual block's output is the target."""
    return _resnet("basic", [1, 1, 1, 1], 512)


def resnet18_3d() -> Encoder:
    """3D ResNet18 (Hara et al. 2018; Chen et al. 2019); target as for ResNet10."""
    return _resnet("basic", [2, 2, 2, 2], 512)


def resnet50_3d() -> Encoder:
    """3D ResNet50 (Hara et al. 2018; Chen et al. 2019); target as for ResNet10."""
    return _resnet("bottleneck", [3, 4, 6, 3], 2048)


def efficientnet_b0_3d() -> Encoder:
    """MONAI's EfficientNet-B0 (Tan & Le 2019) in 3D: the target is the last 1 × 1 × 1 convolution, with its swish."""
    layers = dict(EfficientNetBN("efficientnet-b0", pretrained=False, spatial_dims=3, in_channels=1).named_children())

    def convolution(name: str, norm: str) -> nn.Sequential:
        names = {"padding": f"_conv_{name}_padding", "conv": f"_conv_{name}", "norm": norm, "swish": "_swish"}
        return nn.Sequential(OrderedDict((own, layers[theirs]) for own, theirs in names.items()))

    stem, head = convolution("stem", "_bn0"), convolution("head", "_bn1")
    return Encoder(Chain(OrderedDict(stem=stem, features=layers["_blocks"], head=head)), 1280, "head", dimensions=3)


def vgg16_3d() -> Encoder:
    """VGG16 (Simonyan & Zisserman 2015) carried to 3D, its kernels 3 × 3 × 3; no batch norm; target as in 2D."""
    layers: list[nn.Module] = []
    inputs = 1
    for channels, convolutions in VGG16:
        for _ in range(convolutions):
            layers += [nn.Conv3d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = channels
        layers.append(nn.MaxPool3d(2))
    body = Chain(OrderedDict(features=initialized(nn.Sequential(*layers))))
    return Encoder(body, 512, "features.29", dimensions=3)
