"""What the figures of an arm draw: ROC curves, the spread of grades."""

from __future__ import annotations

from typing import Any

import numpy as np

from rescan.evaluation.readings import Reading, endpoint
from rescan.evaluation.scoring import runs_of
from rescan.metrics.ranked import accumulate
from rescan.metrics.run_rows import RunRows
from rescan.results.curve_points import Curves, RocCurve, Spread
from rescan.results.posttraining import RunId
from rescan.study import Study

CURVE_POINTS = 200
PERCENTILES = (5, 25, 50, 75, 95)


def curves(
    study: Study,
    parts: dict[str, dict[RunId, RunRows]],
    images: Reading,
) -> Curves:
    """What the figures of the first run draw.

    Args:
        study: The study.
        parts: The runs of each part, by image.
        images: All rows by image.
    """
    classes = study.data.classes
    run = next(iter(list(parts.values())[-1]))
    first = {part: next(iter(runs.values())) for part, runs in parts.items()}
    return Curves(
        run=run,
        roc={part: roc(rows, classes, study.positive) for part, rows in first.items() if rows.rankings},
        **(_of_grades(study, run, list(parts), images) if study.data.ordered else {}),
    )


def _of_grades(study: Study, run: RunId, parts: list[str], images: Reading) -> dict[str, Any]:
    """What only ordered classes have: `grades` and `endpoints`."""
    classes = study.data.classes
    own = images.where((images.rows["fold"] == run.fold) & (images.rows["seed"] == run.seed))
    readings = {part: own.where(own.rows["part"] == part) for part in parts}
    return {
        "grades": {part: grades(reading, classes) for part, reading in readings.items()},
        "endpoints": {
            name: {part: _endpoint_roc(reading, classes.index(lowest)) for part, reading in readings.items()}
            for name, lowest in study.data.endpoints.items()
        },
    }


def _endpoint_roc(reading: Reading, lowest: int) -> RocCurve:
    (rows,) = runs_of(endpoint(reading, lowest), "group", 2).values()
    return roc(rows, ["below", "positive"], 1).get("positive", RocCurve())


def grades(reading: Reading, classes: list[str]) -> list[Spread]:
    """The spread of the grades of each true class."""
    spreads = []
    for number, label in enumerate(classes):
        own = reading.grade[reading.rows["target"] == number]
        spread = np.percentile(own, PERCENTILES).tolist() if len(own) else None
        spreads.append(Spread(label=label, n=len(own), mean=float(own.mean()) if len(own) else None, spread=spread))
    return spreads


def roc(rows: RunRows, classes: list[str], positive: int | None) -> dict[str, RocCurve]:
    """The one-vs-rest ROC curve of each class that has both sides, at 200 points at most.

    Of two classes there is that of the positive one: the other's is the same, turned around.
    """
    curves = {}
    for number, (label, ranking) in enumerate(zip(classes, rows.rankings)):
        if positive is not None and number != positive:
            continue
        true_positives, false_positives = (
            np.concatenate([[0], side[0]]) for side in accumulate(ranking, np.ones((1, len(rows.features))))
        )
        if not true_positives[-1] or not false_positives[-1]:
            continue
        chosen = np.unique(np.linspace(0, len(true_positives) - 1, CURVE_POINTS).astype(int))
        curves[label] = RocCurve(
            fpr=(false_positives / false_positives[-1])[chosen].round(5).tolist(),
            tpr=(true_positives / true_positives[-1])[chosen].round(5).tolist(),
        )
    return curves
