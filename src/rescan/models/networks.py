"""The network of an arm: encoder, neck, hidden layers, named heads; and what of it is trained."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import cast

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rescan import catalogue
from rescan.errors import RescanError
from rescan.models import norms
from rescan.models.checkpointing import checkpoint_blocks
from rescan.models.encoder import Encoder
from rescan.models.head_layers import build_head, hidden_layers
from rescan.study import EncoderSettings, FromBlock, Recipe, TrainingStage


class Network(nn.Module):
    """An encoder, a neck, hidden fully connected layers that all heads share, and named heads."""

    def __init__(self, encoder: Encoder, neck: nn.Module, hidden: nn.Module, heads: dict[str, nn.Module]) -> None:
        super().__init__()
        self.encoder = encoder
        self.neck = neck
        self.hidden = hidden
        self.heads = nn.ModuleDict(heads)

    @property
    def target_layer(self) -> nn.Module:
        """The module whose output Grad-CAM weighs."""
        return self.encoder.target_layer

    @property
    def size(self) -> int:
        """How many numbers the heads take of an image: D."""
        hidden = [layer.out_features for layer in self.hidden.modules() if isinstance(layer, nn.Linear)]
        return hidden[-1] if hidden else cast(int, self.neck.out_features)

    def vectors(self, images: Tensor) -> Tensor:
        """Compute what the heads take.

        Args:
            images: (B, C, *spatial) float32, normalized (see `normalize`), C = 1 or 3.

        Returns:
            (B, D) float32, after the neck and the shared hidden layers.
        """
        return self.hidden(self.neck(self.encoder.features(images)))

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Compute every head's output.

        Args:
            images: As for `vectors`.

        Returns:
            Head name to (B, n) float32 (see `build_head`).
        """
        return self.read(self.vectors(images))

    def read(self, vectors: Tensor) -> dict[str, Tensor]:
        """Compute every head's output from what the heads take, (B, D)."""
        return {name: head(vectors) for name, head in self.heads.items()}


def encoder_of(
    spec: EncoderSettings, stages: Mapping[str, TrainingStage], preparation: str, input_shape: tuple[int, ...]
) -> Encoder:
    """Build an encoder with random weights, drawn from torch's global generator; in eval mode.

    Args:
        spec: The encoder, its norm, and whether it computes activations twice in training.
        stages: How it is to be trained.
        preparation: The name of the inputs' preparation, for messages.
        input_shape: (C, H, W) of the prepared images, C = 1 or 3, or (1, D, H, W) of volumes.

    Raises:
        RescanError: The encoder cannot take or be trained on images of this size, lacks the blocks of a stage, or has
            no batch norm whose momentum is to be set.
    """
    where = f"preparation {preparation}: "
    dimensions = catalogue.ENCODERS[spec.encoder].dimensions
    if dimensions != len(input_shape) - 1:
        raise RescanError(f"{where}{spec.encoder} is for {dimensions}D inputs, not of shape {input_shape}")
    try:
        encoder = _made(spec, input_shape[1:])
    except RescanError as error:
        raise type(error)(f"{where}{error}") from None
    if input_shape[0] not in (1, encoder.inputs):
        raise RescanError(f"{where}{spec.encoder} takes gray images; add channels: gray")
    for name, stage in stages.items():
        try:
            encoder.trainable(stage.trainable)
        except RescanError as error:
            raise RescanError(f"stages: {name}: {error}") from None
    norms.replace(encoder, spec.norm)
    if not norms.set_momentum(encoder, spec.norm_momentum) and spec.norm_momentum is not None:
        raise RescanError(f"network: {spec.encoder} has no batch norm; leave norm_momentum out")
    try:
        fewest = _fewest_cells(encoder, input_shape)
    except RescanError as error:
        raise RescanError(f"{where}{spec.encoder}: {error}") from None
    except RuntimeError:
        what = "images of {} pixels" if encoder.dimensions == 2 else "volumes of {} voxels"
        raise RescanError(
            f"{where}{what.format(_times(input_shape[1:]))} are too small for {spec.encoder}; "
            f"make them {_times(encoder.smallest(input_shape[0]))} or more"
        ) from None
    alone = any(stage.batch_size == 1 and stage.trainable != "head" for stage in stages.values())
    _check_norm(spec, fewest, alone, where)
    if spec.checkpointing:
        checkpoint_blocks(encoder)
    return encoder


def _made(spec: EncoderSettings, size: tuple[int, ...]) -> Encoder:
    """The encoder of these settings for images of this size, before its norm is replaced."""
    make = catalogue.resolve("encoder", spec.encoder)
    if catalogue.ENCODERS[spec.encoder].of_size:
        return cast(Encoder, make(size))
    return cast(Encoder, make() if spec.blocks is None else make(spec.blocks))


def _check_norm(spec: EncoderSettings, fewest: int, alone: bool, where: str) -> None:
    """Refuse a norm that would erase what it sees.

    Args:
        spec: The encoder and its norm.
        fewest: Cells of the smallest maps that a norm sees.
        alone: Whether a batch may be one image.
        where: The beginning of the message.

    Raises:
        RescanError: It would.
    """
    if fewest == 1 and (spec.norm == "instance" or (spec.norm == "batch" and alone)):
        why = f"{spec.norm} norm erases maps of one cell" + (", in batches of one" if spec.norm == "batch" else "")
        raise RescanError(f"{where}{spec.encoder}: {why}; prepare larger inputs, or use norm: group")


def build(recipe: Recipe, classes: int, input_shape: tuple[int, ...]) -> Network:
    """Build an arm's network with random weights, drawn from torch's global generator.

    Args:
        recipe: Its `network` describes encoder, neck, shared hidden layers and heads.
        classes: Number of classes.
        input_shape: As for `encoder_of`.

    Raises:
        RescanError: As `encoder_of` does; or the neck's batch norm cannot be trained on batches of one.
    """
    spec = recipe.network
    encoder = encoder_of(spec, recipe.stages, recipe.preparation, input_shape)
    if spec.neck["batch_norm"] and any(stage.batch_size == 1 for stage in recipe.stages.values()):
        raise RescanError("network: neck: batch_norm needs a batch_size of 2 or more; accumulate does not help")
    options = {option: value for option, value in spec.neck.items() if option != "name"}
    neck = catalogue.resolve("neck", spec.neck["name"])(encoder.channels, *encoder.cells(input_shape), **options)
    norms.set_momentum(neck, spec.norm_momentum)
    hidden, size = hidden_layers(neck.out_features, spec)
    heads: dict[str, nn.Module] = {name: build_head(name, size, head, classes) for name, head in spec.heads.items()}
    return Network(encoder, neck, nn.Sequential(*hidden), heads).train()


def _fewest_cells(encoder: Encoder, input_shape: tuple[int, ...]) -> int:
    """How many cells the smallest maps have that a norm sees one by one: a batch or an instance norm."""
    cells = []
    one_by_one = [layer for layer in encoder.modules() if isinstance(layer, (_BatchNorm, norms.InstanceNorm))]
    hooks = [
        layer.register_forward_pre_hook(lambda _, maps: cells.append(math.prod(maps[0].shape[2:])))
        for layer in one_by_one
    ]
    try:
        encoder.cells(input_shape)
    finally:
        for hook in hooks:
            hook.remove()
    return min(cells, default=0)


def _times(sizes: Iterable[int]) -> str:
    return " × ".join(map(str, sizes))


def set_trainable(network: nn.Module, trainable: str | FromBlock) -> None:
    """Let gradients reach what a stage trains: all, or all behind the encoder and the encoder's blocks from one on.

    Args:
        network: With an `encoder`.
        trainable: `all`, `head`, or the first block that trains.

    Raises:
        RescanError: The encoder has no such block.
    """
    encoder = cast(Encoder, network.encoder)
    parts = encoder.trainable(trainable)
    network.requires_grad_(True)
    encoder.requires_grad_(False)
    for part in parts:
        part.requires_grad_(True)


def set_training(network: nn.Module, trainable: str | FromBlock) -> None:
    """Put what a stage trains into training mode, and the rest into eval mode: its batch norms are frozen, too.

    Args:
        network: As for `set_trainable`.
        trainable: As for `set_trainable`.
    """
    encoder = cast(Encoder, network.encoder)
    network.train()
    encoder.eval()
    for part in encoder.trainable(trainable):
        part.train()
