"""Preparations and augmentations in plain words."""

from __future__ import annotations

from typing import Any

from rescan import catalogue
from rescan.reporting.text.words import spaced
from rescan.study import Preparation


def preparation(described: Preparation) -> str:
    """Say what turns a sample into an item."""
    steps, bits = (
        ", then ".join(catalogue.say("operator", step) for step in described.steps),
        described.dtype.replace("uint", ""),
    )
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
    if prepared.cuts_patches:
        return "patch"
    return "volume" if prepared.dimensions == 3 else "image"


def augmentation(described: dict[str, Any], dimensions: int, where: str = "") -> str:
    """Say the augmentations of images or volumes, by their dimensions, and where they apply."""
    if not described:
        return "none"
    said = [catalogue.AUGMENTATIONS[name].say_strength(value, dimensions) for name, value in described.items()]
    return ", ".join(said) + (f"; {where}" if where else "")
