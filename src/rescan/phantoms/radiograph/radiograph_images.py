"""Painting of schematic radiographs: bones and flesh as rays see them, exposure, collimation, marker, noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from rescan.phantoms.canvas import FINE, SUBPIXEL, fixed_point, smooth, to_fixed
from rescan.phantoms.radiograph.radiograph_anatomy import PARTS
from rescan.phantoms.radiograph.radiograph_bones import Bone, Part
from rescan.phantoms.radiograph.radiograph_lesions import LESIONS, choose_sites

Array = np.ndarray
LAYERS = (1.0, 1.0, 0.45)  # density of the bones of each layer
MEDULLA = 0.68  # its radius in units of the bone's
BONE, FLESH = 0.62, 0.32  # densities of the thickest, before the exposure
LETTERS = {  # strokes in units of their height: x, y down
    "L": [(0.1, 0.0), (0.1, 1.0), (0.6, 1.0)],
    "R": [
        (0.1, 1.0),
        (0.1, 0.0),
        (0.45, 0.0),
        (0.6, 0.12),
        (0.6, 0.38),
        (0.45, 0.5),
        (0.1, 0.5),
        (0.35, 0.5),
        (0.65, 1.0),
    ],
}
COVERED = 0.25  # coverage of a pixel from which on it belongs to a lesion's mask


class Patient(NamedTuple):
    """What a patient's images share: deviations from the average, scaled by the patient effect."""

    left: bool
    thick: float  # factor on the bones' thickness
    fat: float  # factor on that of the flesh
    bend: Array  # (2, 5) of the displacements in `View.pixels`
    spongy: float  # how much less than cortical bone the medulla absorbs
    density: float  # factor on the bones' density
    gamma: float
    gain: float


class View(NamedTuple):
    """How one image shows a limb."""

    shape: tuple[int, int]  # (H, W)
    unit: float  # pixels of a unit of length
    matrix: Array  # (2, 2) turn and mirror, with the unit
    shift: Array  # (2,) where the origin lies, in pixels
    squash: float  # cosine of the turn about the limb's long axis
    bend: Array  # (2, 5)
    field: Array  # (4, 2) corners of what is exposed, in pixels: x, y

    def pixels(self, center: Array, offset: Array | float = 0.0) -> Array:
        """Places, (…, 2), in pixels. A limb that turns about its long axis is narrower, its bones are as thick."""
        x, y = center[..., 0] * self.squash, center[..., 1]
        basis = np.stack([y * y, x * y, x * x, np.sin(2.5 * y + 1), np.sin(2.5 * x + 2)], axis=-1)
        return (np.stack([x, y], axis=-1) + basis @ self.bend.T + offset) @ self.matrix.T + self.shift


def patient(rng: np.random.Generator, effect: float) -> Patient:
    """Draw a patient."""

    def differs(spread: float, size: tuple[int, ...] | None = None) -> Array:
        return np.clip(effect * rng.normal(0, spread, size), -3 * spread, 3 * spread)

    return Patient(
        left=bool(rng.random() < 0.5),
        thick=float(np.exp(differs(0.09))),
        fat=float(np.exp(differs(0.12))),
        bend=differs(0.025, (2, 5)),
        spongy=float(0.80 + differs(0.08)),
        density=float(np.exp(differs(0.14))),
        gamma=float(np.exp(differs(0.12))),
        gain=float(np.exp(differs(0.09))),
    )


def aim(person: Patient, part: Part, shape: tuple[int, int], rng: np.random.Generator) -> View:
    """Aim at a limb. In half of the images the collimator's edges are visible, slightly turned."""
    height, width = shape
    unit = 0.5 * min(height / part.extent[1], width / part.extent[0]) * rng.uniform(0.95, 1.2)
    turn, cant = np.deg2rad(rng.normal(0, 7)), np.deg2rad(rng.normal(0, 2.5))
    middle = 0.5 * np.array([width, height]) + unit * rng.normal(0, 0.06, 2)
    half = 0.5 * np.array([width, height]) * 1.2
    if rng.random() < 0.5:
        half = np.minimum(half, unit * np.array(part.extent) * rng.uniform(0.85, 1.25, 2))
    frame = np.array([[np.cos(cant), -np.sin(cant)], [np.sin(cant), np.cos(cant)]])
    mirror = -1.0 if person.left else 1.0
    return View(
        shape,
        unit,
        matrix=unit * np.array([[mirror * np.cos(turn), -np.sin(turn)], [mirror * np.sin(turn), np.cos(turn)]]),
        shift=middle,
        squash=float(np.cos(np.deg2rad(rng.uniform(0, part.turns)))),
        bend=person.bend + rng.normal(0, 0.018, (2, 5)),
        field=middle + half * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) @ frame.T,
    )


def draw(
    person: Patient,
    body_part: str,
    lesions: Sequence[str],
    *,
    shape: tuple[int, int],
    contrast: float,
    rng: np.random.Generator,
    site_rng: np.random.Generator,
    lesion_rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Draw one radiograph.

    Args:
        person: Whose it is.
        body_part: One of `PARTS`.
        lesions: Some of `LESIONS`.
        shape: (H, W) in pixels.
        contrast: Factor on the lesions' contrast.
        rng: The image's own generator, for all but the lesions.
        site_rng: The generator of the lesions' places, in the same state for all images of a study.
        lesion_rng: The generator of the rest of the lesions.

    Returns:
        image: (H, W) uint8.
        mask: (H, W) uint8, Σ 2^k over the lesions, of number k, that a pixel lies in.
    """
    sides = PARTS[body_part]
    part = sides[rng.integers(len(sides))]
    view = aim(person, part, shape, rng)
    bone = _bones(view, part, person) * (1 + 0.10 * smooth(rng, shape, 40))
    flesh = _flesh(view, part, person) * (1 + 0.07 * smooth(rng, shape, 7))
    lit = cv2.fillConvexPoly(np.zeros(shape, np.uint8), to_fixed(view.field), 255, cv2.LINE_AA, SUBPIXEL)
    exposed = lit.astype(np.float32) / 255
    offset, gain = rng.uniform(0.02, 0.10), person.gain * np.exp(rng.normal(0, 0.08))
    gamma = person.gamma * np.exp(rng.normal(0, 0.10))
    blur, grain = rng.uniform(0.35, 0.8) * min(shape) / 160, rng.uniform(0.008, 0.022)
    noise = cv2.GaussianBlur(rng.standard_normal(shape, np.float32), (0, 0), 0.6)
    tilt = 1 + 0.06 * smooth(rng, shape, 3)

    plain = bone + flesh
    mask, metal = np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    for number, lesion in enumerate(lesions):
        for site in choose_sites(view, part, person.thick, exposed, site_rng):
            cover, bone, added = LESIONS[lesion](bone, site, contrast, lesion_rng)
            metal = np.maximum(metal, added)
            mask[(cover > COVERED) & (exposed > 0.5)] |= 1 << number
    absorbed = np.float32(BONE * person.density) * bone + np.float32(FLESH) * flesh + metal
    light = (1 - np.exp(-np.maximum(absorbed, 0) * np.float32(1.3))) ** np.float32(gamma)
    bright = (np.float32(offset) + np.float32(gain) * 0.95 * light) * tilt
    image: Array = cv2.GaussianBlur(bright, (0, 0), blur)
    _mark(image, plain, view, "L" if person.left else "R", rng)
    image = (image + np.float32(2 * grain) * noise) * exposed
    return np.clip(image * 255, 0, 255).astype(np.uint8), mask


def _bones(view: View, part: Part, person: Patient) -> Array:
    """The bones: (H, W) float32, 1 for the thickest cortical bone of a layer.

    A bone is a tube: what a ray passes at r of its radius is sqrt(1 - r²) less the medulla, sqrt(MEDULLA² - r²).
    """
    image = np.zeros(view.shape, np.float32)
    outlines = _outlines(view, part.bones, person.thick, FINE)
    for layer, density in enumerate(LAYERS):
        radius = np.zeros((view.shape[0] * FINE, view.shape[1] * FINE), np.float32)
        for bone, outline in zip(part.bones, outlines):
            if bone.layer == layer:
                mean = FINE * view.unit * person.thick * float(bone.width.mean())
                cv2.fillPoly(radius, [outline], max(mean, 1.0), cv2.LINE_8, SUBPIXEL)
        covered = radius > 0
        inside = np.flatnonzero(covered)
        depth = cv2.distanceTransform(covered.view(np.uint8), cv2.DIST_L2, 3).ravel()[inside]
        inner = (1 - np.minimum(depth / radius.ravel()[inside], 1)) ** 2  # 0 in the middle, 1 at the edge
        path = np.sqrt(1 - inner) - np.float32(person.spongy) * np.sqrt(np.maximum(MEDULLA**2 - inner, 0))
        radius.ravel()[inside] = np.float32(density) * path
        image += cv2.resize(radius, view.shape[::-1], interpolation=cv2.INTER_AREA)
    return image


def _flesh(view: View, part: Part, person: Patient) -> Array:
    """The flesh: (H, W) float32 in [0, 1], thinner to its edge."""
    inside = np.zeros(view.shape, np.uint8)
    for outline in _outlines(view, part.flesh, person.fat, 1):
        cv2.fillPoly(inside, [outline], 1, cv2.LINE_8, SUBPIXEL)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    thick = view.unit * float(np.mean([flesh.width.mean() for flesh in part.flesh]))
    return 1 - np.exp(-depth / np.float32(0.5 * thick))


def _outlines(view: View, bones: list[Bone], thick: float, fine: int) -> Array:
    """Outlines, `thick` times as thick, in pixels `fine` times finer, as OpenCV takes them: (B, N, 2) int32."""
    offset = thick * np.stack([bone.offset for bone in bones])
    return fixed_point(view.pixels(np.stack([bone.center for bone in bones]), offset), fine)


def _mark(image: Array, plain: Array, view: View, letter: str, rng: np.random.Generator) -> None:
    """Put a letter of lead at an edge, where `plain`, the limb without lesions, is thinnest of some places."""
    height, width = view.shape
    low, high = np.maximum(view.field.min(axis=0), 0), np.minimum(view.field.max(axis=0), (width, height))
    tall = max(7, round(rng.uniform(0.08, 0.12) * min(*view.shape, *(1.2 * (high - low)))))
    low, high = low + 0.6 * tall, high - 1.8 * tall
    tries = [low + rng.random(2) ** (4, 0.5) * (high - low) for _ in range(6)]
    tries += [low + (1 - rng.random(2) ** (4, 0.5)) * (high - low) for _ in range(6)]
    corners = [np.maximum(np.rint(place), 0).astype(int).tolist() for place in tries]
    x, y = min(corners, key=lambda at: float(plain[at[1] : at[1] + tall, at[0] : at[0] + tall].mean()))
    layer = np.zeros((2 * tall, 2 * tall), np.uint8)
    strokes = to_fixed(np.array(LETTERS[letter]) * 0.9 * tall + 0.05 * tall)
    cv2.polylines(layer, [strokes], False, 255, max(1, round(tall / 8)), cv2.LINE_AA, SUBPIXEL)
    under = image[y : y + 2 * tall, x : x + 2 * tall]
    cover = layer[: under.shape[0], : under.shape[1]].astype(np.float32) / 255
    under += cover * (np.float32(rng.uniform(0.5, 0.7)) - under)
