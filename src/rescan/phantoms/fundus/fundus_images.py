"""Painting of schematic color fundus photographs: eye, lesions, light, frame, noise."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from rescan.phantoms.canvas import FINE, SUBPIXEL, coverage, new_layer, smooth
from rescan.phantoms.fundus.fundus_anatomy import ARTERY, CUP, DISC, HAZE, LESIONS, MACULA, PIGMENT, VEIN
from rescan.phantoms.fundus.fundus_shapes import Camera, lesions, trace, tree

Array = np.ndarray
FEWEST = 0.25  # coverage of a pixel from which on it belongs to a lesion's mask


class Patient(NamedTuple):
    """What the two eyes of a patient share: deviations from the average eye, scaled by the patient effect."""

    pigment: float  # 0 light … 1 dark
    disc: float  # radius of the optic disc
    cup: float  # of the disc's radius
    fovea: float  # distance of the fovea from the disc
    width: float  # factor on the vessels' width
    wander: float  # how much the vessels wind
    gain: Array  # (3,) factors on the channels


def patient(rng: np.random.Generator, effect: float) -> Patient:
    """Draw a patient."""

    def differs(spread: float, size: int | None = None) -> Array:
        return np.clip(effect * rng.normal(0, spread, size), -1, 1)

    return Patient(
        pigment=float(np.clip(0.45 + differs(0.3), 0, 1)),
        disc=0.15 * float(np.exp(0.5 * differs(0.16))),
        cup=float(np.clip(0.42 + differs(0.1), 0.1, 0.75)),
        fovea=0.65 + 0.1 * float(differs(0.25)),
        width=float(np.exp(differs(0.12))),
        wander=float(np.exp(differs(0.35))),
        gain=np.exp(differs(0.12) + differs(0.06, 3)).astype(np.float32),
    )


def camera(person: Patient, left: bool, shape: tuple[int, int], rng: np.random.Generator) -> Camera:
    """Aim at an eye. Half of the fields are cut at top and bottom, where the image is wide enough for that."""
    height, width = shape
    part = rng.uniform(0.42, 0.5) if rng.random() < 0.5 else rng.uniform(0.53, 0.64)
    radius = min(part * height, 0.495 * width)
    room = np.maximum(0, (0.5 * width - radius, 0.03 * height))
    turn = np.deg2rad(rng.normal(0, 5))
    disc = np.array([rng.normal(0.48, 0.05), rng.normal(-0.03, 0.04)])
    flip = -1 if left else 1
    return Camera(
        shape,
        center=(0.5 * width, 0.5 * height) + room * rng.uniform(-0.5, 0.5, 2),
        radius=radius,
        turn=np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]),
        flip=flip,
        aim=rng.normal(0, 0.04, 2),
        disc=disc,
        fovea=disc + person.fovea * np.array([-1, rng.normal(0.1, 0.03)]),
    )


def draw(
    person: Patient,
    *,
    left: bool,
    grade: int,
    shape: tuple[int, int],
    contrast: float,
    rng: np.random.Generator,
    lesion_rng: np.random.Generator,
) -> tuple[Array, Array]:
    """Draw one photograph.

    Args:
        person: Whose eye.
        left: The left eye, with the disc on the left.
        grade: 0 to 4, which lesions it has.
        shape: (H, W) in pixels.
        contrast: Factor on the lesions' contrast.
        rng: The eye's own generator, for all but the lesions.
        lesion_rng: The lesions' generator.

    Returns:
        image: (H, W, 3) uint8, BGR.
        mask: (H, W) uint8, 255 in a lesion, else 0.
    """
    view = camera(person, left, shape, rng)
    image = _paint_eye(view, person, rng)
    light = _light(view, rng) * person.gain * np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.04, 3)).astype(np.float32)
    field = _field_of_view(view, rng.random() < 0.5)
    haze = field * _haze(view, rng) if rng.random() < 0.2 else None
    blur, grain = rng.uniform(0.3, 0.9) * view.radius / 128, rng.uniform(1, 4)
    noise = rng.standard_normal(shape, np.float32)

    mask = np.zeros(shape, np.uint8)
    strength = min(1.0, contrast * lesion_rng.uniform(0.6, 1.0))
    for kind, cover in lesions(view, grade, lesion_rng):
        lesion = LESIONS[kind]
        color, share = np.array(lesion.color, np.float32), (strength * cover)[..., None]
        image += share * (color - image) if lesion.blend else -share * color * image
        mask[cover * field > FEWEST] = 255
    image *= light * field[..., None]
    if haze is not None:
        image += haze[..., None] * np.array(HAZE, np.float32)
    image = cv2.GaussianBlur(image, (0, 0), blur)
    image = image * 255 + ((grain * field + 0.7) * noise)[..., None]
    return cv2.convertScaleAbs(np.maximum(image, 0)), mask


def _paint_eye(view: Camera, person: Patient, rng: np.random.Generator) -> Array:
    """The retina, evenly lit and without lesions: (H, W, 3) float32."""
    x, y = view.places()
    lightest, darkest = np.array(PIGMENT, np.float32)
    texture = 1 + 0.06 * smooth(rng, view.shape, 9) + 0.04 * smooth(rng, view.shape, 36)
    image = texture[..., None] * (lightest + np.float32(person.pigment) * (darkest - lightest))

    away = np.hypot(x - np.float32(view.fovea[0]), y - np.float32(view.fovea[1]))
    macula = np.exp(-((away / 0.14) ** 2))
    image *= 1 - macula[..., None] * np.array(MACULA, np.float32)
    disc = np.hypot(x - np.float32(view.disc[0]), (y - np.float32(view.disc[1])) / 1.1) / np.float32(person.disc)
    image *= (1 + 0.25 * np.exp(-((disc / 2.2) ** 2)))[..., None]
    for color, radius, soft in ((DISC, 1.0, 0.16), (CUP, person.cup, 0.5)):
        cover = np.clip((1 - disc / radius) / soft + 0.5, 0, 1)[..., None]
        image += cover * (np.array(color, np.float32) - image)

    vascular = 1 - np.exp(-((away / 0.13) ** 4))  # no vessels in the fovea
    vessels = tree(view, person.width, person.wander, rng)
    for color, vein in ((VEIN, True), (ARTERY, False)):
        layer = new_layer(view.shape)
        for order in vessels:
            trace(layer, view, order.points[order.vein == vein], order.width[order.vein == vein])
        image *= 1 - (coverage(layer, view.shape) * vascular)[..., None] * np.array(color, np.float32)
    return image


def _light(view: Camera, rng: np.random.Generator) -> Array:
    """Uneven light: brighter to one side, darker to the border: (H, W, 1) float32."""
    rows, columns = np.ogrid[: view.shape[0], : view.shape[1]]
    u = ((columns - view.center[0]) / view.radius).astype(np.float32)
    v = ((rows - view.center[1]) / view.radius).astype(np.float32)
    tilt = rng.normal(0, 0.15, 2).astype(np.float32)
    light = 1 + tilt[0] * u + tilt[1] * v - np.float32(rng.uniform(0.1, 0.4)) * (u * u + v * v)
    light += 0.05 * smooth(rng, view.shape, 4)
    return np.maximum(light, 0.1)[..., None]


def _haze(view: Camera, rng: np.random.Generator) -> Array:
    """Stray light, a crescent along the border of the field: (H, W) float32."""
    rows, columns = np.ogrid[: view.shape[0], : view.shape[1]]
    angle, away = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.5)
    u = (columns - view.center[0]) / view.radius + away * np.cos(angle)
    v = (rows - view.center[1]) / view.radius + away * np.sin(angle)
    edge = np.hypot(u, v).astype(np.float32)
    return np.float32(rng.uniform(0.3, 0.8)) * np.clip((edge - 1.0) / 0.5, 0, 1)


def _field_of_view(view: Camera, notch: bool) -> Array:
    """1 in the photographed field, 0 in the black border: (H, W) float32. Some cameras mark its upper right edge."""
    layer = new_layer(view.shape)
    fine = view.radius * FINE * (1 << SUBPIXEL)
    middle = ((view.center + 0.5) * FINE - 0.5) * (1 << SUBPIXEL)
    cv2.circle(layer, np.rint(middle).astype(int).tolist(), round(fine), 255, -1, cv2.LINE_8, SUBPIXEL)
    if notch:
        mark = middle + 0.99 * fine * np.sqrt(0.5) * np.array([1, -1])
        cv2.circle(layer, np.rint(mark).astype(int).tolist(), round(0.05 * fine), 255, -1, cv2.LINE_8, SUBPIXEL)
    return coverage(layer, view.shape)
