"""timm's networks of images (`timm/<name>`): names, published weights and costs, known without timm and without torch.

They stand in a table beside this file, which `python -m tests.timm_table` writes from the installed timm.
"""

from __future__ import annotations

import csv
import difflib
import functools
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Optional

from rescan.catalogue.encoder_record import Cost, Encoder
from rescan.catalogue.record import imported

TABLE = Path(__file__).with_name("timm_encoders.csv")
PREFIX = "timm/"
PATTERN = r"^timm/([a-z0-9_]+)(\.[A-Za-z0-9_]+)?(@[0-9a-f]{40})?$"  # architecture, weights, commit of their repository
COUNTED = 224  # pixels along an edge that costs in the catalogue are of


@dataclass(frozen=True)
class HubWeights:
    """A file of weights in a repository of the Hugging Face hub.

    Attributes:
        repository: Owner and name.
        file: Its name in it.
        revision: The commit that is meant; None: what is there at the first download.
        sha256: In hexadecimal, where it is known.
        renamed: As for `Weights`.
        package: As for `Weights`: none holds it.
    """

    repository: str
    file: str = "model.safetensors"
    revision: Optional[str] = None
    sha256: Optional[str] = None
    renamed: tuple[tuple[str, str], ...] = ()
    package: str = ""


@dataclass(frozen=True)
class TimmEncoder(Encoder):
    """A network of timm, built for images of one size."""

    weights: Optional[HubWeights] = None  # type: ignore[assignment]
    size: int = 0

    @property
    def implementation(self) -> Any:
        """What makes the encoder of a size (H, W)."""
        return functools.partial(imported(self.where), self.name)


@functools.cache
def rows() -> dict[str, dict[str, str]]:
    """The table, by architecture."""
    with TABLE.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@functools.cache
def record(name: str) -> Optional[TimmEncoder]:
    """The record of a name, such as `timm/convnext_tiny` or `timm/convnext_tiny.fb_in1k`; None if there is none."""
    parts = re.fullmatch(PATTERN, name)
    row = rows().get(parts[1]) if parts else None
    if parts is None or row is None or row["maps"] == "0":
        return None
    published = _published(row)
    tag = (parts[2] or "")[1:] or next(iter(published), "")
    if parts[2] and tag not in published:
        return None
    repository, normalization = published.get(tag, ("", "imagenet"))
    revision = parts[3][1:] if parts[3] else None
    return TimmEncoder(
        name,
        "rescan.models.timm_networks:timm_encoder",
        about="timm's",
        weights=HubWeights(repository, revision=revision) if repository else None,
        normalization=normalization,
        of_size=True,
        cost=_cost(row),
        layers={"features": ""},
        size=int(row["size"]),
    )


def _published(row: dict[str, str]) -> dict[str, tuple[str, str]]:
    """An architecture's weights by their tags, timm's default first: repository, and the normalization they expect.

    In the table each is `tag`, `tag=normalization` if that is not ImageNet's, with `:repository` if that is not timm's.
    """
    published = {}
    for entry in row["weights"].split():
        rest, _, repository = entry.partition(":")
        tag, _, normalization = rest.partition("=")
        published[tag] = (repository or f"{PREFIX}{row['name']}.{tag}", normalization or "imagenet")
    return published


def _cost(row: dict[str, str]) -> Cost:
    """The cost that the table has for images of the architecture's own size, for the size that all records are of."""
    if not row["maps"]:
        return Cost(0, 0, 0, 0, 0, 0)
    scale = (COUNTED / int(row["size"])) ** 2
    return Cost(
        float(row["parameters"]),
        float(row["multiply_adds"]) * scale,
        float(row["kept"]) * scale,
        int(row["layers"]),
        int(row["maps"]),
        max(1, round(int(row["cells"]) * scale)),
    )


def published(name: str) -> Optional[HubWeights]:
    """The weights of a name; None if there are none, or there is no such name."""
    found = record(name)
    return found.weights if found else None


def architecture(name: str) -> str:
    """What timm calls a network, without its weights."""
    return re.sub(PATTERN, r"\1", name)


def fault(name: str) -> str:
    """What is wrong with a name that has no record, with the nearest right one."""
    parts = re.fullmatch(PATTERN, name)
    row = rows().get(parts[1]) if parts else None
    if parts and row and row["maps"] == "0":
        return f"encoder {name!r} has no feature map, which pooling and Grad-CAM need; take another network of timm"
    if parts and row:
        tags = _published(row)
        have = f"it has {', '.join(tags)}" if tags else "it has none"
        near = difflib.get_close_matches(parts[2][1:], tags, n=1)
        return f"timm has no weights {parts[2][1:]!r} of {parts[1]}; " + (
            f"did you mean {near[0]!r}?" if near else have
        )
    wanted, _, tag = name.removeprefix(PREFIX).partition("@")[0].partition(".")
    close = difflib.get_close_matches(wanted, rows(), n=1, cutoff=0.6)
    if not close:
        return f"no encoder {name!r}: timm has no such network; its names are at https://huggingface.co/timm"
    better = f"{PREFIX}{close[0]}" + (f".{tag}" if tag in _published(rows()[close[0]]) else "")
    return f"no encoder {name!r}; did you mean {better!r}?"
