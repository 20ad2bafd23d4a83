"""The blocks of encoders that Grad-CAM can map, by name, from the input on: the last maps of each size.

Each name is that of the network's makers, and its value the module inside the encoder's body whose output is mapped:
after norm and activation, before the pooling or the stride that halves the maps. The last is the default.
"""

from __future__ import annotations


def numbered(count: int, module: str) -> dict[str, str]:
    """Name the blocks block1, block2, …; `module` has {} in the place of the number."""
    return {f"block{number}": module.format(number) for number in range(1, count + 1)}


def named(*names: str) -> dict[str, str]:
    """Blocks that are called as their modules are."""
    return {name: name for name in names}


def _vgg(*activations: int) -> dict[str, str]:
    """The five blocks of a VGG, by the places of the last activation in each."""
    return {f"block{number}": f"features.{place}" for number, place in enumerate(activations, 1)}


CNN5 = numbered(5, "block{}.relu")
DENSENET = {f"denseblock{number}": f"features.transition{number}.relu" for number in (1, 2, 3)}
DENSENET["denseblock4"] = "relu"
EFFICIENTNET = named("features.1", "features.2", "features.3", "features.5", "features.8")
EFFICIENTNET_3D = named("features.0", "features.1", "features.2", "features.4", "head")
EFFICIENTNET_LITE = named("features.0", "features.2", "features.4", "features.10", "head")
INCEPTION = named("Conv2d_2b_3x3", "Conv2d_4a_3x3", "Mixed_5d", "Mixed_6e", "Mixed_7c")
INCEPTION_3D = named("conv_2b", "conv_4a", "mixed_5d", "mixed_6e", "mixed_7c")
MOBILENET = named("features.1", "features.3", "features.6", "features.12", "features.16")
OF_BLOCKS = "block{}.maps"  # of a network that a study file describes by its blocks
RESNET = named("layer1", "layer2", "layer3", "layer4")
VGG16 = _vgg(3, 8, 15, 22, 29)
VGG19 = _vgg(3, 8, 17, 26, 35)
VIT = {"encoder.ln": ""}  # the patch tokens behind the last norm, laid out as a grid
