"""How a network is computed on a device: half precision and channels-last memory on GPUs, float32 on a CPU."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn


class Precision:
    """The device of a training, its autocast, and the scaler of its gradients.

    Attributes:
        device: The device.
        on_gpu: Whether it is a GPU.
        scaler: Keeps float16 gradients from vanishing; does nothing with bfloat16 and on a CPU.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on_gpu = device.type == "cuda"
        torch.backends.cudnn.benchmark = self.on_gpu
        bf16 = self.on_gpu and torch.cuda.get_device_capability() >= (8, 0)  # older cards only emulate it
        self._half = torch.bfloat16 if bf16 else torch.float16
        self.scaler = _grad_scaler(enabled=self.on_gpu and not bf16)

    def seed(self, seed: int) -> None:
        """Seed what dropout draws from, on the device alone: `torch.manual_seed` costs more than a small network."""
        if self.on_gpu:
            torch.cuda.manual_seed(seed)
        else:
            torch.default_generator.manual_seed(seed)

    def autocast(self) -> AbstractContextManager[Any]:
        """The context in which outputs and loss are computed."""
        return torch.autocast("cuda", dtype=self._half) if self.on_gpu else nullcontext()

    def backward(self, loss: torch.Tensor) -> None:
        """Add a loss's gradients."""
        self.scaler.scale(loss).backward()

    def step(self, optimizer: torch.optim.Optimizer, clip_norm: float | None = None) -> None:
        """Take a step of the optimizer and remove the gradients.

        Args:
            optimizer: The optimizer.
            clip_norm: The Euclidean norm of all gradients together to which larger ones are scaled down; None: to none.
        """
        if clip_norm is not None:
            self.scaler.unscale_(optimizer)
            trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
            nn.utils.clip_grad_norm_(trained, clip_norm)
        self.scaler.step(optimizer)
        self.scaler.update()
        optimizer.zero_grad(set_to_none=True)


def place(network: nn.Module, device: torch.device, dimensions: int) -> None:
    """Move a network for inputs of 2 or 3 spatial dimensions to a device, in the memory format that is fast there."""
    network.to(device)
    if dimensions == 2:  # up to twice as fast on a CPU, too, where channels are convolved one by one
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _grad_scaler(*, enabled: bool) -> Any:
    if hasattr(torch.amp, "GradScaler"):
        return torch.amp.GradScaler("cuda", enabled=enabled)
    return torch.cuda.amp.GradScaler(enabled=enabled)  # torch < 2.3
