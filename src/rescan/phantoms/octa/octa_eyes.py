"""A schematic macula without disease, as maps over the columns of a scan: surfaces of the retina, flow in vessels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from rescan.phantoms.canvas import smooth
from rescan.phantoms.octa.octa_anatomy import AVASCULAR, BRUCH, CELLS, LAYERS, PIT, RIM, SURFACES
from rescan.phantoms.octa.octa_vessels import Grid, Tree, draw, mesh, tree, zone

Array = np.ndarray
WAVE = 0.3  # millimeters over which the depth of the capillaries changes


class Ball(NamedTuple):
    """A spheroid in the retina: a pocket of fluid, a deposit, a microaneurysm."""

    x: float
    y: float
    z: float
    radius: float  # millimeters
    height: float  # half of it, a share of the depth
    strength: float
    reflectivity: float | None = None  # of what it consists; None: the same as around it
    flow: float | None = None


class Mark(NamedTuple):
    """A part of the lesion mask: columns, between two surfaces."""

    columns: Array  # (H, W) bool
    top: Array  # (H, W) float32
    bottom: Array


@dataclass
class Eye:
    """What a scan shows. Maps are (H, W) float32; lesions change them. Which surface is which: `SURFACES`."""

    grid: Grid
    x: Array  # (1, W)
    y: Array  # (H, 1)
    vessels: Tree
    surfaces: Array  # (6, H, W), shares of the depth
    large: Array  # cover of large vessels
    superficial: Array  # flow of the capillaries, 1 where all is vessel
    deep: Array
    choroid: Array  # of those below the retina
    wave: Array  # where the capillaries lie within their layers, -1 to 1
    gain: Array
    tangle: Array  # flow of new vessels below the pigment epithelium
    inner: Array  # factor on the reflectivity of the inner retina
    fluid: Array  # share of fluid in the layer of the photoreceptors
    balls: list[Ball] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)

    def rows(self, first: int, last: int) -> Eye:
        """The same eye, of some of its B-scans."""
        rows = slice(first, last)
        maps = ("y", "large", "superficial", "deep", "choroid", "wave", "gain", "tangle", "inner", "fluid")
        marks = [Mark(*(part[rows] for part in mark)) for mark in self.marks]
        some = {name: getattr(self, name)[rows] for name in maps}
        return replace(self, surfaces=self.surfaces[:, rows], marks=marks, **some)

    def surface(self, name: str) -> Array:
        """The depth of a surface: a view, (H, W)."""
        return self.surfaces[SURFACES.index(name)]

    def at(self, name: str, x: float, y: float) -> float:
        """The depth of a surface at a place."""
        row, column = np.abs(self.y - y).argmin(), np.abs(self.x - x).argmin()
        return float(self.surface(name)[row, column])


def eye(rng: np.random.Generator, shape: tuple[int, int], extent: float, *, left: bool, effect: float) -> Eye:
    """Draw an eye.

    Args:
        rng: The eye's generator.
        shape: (H, W) of the scan.
        extent: Millimeters of its height and width.
        left: A left eye, with the nose on the left.
        effect: Factor on the differences between eyes.
    """

    def differs(spread: float) -> float:
        return float(np.clip(effect * rng.normal(0, spread), -1.5 * spread - 0.1, 1.5 * spread + 0.1))

    fovea = np.array([differs(0.12), differs(0.12)])
    grid = Grid(shape, extent, fovea, -1 if left else 1)
    x, y = grid.places()
    surfaces = _surfaces(x, y, rng, differs)
    vessels = tree(rng, float(np.exp(differs(0.12))))
    avascular = AVASCULAR * float(np.exp(differs(0.18)))
    vascular = 1 - zone(grid, avascular, rng)
    density = float(np.exp(differs(0.1)))
    flow = {name: density * mesh(grid, cell, rng) * (1 + 0.1 * smooth(rng, shape, 5)) for name, cell in CELLS.items()}
    light = float(np.exp(differs(0.1))) * np.exp(0.04 * smooth(rng, shape, 3) + rng.normal(0, 0.02, (shape[0], 1)))
    large = draw(grid, vessels) * vascular
    blank = np.zeros(shape, np.float32)
    return Eye(
        grid=grid,
        x=x,
        y=y,
        vessels=vessels,
        surfaces=surfaces,
        large=large,
        superficial=flow["superficial"] * vascular,
        deep=flow["deep"] * vascular,
        choroid=flow["choroid"],
        wave=np.tanh(smooth(rng, shape, round(extent / WAVE))),
        gain=light.astype(np.float32),
        tangle=blank,
        inner=blank + 1,
        fluid=blank.copy(),
    )


def _surfaces(x: Array, y: Array, rng: np.random.Generator, differs: Callable[[float], float]) -> Array:
    """The six surfaces, (6, H, W) float32: Bruch's membrane, tilted and bent, and the layers above it."""
    away = np.hypot(x, y)
    bruch = BRUCH + differs(0.015) + differs(0.012) * x + differs(0.012) * y + 0.005 * differs(0.5) * away**2
    bruch = bruch + 0.005 * smooth(rng, away.shape, 4)
    pit = np.exp(-((away / (PIT * float(np.exp(differs(0.12))))) ** 2))
    rim = np.exp(-(((away - RIM[0]) / RIM[1]) ** 2))
    thick = float(np.exp(differs(0.07)))
    surfaces = [bruch]
    for layer in reversed(list(LAYERS.values())):
        uneven = 1 + 0.05 * smooth(rng, away.shape, 6)
        shape = (1 + (layer.fovea - 1) * pit) * (1 + layer.rim * rim) * uneven
        surfaces.append(surfaces[-1] - thick * layer.thickness * shape)
    return np.stack(surfaces[::-1]).astype(np.float32)
