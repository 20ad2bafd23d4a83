"""The multilabel head: K logits, each of a label of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logit

from rescan.heads.head import TINY, Array, Head, Indices


class Multilabel(Head):
    """Read as all labels whose probability is at least a half, or a threshold of their own.

    What it decides are targets: Σ 2^k over the labels (see `Outcome.target`).
    """

    def decide(self, output: Array, classes: int) -> Indices:  # noqa: ARG002
        """All labels with a probability of at least a half."""
        return targets(output >= 0)

    def grade(self, output: Array, classes: int) -> Array:  # noqa: ARG002
        """How many labels are to be expected."""
        return np.asarray(expit(output).sum(1))

    def log_probabilities(self, output: Array, classes: int) -> Array:  # noqa: ARG002
        """Logarithms of each label's probability, which do not add up to 1."""
        return np.asarray(log_expit(output))

    def _averageable(self, output: Array) -> Array:
        return np.asarray(expit(output))

    def _from_averageable(self, mean: Array) -> Array:
        return np.asarray(logit(np.clip(mean, TINY, 1 - TINY)))


def targets(present: NDArray[np.bool_]) -> Indices:
    """The targets (n,) of labels that are present, (n, K)."""
    return np.asarray(present @ (1 << np.arange(present.shape[1], dtype=np.intp)), np.intp)


def present(targets: NDArray[np.integer], classes: int) -> NDArray[np.bool_]:
    """Which of K labels are present, (n, K), by targets (n,)."""
    return (np.asarray(targets)[:, None] >> np.arange(classes) & 1).astype(bool)
