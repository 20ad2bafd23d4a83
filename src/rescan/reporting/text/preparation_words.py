"""Preparations and augmentations in plain words."""

from __future__ import annotations

from typing import Any

from rescan.reporting.text.words import spaced
from rescan.study import Preparation

FAULT = "a fault repeated on purpose"
OPERATORS = {
    "crop_brain": "crop to the brain (the largest outline of gray above {threshold}, margin {margin} pixels)",
    "resize": "resize to {size[0]}×{size[1]} pixels",
    "crop_circle": "crop to the disc (a circle fitted to the outline of what exceeds the darkest place by {threshold} "
    "gray levels), black outside of it",
    "crop_gray": "crop to the bounding box of gray above {threshold}",
    "circle_mask": "gray {fill} outside of the centered circle, its radius {radius:g} of half the shorter side",
    "enhance": "enhance: {gain:g} × (image − Gaussian blur, sigma {sigma:g} pixels) + {offset:g}",
    "swap_channels": f"swap red and blue ({FAULT})",
    "clahe": "contrast-limited adaptive histogram equalization (clip limit {clip:g}, {tiles}×{tiles} tiles)",
    "crop_center": "crop to the center: {along}",
    "crop_retina": "crop to {depth} rows around the retina, found by its {by}",
    "keep_layers": "0 outside of {slab_said}",
    "resample": "resample to voxels of {along}",
    "resize_volume": "resize to {cube} voxels (depth × height × width)",
    "pad_volume": "cut or pad with 0, around the center, to {cube} voxels (depth × height × width)",
    "clip_percentiles": "of the voxels that are not 0, those below percentile {low:g} become 0, those above percentile "
    "{high:g} are capped, all scaled to 0–255",
    "window": "scale the window from {low:g} to {high:g}, in the source's units, to 0–255",
    "project": "project along the depth: the {how} of {slab_said}",
    "patches": "cut into {grid[0]}×{grid[1]} patches",
}
HOW = {"mean": "mean", "max": "maximum"}
SLABS = {
    "all": "the whole depth",
    "superficial": "the retina's superficial layers",
    "deep": "the retina's deep layers",
}
AUGMENTATIONS = {
    "rotation": "rotation by up to ±{0}°",
    "shift": "shift by up to ±{0} of the side",
    "shear": "shear by up to ±{0}°",
    "zoom": "zoom of each axis by {0[0]}–{0[1]} (a larger value shows more, smaller)",
    "tilt": "tilt about the two other axes by up to ±{0}°",
    "scale": "scaling of both axes alike by {0[0]}–{0[1]} (a larger value shows more, smaller)",
    "crop_and_pad": "each side cropped or padded by up to {0} of the image's",
    "optical_distortion": "optical distortion (barrel or pincushion), coefficient up to ±{0}",
    "grid_distortion": "grid distortion (the inner lines of a 5×5 grid moved by up to ±{0} of a cell)",
    "piecewise_affine": "piecewise affine warp (4×4 points moved, standard deviation {0} of the side)",
    "flip_horizontal": "horizontal flip with probability {0}",
    "flip_vertical": "vertical flip with probability {0}",
    "flip_depth": "flip along the depth with probability {0}",
    "brightness": "brightness × {0[0]}–{0[1]}",
    "contrast": "contrast × {0[0]}–{0[1]}",
    "gamma": "gamma {0[0]}–{0[1]} (above 1 darkens)",
    "rgb_shift": "RGB shift (each channel by up to ±{0} on the [0, 1] scale)",
    "blur": "Gaussian blur, standard deviation up to {0} pixels",
    "sharpen": "sharpening by a share of up to {0}",
    "emboss": "embossing by a share of up to {0}",
    "noise": "Gaussian noise, standard deviation {0} on the [0, 1] scale",
    "cutout": "cutout of a box of up to {0} of the width and height",
}
OF_VOLUMES = {  # where a volume's have other words
    "rotation": "rotation about the depth axis by up to ±{0}°",
    "scale": "scaling of all axes alike by {0[0]}–{0[1]} (a larger value shows more, smaller)",
    "flip_horizontal": "flip along the width with probability {0}",
    "flip_vertical": "flip along the height with probability {0}",
}


def preparation(described: Preparation) -> str:
    """Say what turns a sample into an item."""
    steps, bits = ", then ".join(_step(step) for step in described.steps), described.dtype.replace("uint", "")
    modality = f" of modality {spaced(described.modality)}" * bool(described.modality)
    said = [f"{described.reads}s{modality}: {steps}" if described.reads == "volume" or modality else steps]
    said.append({"rgb": "three channels", "gray": "one gray channel"}[described.channels] + f", {bits} bits")
    if described.background:
        said.append(f"the background is gray {described.background}")
    if described.decode == "scaled":
        said.append("JPEG files may be decoded at a half, quarter or eighth of their size")
    return "; ".join(said)


def item(prepared: Preparation) -> str:
    """What a preparation makes of a sample, in a word."""
    if any(step["name"] == "patches" for step in prepared.steps):
        return "patch"
    return "volume" if prepared.dimensions == 3 else "image"


def _step(step: dict[str, Any]) -> str:
    if step["name"] not in OPERATORS:
        return generic(step)
    sizes = zip(step.get("millimeters", ()), ("depth", "height", "width"))
    more = {
        "along": ", ".join(f"{size:g} mm along the {axis}" for size, axis in sizes if size) or "any size",
        "cube": "×".join(map(str, step.get("size", ()))),
        "slab_said": SLABS.get(step.get("slab", ""), ""),
    }
    step = {**step, **more, "how": HOW.get(step.get("how", ""), "")}
    kept = ", aspect kept" if step.get("keep_aspect") else ""
    blur = ", OpenCV's own blur" if step.get("fast") is False else ""
    return OPERATORS[step["name"]].format(**step) + kept + blur


def generic(named: dict[str, Any], title: str | None = None, skip: tuple[str, ...] = ()) -> str:
    """A name with its options, those that are zero or off left out."""
    options = []
    for key, value in named.items():
        if key not in ("name", *skip) and value:
            said = "" if value is True else f" {value:g}" if isinstance(value, float) else f" {value}"
            options.append(spaced(key) + said)
    return spaced(title or named["name"]) + (f" ({', '.join(options)})" if options else "")


def augmentation(described: dict[str, Any], dimensions: int, where: str = "") -> str:
    """Say the augmentations of images or volumes, by their dimensions, and where they apply."""
    if not described:
        return "none"
    known = {**AUGMENTATIONS, **(OF_VOLUMES if dimensions == 3 else {})}
    said = [
        known[name].format(value) if name in known else f"{spaced(name)} {value}" for name, value in described.items()
    ]
    return ", ".join(said) + (f"; {where}" if where else "")
