"""What a packed store says of itself: items.csv, and preparation.json. Its arrays: `rescan.preparation.store`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from rescan.files import fingerprint, sha256
from rescan.paths import StoreFolder
from rescan.results.csv_table import Column, Table
from rescan.results.damage import damaged, missing, worded
from rescan.results.json_result import Count, JsonResult, Part

if TYPE_CHECKING:
    import pandas as pd

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


def read_items_if_there(folder: str | Path) -> pd.DataFrame | None:
    """Read a store's `items.csv`; None where there is no store, as beside a copy of results alone.

    Raises:
        RescanError: It is damaged, or not what `preparation.json` is about.
    """
    store = StoreFolder(folder)
    return read_tables(store)[1] if Path(store.preparation).is_file() else None


def read_tables(store: StoreFolder) -> tuple[PackedStore, pd.DataFrame]:
    """Read `preparation.json` and `items.csv`.

    Raises:
        RescanError: One of them is missing or damaged, or they do not belong together.
    """
    about = PackedStore.read(store.preparation)
    items = ITEMS.read(store.items)
    if fault := _fault_of_about(about):
        raise damaged(store.preparation, PackedStore.step, fault)
    if fault := _fault_of_items(about, items):
        raise damaged(store.items, ITEMS.step, fault)
    check_beside(store.items, about)
    return about, items


def _fault_of_about(about: PackedStore) -> str | None:
    """What in preparation.json contradicts itself, if anything does."""
    if about.shape[:1] != [about.items] or len(about.shape) != about.dimensions + 2:
        return f"its shape {about.shape} is not that of {about.items} items of {about.dimensions} dimensions"
    if about.patches < 1 or about.items % about.patches:
        return f"its {about.items} items are not {about.patches} of each sample"
    return None


def _fault_of_items(about: PackedStore, items: pd.DataFrame) -> str | None:
    """What in items.csv is not as preparation.json says, if anything is not."""
    if items["item"].tolist() != list(range(about.items)):
        return f"its items are not the {about.items} that preparation.json is about"
    import numpy as np

    first = items.iloc[:: about.patches]
    for name, expected in (
        ("patch", np.arange(about.items) % about.patches),
        ("sample", np.repeat(first["sample"].to_numpy(), about.patches)),
        ("mask", np.repeat(first["mask"].to_numpy(), about.patches)),
    ):
        if not (right := items[name].to_numpy() == expected).all():
            row = int(right.argmin())
            found = worded(items.loc[row, name])
            return f"line {row + 2}: {name} {found} is not that of {about.patches} items of each sample"
    again = first["sample"].duplicated() | first["sample"].isin([entry.sample for entry in about.left_out])
    if again.any():
        return f"sample {first['sample'][again].iloc[0]!r} has more items than {about.patches}, or is left out"
    if fingerprint(items["digest"].tolist()) != about.checksum:
        return "its digests are not those that preparation.json is about"
    return None


def check_beside(path: str | Path, about: PackedStore) -> None:
    """Compare a file beside images.npy with its checksum, if there is one.

    Raises:
        RescanError: It is missing or damaged.
    """
    expected = about.beside.get(Path(path).name)
    if expected and not Path(path).is_file():
        raise missing(path, PackedStore.step)
    if expected and sha256(path) != expected:
        raise damaged(path, PackedStore.step, "is not as preparation.json says")
