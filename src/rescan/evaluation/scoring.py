"""From readings to scores: what a part's rows score at a level, with intervals."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from rescan.catalogue import METRICS
from rescan.evaluation.bootstrap import estimate
from rescan.evaluation.levels import LEVELS
from rescan.evaluation.readings import Reading
from rescan.metrics.run_rows import RunRows, prepare, prepare_labels
from rescan.results.metrics_file import Scores
from rescan.results.posttraining import RunId


@dataclass(frozen=True)
class Scored:
    """The scores of some rows, and the runs that they are of, ready for more metrics."""

    scores: Scores
    runs: dict[RunId, RunRows]


def of_part(reading: Reading, part: str, linked: Collection[str] = ()) -> Reading:
    """The rows of a part; none where it does not apply.

    Args:
        reading: All rows.
        part: train, validation or test; out_of_fold: the validation parts of several folds as one; test_unlinked: the
            test part without linked groups.
        linked: Names of groups.
    """
    rows = reading.rows
    chosen = rows["part"] == {"out_of_fold": "validation", "test_unlinked": "test"}.get(part, part)
    if part == "test_unlinked":
        chosen &= ~rows["group"].isin(linked)
    elif part == "out_of_fold":
        chosen &= len(set(rows.loc[chosen, "fold"])) > 1
    of_part = reading.where(chosen)
    return of_part._replace(rows=of_part.rows.assign(fold=0)) if part == "out_of_fold" else of_part


def score(
    reading: Reading,
    level: str,
    unit: str,
    names: Sequence[str],
    classes: Sequence[str],
    positive: int | None,
    *,
    pooled: bool = False,
) -> Scored:
    """Score the rows of one part.

    Args:
        reading: The rows.
        level: What a row stands for: a key of LEVELS.
        unit: The column of what is resampled together.
        names: Metrics; those that the reading has no values for are left out.
        classes: K names.
        positive: Index of the positive class of two, else None.
        pooled: The rows are of several folds: they have no common ranking.
    """
    runs = runs_of(reading, unit, len(classes))
    ready = list(runs.values())
    defined = [name for name in ready[0].defined(names) if not (pooled and METRICS[name].ranked)]
    metrics = estimate(defined, ready, [run.seed for run in runs], classes, positive)
    n = len(reading.rows[LEVELS[level]].drop_duplicates())
    return Scored(Scores(n=n, groups=int(reading.rows[unit].nunique()), metrics=metrics), runs)


def runs_of(reading: Reading, unit: str, classes: int) -> dict[RunId, RunRows]:
    """Split the rows of one part by run, over the same units (`unit`: the column that names them)."""
    names, units = np.unique(reading.rows[unit].to_numpy(str), return_inverse=True)
    target, fold, seed = (reading.rows[name].to_numpy(np.intp) for name in ("target", "fold", "seed"))
    # Two classes can be ranked by the grade; more cannot, each against all others.
    by_grade = classes == 2 and reading.log_probabilities is None
    ranking = np.stack([-reading.grade, reading.grade], axis=1) if by_grade else None
    runs = {}
    for run in sorted(set(zip(fold.tolist(), seed.tolist()))):
        own = (fold == run[0]) & (seed == run[1])
        if reading.multilabel and reading.log_probabilities is not None:
            labels = (target[own], reading.predicted[own], units[own], len(names), classes)
            runs[RunId(fold=run[0], seed=run[1])] = prepare_labels(*labels, reading.log_probabilities[own])
            continue
        runs[RunId(fold=run[0], seed=run[1])] = prepare(
            target[own],
            reading.predicted[own],
            units[own],
            len(names),
            classes,
            None if reading.log_probabilities is None else reading.log_probabilities[own],
            None if ranking is None else ranking[own],
        )
    return runs
