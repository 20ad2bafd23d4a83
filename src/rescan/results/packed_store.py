"""What a packed store says of itself: items.csv, and preparation.json. Its arrays: `rescan.preparation.store`."""

from __future__ import annotations

from typing import ClassVar, Literal

from rescan.results.csv_table import Column, Table
from rescan.results.json_result import Count, JsonResult, Part

ITEMS = Table(
    "preprocess",
    (
        Column("item", "integer", low=0),  # the row of the arrays
        Column("sample"),
        Column("patch", "integer", low=0),  # number within the sample
        Column("mask", "integer", low=0, high=1),  # 1 if the sample has one
        Column("digest"),  # of the item
        Column("low", "number", empty=True),  # what gray levels 0 and 255 are in the source's units, if windowed
        Column("high", "number", empty=True),
    ),
    key=("item",),
)


class LeftOut(Part):
    """A sample without an item, and why it has none."""

    sample: str
    problem: str


class PackedStore(JsonResult):
    """A preparation's packed store. Written last: a store without it is not whole.

    Attributes:
        items: N.
        shape: Of `images.npy`: (N, H, W, C) or (N, D, H, W, 1).
        dtype: Of `images.npy`.
        dimensions: Spatial dimensions of an item.
        patches: Items per sample.
        checksum: A fingerprint of all items' digests.
        background: The gray level that fills what a warp uncovers.
        left_out: The samples that have no item.
        empty_masks: The samples whose lesion mask is empty.
        beside: The other files of the store, and their SHA-256; none of a store of an older version.
        seconds: How long the preparation took.
    """

    step: ClassVar[str] = "preprocess"

    items: Count
    shape: list[Count]
    dtype: Literal["uint8", "uint16"]
    dimensions: Literal[2, 3]
    patches: Count
    checksum: str
    background: Count
    left_out: list[LeftOut]
    empty_masks: list[str]
    beside: dict[str, str] = {}
    seconds: float
