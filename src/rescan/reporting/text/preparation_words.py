"""Preparations and augmentations in plain words."""

from __future__ import annotations

from typing import Any

from rescan import catalogue
from rescan.reporting.text.words import spaced
from rescan.study import Preparation

CHANNELS = {"rgb": "three channels", "gray": "one gray channel"}


def sentence(preparation: Preparation) -> str:
    """What turns a sample into an item."""
    steps = ", then ".join(catalogue.say("operator", step) for step in preparation.steps)
    modality = f" of modality {spaced(preparation.modality)}" if preparation.modality else ""
    reads = f"{preparation.reads}s{modality}: " if preparation.reads == "volume" or modality else ""
    bits = preparation.dtype.replace("uint", "")
    parts = [f"{reads}{steps}", f"{CHANNELS[preparation.channels]}, {bits} bits"]
    if preparation.background:
        parts.append(f"the background is gray {preparation.background}")
    if preparation.decode == "scaled":
        parts.append("JPEG files may be decoded at a half, quarter or eighth of their size")
    return "; ".join(parts)


def item(preparation: Preparation) -> str:
    """What a preparation makes of a sample, in a word."""
    if preparation.cuts_patches:
        return "patch"
    return "volume" if preparation.dimensions == 3 else "image"


def augmentation(strengths: dict[str, Any], dimensions: int, where: str = "") -> str:
    """The augmentations of images or volumes, by their dimensions, and where they apply."""
    if not strengths:
        return "none"
    parts = [catalogue.AUGMENTATIONS[name].say_strength(value, dimensions) for name, value in strengths.items()]
    return ", ".join(parts) + (f"; {where}" if where else "")
