"""What is drawn of a fundus with lines and outlines: trees of vessels, lesions."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from rescan.phantoms.canvas import FINE, SUBPIXEL, coverage, fixed_point, new_layer, stroke
from rescan.phantoms.fundus.fundus_anatomy import ARCADES, GRADES, LESIONS

Array = np.ndarray


class Camera(NamedTuple):
    """Where one photograph shows what: pixels = center + radius * turn @ (place * (flip, 1) - aim)."""

    shape: tuple[int, int]  # (H, W)
    center: Array  # (2,) of the field, in pixels: x, y
    radius: float  # of the field, in pixels
    turn: Array  # (2, 2) rotation
    flip: int  # 1 a right eye, -1 a left eye
    aim: Array  # (2,) the place in the field's center
    disc: Array  # (2,) places of the optic disc and of the fovea
    fovea: Array

    def pixels(self, places: Array) -> Array:
        """Places, (…, 2), in pixels."""
        return self.center + self.radius * ((places * (self.flip, 1) - self.aim) @ self.turn.T)

    def places(self) -> tuple[Array, Array]:
        """The place of every pixel: x and y, each (H, W) float32."""
        rows, columns = np.ogrid[: self.shape[0], : self.shape[1]]
        u = ((columns - self.center[0]) / self.radius).astype(np.float32)
        v = ((rows - self.center[1]) / self.radius).astype(np.float32)
        (cos, minus_sin), _ = self.turn.astype(np.float32)
        x = cos * u - minus_sin * v + np.float32(self.aim[0])
        return x * np.float32(self.flip), minus_sin * u + cos * v + np.float32(self.aim[1])


class Vessels(NamedTuple):
    """Some vessels, B of them with S points each."""

    points: Array  # (B, S, 2) places
    heading: Array  # (B, S) radians, y up
    width: Array  # (B, S)
    vein: Array  # (B,) bool


def trace(layer: Array, view: Camera, points: Array, width: Array) -> None:
    """Draw curves through places, (B, S, 2), of varying width, (B, S)."""
    stroke(layer, fixed_point(view.pixels(points), FINE), width * view.radius * FINE)


def tree(view: Camera, scale: float, wander: float, rng: np.random.Generator) -> list[Vessels]:
    """Grow trunks, branches and twigs: an artery and a vein in each of the four arcades.

    Args:
        view: For the place of the disc.
        scale: Factor on the width.
        wander: How much the vessels wind, 1 as usual.
        rng: The eye's generator.

    Returns:
        8 trunks, 32 branches, 64 twigs.
    """
    courses = np.array([(*course, half) for course in ARCADES for half in (1, -1) for _ in range(2)])
    first, last = np.deg2rad(courses[:, :2] + rng.normal(0, 9, (8, 2))).T
    bend, length = (courses[:, 2:4] * np.exp(rng.normal(0, 0.12, (8, 2)))).T
    half, vein = courses[:, 4], np.arange(8) % 2 == 1
    width = scale * np.where(vein, 0.032, 0.023) * np.exp(rng.normal(0, 0.08, 8))
    start = np.broadcast_to(view.disc, (8, 2)) + rng.normal(0, 0.015, (8, 2))
    generations = [_grow(start, first * half, last * half, bend, length, width, vein, 28, wander, rng)]
    for count, steps, reach in ((4, 12, (0.3, 0.7)), (2, 8, (0.12, 0.3))):
        parents = generations[-1]
        parent = np.repeat(np.arange(len(parents.points)), count)
        at = rng.integers(parents.points.shape[1] // 5, parents.points.shape[1] - 2, len(parent))
        heading, width = parents.heading[parent, at], 0.6 * parents.width[parent, at]
        away = rng.choice((-1, 1), len(parent)) * np.deg2rad(rng.uniform(30, 55, len(parent)))
        bends, length = np.full(len(parent), 0.2), rng.uniform(*reach, len(parent))
        ends = heading + 0.4 * away
        vein, start = parents.vein[parent], parents.points[parent, at]
        generations.append(_grow(start, heading + away, ends, bends, length, width, vein, steps, wander, rng))
    return generations


def _grow(
    start: Array,
    first: Array,
    last: Array,
    bend: Array,
    length: Array,
    width: Array,
    vein: Array,
    steps: int,
    wander: float,
    rng: np.random.Generator,
) -> Vessels:
    """Let B vessels grow from `start`, turning from heading `first` to `last` over a length `bend`, and tapering."""
    distance = np.linspace(0, 1, steps) * length[:, None]
    heading = last[:, None] + (first - last)[:, None] * np.exp(-distance / bend[:, None])
    swing = rng.normal(0, 1, (len(start), steps)).cumsum(axis=1) * np.sqrt(length[:, None] / steps)
    heading += 0.35 * wander * swing
    moves = np.stack([np.cos(heading), -np.sin(heading)], axis=-1) * (length / (steps - 1))[:, None, None]
    points = start[:, None] + np.concatenate([np.zeros_like(moves[:, :1]), moves[:, :-1].cumsum(axis=1)], axis=1)
    return Vessels(points, heading, width[:, None] * np.linspace(1, 0.3, steps), vein)


def lesions(view: Camera, grade: int, rng: np.random.Generator) -> list[tuple[str, Array]]:
    """The kinds of lesions that an eye of a grade has, each with its coverage, (H, W) float32 in [0, 1]."""
    covers = []
    for kind, (fewest, most) in GRADES[grade].items():
        count = int(rng.integers(fewest, most + 1))
        layer = new_layer(view.shape)
        for number, site in enumerate(_sites(view, count, rng)):
            DRAWERS.get(kind, _blobs)(layer, view, kind, site, rng)
            if kind == "new_vessels" and number == 0 and rng.random() < 0.5:  # some grow on the disc
                _tuft(layer, view, kind, view.disc, rng)
        cover = coverage(layer, view.shape)
        if kind == "cotton_wool":
            cover = cv2.GaussianBlur(cover, (0, 0), 0.02 * view.radius)
        covers.append((kind, cover))
    return covers


def _sites(view: Camera, count: int, rng: np.random.Generator) -> Array:
    """Places for lesions, the quadrants in turn: in the field and in the image, off the disc and the fovea: (N, 2)."""
    tries = 200 + 40 * count  # so many that each quadrant has enough that fit
    quadrant = np.arange(tries) % 4
    angle, away = (quadrant + rng.random(tries)) * np.pi / 2, 0.88 * np.sqrt(rng.uniform(0.02, 1, tries))
    field = away[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    pixels = view.center + view.radius * field
    places = (field @ view.turn + view.aim) * (view.flip, 1)
    margin = 0.05 * view.radius
    fits = np.all((pixels > margin) & (pixels < np.array(view.shape[::-1]) - margin), axis=1)
    fits &= np.hypot(*(places - view.disc).T) > 0.24
    fits &= np.hypot(*(places - view.fovea).T) > 0.09
    fitting = [places[fits & (quadrant == number)] for number in range(4)]
    turn = rng.permutation(4)
    return np.array([fitting[turn[number % 4]][number // 4] for number in range(count)]).reshape(-1, 2)


def _blobs(layer: Array, view: Camera, kind: str, site: Array, rng: np.random.Generator) -> None:
    """Ragged spots; elongated ones point to the disc, as nerve fibers do."""
    lesion = LESIONS[kind]
    angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    for _ in range(rng.integers(lesion.cluster[0], lesion.cluster[1] + 1)):
        middle = site + rng.normal(0, 0.5, 2) * lesion.spread
        radius = rng.uniform(*lesion.radius) * np.exp(rng.normal(0, 0.12, 12))
        stretch = np.sqrt(rng.uniform(1, lesion.elongation))
        along = (view.disc - middle) / np.hypot(*(view.disc - middle))
        across = np.array([-along[1], along[0]])
        outline = (radius * np.cos(angles) * stretch)[:, None] * along
        outline += (radius * np.sin(angles) / stretch)[:, None] * across
        cv2.fillPoly(layer, [fixed_point(view.pixels(middle + outline), FINE)], 255, cv2.LINE_8, SUBPIXEL)


def _tuft(layer: Array, view: Camera, kind: str, site: Array, rng: np.random.Generator) -> None:
    """New vessels: a tangle of fine loops."""
    count = int(rng.integers(9, 15))
    first = rng.uniform(0, 2 * np.pi, count)
    last = first + rng.choice((-1, 1), count) * rng.uniform(2, 5, count)
    length = 1.6 * rng.uniform(*LESIONS[kind].radius, count)
    bend, width, vein = np.full(count, 0.15), np.full(count, 0.010), np.zeros(count, bool)
    start = site + rng.normal(0, 0.02, (count, 2))
    loops = _grow(start, first, last, bend, length, width, vein, 14, 1.5, rng)
    trace(layer, view, loops.points, np.full_like(loops.width, 0.010))


def _boat(layer: Array, view: Camera, kind: str, site: Array, rng: np.random.Generator) -> None:
    """A pre-retinal hemorrhage: blood before the retina that has sunk, level on top."""
    radius, depth = rng.uniform(*LESIONS[kind].radius), rng.uniform(0.5, 0.8)
    angles = np.linspace(0, np.pi, 16)
    outline = radius * np.stack([np.cos(angles), depth * np.sin(angles)], axis=1)
    cv2.fillPoly(layer, [fixed_point(view.pixels(site + outline), FINE)], 255, cv2.LINE_8, SUBPIXEL)


DRAWERS = {"new_vessels": _tuft, "preretinal": _boat}
