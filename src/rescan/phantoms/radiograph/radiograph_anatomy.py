"""The anatomy of schematic radiographs: bones and flesh of the seven parts of the musculoskeletal system in MURA.

Places are those of a right limb, seen from the front: x right, y down, the origin in the middle of the image. The unit
is half the height of what an image shows; bones that an image cuts off go on beyond it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray
STEPS = 24  # points of a center line
CAP = np.linspace(0.5 * np.pi, -0.5 * np.pi, 9)[1:-1]  # angles of a rounded end
CARPALS = (  # of the hand: x, y, half-axes, turn in degrees
    (0.145, 0.445, 0.052, 0.068, 35),
    (0.045, 0.475, 0.048, 0.052, 0),
    (-0.060, 0.455, 0.044, 0.050, -20),
    (0.215, 0.345, 0.044, 0.050, 30),
    (0.130, 0.330, 0.036, 0.042, 0),
    (0.045, 0.355, 0.042, 0.066, 0),
    (-0.052, 0.345, 0.046, 0.056, -15),
)
RAYS: tuple[
    tuple[float, float, float, tuple[float, ...]], ...
] = (  # of the hand, thumb first: x and y of the base, heading in degrees from upwards, lengths of the bones
    (0.270, 0.290, 44, (0.27, 0.20, 0.14)),
    (0.168, 0.265, 13, (0.40, 0.26, 0.16, 0.11)),
    (0.066, 0.255, 3, (0.39, 0.29, 0.19, 0.12)),
    (-0.034, 0.265, -7, (0.35, 0.27, 0.18, 0.12)),
    (-0.128, 0.280, -18, (0.32, 0.21, 0.13, 0.10)),
)


class Bone(NamedTuple):
    """An outline, of a bone or of flesh: the points `center + offset`, where `offset` grows with the thickness."""

    center: Array  # (N, 2)
    offset: Array  # (N, 2)
    line: Array  # (STEPS, 2) the center line
    width: Array  # (STEPS,) half of the thickness along it
    layer: int = 0  # bones of one layer don't overlap; those of layer 2 are thin and faint
    shaft: bool = True  # whether lesions are drawn in it


class Part(NamedTuple):
    """What the images of a body part show."""

    bones: list[Bone]
    flesh: list[Bone]
    extent: tuple[float, float]  # half of the width and of the height that an image shows
    turns: float = 20.0  # degrees by which the limb turns about its long axis, at most


def _tube(*points: tuple[float, float, float], cap: float = 0.6, layer: int = 0, shaft: bool = True) -> Bone:
    """A smooth tube (Catmull-Rom) through points with half-widths, its ends rounded by `cap` half-widths."""
    given = np.array(points, float)
    ends = 2 * given[0] - given[1], 2 * given[-1] - given[-2]
    knots = np.stack([ends[0], *given, ends[1]])
    at = np.linspace(0, len(given) - 1, STEPS)
    first = np.minimum(at.astype(int), len(given) - 2)
    t = (at - first)[:, None]
    p, q, r, s = (knots[first + number] for number in range(4))
    dense = 0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)
    line, width = dense[:, :2], np.maximum(dense[:, 2], 0.25 * given[:, 2].min())
    along = np.gradient(line, axis=0)
    along /= np.hypot(*along.T)[:, None]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1)
    half = across * width[:, None]
    ends_of = [
        width[end] * (np.sin(CAP)[:, None] * sign * across[end] + cap * np.cos(CAP)[:, None] * sign * along[end])
        for end, sign in ((-1, 1), (0, -1))
    ]
    center = np.concatenate([line, np.repeat(line[-1:], len(CAP), 0), line[::-1], np.repeat(line[:1], len(CAP), 0)])
    return Bone(center, np.concatenate([half, ends_of[0], -half[::-1], ends_of[1]]), line, width, layer, shaft)


def _oval(x: float, y: float, a: float, b: float, turn: float = 0.0, layer: int = 0) -> Bone:
    """An ellipse with half-axes a across and b along an axis that is turned (degrees) from the vertical."""
    dx, dy = 0.5 * b * np.sin(np.deg2rad(turn)), -0.5 * b * np.cos(np.deg2rad(turn))
    ends = (x - dx, y - dy, 0.86 * a), (x, y, a), (x + dx, y + dy, 0.86 * a)
    return _tube(*ends, cap=0.5 * b / (0.86 * a), layer=layer, shaft=False)


def _phalanx(
    x: float, y: float, heading: float, length: float, width: float, base: float = 1.25, head: float = 1.1
) -> Bone:
    """A bone of a ray: a waist between a base and a head."""
    dx, dy = np.sin(np.deg2rad(heading)), -np.cos(np.deg2rad(heading))
    start, end = 0.45 * base * width, length - 0.45 * head * width
    profile = ((start, base), (0.22 * length, 0.95), (0.55 * length, 0.78), (0.8 * length, 0.92), (end, head))
    return _tube(*((x + at * dx, y + at * dy, width * share) for at, share in profile), cap=0.45)


def _ray(x: float, y: float, heading: float, lengths: tuple[float, ...], width: float) -> tuple[list[Bone], Bone]:
    """The bones of a ray from its base on, the metacarpal first, and the flesh around them."""
    bones, flesh = [], [(x, y, 1.7 * width)]
    dx, dy = np.sin(np.deg2rad(heading)), -np.cos(np.deg2rad(heading))
    last = len(lengths) - 1
    for number, length in enumerate(lengths):
        thick = width * (1, 0.92, 0.8, 0.68)[number + (number > 0 and last == 2)]
        base, head = 1.25 if number else 0.95, 0.75 if number == last else 1.1
        bones.append(_phalanx(x, y, heading, length, thick, base, head))
        x, y = x + (length + 0.024) * dx, y + (length + 0.024) * dy
        flesh.append((x, y, (1.3 if number == last else 1.75) * width))
    return bones, _tube(*flesh, cap=1.0)


def _moved(bones: list[Bone], scale: float, x: float, y: float) -> list[Bone]:
    """The same bones enlarged about the origin, then moved."""
    by = np.array([x, y])
    return [
        bone._replace(
            center=scale * bone.center + by,
            offset=scale * bone.offset,
            line=scale * bone.line + by,
            width=scale * bone.width,
        )
        for bone in bones
    ]


_RAYS = [_ray(*ray, 0.048) for ray in RAYS]
_HAND = [
    *(bone for bones, _ in _RAYS for bone in bones),
    *(_oval(*carpal) for carpal in CARPALS),
    _oval(-0.075, 0.475, 0.024, 0.030, layer=1),
    _tube((0.095, 0.590, 0.118), (0.100, 0.660, 0.098), (0.105, 0.80, 0.068), (0.11, 1.5, 0.06), cap=0.25),
    _tube((-0.085, 0.600, 0.046), (-0.085, 0.680, 0.044), (-0.09, 0.80, 0.042), (-0.10, 1.5, 0.05), cap=0.5),
]
_PALM = [
    *(flesh for _, flesh in _RAYS),
    _tube((0.03, -0.02, 0.24), (0.04, 0.15, 0.27), (0.06, 0.35, 0.23), (0.02, 0.6, 0.20), (0.0, 1.5, 0.27), cap=0.5),
    _tube((0.20, 0.14, 0.06), (0.27, 0.21, 0.09), (0.16, 0.38, 0.10), cap=1.0),
]

PARTS = {
    "ELBOW": [
        Part(
            [
                _tube(
                    (0, -1.6, 0.16), (0, -0.75, 0.15), (0, -0.42, 0.21), (0, -0.2, 0.37), (0.01, -0.04, 0.35), cap=0.3
                ),
                _tube(
                    (0.19, 0.16, 0.145),
                    (0.20, 0.24, 0.135),
                    (0.21, 0.37, 0.09),
                    (0.21, 0.6, 0.12),
                    (0.15, 1.6, 0.11),
                    cap=0.2,
                ),
                _tube(
                    (-0.06, -0.3, 0.12),
                    (-0.10, -0.05, 0.16),
                    (-0.13, 0.15, 0.17),
                    (-0.14, 0.5, 0.12),
                    (-0.13, 1.6, 0.10),
                    layer=1,
                ),
            ],
            [
                _tube((0, -1.6, 0.46), (0, -0.6, 0.44), (0, -0.05, 0.52), (0, 0.4, 0.54), (0, 1.6, 0.44)),
            ],
            (0.72, 1.0),
        ),
        Part(
            [
                _tube((-0.46, -1.6, 0.14), (-0.30, -0.75, 0.14), (-0.19, -0.2, 0.15), (-0.12, 0.06, 0.20), cap=0.9),
                _tube(
                    (0.14, 0.06, 0.125),
                    (0.22, 0.06, 0.12),
                    (0.36, 0.07, 0.085),
                    (0.6, 0.06, 0.115),
                    (1.8, -0.02, 0.11),
                    cap=0.2,
                ),
                _tube(
                    (-0.42, 0.16, 0.08),
                    (-0.34, 0.26, 0.12),
                    (-0.12, 0.36, 0.12),
                    (0.15, 0.32, 0.13),
                    (0.6, 0.32, 0.10),
                    (1.8, 0.25, 0.09),
                    layer=1,
                ),
            ],
            [
                _tube((-0.42, -1.6, 0.50), (-0.26, -0.6, 0.42), (-0.14, 0.1, 0.40)),
                _tube((-0.26, 0.14, 0.32), (0.3, 0.18, 0.42), (0.8, 0.14, 0.38), (1.8, 0.1, 0.30)),
            ],
            (0.85, 0.85),
        ),
    ],
    "FINGER": [
        Part(
            [
                _phalanx(0.02, 1.75, 0, 1.12, 0.165),
                _phalanx(0.02, 0.58, -1, 0.64, 0.135),
                _phalanx(0.01, -0.11, -2, 0.39, 0.115),
                _phalanx(-0.005, -0.55, -1, 0.28, 0.098, head=0.75),
            ],
            [
                _tube(
                    (0.02, 1.9, 0.50),
                    (0.02, 0.95, 0.42),
                    (0.01, 0.5, 0.29),
                    (0.0, -0.1, 0.235),
                    (0.0, -0.74, 0.18),
                    cap=0.9,
                ),
            ],
            (0.52, 1.0),
        ),
    ],
    "FOREARM": [
        Part(
            [
                _tube(
                    (0.09, -0.80, 0.105),
                    (0.095, -0.72, 0.088),
                    (0.11, -0.5, 0.058),
                    (0.14, 0, 0.056),
                    (0.10, 0.5, 0.052),
                    (0.075, 0.66, 0.044),
                    (0.075, 0.76, 0.068),
                    cap=0.25,
                ),
                _tube(
                    (-0.085, -0.79, 0.042),
                    (-0.085, -0.6, 0.040),
                    (-0.10, 0, 0.050),
                    (-0.075, 0.55, 0.072),
                    (-0.05, 0.78, 0.085),
                    (-0.035, 0.9, 0.068),
                    layer=1,
                ),
                _tube((0, 0.86, 0.175), (0, 0.95, 0.165), (0, 1.1, 0.09), (0, 1.6, 0.07), cap=0.3),
                *_moved([_oval(*carpal) for carpal in CARPALS], 0.85, 0.0, -1.32),
                *(
                    _phalanx(x, -1.1, turn, 0.4, 0.044)
                    for x, turn in ((-0.10, -14), (-0.025, -5), (0.05, 3), (0.13, 12))
                ),
            ],
            [
                _tube(
                    (0.02, -1.5, 0.24),
                    (0.02, -1.05, 0.22),
                    (0.01, -0.75, 0.19),
                    (0.01, -0.2, 0.25),
                    (0.01, 0.45, 0.33),
                    (0, 0.9, 0.30),
                    (0, 1.7, 0.28),
                ),
            ],
            (0.45, 1.0),
            35.0,
        ),
    ],
    "HAND": [Part(_HAND, _PALM, (0.58, 0.92))],
    "HUMERUS": [
        Part(
            [
                _oval(-0.095, -0.755, 0.155, 0.165, -35),
                _tube(
                    (0.0, -0.80, 0.11),
                    (0.02, -0.66, 0.135),
                    (0.02, -0.45, 0.09),
                    (0.0, 0.1, 0.076),
                    (0, 0.6, 0.085),
                    (0, 0.78, 0.17),
                    (0, 0.86, 0.16),
                    cap=0.35,
                ),
                _tube((-0.29, -0.90, 0.04), (-0.285, -0.78, 0.05), (-0.31, -0.62, 0.045), layer=1, shaft=False),
                _tube((-0.25, -1.02, 0.04), (0.0, -1.02, 0.05), layer=1, shaft=False),
                _tube((-0.33, -0.70, 0.06), (-0.50, -0.4, 0.05), (-0.62, -0.05, 0.04), layer=2, shaft=False),
                _tube((-0.045, 0.86, 0.07), (-0.055, 1.02, 0.075), (-0.06, 1.6, 0.06), layer=1, shaft=False),
                _tube((0.085, 0.97, 0.065), (0.085, 1.05, 0.05), (0.08, 1.6, 0.055), cap=0.2, shaft=False),
            ],
            [
                _tube(
                    (0.0, -0.85, 0.25), (0.03, -0.5, 0.28), (0.01, 0.2, 0.24), (0, 0.8, 0.27), (0, 1.7, 0.26), cap=0.9
                ),
                _tube((-0.25, -1.6, 0.2), (-0.42, -0.9, 0.30), (-0.72, 0.0, 0.30), (-0.9, 1.7, 0.3)),
            ],
            (0.45, 1.0),
        ),
    ],
    "SHOULDER": [
        Part(
            [
                _oval(0.21, -0.12, 0.28, 0.30, -35),
                _tube(
                    (0.36, -0.22, 0.15), (0.38, 0.02, 0.21), (0.42, 0.35, 0.15), (0.46, 0.8, 0.13), (0.49, 1.6, 0.13)
                ),
                _tube((-0.17, -0.26, 0.06), (-0.155, -0.02, 0.085), (-0.20, 0.24, 0.06), layer=1, shaft=False),
                _tube((-0.18, 0.10, 0.10), (-0.38, 0.45, 0.06), (-0.62, 0.95, 0.06), layer=2, shaft=False),
                _tube((-0.18, -0.10, 0.14), (-0.45, -0.15, 0.10), (-0.85, -0.20, 0.06), layer=2, shaft=False),
                _tube((-0.24, -0.36, 0.06), (-0.08, -0.30, 0.07), layer=2, shaft=False),
                _tube((0.03, -0.63, 0.07), (0.20, -0.60, 0.085), (0.37, -0.53, 0.06), cap=0.5, layer=1),
                _tube(
                    (-1.8, -0.42, 0.11),
                    (-1.0, -0.52, 0.085),
                    (-0.55, -0.63, 0.075),
                    (-0.08, -0.63, 0.085),
                    cap=0.3,
                    layer=1,
                ),
                *(
                    _tube(
                        (-1.9, y, 0.05),
                        (-1.1, y + 0.02, 0.05),
                        (-0.72, y + 0.22, 0.045),
                        (-0.62, y + 0.5, 0.04),
                        layer=0,
                        shaft=False,
                    )
                    for y in (-0.22, 0.08, 0.38, 0.68)
                ),
            ],
            [
                _tube(
                    (-2.4, 0.5, 1.5), (-1.2, 0.35, 1.3), (-0.4, 0.2, 1.08), (0.1, 0.05, 0.84), (0.3, 0.0, 0.60), cap=0.8
                ),
                _tube((0.28, -0.1, 0.50), (0.42, 0.5, 0.42), (0.52, 1.7, 0.38), cap=1.0),
            ],
            (1.0, 0.85),
        ),
    ],
    "WRIST": [Part(_moved(_HAND, 2.0, -0.1, -0.92), _moved(_PALM, 2.0, -0.1, -0.92), (0.72, 1.0), 30.0)],
}
