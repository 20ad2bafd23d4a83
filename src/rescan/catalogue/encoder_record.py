"""What is known of an encoder: its published weights, what it costs, which of its blocks Grad-CAM can map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Optional

from rescan.catalogue.record import Record

PYTORCH = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class Weights:
    """A published file of ImageNet weights.

    Attributes:
        file: Its name, which ends with the first 8 hexadecimal digits of its SHA-256.
        folder: The address where it lies, or with `package` the folder in it.
        package: The Python package that holds it, as it is installed; "" if it is downloaded.
        renamed: Patterns of names that weights had when the file was made, and what stands for them today.
    """

    file: str
    folder: str = PYTORCH
    package: str = ""
    renamed: tuple[tuple[str, str], ...] = ()

    @property
    def checksum(self) -> str:
        """The beginning of its SHA-256."""
        return self.file.rpartition(".")[0].rpartition("-")[2]

    @property
    def origin(self) -> str:
        """Whose they are: torchvision calls its own, and which of them, V1."""
        if self.package:
            return f"Python package {self.package}"
        return "V1" if self.folder == PYTORCH else self.folder.split("/")[2]


@dataclass(frozen=True)
class Cost:
    """What an encoder costs per image of 224 × 224 pixels, or per volume of 96 × 96 × 96 voxels.

    All but the parameters and the layers grow with the number of pixels or voxels.

    Attributes:
        parameters: In millions.
        multiply_adds: Of a forward pass, in billions.
        kept: Numbers that a training keeps for the backward pass, in millions. They tell the run time on accelerators
            better than the multiply-adds do (Radosavovic et al. 2020, "Designing Network Design Spaces").
        layers: Layers that run one after the other.
        maps: Its last maps.
        cells: Of one of them.
    """

    parameters: float
    multiply_adds: float
    kept: float
    layers: int
    maps: int
    cells: int


@dataclass(frozen=True)
class Encoder(Record):
    """A function that returns a `rescan.models.encoder.Encoder` with random weights.

    Attributes:
        dimensions: 2 for images, 3 for volumes.
        weights: Its published weights, if there are any: of ImageNet, but for some of timm's.
        normalization: What they expect, and what a recipe has that says nothing else.
        batch_norm: Whether it has any.
        from_blocks: Whether it is described by `network.blocks`.
        of_size: Whether it is built for images of one size.
        cost: What it costs; with `from_blocks`, its default.
        layers: The blocks that Grad-CAM can map, see `map_layers`; with `from_blocks`, those of its default.
    """

    kind = "encoder"
    dimensions: int = 2
    weights: Optional[Weights] = None
    normalization: str = "imagenet"
    batch_norm: bool = True
    from_blocks: bool = False
    of_size: bool = False
    cost: Cost = Cost(0, 0, 0, 0, 0, 0)
    layers: Mapping[str, str] = field(default_factory=dict)
