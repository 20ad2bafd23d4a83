"""Tables of predictions: `predictions.csv` and `vectors.npy` of a run, `submission.csv` of an arm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rescan.catalogue import HEADS
from rescan.results.arrays import read_array
from rescan.results.csv_table import Column, Table
from rescan.results.damage import damaged
from rescan.results.parts import EXTERNAL, PARTS, UNLABELED

if TYPE_CHECKING:
    import numpy as np

# One row per item. Which heads there are is checked against the study (`rescan.evaluation.predictions`), as is that
# their outputs are finite: "the training diverged" tells more than "is empty".
PREDICTIONS = Table(
    "infer",
    (
        Column("part", choices=(*PARTS, UNLABELED, EXTERNAL)),
        Column("item", "integer"),
        Column("sample"),
        Column("group", empty=True),
        Column("patient", empty=True),
        Column("eye", empty=True),
        Column("study", empty=True),
        Column("fold", "integer"),
        Column("seed", "integer"),
        Column("target", "integer", low=-1),  # −1: unlabeled
        *(
            Column(name if head.one_output else f"{name}_*", "number", empty=True, optional=True, infinite=True)
            for name, head in HEADS.items()
        ),
    ),
    key=("part", "sample", "item"),
)

KEYS = [column.name for column in PREDICTIONS.columns if not column.optional]  # all but the heads' outputs

# The class of each unlabeled image, in the columns of APTOS 2019's competition.
SUBMISSION = Table("evaluate", (Column("id_code"), Column("diagnosis", "integer", low=0)), key=("id_code",))


MOST_VECTORS = 5000  # rows of vectors.npy: for a look at what a network has learned


def read_vectors(path: str | Path, least: int = 0) -> np.ndarray:
    """Memory-map what a run's heads are fed for the first validation and test items: (n, D) float16.

    Args:
        path: `vectors.npy`.
        least: The least n that it must have.

    Raises:
        RescanError: It is missing or damaged.
    """
    vectors = read_array(path, PREDICTIONS.step, dtypes=("float16",), dimensions=2)
    if len(vectors) < least:
        raise damaged(path, PREDICTIONS.step, f"has {len(vectors)} rows, {least} are expected")
    return vectors
