"""manifest.csv: one row per sample; and dropped.json: what the manifest leaves out."""

from __future__ import annotations

from typing import ClassVar

from rescan.catalogue import KNOWN_COLUMNS
from rescan.results.csv_table import Column, Table
from rescan.results.json_result import Count, JsonResult
from rescan.results.parts import EXTRA, UNLABELED

BURNED_IN = "burned_in"  # column: "yes" where a file says that text is part of its pixels
OTHER_PATH = "path_"  # starts the name of a column of further files of a sample: path_<modality>

# One row per sample, "" where unknown. Paths are relative to the source's root, with slashes; those of a volume may be
# folders, of B-scans or DICOM slices.
MANIFEST = Table(
    "index",
    (
        Column("sample"),
        Column("path"),
        Column("label", empty=True),  # a class; "" only in part "unlabeled"
        Column("patient", empty=True),
        Column("eye", empty=True),
        Column("study", empty=True),
        Column("published_part", empty=True, choices=("train", "test", UNLABELED, EXTRA)),
        Column("mask", empty=True),  # path of a lesion mask
        Column("origin", empty=True),  # the extra source that it is from
        *(Column(name, empty=True, optional=True) for name in KNOWN_COLUMNS),  # as the data set has them, ages too
        Column("extent", empty=True, optional=True),  # millimeters along depth, height and width, such as "2 3 3"
        Column(BURNED_IN, empty=True, optional=True, choices=("yes",)),
        Column("layers", empty=True, optional=True),  # path of the surfaces of the retina's layers
        Column(f"{OTHER_PATH}*", empty=True, optional=True),
    ),
    key=("sample",),
)


class DroppedSamples(JsonResult):
    """What of the study's own data is not in the manifest.

    Attributes:
        labels: How many samples each label has that `data.labels` drops.
        unlisted: Files among the samples that the data set's own tables do not list.
    """

    step: ClassVar[str] = "index"

    labels: dict[str, Count]
    unlisted: list[str]
