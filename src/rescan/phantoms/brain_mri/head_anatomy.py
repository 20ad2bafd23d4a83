"""The anatomy of a schematic head: signals of tissues and lesions, and ellipses for each plane."""

from __future__ import annotations

from typing import Any, NamedTuple

# Signal of the tissues, for a T1-like and a T2-like weighting, in units of the brightest fat.
TISSUES = {
    "air": (0.01, 0.01),
    "bone": (0.10, 0.08),
    "fat": (0.90, 0.62),
    "muscle": (0.34, 0.22),
    "fluid": (0.12, 0.80),
    "gray": (0.31, 0.47),
    "white": (0.48, 0.31),
}
# What a lesion adds to the signal.
LESIONS = {
    "core": (-0.26, -0.06),
    "rim": (0.42, 0.44),
    "edema": (-0.19, 0.32),
    "meningioma": (0.42, 0.42),
    "pituitary": (0.42, 0.44),
}


class Ellipse(NamedTuple):
    """An ellipse of one tissue: center, half-axes, turn (degrees), in units of half the head; x right, y down."""

    tissue: str
    x: float
    y: float
    a: float
    b: float
    turn: float = 0.0


class Plane(NamedTuple):
    """The anatomy of one plane, in the order of painting: below the skull, cranium, brain, what lies inside it."""

    cranium: Ellipse
    below: list[Ellipse]
    brain: list[Ellipse]
    inside: list[Ellipse]
    sella: tuple[float, float]
    vault: tuple[float, float]  # the arc of angles (degrees) of the cranium away from the skull base


def _pair(*right: Any) -> list[Ellipse]:
    """An ellipse on the right and its mirror image on the left."""
    ellipse = Ellipse(*right)
    return [ellipse._replace(x=-ellipse.x, turn=-ellipse.turn), ellipse]


PLANES = {
    "axial": Plane(
        Ellipse("fat", 0, 0, 0.78, 0.97),
        [],
        [Ellipse("brain", 0, 0, 0.67, 0.86)],
        [
            Ellipse("bone", 0, -0.66, 0.012, 0.20),
            Ellipse("bone", 0, 0.66, 0.012, 0.20),
            *_pair("gray", 0.25, -0.02, 0.10, 0.20, -12),
            *_pair("fluid", 0.10, -0.20, 0.055, 0.20, 16),
            *_pair("fluid", 0.15, 0.24, 0.050, 0.20, -20),
        ],
        (0.0, -0.18),
        (-180, 180),
    ),
    "axial_base": Plane(
        Ellipse("fat", 0, 0.03, 0.78, 0.94),
        [],
        [
            Ellipse("brain", 0, -0.42, 0.46, 0.30),
            *_pair("brain", 0.37, 0.02, 0.27, 0.36, 14),
            Ellipse("brain", 0, 0.46, 0.56, 0.40),
        ],
        [
            *_pair("fat", 0.30, -0.66, 0.17, 0.15),
            *_pair("fluid", 0.30, -0.67, 0.12, 0.12),
            Ellipse("air", 0, -0.70, 0.09, 0.14),
            Ellipse("fluid", 0, -0.12, 0.20, 0.12),
            Ellipse("white", 0, 0.12, 0.15, 0.15),
            Ellipse("fluid", 0, 0.33, 0.10, 0.06),
            Ellipse("gray", 0, -0.17, 0.05, 0.04),
        ],
        (0.0, -0.17),
        (20, 160),
    ),
    "coronal": Plane(
        Ellipse("fat", 0, -0.17, 0.78, 0.80),
        [
            Ellipse("fat", 0, 0.45, 0.70, 0.72),
            Ellipse("fat", 0, 1.00, 0.50, 0.60),
            Ellipse("muscle", 0, 0.45, 0.64, 0.67),
            Ellipse("muscle", 0, 1.00, 0.44, 0.60),
            *_pair("fat", 0.48, 0.62, 0.06, 0.26, 14),
            *_pair("air", 0.27, 0.68, 0.12, 0.15),
            *_pair("air", 0.06, 0.70, 0.035, 0.17),
            Ellipse("fat", 0, 1.02, 0.22, 0.10),
        ],
        [Ellipse("brain", 0, -0.28, 0.66, 0.58), *_pair("brain", 0.42, 0.14, 0.24, 0.24)],
        [
            Ellipse("bone", 0, -0.64, 0.012, 0.20),
            *_pair("gray", 0.24, -0.10, 0.11, 0.14),
            *_pair("fluid", 0.11, -0.25, 0.055, 0.14, 28),
            Ellipse("fluid", 0, -0.04, 0.022, 0.11),
            Ellipse("fluid", 0, 0.20, 0.17, 0.08),
            Ellipse("air", 0, 0.44, 0.17, 0.10),
            Ellipse("gray", 0, 0.27, 0.06, 0.04),
        ],
        (0.0, 0.26),
        (-170, -10),
    ),
    "sagittal": Plane(
        Ellipse("fat", 0.02, -0.20, 0.94, 0.76),
        [
            Ellipse("fat", -0.46, 0.40, 0.48, 0.60, -8),
            Ellipse("fat", -0.90, 0.30, 0.12, 0.16, -20),
            Ellipse("fat", 0.20, 0.75, 0.56, 0.90),
            Ellipse("muscle", -0.44, 0.40, 0.43, 0.55, -8),
            Ellipse("muscle", 0.20, 0.75, 0.49, 0.86),
            Ellipse("air", -0.55, 0.42, 0.24, 0.06, -8),
            Ellipse("air", -0.13, 0.78, 0.05, 0.30, 8),
            Ellipse("bone", 0.12, 0.95, 0.06, 0.35),
        ],
        [Ellipse("brain", 0.0, -0.27, 0.82, 0.58), Ellipse("brain", 0.44, 0.22, 0.30, 0.20, -10)],
        [
            Ellipse("white", 0.04, -0.20, 0.36, 0.19),
            Ellipse("fluid", 0.04, -0.15, 0.29, 0.13),
            Ellipse("gray", 0.05, -0.08, 0.22, 0.11),
            Ellipse("white", 0.12, 0.28, 0.09, 0.32, -14),
            Ellipse("fluid", 0.24, 0.22, 0.035, 0.09, -14),
            Ellipse("fluid", -0.16, 0.16, 0.13, 0.07),
            Ellipse("air", -0.34, 0.34, 0.14, 0.09),
            Ellipse("gray", -0.18, 0.25, 0.05, 0.04),
        ],
        (-0.18, 0.23),
        (-175, -5),
    ),
}
