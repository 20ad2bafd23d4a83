"""Grad-CAM and its kin in any number of dimensions: the pass through the network, and the maps at the images' size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from rescan import catalogue
from rescan.heads.outputs import HEADS

UPSAMPLING = {1: "linear", 2: "bilinear", 3: "trilinear"}


@contextmanager
def _recording(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the outputs of a layer, cut off from what made them, so that gradients reach them and go no further.

    Gradients are tracked from the layer on only: what the layers before it compute need not be kept.
    """
    outputs: list[Tensor] = []

    def record(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> Tensor:
        torch.set_grad_enabled(True)
        outputs.append(output.detach().requires_grad_())
        return outputs[-1].clone()  # what follows may change its input in place

    hook = layer.register_forward_hook(record)
    try:
        with torch.no_grad():
            yield outputs
    finally:
        hook.remove()


def class_maps(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    head: str = "classification",
    layer: nn.Module | None = None,
    methods: Sequence[str] = ("gradcam",),
) -> dict[str, tuple[Tensor, Tensor]]:
    """Map where a layer's activations speak for a target, by several methods from one forward and backward pass.

    Every sample of the batch has its own target. Parameters need no gradients and get none.

    Args:
        network: In eval mode (batch norm in training mode mixes samples); returns a dict of heads.
        images: (B, C, *spatial) float32, normalized; one to three spatial dimensions.
        targets: (B,) integer. Of `classification`, the class, whose logit is the score. Of `binary`, the class, 0 or 1:
            the score is the logit, or its negative. Of a head of grades, 1 or −1: the score is the sum of the head's
            outputs, which rises with the grade, or its negative.
        head: Whose output is the score.
        layer: The module of the network whose output A, (B, C, *cells), is mapped; None: its `target_layer`.
        methods: Names of catalogue.CAM_METHODS.

    Returns:
        By method the raw maps (B, *spatial of the images) float32 ≥ 0, upsampled, without what speaks against the
        target; and the same divided by each map's maximum, in [0, 1]. A map without positive evidence is zero
        everywhere in both.

    Raises:
        ValueError: The network is in training mode.
    """
    if network.training:
        raise ValueError("Grad-CAM needs a network in eval mode; call network.eval() first")
    with _recording(layer or cast(nn.Module, network.target_layer)) as outputs:
        output = network(images)[head]
        if HEADS[head].of_classes and not HEADS[head].one_output:
            scores = output.gather(1, targets.view(-1, 1))
        else:
            scores = output.sum(1) * (2 * targets - 1 if HEADS[head].of_classes else targets)
        (activations,) = outputs
        (gradients,) = torch.autograd.grad(scores.sum(), activations)
    activations, gradients = activations.detach().float(), gradients.float()
    formulas = {method: catalogue.resolve("method", method) for method in methods}
    return {method: _upsampled(formula(activations, gradients), images) for method, formula in formulas.items()}


def _upsampled(maps: Tensor, images: Tensor) -> tuple[Tensor, Tensor]:
    """Cut maps (B, *cells) off at zero and upsample them to the images' size; raw, and divided by their maximum."""
    mode = UPSAMPLING[images.ndim - 2]
    maps = torch.relu(maps).unsqueeze(1)
    raw = functional.interpolate(maps, size=images.shape[2:], mode=mode, align_corners=False).squeeze(1)
    highest = raw.flatten(1).amax(1).view(-1, *[1] * (raw.ndim - 1))
    return raw, torch.where(highest > 0, raw / highest, raw)


def gradcam(
    network: nn.Module,
    images: Tensor,
    targets: Tensor,
    head: str = "classification",
    layer: nn.Module | None = None,
    method: str = "gradcam",
) -> tuple[Tensor, Tensor]:
    """The raw and the scaled maps of one method (see `class_maps`)."""
    return class_maps(network, images, targets, head, layer, [method])[method]


def cells(network: nn.Module, images: Tensor, layer: nn.Module | None = None) -> tuple[int, ...]:
    """How many cells a map of a layer has along each spatial dimension before it is upsampled to the images' size."""
    with _recording(layer or cast(nn.Module, network.target_layer)) as outputs:
        network(images[:1])
    return tuple(outputs[0].shape[2:])
