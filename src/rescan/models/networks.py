"""The network of an arm: encoder, neck, hidden layers, named heads; its normalization, its file, its summary."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from rescan import catalogue
from rescan.errors import RescanError
from rescan.files import writing
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

    def vectors(self, images: Tensor) -> Tensor:
        """Compute what the heads are fed.

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
        """Compute every head's output from what the heads are fed, (B, D)."""
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
        RescanError: The encoder cannot take or be trained on images of this size, or lacks the blocks of a stage.
    """
    where = f"preparation {preparation}: "
    make = catalogue.resolve("encoder", spec.encoder)
    encoder: Encoder = make() if spec.blocks is None else make(spec.blocks)
    if encoder.dimensions != len(input_shape) - 1:
        raise RescanError(f"{where}{spec.encoder} is for {encoder.dimensions}D inputs, not of shape {input_shape}")
    if input_shape[0] not in (1, encoder.inputs):
        raise RescanError(f"{where}{spec.encoder} takes gray images; add channels: gray")
    for name, stage in stages.items():
        try:
            encoder.trainable(stage.trainable)
        except RescanError as error:
            raise RescanError(f"stages: {name}: {error}") from None
    norms.replace(encoder, spec.norm)
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
    if fewest == 1 and (spec.norm == "instance" or (spec.norm == "batch" and alone)):
        why = f"{spec.norm} norm erases maps of one cell" + (", in batches of one" if spec.norm == "batch" else "")
        raise RescanError(f"{where}{spec.encoder}: {why}; prepare larger inputs, or use norm: group")
    if spec.checkpointing:
        checkpoint_blocks(encoder)
    return encoder


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
    hidden, size = hidden_layers(neck.out_features, spec)
    heads: dict[str, nn.Module] = {name: build_head(name, size, head, classes) for name, head in spec.heads.items()}
    return Network(encoder, neck, nn.Sequential(*hidden), heads).train()


def _fewest_cells(encoder: Encoder, input_shape: tuple[int, ...]) -> int:
    """How many cells the smallest maps have that a norm sees one by one: a batch or an instance norm."""
    seen = []
    one_by_one = [layer for layer in encoder.modules() if isinstance(layer, (_BatchNorm, norms.InstanceNorm))]
    hooks = [
        layer.register_forward_pre_hook(lambda _, maps: seen.append(math.prod(maps[0].shape[2:])))
        for layer in one_by_one
    ]
    try:
        encoder.cells(input_shape)
    finally:
        for hook in hooks:
            hook.remove()
    return min(seen, default=0)


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


def normalize(images: Tensor, normalization: str) -> Tensor:
    """Turn pixel values into what the network is fed: (x / 255 · scale − mean) / std, by catalogue.NORMALIZATIONS.

    Args:
        images: (B, C, …) uint8, or floating point on the same 0–255 scale; C = 1 or 3. One channel takes the mean of
            the three channels' constants.
        normalization: A name of catalogue.NORMALIZATIONS.

    Returns:
        Of the same shape, float32.
    """
    scale, mean, std = _constants(images, normalization)
    return (images.float() * (scale / 255) - mean) / std


def denormalize(fed: Tensor, normalization: str) -> Tensor:
    """Turn what the network is fed, or an autoencoder returns, back into pixel values on the 0–255 scale, float32."""
    scale, mean, std = _constants(fed, normalization)
    return (fed.float() * std + mean) * (255 / scale)


def _constants(images: Tensor, normalization: str) -> tuple[float, Tensor, Tensor]:
    """A normalization's scale, mean and standard deviation, the latter two shaped to fit images (B, C, …)."""
    constants = catalogue.NORMALIZATIONS[normalization]
    mean, std = (torch.tensor(values, device=images.device) for values in (constants.mean, constants.std))
    if images.shape[1] == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    shape = (1, -1) + (1,) * (images.ndim - 2)
    return constants.scale, mean.view(shape), std.view(shape)


def save(path: str | Path, network: nn.Module, header: dict[str, Any]) -> None:
    """Write a network's state as safetensors, with `header` as JSON under "rescan" in the file's metadata."""
    # A copy each: safetensors refuses tensors that share memory, and those that are not contiguous (channels last).
    state = {
        key: value.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        for key, value in network.state_dict().items()
    }
    with writing(path) as temporary:  # one key: several are written in a random order, and equal files shall be equal
        save_file(state, str(temporary), metadata={"rescan": json.dumps(header, ensure_ascii=False)})


def _read(path: str | Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file: its tensors, on the CPU, and its metadata."""
    try:
        with safe_open(str(path), framework="pt") as stored:
            return {key: stored.get_tensor(key) for key in stored.keys()}, stored.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise RescanError(f"{path}: no such file; run the step that makes it first") from None
    except (SafetensorError, OSError) as error:
        raise RescanError(f"{path}: not a safetensors file ({error}); make it again") from None


def load(path: str | Path) -> tuple[Network, dict[str, Any]]:
    """Read a model file and build its network from the header alone.

    Returns:
        The network, on the CPU and in eval mode, and the header.

    Raises:
        RescanError: No such file, or not a model file that this version of Rescan can read.
    """
    state, metadata = _read(path)
    if "rescan" not in metadata:
        raise RescanError(
            f"{path}: holds weights but not a Rescan model (no header); give a model.safetensors that `train` wrote"
        )
    try:
        header = json.loads(metadata["rescan"])
        network = build(Recipe.model_validate(header["recipe"]), len(header["classes"]), tuple(header["input"]))
        network.load_state_dict(state)
    except (ValueError, KeyError, TypeError, ValidationError, RuntimeError, RescanError) as error:
        reason = " ".join(str(error).split())[:200]
        raise RescanError(f"{path}: this version of Rescan cannot read this model ({reason}); train it again") from None
    return network.eval(), header


def load_encoder_weights(network: Network, path: str | Path) -> None:
    """Load pretrained weights, as the step `weights` names them, into the encoder; the old head's are ignored.

    Raises:
        RescanError: No such file, or it lacks weights of this encoder, or they have other shapes.
    """
    state, _ = _read(path)
    body = network.encoder.body
    # Files older than torch 0.4.1 hold no count of batches, which only cumulative batch norm uses.
    wanted = {key: value for key, value in body.state_dict().items() if not key.endswith("num_batches_tracked")}
    missing = [key for key in wanted if key not in state]
    different = [key for key in wanted if key in state and state[key].shape != wanted[key].shape]
    if missing or different:
        what = f"lacks {missing[0]}" if missing else f"has another shape of {different[0]}"
        count = len(missing) + len(different)
        raise RescanError(
            f"{path}: {what} ({count} of {len(wanted)} weights do not fit); it belongs to another encoder"
        )
    body.load_state_dict({key: state[key] for key in wanted}, strict=False)


def summary(network: Network, input_shape: tuple[int, ...]) -> list[dict[str, Any]]:
    """List the network's top-level layers, in order, and a total.

    Args:
        network: The network; its mode and state stay as they are.
        input_shape: (C, *spatial).

    Returns:
        Rows of `layer` (name), `type` (class), `output` (shape without the batch), `parameters` and `trainable`
        (counts). The last row is `total`; its `output` is the last head's.
    """
    rows: list[dict[str, Any]] = []

    def add(name: str, layer: nn.Module, output: Tensor) -> None:
        rows.append({"layer": name, "type": type(layer).__name__, "output": list(output.shape[1:]), **_count(layer)})

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: add(name, layer, output))
        for name, layer in _layers(network)
    ]
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            network.eval()(torch.empty(0, *input_shape, device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    return [*rows, {"layer": "total", "type": "", "output": rows[-1]["output"], **_count(network)}]


def _layers(network: Network) -> Iterator[tuple[str, nn.Module]]:
    """Name the layers that a summary lists."""
    encoder = network.encoder
    # A transformer is one row: its class token and position embeddings belong to none of its layers.
    yield from encoder.layers() if isinstance(encoder.body, nn.Sequential) else [("tokens", encoder.body)]
    yield "neck", network.neck
    yield from ((f"hidden.{name}", layer) for name, layer in network.hidden.named_children())
    for head, layers in network.heads.items():
        yield from ((f"heads.{head}.{name}", layer) for name, layer in layers.named_children())


def _count(layer: nn.Module) -> dict[str, int]:
    """Count a layer's parameters, and those that training changes."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in layer.parameters()]
    return {"parameters": sum(n for n, _ in sizes), "trainable": sum(n for n, trainable in sizes if trainable)}
