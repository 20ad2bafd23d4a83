"""Painting of schematic OCT and OCT angiography volumes from an eye's maps; lesions whose place in depth is all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rescan.phantoms.octa.octa_anatomy import FLOW, FLUID, INNER_NUCLEI, NERVE_FIBERS, PIGMENT, REFLECTIVITY
from rescan.phantoms.octa.octa_eyes import Eye
from rescan.phantoms.octa.octa_lesions import spot

Array = np.ndarray
VOXELS = 4_000_000  # that are painted at once
WHITE = 205
GRAIN, FLOW_GRAIN = (0.16, 0.025), (0.24, 0.04)  # speckle, a share of the signal, and noise beside it
DEPOSIT = 40.0  # gray levels
DEPOSIT_RADII = {False: (0.20, 0.34), True: (0.30, 0.44)}  # millimeters, of healthy and ill eyes: they overlap
CENTER = 0.5  # of a voxel


class Scan(NamedTuple):
    """A finished scan: three (D, H, W) uint8 volumes, and its surfaces."""

    oct: Array
    octa: Array
    mask: Array  # 0 or 255
    layers: Array  # (6, H, W) float32, in voxels of depth, the first voxel's center at 0


def paint(eye: Eye, depth: int, rng: np.random.Generator) -> Scan:
    """Paint an eye, a few B-scans at a time.

    Args:
        eye: The maps.
        depth: Voxels along depth.
        rng: For the noise.
    """
    shape = (depth, *eye.grid.shape)
    oct_volume, octa_volume, masks = (np.zeros(shape, np.uint8) for _ in range(3))
    z = ((np.arange(depth, dtype=np.float32) + CENTER) / depth)[:, None, None]
    step = max(1, VOXELS // (depth * shape[2]))
    for first in range(0, shape[1], step):
        rows = np.s_[:, first : first + step]
        part = eye.rows(first, first + step)
        reflectivity, flow = _reflectivity(part, z, depth), _flow(part, z, depth)
        mask = _balls(part, z, reflectivity, flow)
        for mark in part.marks:
            mask |= mark.columns & (z >= mark.top) & (z < mark.bottom)
        masks[rows] = np.where(mask, 255, 0)
        for volume, signal, (speckle, floor) in ((oct_volume, reflectivity, GRAIN), (octa_volume, flow, FLOW_GRAIN)):
            noise = rng.standard_normal((2, *signal.shape), np.float32)
            noisy = signal * part.gain * (1 + speckle * noise[0]) + floor * np.abs(noise[1])
            volume[rows] = np.clip(WHITE * noisy, 0, 255)
    return Scan(oct_volume, octa_volume, masks, eye.surfaces * depth - CENTER)


def _step(z: Array, edge: Array, soft: float) -> Array:
    """0 above a surface, 1 below it, over an edge of width `soft`."""
    return np.clip((z - edge) / soft + 0.5, 0, 1)


def _slab(z: Array, top: Array, bottom: Array, soft: float) -> Array:
    """1 between two surfaces, 0 elsewhere."""
    return np.maximum(_step(z, top, soft) - _step(z, bottom, soft), 0)


def _reflectivity(eye: Eye, z: Array, depth: int) -> Array:
    """What OCT shows: (D, H, W) float32."""
    ilm, ipl, opl, isos, rpe, bruch = eye.surfaces
    layers = {  # and the surface at the lower edge of each
        "nerve fibers": ilm + NERVE_FIBERS * (ipl - ilm),
        "ganglion cells": ipl,
        "inner nuclei": ipl + INNER_NUCLEI * (opl - ipl),
        "outer plexus": opl,
        "outer nuclei": isos,
        "photoreceptors": rpe - PIGMENT,
        "pigment": rpe,
        "deposit": bruch,
    }
    levels = {name: np.full_like(eye.inner, REFLECTIVITY[name]) for name in (*layers, "choroid")}
    for name in list(layers)[:4]:
        levels[name] *= eye.inner
    levels["photoreceptors"] += eye.fluid * (FLUID - levels["photoreceptors"])
    soft = max(0.008, 0.7 / depth)
    above, edge = np.full_like(eye.inner, REFLECTIVITY["vitreous"]), ilm
    signal = np.repeat(above[None], depth, axis=0)
    for name, level in levels.items():
        signal += (level - above) * _step(z, edge, soft)
        above, edge = level, layers.get(name, bruch)
    below = np.maximum(z - bruch, 0)
    signal *= np.exp(-below / 0.14) * (1 - 0.35 * eye.large * _step(z, ipl, soft))
    return signal + 0.1 * eye.large * _slab(z, ilm, ipl, soft)


def _flow(eye: Eye, z: Array, depth: int) -> Array:
    """What OCT angiography shows: (D, H, W) float32."""
    ilm, ipl, opl, _, rpe, bruch = eye.surfaces
    soft = max(0.012, 1.0 / depth)
    signal = FLOW["still"] * (0.3 + 0.7 * _slab(z, ilm, bruch, soft))
    middle = ilm + (0.5 + 0.3 * eye.wave) * (ipl - ilm)
    signal += FLOW["superficial"] * eye.superficial * _slab(z, middle - 0.022, middle + 0.022, soft)
    middle = opl + 0.02 + 0.02 * eye.wave
    signal += FLOW["deep"] * eye.deep * _slab(z, middle - 0.018, middle + 0.018, soft)
    trunk = _slab(z, ilm + 0.1 * (ipl - ilm), ilm + 0.65 * (ipl - ilm), soft)
    signal += eye.large * trunk * np.maximum(FLOW["large"] - signal, 0)
    signal += FLOW["tail"] * eye.large * _step(z, ipl, soft) * (0.35 + _slab(z, rpe - PIGMENT, bruch, soft))
    signal += eye.tangle * _slab(z, rpe - PIGMENT / 2, bruch, soft)
    # flow is only seen where light comes back: less and less in the choroid
    signal += (
        FLOW["choroid"] * (0.4 + 1.6 * eye.choroid) * _step(z, bruch, soft) * np.exp(-np.maximum(z - bruch, 0) / 0.1)
    )
    return signal


def _balls(eye: Eye, z: Array, reflectivity: Array, flow: Array) -> Array:
    """Paint the eye's spheroids into both signals; their mask, (D, H, W) bool."""
    mask = np.zeros(flow.shape, bool)
    for ball in eye.balls:
        radius = max(ball.radius, 0.6 * float(eye.grid.pixel.max()))
        away = (((eye.x - ball.x) ** 2 + (eye.y - ball.y) ** 2) / radius**2).astype(np.float32)
        rows, columns = np.nonzero(away < 1.5)
        distance = np.sqrt(away[rows, columns] + ((z[:, 0] - ball.z) / max(ball.height, 0.6 / len(z))) ** 2)
        cover = np.clip((1 - distance) / 0.4 + 0.5, 0, 1)
        for signal, level in ((reflectivity, ball.reflectivity), (flow, ball.flow)):
            if level is not None:
                before = signal[:, rows, columns]
                signal[:, rows, columns] = np.maximum(before + ball.strength * cover * (level - before), 0)
        mask[:, rows, columns] |= cover > 0.5
    return mask


def deposit(scan: Scan, eye: Eye, *, ill: bool, depth_only: bool, contrast: float, rng: np.random.Generator) -> Scan:
    """Put bright deposits into a scan.

    Args:
        scan: Without lesions.
        eye: What it shows.
        ill: Whether the eye is ill.
        depth_only: They lie in superficial layers if healthy and in deep ones if ill, with what would lie in the other
            place there: every column holds the same gray levels, so that no projection tells them apart. Else they go
            evenly through all depths of the retina and are mostly larger if ill: a projection shows all there is.
        contrast: Factor on how bright they are.
        rng: The lesion's generator.

    Returns:
        The changed scan; the mask, of ill eyes only, marks where.
    """
    columns = np.zeros(eye.grid.shape, bool)
    radius = rng.uniform(*DEPOSIT_RADII[ill or depth_only])
    for angle in rng.uniform(0, 2 * np.pi) + np.arange(rng.integers(3, 5)) * np.pi / 2:
        away = rng.uniform(0.85, 1.05)
        columns |= spot(eye, away * np.cos(angle), away * np.sin(angle), radius) > 0
    bright = DEPOSIT * contrast
    if depth_only:
        (oct_volume, octa_volume), lesion = _in_depth(scan, columns, ill, bright, rng)
    else:
        (oct_volume, octa_volume), lesion = _evenly(scan, columns, bright)
    return Scan(oct_volume, octa_volume, lesion.astype(np.uint8) * np.uint8(255 * ill), scan.layers)


def _evenly(scan: Scan, columns: Array, bright: float) -> tuple[list[Array], Array]:
    """The two volumes with brighter columns of the retina, and where that is: (D, H, W) bool."""
    z = np.arange(len(scan.octa))[:, None, None]
    inside = columns & (z >= scan.layers[0]) & (z < scan.layers[-1])
    return [
        np.clip(volume + np.float32(bright) * inside, 0, 255).astype(np.uint8) for volume in (scan.oct, scan.octa)
    ], inside


def _in_depth(
    scan: Scan, columns: Array, ill: bool, bright: float, rng: np.random.Generator
) -> tuple[list[Array], Array]:
    """The two volumes with a bright and a dull place above each other, and where these are: (D, H, W) bool.

    Both are of what lay in the two places before, mixed: the tissue doesn't tell which is which.
    """
    depth = len(scan.octa)
    thick = max(2, round(0.085 * depth))
    surfaces = np.rint(scan.layers).astype(int)
    upper, lower = surfaces[0] + 1, surfaces[2] + round(0.03 * depth)
    y, x = np.nonzero(columns & (upper >= 0) & (upper + thick <= lower) & (lower + thick <= depth))
    rows = np.arange(thick)[:, None]
    places = upper[y, x] + rows, lower[y, x] + rows
    lesion = np.zeros(scan.octa.shape, bool)
    volumes = []
    for volume in (scan.oct.copy(), scan.octa.copy()):
        mixed = rng.permuted(np.concatenate([volume[place, y, x] for place in places]), axis=0)
        contents = [mixed[:thick], np.clip(mixed[thick:] + bright, 0, 255)]
        for place, content in zip(places, contents if ill else contents[::-1]):
            volume[place, y, x] = content
            lesion[place, y, x] = True
        volumes.append(volume)
    return volumes, lesion
