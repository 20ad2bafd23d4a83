"""Outlines of the bones and the flesh of schematic radiographs: tubes, ovals, phalanges, rays of the hand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

Array = np.ndarray
STEPS = 24  # points of a center line
CAP = np.linspace(0.5 * np.pi, -0.5 * np.pi, 9)[1:-1]  # angles of a rounded end


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


def tube(*points: tuple[float, float, float], cap: float = 0.6, layer: int = 0, shaft: bool = True) -> Bone:
    """A smooth tube (Catmull-Rom) through points with half-widths, its ends rounded by `cap` half-widths."""
    nodes = np.array(points, float)
    ends = 2 * nodes[0] - nodes[1], 2 * nodes[-1] - nodes[-2]
    knots = np.stack([ends[0], *nodes, ends[1]])
    at = np.linspace(0, len(nodes) - 1, STEPS)
    first = np.minimum(at.astype(int), len(nodes) - 2)
    t = (at - first)[:, None]
    p, q, r, s = (knots[first + number] for number in range(4))
    dense = 0.5 * (2 * q + (r - p) * t + (2 * p - 5 * q + 4 * r - s) * t**2 + (3 * q - p - 3 * r + s) * t**3)
    line, width = dense[:, :2], np.maximum(dense[:, 2], 0.25 * nodes[:, 2].min())
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


def oval(x: float, y: float, a: float, b: float, turn: float = 0.0, layer: int = 0) -> Bone:
    """An ellipse with half-axes a across and b along an axis that is turned (degrees) from the vertical."""
    dx, dy = 0.5 * b * np.sin(np.deg2rad(turn)), -0.5 * b * np.cos(np.deg2rad(turn))
    ends = (x - dx, y - dy, 0.86 * a), (x, y, a), (x + dx, y + dy, 0.86 * a)
    return tube(*ends, cap=0.5 * b / (0.86 * a), layer=layer, shaft=False)


def phalanx(
    x: float, y: float, heading: float, length: float, width: float, base: float = 1.25, head: float = 1.1
) -> Bone:
    """A bone of a ray: a waist between a base and a head."""
    dx, dy = np.sin(np.deg2rad(heading)), -np.cos(np.deg2rad(heading))
    start, end = 0.45 * base * width, length - 0.45 * head * width
    profile = ((start, base), (0.22 * length, 0.95), (0.55 * length, 0.78), (0.8 * length, 0.92), (end, head))
    return tube(*((x + at * dx, y + at * dy, width * share) for at, share in profile), cap=0.45)


def ray(x: float, y: float, heading: float, lengths: tuple[float, ...], width: float) -> tuple[list[Bone], Bone]:
    """The bones of a ray from its base on, the metacarpal first, and the flesh around them."""
    bones, flesh = [], [(x, y, 1.7 * width)]
    dx, dy = np.sin(np.deg2rad(heading)), -np.cos(np.deg2rad(heading))
    last = len(lengths) - 1
    for number, length in enumerate(lengths):
        thick = width * (1, 0.92, 0.8, 0.68)[number + (number > 0 and last == 2)]
        base, head = 1.25 if number else 0.95, 0.75 if number == last else 1.1
        bones.append(phalanx(x, y, heading, length, thick, base, head))
        x, y = x + (length + 0.024) * dx, y + (length + 0.024) * dy
        flesh.append((x, y, (1.3 if number == last else 1.75) * width))
    return bones, tube(*flesh, cap=1.0)


def move(bones: list[Bone], scale: float, x: float, y: float) -> list[Bone]:
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
