"""Whose weights a file holds, told from the shapes of its convolutions, whatever their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Optional

from rescan.files import fingerprint

OF_SHAPES = {
    "25d3780df1b6da25": "resnet18",
    "bbd5f4d79972fdb9": "resnet34",
    "68013a036eb254cf": "resnet50",
    "0758111c0798dbfc": "resnet101",
    "43a8d0481a131126": "resnet152",
    "7d663bbb68e480e7": "densenet121",
    "512c6fb856fe098d": "densenet169",
    "27d32a4be895b9c6": "vgg16",
    "b93104bb73a8474d": "vgg19",
    "f06a2f711918ac02": "mobilenet_v3_large",
    "866de187538a3417": "inception_v3",
    "1222341596e18491": "efficientnet_lite0",
    "0232e4bed98b03ef": "efficientnet_b0",
    "4600ecf92d5b38ef": "efficientnet_b4",
    "eee96200a24d0651": "efficientnet_b5",
    "21ec9bf22fb00f57": "se_resnext50",
    "4cb0210d7210a43d": "vit_b_16",
    "6c46a81ef1a7a6f6": "cnn5",
    "dea8e05e4b36ca5d": "resnet10_3d",
    "a11e118b6ca4aa35": "resnet18_3d",
    "72a170f2d54430dd": "resnet50_3d",
    "0c401371d32438a3": "vgg16_3d",
    "ab8c1a598ccad488": "inception_v3_3d",
    "2a1dd8924281ec19": "efficientnet_b0_3d",
    "94b6352586eee72d": "cnn5_3d",
    "6e333255c3b0d644": "a ResNet18 in 3D whose shortcuts have no weights (type A), as MedicalNet's",
    "256f0c6ddaab350c": "a ResNet34 in 3D whose shortcuts have no weights (type A), as MedicalNet's",
}


def shapes_key(shapes: Iterable[Sequence[int]]) -> str:
    """A fingerprint of the shapes of convolutions among a network's weights: heads have none, and so count nothing."""
    return fingerprint(sorted([*shape] for shape in shapes if len(shape) > 2))


def network_of(shapes: Iterable[Sequence[int]]) -> Optional[str]:
    """The encoder that has convolutions of just these shapes, or what is known of another one; None if nothing is."""
    return OF_SHAPES.get(shapes_key(shapes))
