"""Thresholds of labels that do not exclude each other, fitted on validation predictions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from rescan.evaluation.predictions import SAMPLE, Predictions, averaged
from rescan.heads.head import Array
from rescan.heads.multilabel_head import present

HALF = 0.5


def thresholds(rows: Predictions, classes: int, rule: str) -> list[float]:
    """A threshold per label, of the samples' probabilities; the probabilities of a sample's patches are averaged first.

    Args:
        rows: Predictions with a multilabel head.
        classes: K.
        rule: `half`, `youden` or `f1`: what is highest at the thresholds.
    """
    whole = averaged(rows, SAMPLE) if rows.has_patches else rows
    probabilities = expit(whole.outputs["multilabel"])
    truths = present(whole.rows["target"].to_numpy(np.intp), classes)
    return [best(probabilities[:, number], truths[:, number], rule) for number in range(classes)]


def best(probabilities: Array, positive: NDArray[np.bool_], rule: str) -> float:
    """The threshold of one label from which on it counts as present; a half with one kind of rows only.

    Of several equally good ones the highest, in the middle between the probabilities beside it.

    Args:
        probabilities: (n,) in [0, 1].
        positive: (n,) where the label is present.
        rule: As for `thresholds`.
    """
    if rule == "half" or positive.all() or not positive.any():
        return HALF
    scores = np.unique(probabilities)
    hits, alarms = (
        np.sum(side) - np.searchsorted(np.sort(probabilities[side]), scores) for side in (positive, ~positive)
    )
    sensitivity, false_positives = hits / positive.sum(), alarms / (~positive).sum()
    quality = sensitivity - false_positives if rule == "youden" else 2 * hits / (hits + alarms + positive.sum())
    place = len(scores) - 1 - int(quality[::-1].argmax())
    return float(scores[max(place - 1, 0) : place + 1].mean())
