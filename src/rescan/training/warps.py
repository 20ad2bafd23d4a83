"""Warps of a batch, each image or volume by its own draws, fused so that every one is sampled once.

A warp says where in the input the point lies that an output pixel shows. Affine ones are matrices, multiplied into one;
local ones, of images only, are displacements, added up. An output point is first displaced, then mapped by the matrix:
the result is the image after the affine warps, then distorted. Axes are x, along the width, y, along the height, and,
of volumes, z, along the depth; their unit is a pixel or voxel.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from rescan import catalogue

CELLS = 5  # of the distorted grid, along each side
CONTROL_POINTS = 4  # of the piecewise affine warp, along each side


def _names(augmentation: Mapping[str, Any], applies: str) -> list[str]:
    """The warps of a recipe, in the order of the catalogue: so their matrices are multiplied."""
    records = catalogue.AUGMENTATIONS.items()
    return [name for name, record in records if record.applies == applies and name in augmentation]


def affine(
    augmentation: Mapping[str, Any], shape: torch.Size, generators: Mapping[str, torch.Generator]
) -> torch.Tensor:
    """Draw the affine warps of a recipe, for a batch of a shape (B, C, H, W) or (B, C, D, H, W).

    Returns:
        (B, 3, 3), of volumes (B, 4, 4), float64 on the CPU: where in the input an output point (x, y, 1) or
        (x, y, z, 1) lies, in pixels right of and below, and voxels deeper than, the center.
    """
    names = _names(augmentation, "affine")
    matrices = [catalogue.resolve("augmentation", name)(augmentation[name], shape, generators[name]) for name in names]
    return functools.reduce(torch.matmul, matrices or [_matrices({}, shape)])


def local(
    augmentation: Mapping[str, Any], images: torch.Tensor, generators: Mapping[str, torch.Generator]
) -> torch.Tensor | None:
    """Draw the local warps of a recipe, for images (B, C, H, W).

    Returns:
        (B, 2, H, W) float32 on the images' device: the points (x, y) to which output pixels are displaced; they run
        from -1 to 1 over the width and over the height. None if the recipe has no local warp.
    """
    names = _names(augmentation, "local")
    if not names:
        return None
    count, _, height, width = images.shape
    still = functional.affine_grid(torch.eye(2, 3, device=images.device)[None], [1, 1, height, width], False)
    points = still.permute(0, 3, 1, 2).expand(count, -1, -1, -1)
    moves = [catalogue.resolve("augmentation", name)(augmentation[name], points, generators[name]) for name in names]
    return functools.reduce(torch.add, moves, points)


def warp(
    images: torch.Tensor, matrices: torch.Tensor, background: float, points: torch.Tensor | None = None
) -> torch.Tensor:
    """Warp each image by a matrix and, if given, displaced points, with bi- or, of volumes, trilinear interpolation.

    Args:
        images: (B, C, H, W) or (B, C, D, H, W) float32.
        matrices: (B, 3, 3) or (B, 4, 4) float64, as from `affine`.
        background: What fills points outside the input.
        points: (B, 2, H, W) float32, as from `local`; of images only.

    Returns:
        The same shape, float32; the input itself if every matrix is the identity and no points are given.
    """
    still = torch.equal(matrices, torch.eye(matrices.shape[-1], dtype=matrices.dtype).expand_as(matrices))
    if still and points is None:
        return images
    # The sampler's coordinates run from -1 to 1 over the width, over the height and over the depth.
    sizes = torch.tensor(images.shape[:1:-1], dtype=matrices.dtype)
    units = torch.cat([sizes, torch.full_like(sizes[:1], 2)]) / sizes[:, None]
    theta = (matrices[:, :-1] * units).float().to(images.device, non_blocking=True)
    if points is None:
        grid = functional.affine_grid(theta, list(images.shape), align_corners=False)
    else:
        if not still:
            points = torch.baddbmm(theta[:, :, 2:], theta[:, :, :2], points.flatten(2)).view_as(points)
        grid = points.permute(0, 2, 3, 1)
    return functional.grid_sample(images - background, grid, align_corners=False) + background


def rotation(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Rotate about the center by an angle from [-value, value] degrees; a positive one turns counterclockwise.

    A volume turns about its depth axis, each slice alike.
    """
    return _turn(value, 0, 1, shape, generator)


def tilt(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Rotate a volume about its height axis and, independently, its width axis, by [-value, value] degrees each."""
    about_height, about_width = (_turn(value, axis, 2, shape, generator) for axis in (0, 1))
    return about_height @ about_width


def shift(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Shift along x and, independently, y (and z) by a share from [-value, value] of the width, height (and depth)."""
    sizes = shape[:1:-1]
    moves = {(axis, len(sizes)): size * uniform(-value, value, shape[0], generator) for axis, size in enumerate(sizes)}
    return _matrices(moves, shape)


def shear(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Shear by an angle from [-value, value] degrees, as Keras: down by sin(angle) per column, wider by 1 / cos."""
    angle = uniform(-value, value, shape[0], generator) * math.pi / 180
    return _matrices({(0, 0): angle.cos(), (1, 0): -angle.sin()}, shape)


def zoom(value: list[float], shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Scale each axis by a factor of its own from [low, high], as Keras: 1.2 shows 1.2 times as much, so smaller."""
    low, high = value
    axes = range(len(shape) - 2)
    return _matrices({(axis, axis): uniform(low, high, shape[0], generator) for axis in axes}, shape)


def scale(value: list[float], shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Scale all axes by one factor from [low, high], which means what it means for zoom."""
    low, high = value
    factor = uniform(low, high, shape[0], generator)
    return _matrices({(axis, axis): factor for axis in range(len(shape) - 2)}, shape)


def crop_and_pad(value: float, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Move each side by a share from [-value, value] of the width or height, then scale back to the image's size.

    The four sides are drawn independently, in the order left, right, top, bottom. A side that moves out pads with the
    background, one that moves in crops. The value should be below 0.5, for opposite sides must not meet.
    """
    height, width = shape[-2:]
    left, right, top, bottom = (uniform(-value, value, shape[0], generator) for _ in range(4))
    return _matrices(
        {
            (0, 0): 1 + left + right,
            (0, 2): width * (right - left) / 2,
            (1, 1): 1 + top + bottom,
            (1, 2): height * (bottom - top) / 2,
        },
        shape,
    )


def optical_distortion(value: float, points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Distort as a lens does: at a radius r from the center, show what lies at r (1 + k r²), k from [-value, value].

    The radius is 1 where the largest circle about the center ends. A positive k squeezes what is far out (barrel), a
    negative one stretches it (pincushion); up to 0.16 no place of a square image is shown twice. Source: the first
    radial term of Brown's model.
    """
    height, width = points.shape[-2:]
    halves = torch.tensor([width, height]) / min(height, width)
    radius = (points[:1] * halves.to(points.device, non_blocking=True).view(2, 1, 1)).square().sum(dim=1, keepdim=True)
    coefficient = uniform(-value, value, len(points), generator)
    return per_image(coefficient, points) * (radius * points[:1])


def grid_distortion(value: float, points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move the 4 inner lines of a 5 × 5 grid, along x and, independently, y, by a share from [-value, value] of a cell.

    Between lines the displacement is linear: each column of cells, and each row, is stretched or squeezed as a whole.
    The outer lines, through the outermost pixels, stay. The value should be below 0.5, or lines may cross.
    """
    count = len(points)
    moves = []
    for size in points.shape[:1:-1]:  # along x, then y
        draws = uniform(-value, value, count * (CELLS - 1), generator).view(count, 1, CELLS - 1)
        cell = 2 * (size - 1) / size / CELLS  # in the points' unit
        lines = functional.pad(draws * cell, (1, 1))
        moves.append(functional.interpolate(lines, size, mode="linear", align_corners=True).float())
    x, y = (move.to(points.device, non_blocking=True) for move in moves)
    height, width = points.shape[-2:]
    return torch.stack((x.expand(-1, height, -1), y.transpose(1, 2).expand(-1, -1, width)), dim=1)


def piecewise_affine(value: float, points: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Move each of 4 × 4 control points along x and y by a normal draw, its standard deviation `value` of the side.

    The points are spread evenly over the image, the outer ones on its outermost pixels; between them the displacement
    is bilinear.
    """
    shape = (len(points), 2, CONTROL_POINTS, CONTROL_POINTS)
    moves = 2 * value * torch.randn(shape, generator=generator, dtype=torch.float64)  # a side is 2 in the points' unit
    moves = moves.float().to(points.device, non_blocking=True)
    return functional.interpolate(moves, points.shape[-2:], mode="bilinear", align_corners=True)


def uniform(low: float, high: float, count: int, generator: torch.Generator) -> torch.Tensor:
    """Draw (count,) float64 on the CPU from [low, high]."""
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float64)


def per_image(values: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Send (B,) or (B, C) values to the images' device without waiting for it, as float32 that broadcasts with them."""
    return values.float().to(images.device, non_blocking=True).view(len(values), -1, *[1] * (images.ndim - 2))


def _turn(value: float, axis: int, toward: int, shape: torch.Size, generator: torch.Generator) -> torch.Tensor:
    """Rotate in the plane of two axes by an angle from [-value, value] degrees."""
    angle = uniform(-value, value, shape[0], generator) * math.pi / 180
    cos, sin = angle.cos(), angle.sin()
    return _matrices({(axis, axis): cos, (axis, toward): -sin, (toward, axis): sin, (toward, toward): cos}, shape)


def _matrices(entries: dict[tuple[int, int], torch.Tensor], shape: torch.Size) -> torch.Tensor:
    """Identity matrices (B, 3, 3), of volumes (B, 4, 4), with some entries replaced, each by a (B,) tensor."""
    matrices = torch.eye(len(shape) - 1, dtype=torch.float64).repeat(shape[0], 1, 1)
    for (row, column), values in entries.items():
        matrices[:, row, column] = values
    return matrices
