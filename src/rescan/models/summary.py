"""The layers of a network: shapes and numbers of parameters."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rescan.models.networks import Network
from rescan.results.network_summary import LayerSummary, NetworkSummary


def summary(network: Network, input_shape: tuple[int, ...]) -> NetworkSummary:
    """List the network's top-level layers, in order, and count its parameters.

    Args:
        network: The network; its mode and state stay as they are.
        input_shape: (C, *spatial).
    """
    layers: list[LayerSummary] = []

    def add(name: str, layer: nn.Module, output: Tensor) -> None:
        kind, shape = type(layer).__name__, list(output.shape[1:])
        layers.append(LayerSummary(layer=name, type=kind, output=shape, **_count(layer)))

    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: add(name, layer, output))
        for name, layer in _layers(network)
    ]
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            # Not an empty batch: torch 1.12 convolves none channels last.
            network.eval()(torch.zeros(1, *input_shape, device=next(network.parameters()).device))
    finally:
        for hook in hooks:
            hook.remove()
        for module, training in modes:
            module.training = training
    whole = _count(network)
    return NetworkSummary(total=whole["parameters"], trainable=whole["trainable"], layers=layers)


def _layers(network: Network) -> Iterator[tuple[str, nn.Module]]:
    """Name the layers that a summary lists."""
    encoder = network.encoder
    # A transformer, or a network of timm, is one row: tokens and position embeddings belong to none of its layers.
    yield from encoder.layers() if isinstance(encoder.body, nn.Sequential) else [(encoder.whole, encoder.body)]
    yield "neck", network.neck
    yield from ((f"hidden.{name}", layer) for name, layer in network.hidden.named_children())
    for head, layers in network.heads.items():
        yield from ((f"heads.{head}.{name}", layer) for name, layer in layers.named_children())


def _count(layer: nn.Module) -> dict[str, int]:
    """Count a layer's parameters, and those that training changes."""
    sizes = [(weight.numel(), weight.requires_grad) for weight in layer.parameters()]
    return {"parameters": sum(n for n, _ in sizes), "trainable": sum(n for n, trainable in sizes if trainable)}
