"""The entries of metrics.json: what a part's rows score at a level, with intervals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import pandas as pd

from rescan.catalogue import METRICS
from rescan.evaluation import predictions
from rescan.evaluation.bootstrap import estimate
from rescan.evaluation.predictions import LEVELS, Reading
from rescan.metrics.run_rows import RunRows


def of_part(reading: Reading, part: str, linked: Collection[str] = ()) -> Reading:
    """The rows of a part; none where it does not apply.

    Args:
        reading: All rows.
        part: One of `predictions.PARTS`; out_of_fold: the validation parts of several folds as one; test_unlinked: the
            test part without linked groups.
        linked: Names of groups.
    """
    rows = reading.rows
    chosen = rows["part"] == {"out_of_fold": "validation", "test_unlinked": "test"}.get(part, part)
    if part == "test_unlinked":
        chosen &= ~rows["group"].isin(linked)
    elif part == "out_of_fold":
        chosen &= len(set(rows.loc[chosen, "fold"])) > 1
    found = reading.where(chosen)
    return found._replace(rows=found.rows.assign(fold=0)) if part == "out_of_fold" else found


def count(rows: pd.DataFrame, level: str) -> int:
    """How many patches, samples, eyes or patients some rows are of."""
    return len(rows[LEVELS[level]].drop_duplicates())


def scores(
    seen: Reading,
    level: str,
    unit: str,
    names: Sequence[str],
    classes: Sequence[str],
    positive: int | None,
    *,
    pooled: bool = False,
) -> tuple[dict[str, Any], list[RunRows], list[tuple[int, int]]]:
    """One part's entry of metrics.json, its runs and their (fold, seed).

    Args:
        seen: The part's rows.
        level: What a row stands for.
        unit: The column of what is resampled together.
        names: Metrics; those that the reading does not give are left out.
        classes: K names.
        positive: Index of the positive class of two, else None.
        pooled: The rows are of several folds: they have no common ranking.
    """
    ready, which = predictions.runs_of(seen, unit, len(classes))
    known = [name for name in ready[0].defined(names) if not (pooled and METRICS[name].ranked)]
    metrics, said = estimate(known, ready, [seed for _, seed in which], classes, positive)
    sizes = {"n": count(seen.rows, level), "groups": int(seen.rows[unit].nunique())}
    return {**sizes, "metrics": metrics, "warnings": said}, ready, which
