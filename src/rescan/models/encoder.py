"""What all encoders are: networks without their heads, whose layers, blocks and Grad-CAM target are known.

Apart from the networks themselves, so that a job imports no more libraries than its own network needs.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, cast

import torch
from torch import Tensor, nn

from rescan.errors import RescanError
from rescan.models.checkpointing import Chain
from rescan.models.norms import NORMS
from rescan.study import FromBlock

HEADS = ("avgpool", "dropout", "fc", "classifier")


class Encoder(nn.Module):
    """A network without its head.

    Attributes:
        body: From images (B, 3, H, W), or volumes (B, 1, D, H, W), to the last maps; its weights are under the names
            of the files that fit.
        channels: Number of maps that `features` returns.
        dimensions: Spatial dimensions of what it takes, 2 or 3.
        inputs: Channels of what its body takes.
        fewest: The smallest batch that its body takes.
        whole: What a summary calls a body that it does not open.
    """

    fewest = 0
    whole = "tokens"

    def __init__(self, body: nn.Module, channels: int, target: str, dimensions: int = 2, inputs: int = 3) -> None:
        """Take a network without its head.

        Args:
            body: The network.
            channels: Number of its last maps.
            target: Name of the Grad-CAM target inside `body`; "" for the body itself.
            dimensions: Spatial dimensions of what it takes.
            inputs: Channels of the images that it takes; volumes have one.
        """
        super().__init__()
        self.body = body
        self.channels = channels
        self.dimensions = dimensions
        self.inputs = inputs if dimensions == 2 else 1
        self._target = target

    @property
    def target_layer(self) -> nn.Module:
        """The module whose output Grad-CAM weighs."""
        return self.body.get_submodule(self._target)

    @property
    def blocks(self) -> list[list[nn.Module]]:
        """The body's layers in order from the input, in blocks: a layer with weights, and what follows it without.

        Norms belong to the block before them; what stands before the first layer with weights, to the first block.
        """
        blocks: list[list[nn.Module]] = [[]]
        for _, layer in self.layers():
            weighted = any(any(True for _ in before.parameters()) for before in blocks[-1])
            if weighted and not isinstance(layer, NORMS) and any(True for _ in layer.parameters()):
                blocks.append([])
            blocks[-1].append(layer)
        return blocks

    def layers(self) -> list[tuple[str, nn.Module]]:
        """The body's layers by name, in order; opened up where they stand in `features`, or are a transformer's."""
        if not isinstance(self.body, nn.Sequential):
            return cast(Any, self.body).layers()
        layers = []
        for name, layer in self.body.named_children():
            inner = layer.named_children() if name == "features" else []
            layers += [(f"{name}.{number}", part) for number, part in inner] or [(name, layer)]
        return layers

    def cells(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The spatial size of the last maps, computed with an empty batch where it can be. Leaves it in eval mode.

        Args:
            input_shape: (C, *spatial) of the images or volumes.

        Raises:
            RuntimeError: They are too small.
        """
        with torch.no_grad():
            return tuple(self.eval().features(torch.zeros(self.fewest, *input_shape)).shape[2:])

    def smallest(self, channels: int) -> tuple[int, ...]:
        """The smallest input with the same multiple of 16 along every axis that the encoder takes."""

        def fits(edge: int) -> bool:
            try:
                self.cells((channels, *[edge] * self.dimensions))
            except RuntimeError:
                return False
            return True

        return (next(edge for edge in range(16, 513, 16) if fits(edge)),) * self.dimensions

    def trainable(self, trainable: str | FromBlock) -> list[nn.Module]:
        """The modules that a stage with this `trainable` trains: none (`head`), the encoder itself, or layers of it.

        Raises:
            RescanError: There is no such block.
        """
        if isinstance(trainable, str) or trainable.from_block == 1:
            return [] if trainable == "head" else [self]  # with what is in no block, as position embeddings
        first, blocks = trainable.from_block, self.blocks
        if first > len(blocks):
            raise RescanError(
                f"trainable: from_block: {first}, but the encoder has {len(blocks)} blocks; to train none of them, use "
                "trainable: head"
            )
        return [layer for block in blocks[first - 1 :] for layer in block]

    def fitted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file as they fit this network: as they are."""
        return state

    def features(self, images: Tensor) -> Tensor:
        """Compute the last maps.

        Args:
            images: (B, C, *spatial) float32, normalized; volumes have C = 1, images C = 1 or 3. One channel of an
                image is repeated, which equals summing the first convolution's weights over its channels.

        Returns:
            (B, channels, *cells) float32.
        """
        return self.body(images.expand(-1, self.inputs, *images.shape[2:]))

    forward = features


def headless(network: nn.Module, heads: tuple[str, ...] = HEADS, **more: nn.Module) -> Chain:
    """Chain a network's layers but its head, then `more`: what its own `forward` does beyond its layers."""
    layers = [(name, layer) for name, layer in network.named_children() if name not in heads]
    return Chain(OrderedDict([*layers, *more.items()]))
