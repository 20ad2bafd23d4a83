"""splits.csv: the part of each sample, per fold."""

from __future__ import annotations

from rescan.results.csv_table import Column, Table
from rescan.results.parts import EXTERNAL, EXTRA, LEFT_OUT, PARTS, UNLABELED

SPLITS = Table(
    "split",
    (
        Column("sample"),
        Column("group"),
        Column("label", empty=True),
        Column("patient", empty=True),
        Column("eye", empty=True),
        Column("study", empty=True),
        Column("fold", "integer", low=0),
        Column("part", choices=(*PARTS, UNLABELED, EXTRA, EXTERNAL, LEFT_OUT)),
        Column("linked", "integer", low=0, high=1),  # 1: a training or validation sample with a relative in test
        Column("conflict", "integer", low=0, high=1),  # 1: the very image exists under another label too
        Column("origin", empty=True),
    ),
    key=("sample", "fold"),
)
