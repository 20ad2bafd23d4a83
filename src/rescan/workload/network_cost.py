"""What a network costs per image: parameters, multiply-adds of a forward pass, numbers kept for the backward pass."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from rescan import catalogue
from rescan.catalogue.encoder_record import Cost
from rescan.log import logger
from rescan.study import Autoencoder, Block, EncoderSettings, Network

REFERENCE = {2: 224**2, 3: 96**3}  # pixels and voxels that the catalogue's costs are of
LARGE = Cost(303, 59.7, 140, layers=400, maps=1024, cells=196)  # ViT-L/16 (Dosovitskiy et al. 2021)
CHECKPOINTED = 0.25  # share of the numbers that checkpointing keeps
DECODER_WIDEST, DECODER_NARROWEST = 256, 16  # as rescan.models.autoencoders


@dataclass(frozen=True)
class NetworkCost:
    """What a network costs per image.

    Attributes:
        dimensions: Of its inputs, 2 or 3.
        parameters: How many.
        behind: How many of them are behind the encoder.
        multiply_adds: Of a forward pass.
        kept: Numbers that are computed on the way to the loss, and that the backward pass needs.
        upsampled: Numbers that a decoder upsamples on the way.
        held: Those that are in memory at once; fewer with checkpointing.
        passes: Forward passes that forward and backward pass are worth together.
        layers: That run one after the other.
    """

    dimensions: int
    parameters: float
    behind: float
    multiply_adds: float
    kept: float
    upsampled: float
    held: float
    passes: float
    layers: int


def of_arm(network: Network, classes: int, shape: Sequence[int]) -> NetworkCost:
    """The network of an arm, for inputs of a spatial shape."""
    encoder = of_encoder(network, shape)
    width = encoder.maps * (2 if network.neck["name"] == "avg+max" else 1)
    if network.neck["name"] == "flatten":
        width = encoder.maps * max(1, encoder.cells)
    behind = 0
    for size in network.hidden:
        behind, width = behind + width * size, size
    for head in network.heads.values():
        behind += sum(a * b for a, b in zip([width, *head.hidden], [*head.hidden, classes]))
    return _cost(network, encoder, shape, parameters=behind, multiply_adds=behind, kept=0, layers=4)


def of_autoencoder(autoencoder: Autoencoder, channels: int, shape: Sequence[int]) -> NetworkCost:
    """An autoencoder: its encoder, and a decoder whose maps double in size and halve in number."""
    encoder = of_encoder(autoencoder, shape)
    dimensions = len(shape)
    doublings = max(1, round(math.log2(max(2, math.prod(shape) / encoder.cells)) / dimensions))
    width = min(encoder.maps, DECODER_WIDEST)
    parameters = float(encoder.maps * width)
    multiply_adds, kept, upsampled, pixels = parameters * encoder.cells, 0.0, 0.0, float(encoder.cells)
    for doubling in range(doublings):
        pixels *= 2**dimensions
        narrower = channels if doubling == doublings - 1 else max(width // 2, DECODER_NARROWEST)
        parameters += width * narrower * 3**dimensions
        multiply_adds += width * narrower * 3**dimensions * pixels
        kept += (width + 2 * narrower) * pixels
        upsampled += width * pixels
        width = narrower
    return _cost(
        autoencoder,
        encoder,
        shape,
        parameters=parameters,
        multiply_adds=multiply_adds,
        kept=kept,
        layers=4 * doublings,
        upsampled=upsampled,
    )


def of_encoder(settings: EncoderSettings, shape: Sequence[int]) -> Cost:
    """An encoder's cost, in whole numbers, for inputs of a spatial shape."""
    if settings.blocks is not None:
        return _of_blocks(settings.blocks, shape)
    cost = catalogue.ENCODERS[settings.encoder].cost
    if not cost.maps:
        cost = _assumed(settings.encoder)
    scale = math.prod(shape) / REFERENCE[len(shape)]
    return Cost(
        cost.parameters * 1e6,
        cost.multiply_adds * 1e9 * scale,
        cost.kept * 1e6 * scale,
        cost.layers,
        cost.maps,
        max(1, round(cost.cells * scale)),
    )


@functools.cache
def _assumed(encoder: str) -> Cost:
    """What an encoder of unknown cost is taken for; said once."""
    logger.warning("%s: its cost is not known; memory and time are estimated as for ViT-L/16, a large network", encoder)
    return LARGE


def _cost(
    settings: EncoderSettings,
    encoder: Cost,
    shape: Sequence[int],
    *,
    parameters: float,
    multiply_adds: float,
    kept: float,
    layers: int,
    upsampled: float = 0,
) -> NetworkCost:
    held = encoder.kept * (CHECKPOINTED if settings.checkpointing else 1) + kept
    return NetworkCost(
        dimensions=len(shape),
        parameters=encoder.parameters + parameters,
        behind=parameters,
        multiply_adds=encoder.multiply_adds + multiply_adds,
        kept=encoder.kept + kept,
        upsampled=upsampled,
        held=held,
        passes=4 if settings.checkpointing else 3,
        layers=encoder.layers + layers,
    )


def _of_blocks(blocks: Sequence[Block], shape: Sequence[int]) -> Cost:
    """The cost of an encoder that blocks describe."""
    parameters = multiply_adds = kept = 0.0
    maps, pixels, layers = 1, math.prod(shape), 0
    for block in blocks:
        pixels //= block.stride ** len(shape)
        weights = block.kernel ** len(shape) * block.maps
        shortcut = block.residual and (maps != block.maps or block.stride > 1)
        own = maps * weights + block.residual * block.maps * weights + shortcut * maps * block.maps
        parameters += own + block.maps * (1 + block.residual + shortcut)
        multiply_adds += own * pixels
        kept += block.maps * pixels * (3 if block.residual else 1)
        layers += (5 if block.residual else 2) + (block.pool > 1)
        maps = block.maps
        if block.pool > 1:
            pixels //= block.pool ** len(shape)
            kept += 3 * maps * pixels  # the maps, and the places of the maxima in 64 bits
    return Cost(parameters, multiply_adds, kept, layers, maps, max(1, pixels))
