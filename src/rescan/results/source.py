"""source.json: where the data came from, and what they are; and files.csv: each file of them."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from rescan.results.csv_table import Column, Table
from rescan.results.json_result import Count, JsonResult, Part

Kind = Literal["phantom", "path", "url", "kaggle"]  # how data came


# One row per file that the samples and tables of a source consist of, as `download` found it.
FILES = Table(
    "download",
    (
        Column("origin", empty=True),  # the extra source that it is of
        Column("path"),  # from the source's root; absolute, if it lies elsewhere
        Column("bytes", "integer", low=0),
        Column("sha256"),
    ),
    key=("origin", "path"),
)


class SourceData(Part):
    """One source: the study's own, or an extra one.

    Attributes:
        kind: How they came.
        where: What they came from: a phantom's name, a path, an address or a Kaggle name (`from` in the file).
        root: The folder with the native layout.
        classes: Part → class → samples; the part is "all" if none are published.
        files: How many files the layout reads, and lie in the folders that it reads.
        bytes: Their size.
        checksum: BLAKE2b of the sorted lines "path size sha256", in hexadecimal.
    """

    model_config = ConfigDict(populate_by_name=True)

    kind: Kind
    where: str = Field(alias="from")
    root: str
    classes: dict[str, dict[str, Count]]
    files: Count
    bytes: Count
    checksum: str


class SourceReport(JsonResult, SourceData):
    """What `download` brought.

    Attributes:
        differs: How the counts of classes differ from `data.expected`, in sentences.
        unlabeled: How many samples have no label.
        extra: The extra sources by name.
    """

    step: ClassVar[str] = "download"

    differs: list[str]
    unlabeled: Count
    extra: dict[str, SourceData]
