"""What `gradcam` writes of an arm's maps: summary.json, chosen.csv, scores.csv and browser.json."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from rescan import catalogue
from rescan.results.csv_table import Column, Table
from rescan.results.json_result import Count, JsonResult, Part
from rescan.results.map_checks_file import HITS, OVERLAPS, Located, MapChecks, Mean

# How much of a map lies inside the lesion, and the references to read it against (`rescan.explanation.faithfulness`).
SHARES = ("energy_inside", "area_share", "gaussian", "randomized")

FEWEST_CELLS = 4  # along each spatial dimension: what a map of fewer points to is a half or a third of the image

# One row per scored item.
MAP_SCORES = Table(
    "gradcam",
    (
        Column("sample"),
        Column("group", empty=True),
        Column("patient", empty=True),
        Column("target", "integer", low=0),
        Column("predicted", "integer", low=0),
        *(Column(name, "number", empty=True) for name in SHARES),  # empty: the map is zero everywhere
        *(Column(name, "number") for name in (*HITS, *OVERLAPS)),
    ),
)

# One row per item that is shown under its maps: the fields of `ChosenItem`.
CHOSEN = Table(
    "gradcam",
    (
        Column("picture"),
        Column("sample"),
        Column("true"),
        Column("predicted"),
        Column("other", empty=True),
        Column("probability", "number", empty=True),
        Column("raw_maximum", "number", optional=True, low=0),
        Column("depth", "integer", optional=True, low=0),
        Column("row", "integer", optional=True, low=0),
        Column("map", optional=True),
        Column("map_*", empty=True, optional=True),
    ),
    key=("picture",),
)


def is_too_coarse(cells: Sequence[int]) -> bool:
    """Whether maps of so many cells along each spatial dimension are too coarse to read."""
    return min(cells) < FEWEST_CELLS


class ChosenItem(Part):
    """An item that is shown under its maps. The fields from `raw_maximum` on are those of a volume.

    Attributes:
        picture: Its picture, relative to the folder of the maps.
        sample: Its sample.
        true: Its class.
        predicted: The class that it is read as.
        other: The class of the second map; "" of a head of grades.
        probability: Of the predicted class, or of the label; None where the reading gives none.
        raw_maximum: The value of the raw map that is 1 in the scaled one.
        depth: Where along the depth the map is highest.
        row: Where along the rows it is.
        map: The map on the source's grid, a NIfTI file.
        map_superficial: The same, zero outside of the superficial slab; "" where the layers are unknown.
        map_deep: The same, zero outside of the deep slab.
    """

    picture: str
    sample: str
    true: str
    predicted: str
    other: str
    probability: float | None
    raw_maximum: float | None = None
    depth: Count | None = None
    row: Count | None = None
    map: str | None = None
    map_superficial: str | None = None
    map_deep: str | None = None

    @property
    def right(self) -> bool:
        """Whether the prediction is right."""
        return self.true == self.predicted


class ExplainedRun(Part):
    """The run whose network is explained."""

    arm: str
    fold: Count
    seed: Count


class MapSummary(JsonResult):
    """What an arm's maps show, and their mean scores.

    Attributes:
        run: Whose network they are of.
        head: The head whose output they explain.
        method: By which method of catalogue.CAM_METHODS they were made.
        layer: The block of the encoder whose maps they weigh.
        kind: What they lie over.
        shown: What the maps in the pictures are evidence for, in words.
        scored: Which map is scored, in words.
        cells: How many cells a map has along each spatial dimension before it is upsampled.
        n: Number of scored items whose map points somewhere.
        empty: Number of those whose map is zero everywhere.
        energies: The mean of each of SHARES over the n items; none if n is 0.
        located: Whether the maps find the lesions, by other measures; of no item if no lesion is known.
        checks: Whether the maps say what the network goes by.
        rule: How the items in the pictures were chosen, in words.
        chosen: These items.
    """

    step: ClassVar[str] = "gradcam"

    run: ExplainedRun
    head: str
    method: Annotated[str, AfterValidator(lambda name: catalogue.check("method", name))]
    layer: str
    kind: Literal["images", "volumes"]
    shown: str
    scored: str
    cells: list[int]
    n: Count
    empty: Count
    energies: dict[str, Mean]
    located: Located
    checks: MapChecks
    rule: str
    chosen: list[ChosenItem]


class BrowsedView(Part):
    """A volume along one of its axes, as sheets of slices.

    Attributes:
        name: Of the slices.
        of: How many slices the volume has.
        numbers: Which of them are shown, from 1.
        start: The place among these of the one nearest to the middle of the lesion, or to the map's maximum.
        width: Of a slice, in square pixels.
        height: Of a slice.
        cell: Width and height of a slice's place in the sheets.
        columns: Number of such places side by side.
        slices: The sheet of the slices: a gray JPEG file in base64.
        maps: The sheet of the map's slices, likewise.
    """

    name: str
    of: int
    numbers: list[int]
    start: Count
    width: int
    height: int
    cell: list[int]
    columns: int
    slices: str
    maps: str


class BrowsedVolume(Part):
    """A volume under its map that the page leafs through.

    Attributes:
        title: Of the volume.
        target: What the map is evidence for.
        spacing: Millimeters of a prepared voxel along depth, height and width.
        colors: Of the map's values 0 to 255: R, G, B bytes in base64.
        views: Along the depth and along the rows.
    """

    title: str
    target: str
    spacing: list[float]
    colors: str
    views: list[BrowsedView]


class MapBrowser(JsonResult):
    """The volumes that the page leafs through."""

    step: ClassVar[str] = "gradcam"

    volumes: list[BrowsedVolume]
