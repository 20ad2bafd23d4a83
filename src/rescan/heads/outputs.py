"""What the outputs of a network's heads say: a class, a grade on a line, probabilities.

The heads' outputs, each (n, K_head): `classification`, K logits; `binary`, one logit of the second of two classes, read
as the single threshold of an ordinal head would be; `regression`, one grade; `ordinal`, K − 1 logits of
"grade > k", or, of networks that were published with this fault, K log-odds of one softmax's probabilities.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logit, softmax
from scipy.stats import trim_mean

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
HEADS = ("classification", "binary", "regression", "ordinal")
OF_CLASSES = ("classification", "binary")  # the others are of grades
TINY = 1e-12  # the least probability, so that its logarithm stays finite


def columns(head: str, width: int) -> list[str]:
    """The names of a head's columns in predictions.csv."""
    return [head] if head in ("binary", "regression") else [f"{head}_{number}" for number in range(width)]


def thresholds(ordinal: Array, classes: int) -> Array:
    """Probability of passing each threshold.

    Args:
        ordinal: (n, K − 1) logits, or (n, K) log-odds of one softmax.
        classes: K.

    Returns:
        (n, K − 1) falling along each row (the cumulative minimum), or (n, K) as they are.
    """
    if ordinal.shape[1] == classes:
        return np.asarray(expit(ordinal))
    return np.minimum.accumulate(expit(ordinal), axis=1)


def decide(head: str, output: Array, classes: int) -> Indices:
    """The class (n,) that a head's output stands for.

    classification: the largest logit. regression: the nearest grade. ordinal: how many thresholds are passed with a
    probability above a half (of the softmax, whose first output stands for "grade ≥ 0": one less).
    """
    if head == "classification":
        return output.argmax(1)
    if head == "regression":
        return nearest(output[:, 0], classes)
    passed = (thresholds(output, classes) > 0.5).sum(1)
    return np.clip(passed - (output.shape[1] == classes), 0, classes - 1)


def nearest(grades: Array, classes: int) -> Indices:
    """The nearest grade; halves go up. What is no number goes to 0."""
    return np.clip(np.floor(np.nan_to_num(grades) + 0.5), 0, classes - 1).astype(np.intp)


def grade(head: str, output: Array, classes: int) -> Array:
    """The grade on a line (n,): the expected one of a classification, the sum of an ordinal head's probabilities."""
    if head == "classification":
        return softmax(output, axis=1) @ np.arange(classes)
    return output[:, 0] if head == "regression" else thresholds(output, classes).sum(1)


def log_probabilities(head: str, output: Array, classes: int) -> Array | None:
    """Log-probabilities of the classes (n, K); None for a head that gives none (regression, and the faulty softmax).

    Of an ordinal head: the differences of neighboring thresholds' probabilities.
    """
    if head == "classification":
        return np.asarray(log_softmax(output, axis=1))
    if head == "regression" or output.shape[1] == classes:
        return None
    edges = np.pad(thresholds(output, classes), ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
    return np.log(np.maximum(-np.diff(edges, axis=1), TINY))


def average(outputs: Mapping[str, list[Array]], trim: float = 0.0) -> dict[str, Array]:
    """Average several networks' outputs, or one network's outputs of several versions of the images.

    Probabilities are averaged, not logits; the result comes as logits again.

    Args:
        outputs: For each head its outputs, (n, K_head) each.
        trim: Share of the values that is cut off at either end of each output before the mean (a trimmed mean).

    Returns:
        For each head (n, K_head).
    """
    averaged = {}
    for head, values in outputs.items():
        probability = {"classification": partial(softmax, axis=1), "binary": expit, "ordinal": expit}.get(head)
        mean = trim_mean(np.stack([probability(value) if probability else value for value in values]), trim, axis=0)
        if head == "classification":
            mean = np.log(np.maximum(mean, TINY) / mean.sum(1, keepdims=True))
        elif head in ("binary", "ordinal"):
            mean = logit(np.clip(mean, TINY, 1 - TINY))
        averaged[head] = mean
    return averaged
