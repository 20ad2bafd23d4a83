"""Augmentation by name (catalogue.AUGMENTATIONS) of a whole batch of images or volumes on its device.

The warps (`rescan.training.warps`) come first and are sampled once; the others follow, in the order of that table. What
Keras's ImageDataGenerator also has means the same here. Draws are made on the CPU, the same for every device, and sent
without waiting; only noise is drawn on the device.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from rescan import catalogue
from rescan.training.loader import gray_levels
from rescan.training.randomness import seed_of
from rescan.training.warps import affine, local, per_image, uniform, warp

NOTHING = (0, [1, 1])  # the amount or probability, and the range, that leave an image as it is
# What sharpening and embossing add to the image, for a strength of 1.
LAPLACIAN = ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1))
RELIEF = ((-2, -1, 0), (-1, 0, 1), (0, 1, 2))
TRIES = 16  # draws of which `preview_each` takes the one that shows most


def augment(batch: torch.Tensor, augmentation: dict[str, Any], seed: int, background: int) -> torch.Tensor:
    """Augment a batch, each image or volume by its own draws; every name draws from a generator of its own.

    Args:
        batch: (B, C, H, W), C is 1 or 3, or (B, 1, D, H, W); uint8, or float32 in [0, 255].
        augmentation: Value by name, as in a recipe; of volumes, those that are for volumes only.
        seed: Seed of all draws.
        background: Gray level in [0, 255] that fills what a warp uncovers and cutout removes.

    Returns:
        The same shape, float32 in [0, 255], on the batch's device.
    """
    active = {name: value for name, value in augmentation.items() if value not in NOTHING}
    generators = {name: torch.Generator().manual_seed(seed_of(seed, name)) for name in active}
    images = batch.to(torch.float32, memory_format=torch.contiguous_format)
    matrices, points = affine(active, images.shape, generators), local(active, images, generators)
    images = warp(images, matrices, background, points)
    for name, record in catalogue.AUGMENTATIONS.items():
        if name in active and record.applies == "pixels":
            fill = (background,) if record.fills else ()
            images = catalogue.resolve("augmentation", name)(images, active[name], generators[name], *fill)
    return images.clamp(0, 255)


def preview(images: np.ndarray, augmentation: dict[str, Any], seed: int, background: int) -> np.ndarray:
    """Augment items of a store for looking at: (N, *spatial, C) uint8 or uint16; return the same shape, uint8."""
    batch = gray_levels(np.array(images)).movedim(-1, 1)
    return augment(batch, augmentation, seed, background).round().to(torch.uint8).movedim(1, -1).numpy()


def preview_each(image: np.ndarray, augmentation: dict[str, Any], background: int) -> list[tuple[str, np.ndarray]]:
    """Augment an item of a store by each name alone, in the order of catalogue.AUGMENTATIONS, for looking at.

    Of several draws it takes the one that changes the image most, so that the strength is visible; always the same one.

    Args:
        image: (*spatial, C) uint8 or uint16. All draws are in memory at once: of a large volume, take a smaller one.
        augmentation: Value by name.
        background: Gray level in [0, 255].

    Returns:
        Pairs of a name and the image in the same shape, uint8.
    """
    before = gray_levels(np.array(image)).float().numpy()
    examples = []
    for name in catalogue.AUGMENTATIONS:
        if name in augmentation:
            tries = preview(np.stack([image] * TRIES), {name: augmentation[name]}, 0, background)
            change = np.abs(tries.astype(np.float32) - before).mean(axis=tuple(range(1, tries.ndim)))
            examples.append((name, tries[change.argmax()]))
    return examples


def flip_horizontal(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Mirror left and right, along the width, with probability `value`."""
    return _flip(images, value, -1, generator)


def flip_vertical(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Mirror top and bottom, along the height, with probability `value`."""
    return _flip(images, value, -2, generator)


def flip_depth(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Mirror volumes along the depth with probability `value`."""
    return _flip(images, value, -3, generator)


def brightness(images: torch.Tensor, value: list[float], generator: torch.Generator) -> torch.Tensor:
    """Multiply gray levels by a factor from [low, high]."""
    return images * per_image(_factors(images, value, generator), images)


def contrast(images: torch.Tensor, value: list[float], generator: torch.Generator) -> torch.Tensor:
    """Multiply the distance from the image's mean by a factor from [low, high]."""
    mean = images.mean(dim=tuple(range(1, images.ndim)), keepdim=True)
    return torch.lerp(mean, images, per_image(_factors(images, value, generator), images))


def gamma(images: torch.Tensor, value: list[float], generator: torch.Generator) -> torch.Tensor:
    """Raise gray levels, on the [0, 1] scale and clipped to it, to a power from [low, high]; above 1 darkens."""
    power = _factors(images, value, generator)
    powers, scales = (per_image(values, images) for values in (power, 255 ** (1 - power)))
    return images.clamp(0, 255).pow(powers).mul_(scales)


def rgb_shift(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Add to each channel, independently, a shift from [-value, value] on the [0, 1] scale."""
    count, channels = images.shape[:2]
    shifts = uniform(-value, value, count * channels, generator).view(count, channels)
    return images + 255 * per_image(shifts, images)


def blur(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Blur by a Gaussian with a standard deviation from [0, value] pixels."""
    deviation = uniform(0, value, len(images), generator).clamp(min=1e-3)[:, None]
    offsets = torch.arange(-math.ceil(3 * value), math.ceil(3 * value) + 1)
    weights = torch.exp(-0.5 * (offsets / deviation).square())
    weights = weights / weights.sum(dim=1, keepdim=True)
    return _filter(_filter(images, weights[:, None, :]), weights[:, :, None])


def sharpen(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Add a share from [0, value] of the difference between each pixel and its 8 neighbors, summed over them.

    A share of 1 is the classic sharpening kernel: 9 in the middle, -1 around it.
    """
    return _add_filtered(images, LAPLACIAN, value, generator)


def emboss(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Add a share from [0, value] of a relief: how much brighter it is toward the bottom right than the top left.

    A share of 1 is the classic embossing kernel: -2 -1 0, -1 1 1, 0 1 2.
    """
    return _add_filtered(images, RELIEF, value, generator)


def noise(images: torch.Tensor, value: float, generator: torch.Generator) -> torch.Tensor:
    """Add Gaussian noise with a standard deviation of `value` on the [0, 1] scale, one draw per pixel and channel."""
    on_device = torch.Generator(images.device).manual_seed(generator.initial_seed())
    draws = torch.randn(images.shape, generator=on_device, device=images.device)
    return torch.add(images, draws, alpha=255 * value)


def cutout(images: torch.Tensor, value: float, generator: torch.Generator, background: int) -> torch.Tensor:
    """Fill a box with the background: a share from [0, value] of the width and of the height, anywhere in the image."""
    share = uniform(0, value, len(images), generator)
    boxes = []
    for size in images.shape[-2:]:
        length = (share * size).round().clamp(max=size)
        start = ((size - length + 1) * uniform(0, 1, len(images), generator)).floor()
        from_start = torch.arange(size) - start[:, None]
        boxes.append(((from_start >= 0) & (from_start < length[:, None])).to(images.device, non_blocking=True))
    rows, columns = boxes
    return images.masked_fill(rows[:, None, :, None] & columns[:, None, None, :], background)


def _factors(images: torch.Tensor, value: list[float], generator: torch.Generator) -> torch.Tensor:
    low, high = value
    return uniform(low, high, len(images), generator)


def _flip(images: torch.Tensor, probability: float, axis: int, generator: torch.Generator) -> torch.Tensor:
    flipped = torch.rand(len(images), generator=generator) < probability
    mirrored = flipped.to(images.device, non_blocking=True).view(-1, *[1] * (images.ndim - 1))
    return torch.where(mirrored, images.flip(axis), images)


def _add_filtered(
    images: torch.Tensor, kernel: tuple[tuple[int, ...], ...], value: float, generator: torch.Generator
) -> torch.Tensor:
    """Add what a 3 × 3 kernel makes of an image, times a share from [0, value]."""
    share = uniform(0, value, len(images), generator).view(-1, 1, 1)
    kernels = share * torch.tensor(kernel)
    kernels[:, 1, 1] += 1
    return _filter(images, kernels)


def _filter(images: torch.Tensor, kernels: torch.Tensor) -> torch.Tensor:
    """Correlate each image, its border pixels repeated outward, with a kernel of its own (B, odd, odd) on the CPU."""
    count, channels, height, width = images.shape
    y, x = (size // 2 for size in kernels.shape[-2:])
    padded = functional.pad(images, (x, x, y, y), mode="replicate").reshape(1, -1, height + 2 * y, width + 2 * x)
    weights = kernels.float().repeat_interleave(channels, dim=0)[:, None].to(images.device, non_blocking=True)
    return functional.conv2d(padded, weights, groups=count * channels).view(images.shape)
