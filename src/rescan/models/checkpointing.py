"""Activation checkpointing: activations are computed again in the backward pass rather than kept (Chen et al. 2016)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

POOLINGS = (nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool2d, nn.AvgPool3d)


class Chain(nn.Sequential):
    """Layers one behind the other that can compute their activations twice rather than keep them.

    Then the forward pass of a training keeps only what enters each segment, and the backward pass computes one segment
    at a time again. Outputs, gradients, batch-norm statistics, the state's names and all that is drawn at random stay
    as they were. Hooks of Sequential containers inside are not called meanwhile; in eval mode nothing changes.
    """

    checkpointing = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """Run the layers."""
        twice = self.checkpointing and torch.is_grad_enabled() and _in_training(list(self.modules())[1:])
        if not twice:
            return _run(list(self), input)
        for segment in segments(self):
            input = _recomputed(segment, input) if _in_training(segment) else _run(segment, input)  # noqa: A001
        return input


def _in_training(layers: Sequence[nn.Module]) -> bool:
    return any(layer.training for layer in layers)


def checkpoint_blocks(encoder: nn.Module) -> None:
    """Let every chain of layers in an encoder compute its activations twice in training."""
    for module in encoder.modules():
        if isinstance(module, Chain):
            module.checkpointing = True


def segments(chain: nn.Sequential) -> list[list[nn.Module]]:
    """Cut a chain into what is computed again at a time.

    That is a layer with an inner structure, such as a residual block, or a run of plain layers up to a pooling. None
    begins with a layer that works in place, as that would change what its computation begins with.
    """
    groups: list[list[nn.Module]] = []
    starts = True
    for layer in _opened(chain):
        composite = any(True for _ in layer.children())
        if starts or composite:
            groups.append([])
        groups[-1].append(layer)
        starts = composite or isinstance(layer, POOLINGS)
    return groups


def _opened(layer: nn.Module) -> Iterator[nn.Module]:
    """Yield the layers that a Sequential, and those inside it, run one behind the other."""
    if isinstance(layer, Chain) or type(layer).forward is nn.Sequential.forward:
        for child in layer.children():
            yield from _opened(child)
    else:
        yield layer


def _run(layers: Sequence[nn.Module], maps: Tensor) -> Tensor:
    for layer in layers:
        maps = layer(maps)
    return maps


def _recomputed(layers: Sequence[nn.Module], maps: Tensor) -> Tensor:
    """Run layers, keeping their input only."""
    autocast = _autocast_as_now(maps.device.type)
    again = False

    def run(maps: Tensor) -> Tensor:
        nonlocal again
        with autocast(), _statistics_kept(layers) if again else nullcontext():
            again = True
            return _run(layers, maps)

    result: Tensor = checkpoint(run, maps, use_reentrant=False)
    return result


def _autocast_as_now(device: str) -> Callable[[], AbstractContextManager[None]]:
    """Return what makes contexts of the present autocast; torch < 2 computes again in float16, or without."""
    if hasattr(torch, "get_autocast_dtype"):  # torch ≥ 2.4 has seen to it
        return nullcontext
    if device == "cuda":
        dtype, enabled = torch.get_autocast_gpu_dtype(), torch.is_autocast_enabled()
    else:
        dtype, enabled = torch.get_autocast_cpu_dtype(), torch.is_autocast_cpu_enabled()
    return partial(torch.autocast, device, dtype=dtype, enabled=enabled)


@contextmanager
def _statistics_kept(layers: Sequence[nn.Module]) -> Iterator[None]:
    """Let batch norms normalize as they do while their running statistics stay as they are.

    By a momentum of 0: without running statistics they would keep fewer tensors for the backward pass than before.
    """
    norms = [norm for layer in layers for norm in layer.modules() if isinstance(norm, _BatchNorm)]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, momentum, batches in before:
            norm.momentum, norm.num_batches_tracked = momentum, batches
