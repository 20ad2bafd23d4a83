"""What the figures of an arm draw: confusion matrices, ROC curves, reliability, the spread of grades."""

from __future__ import annotations

from typing import Any

import numpy as np

from rescan.evaluation import predictions
from rescan.evaluation.predictions import Reading
from rescan.metrics.probabilistic import BINS, confidence_bins
from rescan.metrics.ranked import accumulate
from rescan.metrics.run_rows import RunRows
from rescan.study import Study

CURVE_POINTS = 200


def curves(
    study: Study, runs: dict[str, list[RunRows]], which: list[tuple[int, int]], images: Reading
) -> dict[str, Any]:
    """What the figures of the first run draw."""
    classes, (fold, seed) = study.data.classes, which[0]
    first = {part: ready[0] for part, ready in runs.items()}
    content: dict[str, Any] = {
        "run": {"fold": fold, "seed": seed},
        "roc": {part: roc(run, classes) for part, run in first.items() if run.rankings},
        "reliability": {part: reliability(run) for part, run in first.items() if run.probabilities is not None},
    }
    if study.data.ordered:
        own = images.where((images.rows["fold"] == fold) & (images.rows["seed"] == seed))
        parts = {part: own.where(own.rows["part"] == part) for part in first}
        content["grades"] = {part: grades(rows, classes) for part, rows in parts.items()}
        content["endpoints"] = {
            name: {part: _endpoint_roc(rows, classes.index(lowest)) for part, rows in parts.items()}
            for name, lowest in study.data.endpoints.items()
        }
    return content


def _endpoint_roc(rows: Reading, lowest: int) -> dict[str, list[float]]:
    ready, _ = predictions.runs_of(predictions.endpoint(rows, lowest), "group", 2)
    return roc(ready[0], ["below", "positive"]).get("positive", {})


def grades(rows: Reading, classes: list[str]) -> list[dict[str, Any]]:
    """For each true class its items' grades: number, mean, and the 5th, 25th, 50th, 75th and 95th percentiles."""
    found = []
    for number, label in enumerate(classes):
        own = rows.grade[rows.rows["target"] == number]
        spread = np.percentile(own, [5, 25, 50, 75, 95]).tolist() if len(own) else None
        found.append({"class": label, "n": len(own), "mean": float(own.mean()) if len(own) else None, "spread": spread})
    return found


def roc(run: RunRows, classes: list[str]) -> dict[str, dict[str, list[float]]]:
    """The one-vs-rest ROC curve of each class that has both sides, at 200 points at most."""
    curves = {}
    for label, ranking in zip(classes, run.rankings):
        true_positives, false_positives = (
            np.concatenate([[0], side[0]]) for side in accumulate(ranking, np.ones((1, len(run.features))))
        )
        if not true_positives[-1] or not false_positives[-1]:
            continue
        chosen = np.unique(np.linspace(0, len(true_positives) - 1, CURVE_POINTS).astype(int))
        curves[label] = {
            "fpr": (false_positives / false_positives[-1])[chosen].round(5).tolist(),
            "tpr": (true_positives / true_positives[-1])[chosen].round(5).tolist(),
        }
    return curves


def reliability(run: RunRows) -> list[dict[str, float]]:
    """Mean confidence and accuracy in each bin of the largest probability that holds a row."""
    if run.probabilities is None:
        return []
    confidence, right = run.probabilities.max(1), run.probabilities.argmax(1) == run.target
    bins = confidence_bins(confidence)
    return [
        {
            "low": number / BINS,
            "high": (number + 1) / BINS,
            "n": int((bins == number).sum()),
            "confidence": float(confidence[bins == number].mean()),
            "accuracy": float(right[bins == number].mean()),
        }
        for number in np.unique(bins).tolist()
    ]
