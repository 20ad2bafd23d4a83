"""The layers of a network: shapes and numbers of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from rescan.models.networks import Network


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
