"""Operators: the steps of a preparation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from rescan.catalogue.record import FAULT, Option, Record, by_name, imported


@dataclass(frozen=True)
class Operator(Record):
    """A step of a preparation: `(image, mask, **options)` gives both back; or `(scan, **options)`, a scan or several.

    Attributes:
        takes: What it is for.
        of_scans: Whether it is called with a scan, which carries its place in the world, mask and layers.
        makes: What comes out: the `same` kind as goes in, an `image` of a volume, or `several` images of one.
        keeps_grid: Whether every pixel stays where it is; scans take care of that themselves.
        place: Else the function `(image, **options)` that says where they come from, `module:attribute`.
        look: What figures of a sample call it after this step, where they show it; of the last step of a kind.
        changes_size: Whether it changes little but the size.
    """

    kind = "operator"
    takes: Literal["images", "volumes", "both"] = "images"
    of_scans: bool = False
    makes: Literal["same", "image", "several"] = "same"
    keeps_grid: bool = False
    place: str = ""
    look: Literal["", "cropped", "enhanced", "clipped", "one slab", "projected"] = ""
    changes_size: bool = False

    @property
    def place_of(self) -> Any:
        """The function that says where a result's pixels come from, of an operator that says it."""
        return imported(self.place)


def _along(millimeters: Sequence[float]) -> str:
    sizes = zip(millimeters, ("depth", "height", "width"))
    return ", ".join(f"{size:g} mm along the {axis}" for size, axis in sizes if size) or "any size"


def _too_small(millimeters: Sequence[float]) -> str:
    tiny = [size for size in millimeters if 0 < size < 1e-3]
    return f"{tiny[0]:g} is below a micrometer; 0 leaves an axis as it is" if tiny else ""


def _millimeters(height_and_width: float) -> Option:
    about = "[depth, height, width]; 0 leaves an axis as it is"
    default = (0.0, height_and_width, height_and_width)
    return Option(default, about, most=10_000, wording=_along, fault=_too_small)


def _slab(default: str) -> Option:
    slabs = {
        "all": "the whole depth",
        "superficial": "the retina's superficial layers",
        "deep": "the retina's deep layers",
    }
    return Option(default, choices=slabs)


def _called(explanation: str) -> str:
    return f" {explanation!r}" if explanation else ""


VOLUME_SIZE = Option((256, 192, 192), "[depth, height, width] in voxels", above=0, most=4096)

OPERATORS = by_name(
    Operator(
        "crop_brain",
        "rescan.preparation.image_operators:crop_brain",
        about="crops to the extreme points of the largest bright region",
        sentence="crop to the brain (the largest outline of gray above {threshold}, margin {margin} pixels)",
        options={"threshold": Option(45, "gray level", most=255), "margin": Option(0, "pixels", most=10_000)},
        look="cropped",
        place="rescan.preparation.image_operators:place_of_brain",
    ),
    Operator(
        "resize",
        "rescan.preparation.image_operators:resize",
        about="resizes, or fits and pads with black",
        sentence="resize to {size[0]}×{size[1]} pixels{keep_aspect}",
        options={
            "size": Option((256, 256), "[height, width] in pixels", above=0, most=16_384),
            "keep_aspect": Option(False, choices={False: "", True: ", aspect kept"}),
        },
        changes_size=True,
        place="rescan.preparation.image_operators:place_of_resized",
    ),
    Operator(
        "crop_circle",
        "rescan.preparation.fundus_operators:crop_circle",
        about="finds the disc of a fundus photograph, crops to it and blackens what lies outside",
        sentence="crop to the disc (a circle fitted to the outline of what exceeds the darkest place by {threshold} "
        "gray levels), black outside of it",
        options={"threshold": Option(7, "gray level", most=255)},
        look="cropped",
        place="rescan.preparation.fundus_operators:place_of_circle",
    ),
    Operator(
        "crop_gray",
        "rescan.preparation.fundus_operators:crop_gray",
        about="crops to the bounding box of what is brighter",
        sentence="crop to the bounding box of gray above {threshold}",
        options={"threshold": Option(7, "gray level", most=255)},
        look="cropped",
        place="rescan.preparation.fundus_operators:place_of_gray",
    ),
    Operator(
        "circle_mask",
        "rescan.preparation.fundus_operators:circle_mask",
        about="fills what lies outside the centered circle",
        sentence="gray {fill} outside of the centered circle, its radius {radius:g} of half the shorter side",
        options={
            "radius": Option(1.0, "share of half the shorter side", most=10),
            "fill": Option(0, "gray level", below=256),
        },
        keeps_grid=True,
    ),
    Operator(
        "enhance",
        "rescan.preparation.fundus_operators:enhance",
        about="gain × (image − its Gaussian blur) + offset; `fast: false` blurs by OpenCV's own call",
        sentence="enhance: {gain:g} × (image − Gaussian blur, sigma {sigma:g} pixels) + {offset:g}{fast}",
        options={
            "sigma": Option(30.0, "pixels", above=0, most=1000),
            "gain": Option(4.0, most=1000),
            "offset": Option(128.0, most=1000),
            "fast": Option(True, choices={False: ", OpenCV's own blur", True: ""}),
        },
        keeps_grid=True,
        look="enhanced",
    ),
    Operator(
        "swap_channels",
        "rescan.preparation.fundus_operators:swap_channels",
        about="swaps red and blue: a published fault",
        sentence=f"swap red and blue ({FAULT})",
        keeps_grid=True,
    ),
    Operator(
        "clahe",
        "rescan.preparation.image_operators:clahe",
        about="contrast-limited adaptive histogram equalization",
        sentence="contrast-limited adaptive histogram equalization (clip limit {clip:g}, {tiles}×{tiles} tiles)",
        options={"clip": Option(2.0, above=0, most=1000), "tiles": Option(8, "along each side", above=0, most=256)},
        keeps_grid=True,
        look="enhanced",
    ),
    Operator(
        "crop_center",
        "rescan.preparation.scan_operators:crop_center",
        about="keeps a centered box; of images too, where their `extent` is known",
        sentence="crop to the center: {millimeters}",
        options={"millimeters": _millimeters(3.0)},
        takes="both",
        of_scans=True,
        look="cropped",
    ),
    Operator(
        "crop_retina",
        "rescan.preparation.scan_operators:crop_retina",
        about="keeps so many rows around the retina, which is found by its `brightness`; or by its `layers`, which new "
        "volumes to predict do not have",
        sentence="crop to {depth} rows around the retina, found by its {by}",
        options={
            "depth": Option(256, "voxels", above=0, most=16_384),
            "by": Option("brightness", choices={"brightness": "brightness", "layers": "layers"}),
        },
        takes="volumes",
        of_scans=True,
        look="cropped",
    ),
    Operator(
        "keep_layers",
        "rescan.preparation.scan_operators:keep_layers",
        about="blackens what lies outside these layers of the retina",
        sentence="0 outside of {slab}",
        options={"slab": _slab("superficial")},
        takes="volumes",
        of_scans=True,
        look="one slab",
    ),
    Operator(
        "resample",
        "rescan.preparation.scan_operators:resample",
        about="resamples to voxels of this size",
        sentence="resample to voxels of {millimeters}",
        options={"millimeters": _millimeters(1.0)},
        takes="volumes",
        of_scans=True,
        changes_size=True,
    ),
    Operator(
        "resize_volume",
        "rescan.preparation.scan_operators:resize_volume",
        about="resamples to a size",
        sentence="resize to {size[0]}×{size[1]}×{size[2]} voxels (depth × height × width)",
        options={"size": VOLUME_SIZE},
        takes="volumes",
        of_scans=True,
        changes_size=True,
    ),
    Operator(
        "pad_volume",
        "rescan.preparation.scan_operators:pad_volume",
        about="cuts and pads around the center",
        sentence="cut or pad with 0, around the center, to {size[0]}×{size[1]}×{size[2]} voxels "
        "(depth × height × width)",
        options={"size": VOLUME_SIZE},
        takes="volumes",
        of_scans=True,
        changes_size=True,
    ),
    Operator(
        "clip_percentiles",
        "rescan.preparation.gray_operators:clip_percentiles",
        about="voxels below a percentile of those that are not 0 become 0, those above the other are capped; then gray "
        "levels",
        sentence="of the voxels that are not 0, those below percentile {low:g} become 0, those above percentile "
        "{high:g} are capped, all scaled to 0–255",
        options={"low": Option(5.0, "percentile", most=100), "high": Option(99.9, "percentile", most=100)},
        takes="both",
        of_scans=True,
        look="clipped",
    ),
    Operator(
        "window",
        "rescan.preparation.gray_operators:window",
        about="gray levels from a fixed window, as of CT",
        sentence="scale the window from {low:g} to {high:g}, in the source's units, to 0–255",
        options={
            "low": Option(-1000.0, "the source's units", least=-1e9, most=1e9),
            "high": Option(400.0, "the source's units", least=-1e9, most=1e9),
        },
        takes="both",
        of_scans=True,
        look="clipped",
    ),
    Operator(
        "file_window",
        "rescan.preparation.gray_operators:file_window",
        about="gray levels as the DICOM file itself asks: by its lookup table (VOI LUT), else its window; done before "
        "the first step that needs gray levels where no step makes them",
        sentence="gray levels by each file's own window{explanation}",
        options={"explanation": Option("", "what the file calls it; by default the first", wording=_called)},
        takes="images",
        of_scans=True,
        look="clipped",
    ),
    Operator(
        "project",
        "rescan.preparation.scan_operators:project",
        about="projects a volume, or a slab of its layers, along the depth: an image",
        sentence="project along the depth: the {how} of {slab}",
        options={"slab": _slab("all"), "how": Option("mean", choices={"mean": "mean", "max": "maximum"})},
        takes="volumes",
        of_scans=True,
        makes="image",
        look="projected",
    ),
    Operator(
        "patches",
        "rescan.preparation.scan_operators:patches",
        about="cuts an image into patches: several items per sample",
        sentence="cut into {grid[0]}×{grid[1]} patches",
        options={"grid": Option((2, 2), "[rows, columns]", above=0, most=100)},
        of_scans=True,
        makes="several",
    ),
)
