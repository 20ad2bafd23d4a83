"""Heads of thresholds: the ordinal head and, with a single threshold, the binary head."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logit

from rescan.heads.head import TINY, Array, Head, Indices


class Ordinal(Head):
    """K − 1 logits of "grade > k", k = 0 … K − 2.

    Networks that were published with a softmax link (a fault, repeated on purpose) have K outputs instead: the log-odds
    of the K probabilities of one softmax, whose first stands for "grade ≥ 0". They give no class probabilities.
    """

    def width(self, classes: int, link: str = "sigmoid") -> int:
        """K − 1, or K with the softmax link."""
        return classes - 1 if link == "sigmoid" else classes

    def first_threshold(self, width: int, classes: int) -> int:
        """1 for "grade > 0"; 0 for the "grade ≥ 0" of the softmax link."""
        return int(width < classes)

    def decide(self, output: Array, classes: int) -> Indices:
        """How many thresholds are passed with a probability above a half (of the softmax link: one less)."""
        count = (thresholds(output, classes) > 0.5).sum(1)
        return np.clip(count - 1 + self.first_threshold(output.shape[1], classes), 0, classes - 1)

    def grade(self, output: Array, classes: int) -> Array:
        """The sum of the thresholds' probabilities."""
        return thresholds(output, classes).sum(1)

    def log_probabilities(self, output: Array, classes: int) -> Array | None:
        """Logarithms of the differences of neighboring thresholds' probabilities; None with the softmax link."""
        if output.shape[1] == classes:
            return None
        edges = np.pad(thresholds(output, classes), ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
        return np.log(np.maximum(-np.diff(edges, axis=1), TINY))

    def _averageable(self, output: Array) -> Array:
        return np.asarray(expit(output))

    def _from_averageable(self, mean: Array) -> Array:
        return np.asarray(logit(np.clip(mean, TINY, 1 - TINY)))


class Binary(Ordinal):
    """One logit of the second of two classes: a single threshold."""

    def width(self, classes: int, link: str = "sigmoid") -> int:  # noqa: ARG002
        """Always 1."""
        return 1


def thresholds(output: Array, classes: int) -> Array:
    """Probability of passing each threshold.

    Args:
        output: (n, K − 1) logits, or (n, K) log-odds of one softmax.
        classes: K.

    Returns:
        (n, K − 1) falling along each row (the cumulative minimum), or (n, K) as they are.
    """
    if output.shape[1] == classes:
        return np.asarray(expit(output))
    return np.minimum.accumulate(expit(output), axis=1)
