"""Encoders: networks without their heads, of images and of volumes, and their published weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from rescan.catalogue.record import Record, by_name

PYTORCH = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Weights:
    """A published file of ImageNet weights.

    Attributes:
        file: Its name, which ends with the first 8 hexadecimal digits of its SHA-256.
        folder: The address where it lies.
        renamed: Patterns of names that weights had when the file was made, and what stands for them today.
    """

    file: str
    folder: str = PYTORCH
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def checksum(self) -> str:
        """The beginning of its SHA-256."""
        return self.file.rpartition(".")[0].rpartition("-")[2]


@dataclass(frozen=True)
class Encoder(Record):
    """A function that returns a `rescan.models.encoder.Encoder` with random weights.

    Attributes:
        dimensions: 2 for images, 3 for volumes.
        weights: Its ImageNet weights, if there are any: torchvision's V1, or MONAI's for what torchvision lacks.
        from_blocks: Whether it is described by `network.blocks`.
    """

    kind = "encoder"
    dimensions: int = 2
    weights: Optional[Weights] = None
    from_blocks: bool = False


_DENSENET = ((r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),)
_SE_RESNEXT = (
    (r"^(layer[1-4]\.\d+\.conv\d)\.", r"\1.conv."),
    (r"^(layer[1-4]\.\d+\.)bn(\d)\.", r"\1conv\2.adn.N."),
    (r"\.se_module\.fc1\.", ".se_layer.fc.0."),
    (r"\.se_module\.fc2\.", ".se_layer.fc.2."),
    (r"\.downsample\.0\.", ".project.conv."),
    (r"\.downsample\.1\.", ".project.adn.N."),
)
_VIT = ((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3."))

ENCODERS = by_name(
    Encoder(
        "resnet18",
        "rescan.models.encoders_2d:resnet18",
        about="He et al. 2016",
        weights=Weights("resnet18-f37072fd.pth"),
    ),
    Encoder(
        "resnet34",
        "rescan.models.encoders_2d:resnet34",
        about="He et al. 2016",
        weights=Weights("resnet34-b627a593.pth"),
    ),
    Encoder(
        "resnet50",
        "rescan.models.encoders_2d:resnet50",
        about="He et al. 2016, torchvision's V1.5",
        weights=Weights("resnet50-0676ba61.pth"),
    ),
    Encoder(
        "resnet101",
        "rescan.models.encoders_2d:resnet101",
        about="He et al. 2016, torchvision's V1.5",
        weights=Weights("resnet101-63fe2227.pth"),
    ),
    Encoder(
        "resnet152",
        "rescan.models.encoders_2d:resnet152",
        about="He et al. 2016, torchvision's V1.5",
        weights=Weights("resnet152-394f9c45.pth"),
    ),
    Encoder(
        "densenet121",
        "rescan.models.encoders_2d:densenet121",
        about="Huang et al. 2017",
        weights=Weights("densenet121-a639ec97.pth", renamed=_DENSENET),
    ),
    Encoder(
        "densenet169",
        "rescan.models.encoders_2d:densenet169",
        about="Huang et al. 2017",
        weights=Weights("densenet169-b2777c0a.pth", renamed=_DENSENET),
    ),
    Encoder(
        "vgg16",
        "rescan.models.encoders_2d:vgg16",
        about="Simonyan & Zisserman 2015, no batch norm",
        weights=Weights("vgg16-397923af.pth"),
    ),
    Encoder(
        "vgg19",
        "rescan.models.encoders_2d:vgg19",
        about="Simonyan & Zisserman 2015, no batch norm",
        weights=Weights("vgg19-dcbb9e9d.pth"),
    ),
    Encoder(
        "mobilenet_v3_large",
        "rescan.models.encoders_2d:mobilenet_v3_large",
        about="Howard et al. 2019",
        weights=Weights("mobilenet_v3_large-8738ca79.pth"),
    ),
    Encoder(
        "inception_v3",
        "rescan.models.encoders_2d:inception_v3",
        about="Szegedy et al. 2016",
        weights=Weights("inception_v3_google-0cc3c7bd.pth"),
    ),
    Encoder(
        "efficientnet_b0",
        "rescan.models.encoders_2d:efficientnet_b0",
        about="Tan & Le 2019",
        weights=Weights("efficientnet_b0_rwightman-7f5810bc.pth"),
    ),
    Encoder(
        "efficientnet_b4",
        "rescan.models.encoders_2d:efficientnet_b4",
        about="Tan & Le 2019",
        weights=Weights("efficientnet_b4_rwightman-23ab8bcd.pth"),
    ),
    Encoder(
        "efficientnet_b5",
        "rescan.models.encoders_2d:efficientnet_b5",
        about="Tan & Le 2019",
        weights=Weights("efficientnet_b5_lukemelas-1a07897c.pth"),
    ),
    Encoder(
        "se_resnext50",
        "rescan.models.se_resnext:se_resnext50",
        about="32x4d, Hu et al. 2018, MONAI's",
        weights=Weights(
            "se_resnext50_32x4d-a260b3a4.pth", "http://data.lip6.fr/cadene/pretrainedmodels/", renamed=_SE_RESNEXT
        ),
    ),
    Encoder(
        "vit_b_16",
        "rescan.models.vit:vit_b_16",
        about="vision transformer, Dosovitskiy et al. 2021",
        weights=Weights("vit_b_16-c867db91.pth", renamed=_VIT),
    ),
    Encoder(
        "cnn5",
        "rescan.models.cnn5:cnn5",
        about="five blocks of convolution, norm, leaky ReLU and pooling",
        sentence="five blocks (convolution, norm, leaky ReLU, pooling)",
    ),
    Encoder(
        "radiograph_cnn",
        "rescan.models.radiograph_cnn:radiograph_cnn",
        about="described by `blocks`; gray images only",
        from_blocks=True,
    ),
    Encoder(
        "resnet10_3d",
        "rescan.models.encoders_3d:resnet10_3d",
        about="Chen et al. 2019, MedicalNet",
        sentence="ResNet10 in 3D",
        dimensions=3,
    ),
    Encoder(
        "resnet18_3d",
        "rescan.models.encoders_3d:resnet18_3d",
        about="Hara et al. 2018, Chen et al. 2019",
        sentence="ResNet18 in 3D",
        dimensions=3,
    ),
    Encoder(
        "resnet50_3d",
        "rescan.models.encoders_3d:resnet50_3d",
        about="Hara et al. 2018, Chen et al. 2019",
        sentence="ResNet50 in 3D",
        dimensions=3,
    ),
    Encoder(
        "vgg16_3d",
        "rescan.models.encoders_3d:vgg16_3d",
        about="VGG16 with kernels of 3 × 3 × 3",
        sentence="VGG16 in 3D",
        dimensions=3,
    ),
    Encoder(
        "inception_v3_3d",
        "rescan.models.inception_3d:inception_v3_3d",
        about="Inception V3 carried to 3D",
        sentence="Inception V3 in 3D",
        dimensions=3,
    ),
    Encoder(
        "efficientnet_b0_3d",
        "rescan.models.encoders_3d:efficientnet_b0_3d",
        about="MONAI's, Tan & Le 2019",
        sentence="EfficientNet-B0 in 3D",
        dimensions=3,
    ),
    Encoder(
        "cnn5_3d",
        "rescan.models.cnn5:cnn5_3d",
        about="five blocks in 3D, as ClinicaDL's Conv5_FC3",
        sentence="five blocks in 3D (convolution, norm, leaky ReLU, pooling)",
        dimensions=3,
    ),
)
