"""Diseases of a schematic macula: each changes an eye's maps and marks what it changed. All show within 1.5 mm."""

from __future__ import annotations

import numpy as np

from rescan.phantoms.octa.octa_anatomy import AVASCULAR, CELLS, FLUID
from rescan.phantoms.octa.octa_eyes import Ball, Eye, Mark
from rescan.phantoms.octa.octa_vessels import draw, mesh, zone

Array = np.ndarray
DEEP_END = 0.06  # how far below OPL the deep capillaries end


def add(eye: Eye, label: str, strength: float, rng: np.random.Generator) -> None:
    """Give an eye a disease.

    Args:
        eye: Is changed.
        label: One of `LABELS`; NORMAL does nothing.
        strength: Factor on all that it changes, 0 to 1.5.
        rng: The lesion's generator.
    """
    if label == "OTHERS":
        for name in rng.choice(list(DISEASES), 2, replace=False).tolist():
            DISEASES[name](eye, 0.8 * strength, rng)
    elif label != "NORMAL":
        DISEASES[label](eye, strength, rng)


def spot(eye: Eye, x: float, y: float, radius: float) -> Array:
    """1 in the center, 0 from the radius on, like a dome: (H, W) float32."""
    return np.maximum(0, 1 - ((eye.x - x) ** 2 + (eye.y - y) ** 2) / radius**2).astype(np.float32)


def _place(nearest: float, farthest: float, rng: np.random.Generator) -> tuple[float, float]:
    away, angle = rng.uniform(nearest, farthest), rng.uniform(0, 2 * np.pi)
    return float(away * np.cos(angle)), float(away * np.sin(angle))


def _drop_out(eye: Eye, cover: Array, strength: float) -> None:
    """No flow in the capillaries of the retina, whose inner layers are darker."""
    lost = np.clip(strength * cover, 0, 1)
    eye.superficial = eye.superficial * (1 - lost)
    eye.deep = eye.deep * (1 - lost)
    eye.large = eye.large * (1 - 0.5 * lost)
    eye.inner = eye.inner * (1 - 0.3 * lost)
    eye.marks.append(Mark(cover > 0.4, eye.surface("ILM"), eye.surface("OPL") + DEEP_END))


def _retinopathy(eye: Eye, strength: float, rng: np.random.Generator) -> None:
    """Patches without capillaries, an enlarged avascular zone, microaneurysms, hard exudates."""
    cover = zone(eye.grid, AVASCULAR * rng.uniform(1.5, 2.0), rng)
    near = rng.integers(5, 9)
    for number in range(near + (8 if eye.grid.extent > 4 else 0)):
        place = _place(0.6, 1.2, rng) if number < near else _place(1.4, 2.8, rng)
        uneven = spot(eye, *place, rng.uniform(0.25, 0.5))
        cover = np.maximum(cover, np.clip(4 * uneven, 0, 1))
    _drop_out(eye, cover, strength)
    for _ in range(rng.integers(8, 16)):
        x, y = _place(0.4, 1.3, rng)
        z = eye.at("IPL", x, y) + rng.uniform(0, 0.07)
        eye.balls.append(Ball(x, y, z, rng.uniform(0.06, 0.1), 0.02, strength, reflectivity=0.65, flow=0.7))
    for _ in range(rng.integers(3, 9)):
        x, y = _place(0.3, 1.3, rng)
        z = eye.at("OPL", x, y) - 0.01
        eye.balls.append(Ball(x, y, z, rng.uniform(0.08, 0.16), 0.022, strength, reflectivity=0.9))


def _lift(eye: Eye, height: Array, names: dict[str, float]) -> None:
    for name, share in names.items():
        eye.surface(name)[...] -= share * height


def _degeneration(eye: Eye, strength: float, rng: np.random.Generator) -> None:
    """Drusen: bumps of the pigment epithelium, no flow below."""
    cover = np.zeros_like(eye.large)
    height = np.zeros_like(eye.large)
    for _ in range(rng.integers(8, 16)):
        dome = spot(eye, *_place(0.0, 1.25, rng), rng.uniform(0.16, 0.36))
        cover = np.maximum(cover, dome)
        height = np.maximum(height, rng.uniform(0.035, 0.065) * np.sqrt(dome))
    _lift(eye, strength * height, {"RPE": 1.0, "ISOS": 0.9, "OPL": 0.3, "IPL": 0.1, "ILM": 0.1})
    eye.choroid = eye.choroid * (1 - np.clip(strength * np.sqrt(cover), 0, 1))
    eye.marks.append(Mark(cover > 0.1, eye.surface("ISOS"), eye.surface("BM") + 0.08))


def _new_vessels(eye: Eye, strength: float, rng: np.random.Generator) -> None:
    """A tangle of vessels that lifts the pigment epithelium, a little fluid over it."""
    x, y = _place(0.0, 0.5, rng)
    radius = rng.uniform(0.55, 0.95)
    dome = np.sqrt(spot(eye, x, y, radius))
    wide = spot(eye, x, y, 1.3 * radius)
    lifted = rng.uniform(0.06, 0.09) * strength * dome
    fluid = rng.uniform(0.015, 0.035) * strength * wide
    _lift(eye, lifted, {"RPE": 1.0})
    _lift(eye, 0.8 * lifted + fluid, {"ISOS": 1.0, "OPL": 0.6, "IPL": 0.5, "ILM": 0.5})
    eye.fluid = np.maximum(eye.fluid, np.clip(fluid / 0.02, 0, 1))
    net = 0.3 + 0.9 * mesh(eye.grid, 2 * CELLS["superficial"], rng)
    eye.tangle = np.maximum(eye.tangle, np.clip(strength, 0, 1.2) * np.clip(2 * dome, 0, 1) * net)
    eye.marks.append(Mark(wide > 0.05, eye.surface("ISOS"), eye.surface("BM")))


def _serous(eye: Eye, strength: float, rng: np.random.Generator) -> None:
    """A dome of fluid that lifts the retina off the pigment epithelium, over a patch of weak flow."""
    x, y = _place(0.0, 0.45, rng)
    radius = rng.uniform(0.75, 1.25)
    dome = spot(eye, x, y, radius)
    height = rng.uniform(0.09, 0.15) * strength * dome**1.2
    _lift(eye, height, {"ISOS": 1.0, "OPL": 1.0, "IPL": 1.0, "ILM": 1.0})
    eye.fluid = np.maximum(eye.fluid, np.clip(height / 0.02, 0, 1))
    eye.choroid = eye.choroid * (1 - np.clip(strength * dome, 0, 1))
    eye.marks.append(Mark(dome > 0.05, eye.surface("ILM"), eye.surface("BM") + 0.08))  # the lifted retina too


def _occlusion(eye: Eye, strength: float, rng: np.random.Generator) -> None:
    """A sector above or below with few capillaries, wide and tortuous vessels, swelling, and cystoid pockets."""
    half = rng.choice((-1, 1))
    middle, width = half * np.deg2rad(rng.uniform(85, 135)), np.deg2rad(rng.uniform(45, 65))

    def sector(x: Array, y: Array) -> Array:
        off = np.abs((np.arctan2(y, x) - middle + np.pi) % (2 * np.pi) - np.pi)
        return np.clip((width - off) / 0.25 + 0.5, 0, 1) * np.clip((np.hypot(x, y) - 0.25) / 0.15, 0, 1)

    cover = sector(eye.x, eye.y).astype(np.float32)
    vascular = (eye.superficial > 0).astype(np.float32)
    course = eye.vessels.course
    sick = strength * sector(course[..., 0], course[..., 1])
    dilated = draw(eye.grid, eye.vessels, winding=1 + 2.0 * sick, widening=1 + 1.0 * sick) * vascular
    _drop_out(eye, cover, 0.8 * strength)
    share = np.clip(strength * cover, 0, 1)
    eye.large = eye.large + share * (dilated - eye.large)
    _lift(eye, 0.035 * strength * cover, {"ILM": 1.0, "IPL": 0.9, "OPL": 0.5})
    for _ in range(rng.integers(9, 16)):
        away, angle = rng.uniform(0.1, 1.1), middle + rng.uniform(-0.8, 0.8) * width
        x, y = float(away * np.cos(angle)), float(away * np.sin(angle))
        z = eye.at("OPL", x, y) + rng.uniform(-0.04, 0.04)
        ball = Ball(x, y, z, rng.uniform(0.14, 0.3), rng.uniform(0.026, 0.045), strength, FLUID, flow=0.03)
        eye.balls.append(ball)


DISEASES = {
    "DR": _retinopathy,
    "AMD": _degeneration,
    "CNV": _new_vessels,
    "CSC": _serous,
    "RVO": _occlusion,
}
