"""Augmentation by name (names.AUGMENTATIONS) of a whole batch on its device.

The warps (`WARPS`) are fused into one affine matrix and sampled once; the others follow, in the order of that table.
What Keras's ImageDataGenerator also has means the same here.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rescan import names
from rescan.training.randomness import seed_of

# In the order in which their matrices are multiplied: an output pixel is zoomed, sheared, shifted, then rotated.
WARPS = ("rotation", "shift", "shear", "zoom")


def augment(batch: torch.Tensor, augmentation: dict[str, Any], seed: int, background: int) -> torch.Tensor:
    """Augment a batch, each image by its own draws; every name draws from a generator of its own.

    Args:
        batch: (B, C, H, W) uint8.
        augmentation: Value by name, as in a recipe.
        seed: Seed of all draws.
        background: Gray level in [0, 255] that fills what a warp uncovers.

    Returns:
        (B, C, H, W) float32 in [0, 255], on the batch's device.
    """
    generators = {name: torch.Generator().manual_seed(seed_of(seed, name)) for name in augmentation}
    matrices = [
        names.resolve("augmentation", name)(augmentation[name], batch.shape, generators[name])
        for name in WARPS
        if name in augmentation
    ]
    images = batch.float()
    if matrices:
        images = warp(images, functools.reduce(torch.matmul, matrices), background)
    for name in names.AUGMENTATIONS:
        if name in augmentation and name not in WARPS:
            images = names.resolve("augmentation", name)(images, augmentation[name], generators[name])
    return images.clamp(0, 255)


def preview(images: np.ndarray, augmentation: dict[str, Any], seed: int, background: int) -> np.ndarray:
    """Augment (N, H, W, C) uint8 images for looking at; return them in the same form."""
    batch = torch.from_numpy(np.array(images)).permute(0, 3, 1, 2)
    return augment(batch, augmentation, seed, background).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


def warp(images: torch.Tensor, matrices: torch.Tensor, background: float) -> torch.Tensor:
    """Warp each image by a matrix, with bilinear interpolation.

    Args:
        images: (B, C, H, W) float32.
        matrices: (B, 3, 3) float64: where in the input an output point (x, y, 1) lies, in pixels right of and below the
            image's center.
        background: What fills points outside the input.

    Returns:
        (B, C, H, W) float32; the input itself if every matrix is the identity.
    """
    if torch.equal(matrices, torch.eye(3, dtype=matrices.dtype).expand_as(matrices)):
        return images
    height, width = images.shape[-2:]
    # The sampler's coordinates run from -1 to 1 over the width and over the height.
    scale = torch.tensor([[1, height / width, 2 / width], [width / height, 1, 2 / height]], dtype=matrices.dtype)
    theta = (matrices[:, :2] * scale).float().to(images.device)
    grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    return functional.grid_sample(images - background, grid, align_corners=False) + background


def rotation(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Rotate about the center by an angle from [-value, value] degrees; a positive one turns counterclockwise."""
    angle = _uniform(-value, value, shape[0], generator) * math.pi / 180
    return _matrices({(0, 0): angle.cos(), (0, 1): -angle.sin(), (1, 0): angle.sin(), (1, 1): angle.cos()})


def shear(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Shear by an angle from [-value, value] degrees, as Keras: down by sin(angle) a column, wider by 1 / cos."""
    angle = _uniform(-value, value, shape[0], generator) * math.pi / 180
    return _matrices({(0, 0): angle.cos(), (1, 0): -angle.sin()})


def shift(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Shift along x and, independently, y by a share from [-value, value] of the width and height."""
    height, width = shape[-2:]
    x, y = (size * _uniform(-value, value, shape[0], generator) for size in (width, height))
    return _matrices({(0, 2): x, (1, 2): y})


def zoom(value: list[float], shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Scale x and, independently, y by a factor from [low, high], as Keras: 1.2 shows 1.2 times as much, so smaller."""
    low, high = value
    return _matrices({(axis, axis): _uniform(low, high, shape[0], generator) for axis in (0, 1)})


def flip_horizontal(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Mirror left and right with probability `value`."""
    return _flip(images, value, -1, generator)


def flip_vertical(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Mirror top and bottom with probability `value`."""
    return _flip(images, value, -2, generator)


def brightness(images: torch.Tensor, value: list[float], generator: torch.Generator) -> torch.Tensor:
    """Multiply gray levels by a factor from [low, high]."""
    return images * _per_image(value, images, generator)


def contrast(images: torch.Tensor, value: list[float], generator: torch.Generator) -> torch.Tensor:
    """Multiply the distance from the image's mean by a factor from [low, high]."""
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (images - mean) * _per_image(value, images, generator)


def noise(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise with a standard deviation of `value` on the [0, 1] scale, a draw a pixel and channel."""
    on_device = torch.Generator(images.device).manual_seed(generator.initial_seed())
    return images + 255 * value * torch.randn(images.shape, generator=on_device, device=images.device)


def _uniform(low: float, high: float, count: int, generator: torch.Generator) -> torch.Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


def _per_image(value: list[float], images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    low, high = value
    return _uniform(low, high, len(images), generator).float().to(images.device).view(-1, 1, 1, 1)


def _matrices(entries: dict[tuple[int, int], torch.Tensor]) -> torch.Tensor:
    """Identity matrices (B, 3, 3) with some entries replaced, each by a (B,) tensor."""
    matrices = torch.eye(3, dtype=torch.float64).repeat(len(next(iter(entries.values()))), 1, 1)
    for (row, column), values in entries.items():
        matrices[:, row, column] = values
    return matrices


def _flip(images: torch.Tensor, probability: float, axis: int, generator: torch.Generator) -> torch.Tensor:
    chosen = torch.rand(len(images), generator=generator) < probability
    return torch.where(chosen.to(images.device).view(-1, 1, 1, 1), images.flip(axis), images)
