"""The section `preparations`: what turns a sample into network inputs."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from rescan import catalogue
from rescan.study.bounds import GrayLevel
from rescan.study.named import Named
from rescan.study.strict import Extended


class Preparation(Extended):
    """What turns a sample into network inputs, gray or RGB; `background` fills what a warp uncovers.

    `reads` is the kind of samples: image files, or volumes (NIfTI files, folders of B-scans or of DICOM slices, files
    of several frames or pages). `nan: black` takes files in which some values are NaN, as outside of a brain: they are
    black, and no percentile counts them.
    `modality` picks one of a sample's files, if the layout has several (the manifest's column path_<modality>).
    `decode: scaled` decodes JPEG files at a half, quarter or eighth of their size if that is still enough for the
    `resize` among the steps; no step before it may count pixels. `dtype` is the type of the stored gray levels in
    [0, 255]: whole numbers (uint8), or steps 257 times finer (uint16).
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"nan"})

    reads: Literal["image", "volume"] = "image"
    modality: str = ""
    steps: Annotated[list[Annotated[dict[str, Any], Named("operator")]], Field(min_length=1)]
    channels: Literal["gray", "rgb"] = "rgb"
    background: GrayLevel = 0
    decode: Literal["full", "scaled"] = "full"
    dtype: Literal["uint8", "uint16"] = "uint8"
    nan: Literal["refuse", "black"] = "refuse"

    @property
    def dimensions(self) -> int:
        """Spatial dimensions of what it makes: 2 or 3."""
        return 3 if self.reads == "volume" and not self._makes("image") else 2

    @property
    def cuts_patches(self) -> bool:
        """Whether it makes several items of one sample."""
        return self._makes("several")

    def _makes(self, what: str) -> bool:
        return any(catalogue.OPERATORS[step["name"]].makes == what for step in self.steps)

    @model_validator(mode="after")
    def _steps_fit(self) -> Preparation:
        dimensions, several = 3 if self.reads == "volume" else 2, False
        if dimensions == 3 and self.channels != "gray":
            raise ValueError("volumes are gray; add channels: gray")
        for number, step in enumerate(self.steps):
            name, where = step["name"], f"steps: {number}: {step['name']}"
            operator = catalogue.OPERATORS[name]
            if operator.makes == "several" and (dimensions == 3 or several):
                raise ValueError(f"{where}: cuts images, once; project the volume first")
            if operator.takes == "images" and dimensions == 3:
                raise ValueError(f"{where}: is for images; project the volume first")
            if operator.takes == "volumes" and dimensions == 2:
                raise ValueError(f"{where}: is for volumes; add reads: volume, or move it before project")
            if name in ("window", "clip_percentiles") and not step["low"] < step["high"]:
                raise ValueError(f"{where}: low, {step['low']:g}, is not below high, {step['high']:g}")
            if several and operator.of_scans:
                raise ValueError(f"{where}: must stand before patches")
            dimensions, several = 2 if operator.makes == "image" else dimensions, several or operator.makes == "several"
        return self
