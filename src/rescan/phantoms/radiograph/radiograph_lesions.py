"""Abnormalities of schematic radiographs: fracture, hardware, lysis.

Each takes an image's bones, a place in one of them, the contrast and a generator, and returns three arrays, (H, W)
float32: its coverage in [0, 1], the bones that are left, and the density of metal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from rescan.phantoms.canvas import FINE, SUBPIXEL, coverage, fixed_point, new_layer, smooth

if TYPE_CHECKING:
    from rescan.phantoms.radiograph.radiograph_bones import Part
    from rescan.phantoms.radiograph.radiograph_images import View

Array = np.ndarray
FEWEST = 0.02  # density from which on there is bone
AWAY = 4  # points at either end of a bone's center line where no lesion is put
COUNTS = (0.3, 0.4, 0.3)  # shares of the images with one, two, three places
FLARE = 1.3  # a bone counts at most that many times as thick as its shaft: lesions are no larger at its ends
METAL = 4.0  # its density, before the exposure


class Site(NamedTuple):
    """A place in a bone, in pixels."""

    place: Array  # (2,) x, y
    along: Array  # (2,) the unit vector along the bone
    radius: float  # half of the bone's thickness, or less where it flares
    length: float  # of the bone

    def pixels(self, places: Array) -> Array:
        """Places along and across the bone, (N, 2) in its radii, in pixels."""
        across = np.array([-self.along[1], self.along[0]])
        return self.place + self.radius * (places[:, :1] * self.along + places[:, 1:] * across)


def choose_sites(view: View, part: Part, thick: float, exposed: Array, rng: np.random.Generator) -> list[Site]:
    """Choose one to three places in shafts that the image shows, far from each other; thick bones are likelier.

    Args:
        view: How the image shows the limb.
        part: What is to be seen of it.
        thick: Factor on the bones' thickness.
        exposed: (H, W) float32, 0 where the collimator shuts out the rays.
        rng: In the same state for all images of a study, so that they show the same places if they can.
    """
    shafts = [bone for bone in part.bones if bone.shaft]
    lines = view.pixels(np.stack([bone.line for bone in shafts]))
    width = np.stack([bone.width for bone in shafts])
    radius = thick * view.unit * np.minimum(width, FLARE * np.median(width, axis=1, keepdims=True))
    steps = np.diff(lines, axis=1)
    length = np.broadcast_to(np.hypot(steps[..., 0], steps[..., 1]).sum(axis=1, keepdims=True), radius.shape)
    inner = slice(AWAY, -AWAY)
    along = (lines[:, 2:] - lines[:, :-2])[:, AWAY - 1 : 1 - AWAY].reshape(-1, 2)
    places, radius, length = lines[:, inner].reshape(-1, 2), radius[:, inner].ravel(), length[:, inner].ravel()

    size = np.array(view.shape[::-1])
    visible = np.minimum(places, size - 1 - places).min(axis=1) > 1.2 * radius
    columns, rows = np.clip(places, 0, size - 1).astype(int).T
    visible &= exposed[rows, columns] > 0.5
    rank = rng.exponential(size=len(places)) / radius**2
    rank = np.where(visible, rank, 1e6 + np.hypot(*(places - 0.5 * size).T))
    sites: list[Site] = []
    for _ in range(int(rng.choice(3, p=COUNTS)) + 1):
        best = int(np.argmin(rank))
        if sites and rank[best] >= 1e6:  # nothing else is visible
            break
        sites.append(Site(places[best], along[best] / np.hypot(*along[best]), float(radius[best]), float(length[best])))
        rank[np.hypot(*(places - places[best]).T) < 4 * radius[best]] = np.inf
    return sites


def _lines(shape: tuple[int, int], lines: list[tuple[Array, float]]) -> Array:
    """Coverage by lines, each of points in pixels and a thickness in pixels: (H, W) float32 in [0, 1]."""
    layer = new_layer(shape)
    for points, thickness in lines:
        cv2.polylines(
            layer, [fixed_point(points, FINE)], False, 255, max(FINE, round(thickness * FINE)), cv2.LINE_8, SUBPIXEL
        )
    return coverage(layer, shape)


def _places(shape: tuple[int, int], site: Site) -> tuple[Array, Array]:
    """How far along and across the bone each pixel lies, in the bone's radii: two (H, W) float32 arrays."""
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    x = ((columns - site.place[0]) / site.radius).astype(np.float32)
    y = ((rows - site.place[1]) / site.radius).astype(np.float32)
    cos, sin = site.along.astype(np.float32)
    return cos * x + sin * y, cos * y - sin * x


def _fracture(bone: Array, site: Site, contrast: float, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A jagged dark line across the bone; in every other, the fragment behind it is displaced sideways."""
    across = np.linspace(-1.3, 1.3, 8)
    slope, jag = rng.normal(0, 0.35), rng.normal(0, 0.16, 8)
    line = np.stack([slope * across + jag, across], axis=1)
    step = rng.choice((-1, 1)) * rng.uniform(0.4, 0.8) * (rng.random() < 0.5) * min(1.0, contrast)
    gap = rng.uniform(0.60, 0.90)
    cover = _lines(bone.shape, [(site.pixels(line), max(1.3, gap * site.radius))]) * (bone > FEWEST)
    if step:
        s, t = _places(bone.shape, site)
        behind = np.clip((s - np.float32(slope) * t) * np.float32(site.radius) + 0.5, 0, 1)
        move = np.float32(step * site.radius) * behind * np.exp(-((s / 3.5) ** 2) - (t / 2) ** 4)
        rows, columns = np.mgrid[: bone.shape[0], : bone.shape[1]].astype(np.float32)
        cos, sin = site.along.astype(np.float32)
        bone = cv2.remap(
            bone, columns + sin * move, rows - cos * move, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return cover, bone * (1 - min(1.0, 0.95 * contrast) * cover), np.zeros_like(bone)


def _hardware(bone: Array, site: Site, contrast: float, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A bright plate along the bone with screws across it, or a rod within."""
    half = min(rng.uniform(2.5, 4.0), 0.4 * site.length / site.radius)
    plate, aside, turn = rng.random() < 0.6, rng.uniform(-0.5, 0.5), rng.normal(0, 0.04)
    screws, rod = int(rng.integers(3, 6)), rng.uniform(0.55, 0.8)
    if plate:
        ends = np.array([[-half, aside - turn * half], [half, aside + turn * half]])
        holes = [
            np.array([[at, -0.85], [at + rng.normal(0, 0.1), 0.85]]) for at in np.linspace(-0.85, 0.85, screws) * half
        ]
        lines = [(site.pixels(ends), 0.8 * site.radius)]
        lines += [(site.pixels(screw), 0.3 * site.radius) for screw in holes]
    else:
        half *= 1.3
        lines = [(site.pixels(np.array([[-half, 0.3 * aside], [half, 0.3 * aside + turn * half]])), rod * site.radius)]
    cover = _lines(bone.shape, lines)
    return cover, bone, np.float32(METAL * contrast) * cover


def _lysis(bone: Array, site: Site, contrast: float, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """A blurred dark blob in the bone."""
    s, t = _places(bone.shape, site)
    long, wide, aside = rng.uniform(1.2, 2.0), rng.uniform(0.9, 1.2), rng.uniform(-0.2, 0.2)
    ragged = 0.12 * smooth(rng, bone.shape, 12)
    away = np.hypot(s / np.float32(long), (t - np.float32(aside)) / np.float32(wide)) + ragged
    cover = np.clip((1.15 - away) / 0.5, 0, 1) * (bone > FEWEST)
    return cover, bone * (1 - min(1.0, 0.95 * contrast) * cover), np.zeros_like(bone)


LESIONS = {"fracture": _fracture, "hardware": _hardware, "lysis": _lysis}
