"""From pixel values to what a network takes, and back (catalogue.NORMALIZATIONS)."""

from __future__ import annotations

import functools

import torch
from torch import Tensor

from rescan import catalogue


def normalize(images: Tensor, normalization: str) -> Tensor:
    """Turn pixel values into what the network takes: (x / 255 · scale − mean) / std, by catalogue.NORMALIZATIONS.

    Args:
        images: (B, C, …) uint8, or floating point on the same 0–255 scale; C = 1 or 3. One channel takes the mean of
            the three channels' constants.
        normalization: A name of catalogue.NORMALIZATIONS.

    Returns:
        Of the same shape, float32.
    """
    scale, mean, std = constants(normalization, images.shape[1], images.ndim, images.device)
    return (images.float() * (scale / 255) - mean) / std


def denormalize(inputs: Tensor, normalization: str) -> Tensor:
    """Turn what the network takes, or an autoencoder returns, back into pixel values on the 0–255 scale, float32."""
    scale, mean, std = constants(normalization, inputs.shape[1], inputs.ndim, inputs.device)
    return (inputs.float() * std + mean) * (255 / scale)


@functools.cache  # sending them to a GPU makes the CPU wait for it
def constants(normalization: str, channels: int, ndim: int, device: torch.device) -> tuple[float, Tensor, Tensor]:
    """A normalization's scale, mean and standard deviation, the latter two shaped to fit images (B, C, …)."""
    record = catalogue.NORMALIZATIONS[normalization]
    mean, std = (torch.tensor(values) for values in (record.mean, record.std))
    if channels == 1:
        mean, std = mean.mean(0, keepdim=True), std.mean(0, keepdim=True)
    shape = (1, -1) + (1,) * (ndim - 2)
    return record.scale, mean.view(shape).to(device), std.view(shape).to(device)
