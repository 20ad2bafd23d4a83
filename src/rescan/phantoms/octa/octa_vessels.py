"""Vessels of a schematic macula: curves that are drawn, meshes of capillaries, the avascular zone."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rescan.phantoms.canvas import average, coverage, new_layer, smooth, stroke, to_fixed
from rescan.phantoms.octa.octa_anatomy import DISC

Array = np.ndarray
FINEST = 0.03  # millimeters: layers are drawn at least that fine, then averaged


class Grid(NamedTuple):
    """The columns of a scan: places = turned pixels, in millimeters from the fovea."""

    shape: tuple[int, int]  # (H, W)
    extent: float  # millimeters of the scan's height and width
    fovea: Array  # (2,) where it lies, from the scan's center: x to the right, y down
    flip: int  # 1 a right eye, whose nose is on the right; -1 a left eye

    @property
    def pixel(self) -> Array:
        """(2,) millimeters of a pixel: x, y."""
        return self.extent / np.array(self.shape[::-1], float)

    @property
    def fine(self) -> int:
        """How many times finer than the scan layers are drawn."""
        return int(np.clip(np.ceil(self.pixel.max() / FINEST), 1, 8))

    def places(self, fine: int = 1) -> tuple[Array, Array]:
        """X (1, W) and y (H, 1) of every pixel of a grid that is `fine` times finer: float32."""
        height, width = fine * self.shape[0], fine * self.shape[1]
        x = ((np.arange(width) + 0.5) / width - 0.5) * self.extent - self.fovea[0]
        y = ((np.arange(height) + 0.5) / height - 0.5) * self.extent - self.fovea[1]
        return (self.flip * x[None]).astype(np.float32), y[:, None].astype(np.float32)


class Tree(NamedTuple):
    """Large vessels, B curves of S points."""

    course: Array  # (B, S, 2) places
    winding: Array  # (B, S, 2) how far they stray from it
    width: Array  # (B,) millimeters


def _curves(start: Array, bend: Array, end: Array, width: Array, rng: np.random.Generator) -> Tree:
    """Quadratic Bézier curves, (B, 2) each point, that wind a little."""
    t = np.linspace(0, 1, 24)[None, :, None]
    course = (1 - t) ** 2 * start[:, None] + 2 * t * (1 - t) * bend[:, None] + t**2 * end[:, None]
    along = np.gradient(course, axis=1)
    length = np.linalg.norm(along, axis=2, keepdims=True)
    across = along[..., ::-1] * (1, -1) / np.maximum(length, 1e-9)
    turns = np.rint(length.sum(axis=1, keepdims=True) / 0.7) + 1  # waves of about 0.7 mm
    wave = np.sin(2 * np.pi * (turns * t + rng.random((len(start), 1, 1)))) + np.sin(np.pi * turns * t)
    return Tree(course, 0.03 * np.minimum(1, 4 * t) * wave * across, width)


def tree(rng: np.random.Generator, scale: float) -> Tree:
    """Grow an artery and a vein above and below the fovea, their branches towards it, and twigs of these.

    Args:
        rng: The eye's generator.
        scale: Factor on the width.
    """
    half = np.repeat((-1.0, 1.0), 2)
    height = np.tile((2.5, 3.0), 2) + rng.normal(0, 0.25, 4)
    start = np.array(DISC) + np.stack([np.zeros(4), half * rng.uniform(0.3, 0.8, 4)], 1)
    bend = np.stack([rng.normal(0.8, 0.6, 4), half * (2 * height - 1)], 1)
    end = np.stack([rng.normal(-4.2, 0.3, 4), half * rng.uniform(0.8, 2.4, 4)], 1)
    trunks = _curves(start, bend, end, scale * np.tile((0.08, 0.105), 2), rng)

    parent, at = np.repeat(np.arange(4), 4), (np.tile(np.arange(4), 4) * 4 + 4 + rng.integers(0, 4, 16))
    start = trunks.course[parent, at]
    angle = np.arctan2(start[:, 1], start[:, 0]) + rng.normal(0, 0.45, 16)
    end = rng.uniform(0.4, 1.3, 16)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    bend = (start + end) / 2 + rng.normal(0, 0.5, (16, 2))
    branches = _curves(start, bend, end, scale * rng.uniform(0.04, 0.07, 16), rng)

    parent, at = np.repeat(np.arange(16), 3), rng.integers(4, 21, 48)
    start = branches.course[parent, at]
    heading = branches.course[parent, at + 2] - start
    angle = np.arctan2(heading[:, 1], heading[:, 0]) + rng.choice((-1, 1), 48) * rng.uniform(0.5, 1.1, 48)
    end = start + rng.uniform(0.4, 1.0, 48)[:, None] * np.stack([np.cos(angle), np.sin(angle)], 1)
    bend = (start + end) / 2 + rng.normal(0, 0.12, (48, 2))
    twigs = _curves(start, bend, end, scale * rng.uniform(0.022, 0.035, 48), rng)
    return Tree(*(np.concatenate(parts) for parts in zip(trunks, branches, twigs)))


def draw(grid: Grid, vessels: Tree, winding: Array | float = 1.0, widening: Array | float = 1.0) -> Array:
    """The share of each pixel that is covered by vessels: (H, W) float32.

    Args:
        grid: Where to draw.
        vessels: B curves.
        winding: (B, S) or a number: factors on how far they stray.
        widening: (B, S) or a number: factors on their width.
    """
    points = vessels.course + vessels.winding * np.asarray(winding)[..., None]
    pixels = ((points * (grid.flip, 1) + grid.fovea) / grid.pixel + np.array(grid.shape[::-1]) / 2) * grid.fine - 0.5
    width = vessels.width[:, None] * np.linspace(1, 0.5, points.shape[1]) * widening
    layer = new_layer(grid.shape, grid.fine)
    stroke(layer, to_fixed(pixels), width / grid.pixel.mean() * grid.fine)
    return coverage(layer, grid.shape)


def mesh(grid: Grid, cell: float, rng: np.random.Generator) -> Array:
    """Capillaries: lines where a smooth random field changes its sign: (H, W) float32 in [0, 1].

    Args:
        grid: Where to draw.
        cell: Millimeters between the field's nodes.
        rng: The eye's generator.
    """
    shape = (grid.shape[0] * grid.fine, grid.shape[1] * grid.fine)
    field = smooth(rng, shape, max(2, round(grid.extent / cell)))
    return average(np.exp(-((field / 0.25) ** 2)), grid.shape)


def zone(grid: Grid, radius: float, rng: np.random.Generator) -> Array:
    """The avascular zone, of uneven outline: (H, W) float32, 1 inside, 0 outside."""
    x, y = grid.places()
    angle = np.arctan2(y, x)
    uneven = np.ones_like(angle)
    for waves in (2, 3, 5):
        uneven += np.float32(rng.normal(0, 0.25 / waves)) * np.cos(
            waves * angle + np.float32(rng.uniform(0, 2 * np.pi))
        )
    edge = max(0.04, float(grid.pixel.max()))
    return np.clip((np.float32(radius) * uneven - np.hypot(x, y)) / edge + 0.5, 0, 1)
