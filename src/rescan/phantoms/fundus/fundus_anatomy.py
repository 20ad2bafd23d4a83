"""The anatomy of a schematic fundus: colors, arcades of vessels, the lesions of each grade.

Lengths are in units of the radius of the photographed field, angles in degrees. Colors are (blue, green, red), in units
of white, or the share of light that is absorbed. Places are those of a right eye: x to the nose, y down.
"""

from __future__ import annotations

from typing import NamedTuple

PIGMENT = ((0.20, 0.44, 0.84), (0.08, 0.24, 0.56))  # of the lightest and of the darkest fundus
DISC = (0.55, 0.84, 1.00)
CUP = (0.72, 0.95, 1.00)
HAZE = (0.55, 0.55, 0.50)  # of a crescent of stray light
MACULA = (0.50, 0.45, 0.30)  # absorbed at its center
ARTERY = (0.42, 0.48, 0.16)
VEIN = (0.55, 0.66, 0.36)


class Arcade(NamedTuple):
    """The course of a pair of vessels in the upper half: headings where it leaves the disc and far from it."""

    first: float
    last: float
    bend: float  # the length over which it turns from one to the other
    length: float


ARCADES = (Arcade(72, 190, 0.42, 1.7), Arcade(58, 25, 0.40, 0.9))  # temporal, nasal

# How many lesions of each kind a grade has: fewest, most (ICDR: 1 microaneurysms only, 2 more than these, 3 hemorrhages
# in all quadrants, 4 new vessels or pre-retinal hemorrhage). They are fewer and larger than real ones: see `Lesion`.
GRADES: tuple[dict[str, tuple[int, int]], ...] = (
    {},
    {"microaneurysm": (4, 9)},
    {"microaneurysm": (5, 12), "hemorrhage": (3, 8), "exudate": (1, 3)},
    {"microaneurysm": (8, 16), "hemorrhage": (20, 36), "exudate": (1, 3), "cotton_wool": (1, 3)},
    {"microaneurysm": (5, 12), "hemorrhage": (6, 16), "exudate": (0, 2), "new_vessels": (1, 3), "preretinal": (0, 2)},
)


class Lesion(NamedTuple):
    """One kind of lesion. Sizes are such that it is still seen at 96 pixels."""

    radius: tuple[float, float]
    color: tuple[float, float, float]
    blend: bool  # the color covers what lies below; otherwise it is what is absorbed
    elongation: float = 1.0  # largest ratio of the axes
    cluster: tuple[int, int] = (1, 1)  # how many parts it has
    spread: float = 0.0  # radius of the cluster


LESIONS = {
    "microaneurysm": Lesion((0.014, 0.024), (0.60, 0.75, 0.42), blend=False),
    "hemorrhage": Lesion((0.026, 0.060), (0.70, 0.80, 0.50), blend=False, elongation=2.2),
    "preretinal": Lesion((0.18, 0.32), (0.75, 0.85, 0.52), blend=False),
    "new_vessels": Lesion((0.12, 0.22), (0.60, 0.72, 0.25), blend=False),
    "exudate": Lesion((0.010, 0.024), (0.50, 0.92, 1.00), blend=True, elongation=1.5, cluster=(6, 16), spread=0.11),
    "cotton_wool": Lesion((0.040, 0.070), (0.72, 0.86, 0.95), blend=True, elongation=1.8),
}
