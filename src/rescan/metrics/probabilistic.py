"""Metrics that need the classes' probabilities: sums of one feature per row, weighted."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rescan.metrics.counted import Array, Indices, ratio

BINS = 15  # of confidence


class ProbabilitySums(NamedTuple):
    """Weighted sums over the rows, for B weightings."""

    total: Array  # (B,)
    classes: int
    brier: Array  # (B,): squared distance of the probabilities from the truth
    loss: Array  # (B,): negative log-likelihood
    one_hot: Array  # (B,): share of the K probabilities that lie on the right side of a half
    gaps: Array  # (B, BINS): confidence − correct, by bin of confidence


FEATURES = 3 + BINS  # columns of `features`


def features(target: Indices, log_probabilities: Array) -> Array:
    """What each row adds to the sums.

    Args:
        target: (n,) class indices.
        log_probabilities: (n, K).

    Returns:
        (n, FEATURES): squared distance, negative log-likelihood, share on the right side, gap by bin of confidence.
    """
    index, probabilities = np.arange(len(target)), np.exp(log_probabilities)
    truth = np.eye(log_probabilities.shape[1])[target]
    confidence = probabilities.max(1)
    rows = np.zeros((len(target), FEATURES))
    rows[:, 0] = ((probabilities - truth) ** 2).sum(1)
    rows[:, 1] = -log_probabilities[index, target]
    rows[:, 2] = ((probabilities > 0.5) == truth).mean(1)
    rows[index, 3 + confidence_bins(confidence)] = confidence - (probabilities.argmax(1) == target)
    return rows


def read_sums(sums: Array, total: Array, classes: int) -> ProbabilitySums:
    """Name the sums (B, FEATURES) of the rows' features; `total` (B,) are the rows' summed weights."""
    return ProbabilitySums(total, classes, sums[:, 0], sums[:, 1], sums[:, 2], sums[:, 3:])


def confidence_bins(confidence: Array) -> Indices:
    """The bin of a probability: (i/15, (i+1)/15] has number i."""
    return np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)


def brier(sums: ProbabilitySums) -> Array:
    """Mean squared distance of the probabilities from the one-hot truth: (B,), in [0, 2]; two classes: half."""
    return ratio(sums.brier, sums.total) / (2 if sums.classes == 2 else 1)


def ece(sums: ProbabilitySums) -> Array:
    """Expected calibration error of the predicted class's probability, 15 equal-width bins (Guo et al. 2017): (B,)."""
    return ratio(np.abs(sums.gaps).sum(1), sums.total)


def loss(sums: ProbabilitySums) -> Array:
    """Mean negative log-likelihood, in nats: (B,)."""
    return ratio(sums.loss, sums.total)


def one_hot_accuracy(sums: ProbabilitySums) -> Array:
    """Share of all K · n probabilities on the right side of a half (B,): what Keras' binary accuracy of a softmax is.

    Not accuracy: of five classes, always answering "none of them" reaches .8.
    """
    return ratio(sums.one_hot, sums.total)
