"""Drawing of schematic MRI slices of the head: anatomy, lesions, bias field, noise."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from rescan.phantoms.brain_mri.head_anatomy import LESIONS, PLANES, TISSUES, Ellipse, Plane

Array = np.ndarray


class Head(NamedTuple):
    """What a patient's slices share. Each value is a deviation from the average head, scaled by the patient effect."""

    warp: Array  # (2, 4, 4) displacements on a coarse grid, in units of half the head
    ventricles: float  # factor on the half-axes of fluid inside the brain
    weighting: float  # 0 T1-like … 1 T2-like
    gain: float
    tissue: dict[str, float]  # factors on the signal of tissues
    folds: int  # seed of the cortical folding
    flip: bool  # a sagittal slice that faces right


class View(NamedTuple):
    """A slice's pixels: their place in the plane, all arrays (H, W) float32."""

    plane: Plane
    x: Array  # head coordinates, in units of half the head
    y: Array
    brain: Array  # distance from the center of the nearest lobe, 1 on its boundary
    skull: Array  # the same of the cranium
    weighting: float

    def mix(self, signal: tuple[float, float]) -> float:
        """The signal at the slice's weighting."""
        return signal[0] + self.weighting * (signal[1] - signal[0])


def head(rng: np.random.Generator, effect: float) -> Head:
    """Draw a patient."""
    weighting = 0.85 * (rng.random() < 0.2) + 0.15 * rng.random()
    return Head(
        warp=effect * rng.normal(0, 0.028, (2, 4, 4)),
        ventricles=float(np.exp(effect * rng.normal(0, 0.25))),
        weighting=float(np.clip(0.15 + effect * (weighting - 0.15), 0, 1)),
        gain=float(np.exp(effect * rng.normal(0, 0.12))),
        tissue={name: float(np.exp(effect * rng.normal(0, 0.08))) for name in TISSUES},
        folds=int(rng.integers(2**31)),
        flip=bool(rng.random() < 0.5),
    )


def _field(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Array:
    """A smooth random field, (H, W) float32, as `canvas.smooth`, but drawn in float64: these are other numbers."""
    nodes = rng.standard_normal((cells, cells)).astype(np.float32)
    return cv2.resize(nodes, shape[::-1], interpolation=cv2.INTER_CUBIC)


def _radius(x: Array, y: Array, shape: Ellipse, factor: float = 1.0) -> Array:
    """The distance from an ellipse's center in units of its boundary's: 0 at the center, 1 on the boundary."""
    turn = np.deg2rad(shape.turn)
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    dx, dy = x - np.float32(shape.x), y - np.float32(shape.y)
    return np.hypot((cos * dx + sin * dy) / (shape.a * factor), (cos * dy - sin * dx) / (shape.b * factor))


def _inside(radius: Array, soft: float) -> Array:
    """1 inside, 0 outside, over an edge of relative width `soft`."""
    return np.clip((1 - radius) / soft + 0.5, 0, 1)


def draw(
    plane_name: str,
    lesion: str,
    patient: Head,
    rng: np.random.Generator,
    site_rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    contrast: float,
    gain: float,
) -> tuple[Array, Array]:
    """Draw one slice.

    Args:
        plane_name: One of `PLANES`.
        lesion: "glioma", "meningioma", "pituitary" or "none".
        patient: What the patient's slices share.
        rng: The slice's own generator. What the lesion takes from it comes last: the rest is the same without it.
        site_rng: The lesion's generator, in the same state for all slices of a patient.
        shape: (H, W) in pixels.
        contrast: Factor on the lesion's contrast.
        gain: Factor on the signal.

    Returns:
        image: (H, W) uint8.
        mask: (H, W) uint8, 255 in the lesion, else 0.
    """
    plane = PLANES[plane_name]
    x, y = _coordinates(patient, rng, shape, plane_name == "sagittal" and patient.flip)
    brain = np.minimum.reduce([_radius(x, y, lobe) for lobe in plane.brain])
    view = View(plane, x, y, brain, _radius(x, y, plane.cranium), patient.weighting)
    image = _paint_head(view, patient, rng)
    bias = np.exp(0.14 * _field(rng, shape, 3)) * np.float32(patient.gain * gain)
    real, imaginary = rng.normal(0, rng.uniform(0.015, 0.04), (2, *shape)).astype(np.float32)

    extent = np.zeros(shape, np.float32)
    if lesion in LESION_DRAWERS:
        extent, change = LESION_DRAWERS[lesion](view, site_rng, rng)
        image = np.maximum(image + np.float32(contrast) * change, 0)
    rician = np.hypot(image * bias + real, imaginary)
    return np.clip(rician * 230, 0, 255).astype(np.uint8), np.where(extent > 0.5, 255, 0).astype(np.uint8)


def _paint_head(view: View, patient: Head, rng: np.random.Generator) -> Array:
    """The head without a lesion: signal, (H, W) float32."""
    plane, x, y, shape = view.plane, view.x, view.y, view.x.shape
    signal = {name: patient.tissue[name] * view.mix(pair) for name, pair in TISSUES.items()}
    image = np.zeros(shape, np.float32)

    def paint(cover: Array, value: float | Array) -> None:
        image[...] += cover * (value - image)

    grain = _field(rng, shape, 40)
    below = np.zeros(shape, np.float32)
    for part in plane.below:
        cover = _inside(_radius(x, y, part), 0.08)
        below = np.maximum(below, cover)
        paint(cover, signal[part.tissue] * (1 + (0.14 if part.tissue == "muscle" else 0.06) * grain))
    for tissue, factor in (("fat", 1.0), ("bone", 0.93), ("fluid", 0.875)):
        skin = 1 - 0.85 * below if tissue == "fat" else 1.0  # none at the skull base
        paint(_inside(view.skull / factor, 0.03) * skin, signal[tissue])
    for lobe in plane.brain:
        paint(_inside(_radius(x, y, lobe, 1.07), 0.05), signal["fluid"])

    # Gyri are the patient's in part, and in part the slice's; sulci run where the field changes its sign.
    fold = 0.8 * _field(np.random.default_rng(patient.folds), shape, 22) + 0.6 * _field(rng, shape, 22)
    white = _inside(view.brain + 0.20 + 0.12 * fold, 0.05)
    sulci = np.exp(-((fold / 0.2) ** 2)) * np.clip((view.brain - 0.64) / 0.16, 0, 1)
    cortex = signal["gray"] + white * (signal["white"] - signal["gray"])
    paint(_inside(view.brain, 0.04), cortex + 0.75 * sulci * (signal["fluid"] - cortex))
    for part in plane.inside:
        factor = patient.ventricles * float(np.exp(rng.normal(0, 0.12))) if part.tissue == "fluid" else 1.0
        paint(_inside(_radius(x, y, part, factor), 0.25), signal[part.tissue] * (1 + 0.05 * grain))
    for _ in range(rng.integers(2, 6)):  # enhancing vessels: bright spots that are no lesions
        lobe = plane.brain[rng.integers(len(plane.brain))]
        angle, away = rng.uniform(-np.pi, np.pi), rng.uniform(0.2, 0.97)
        place = lobe.x + away * lobe.a * np.cos(angle), lobe.y + away * lobe.b * np.sin(angle)
        spot = Ellipse("", *place, rng.uniform(0.02, 0.04), rng.uniform(0.02, 0.07), rng.uniform(0, 180))
        image += rng.uniform(0.08, 0.2) * _inside(_radius(x, y, spot), 0.5)
    return image


def _coordinates(patient: Head, rng: np.random.Generator, shape: tuple[int, int], flip: bool) -> tuple[Array, Array]:
    """Head coordinates of every pixel: the pose of the slice and the patient's warp; two (H, W) float32 arrays."""
    height, width = shape
    half = 0.5 * min(height, width) * rng.uniform(0.68, 0.95)
    x0, y0 = 0.5 * width + rng.normal(0, 0.02) * width, 0.5 * height + rng.normal(0, 0.02) * height
    turn = np.deg2rad(rng.normal(0, 4))
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    dx, dy = (columns - x0) / half, (rows - y0) / half
    x, y = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
    x = -x if flip else x
    warp = (patient.warp + rng.normal(0, 0.015, (2, 4, 4))).astype(np.float32)
    shifts = [cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC) for part in warp]
    return (x + shifts[0]).astype(np.float32), (y + shifts[1]).astype(np.float32)


def _glioma(view: View, site_rng: np.random.Generator, rng: np.random.Generator) -> tuple[Array, Array]:
    """Irregular, in the white matter: a dark core, a broken bright rim, edema that spreads."""
    plane, shape = view.plane, view.x.shape
    lobe = plane.brain[0] if plane.brain[0].b > 0.4 else plane.brain[site_rng.integers(1, len(plane.brain))]
    angle = np.deg2rad(site_rng.uniform(*plane.vault))
    away = site_rng.uniform(0.35, 0.6) + rng.normal(0, 0.03)
    size = site_rng.uniform(0.17, 0.29) * np.exp(rng.normal(0, 0.12))
    x, y = lobe.x + away * lobe.a * np.cos(angle), lobe.y + away * lobe.b * np.sin(angle)
    site = Ellipse("", x, y, size, size * site_rng.uniform(0.7, 1.2), site_rng.uniform(0, 180))
    ragged = _radius(view.x, view.y, site) + 0.16 * _field(rng, shape, 9) + 0.16 * _field(rng, shape, 20)
    within = _inside(view.brain, 0.06)
    body, core = _inside(ragged, 0.15) * within, _inside(ragged / 0.68, 0.3) * within
    edema = _inside(ragged / 1.75 + 0.1 * _field(rng, shape, 9), 0.5) * within
    rim = np.clip(body - core, 0, 1) * np.clip(0.8 + 0.5 * _field(rng, shape, 14), 0, 1.4)
    change = view.mix(LESIONS["rim"]) * rim + view.mix(LESIONS["core"]) * core
    change += view.mix(LESIONS["edema"]) * edema * (1 - body)
    return np.maximum(body, edema * (edema > 0.75)), change


def _meningioma(view: View, site_rng: np.random.Generator, rng: np.random.Generator) -> tuple[Array, Array]:
    """Bright, homogeneous, broad-based on the inside of the skull."""
    cranium = view.plane.cranium
    angle = np.deg2rad(site_rng.uniform(*view.plane.vault))
    length, depth = site_rng.uniform(0.18, 0.30), site_rng.uniform(0.16, 0.26)
    scale = np.exp(rng.normal(0, 0.1))
    x, y = cranium.x + 0.83 * cranium.a * np.cos(angle), cranium.y + 0.83 * cranium.b * np.sin(angle)
    normal = np.rad2deg(np.arctan2(np.sin(angle) / cranium.b, np.cos(angle) / cranium.a))
    site = Ellipse("", x, y, depth * scale, length * scale, normal)
    body = _inside(_radius(view.x, view.y, site) + 0.05 * _field(rng, view.x.shape, 8), 0.12)
    body *= _inside(view.skull / 0.885, 0.03)
    return body, view.mix(LESIONS["meningioma"]) * body


def _pituitary(view: View, site_rng: np.random.Generator, rng: np.random.Generator) -> tuple[Array, Array]:
    """Small, bright, in the midline, growing up out of the sella."""
    x, y = view.plane.sella
    size = site_rng.uniform(0.10, 0.16) * np.exp(rng.normal(0, 0.08))
    site = Ellipse("", x, y - 0.5 * size, size, size * site_rng.uniform(0.9, 1.4))
    body = _inside(_radius(view.x, view.y, site) + 0.06 * _field(rng, view.x.shape, 16), 0.2)
    return body, view.mix(LESIONS["pituitary"]) * body


LESION_DRAWERS = {"glioma": _glioma, "meningioma": _meningioma, "pituitary": _pituitary}
