"""Metrics that follow from a confusion matrix, or from many at once. Undefined values are NaN."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]


class Counts(NamedTuple):
    """What the counted metrics need of confusion matrices (…, K, K); rows may be weighted."""

    confusion: Array  # (…, K, K): truth, prediction
    total: Array  # (…)
    truths: Array  # (…, K): rows of the class
    predictions: Array  # (…, K): rows predicted as the class
    hits: Array  # (…, K): rows of the class predicted as it
    rejections: Array  # (…, K): rows of another class not predicted as it

    @classmethod
    def of(cls, confusion: NDArray[Any]) -> Counts:
        """Sum confusion matrices (…, K, K)."""
        total, truths, predictions = confusion.sum((-2, -1)), confusion.sum(-1), confusion.sum(-2)
        hits = np.diagonal(confusion, axis1=-2, axis2=-1)
        return cls(confusion, total, truths, predictions, hits, total[..., None] - truths - predictions + hits)

    @classmethod
    def of_labels(cls, truths: Array, predictions: Array, hits: Array, total: Array) -> Counts:
        """Of labels that do not exclude each other, (…, K) each and (…): there is no confusion matrix."""
        rejections = total[..., None] - truths - predictions + hits
        return cls(np.empty((*total.shape, 0, 0)), total, truths, predictions, hits, rejections)


def confusion_matrix(target: Indices, predicted: Indices, classes: int) -> NDArray[np.intp]:
    """Counts (K, K) of truth and prediction, of class indices (n,) each."""
    return np.bincount(target * classes + predicted, minlength=classes**2).reshape(classes, classes)


def ratio(numerator: Array, denominator: Array) -> Array:
    """Divide; NaN where the denominator is 0."""
    quotient: Array = np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)
    return quotient


def accuracy(counts: Counts) -> Array:
    """Share of rows predicted as their class: (…)."""
    return ratio(counts.hits.sum(-1), counts.total)


def sensitivity(counts: Counts) -> Array:
    """Recall of each class: (…, K); undefined without a row of the class."""
    return ratio(counts.hits, counts.truths)


def balanced_accuracy(counts: Counts) -> Array:
    """Mean recall over the classes: (…)."""
    return np.asarray(sensitivity(counts).mean(-1))


def specificity(counts: Counts) -> Array:
    """Share of the other classes' rows that are not predicted as the class: (…, K)."""
    return ratio(counts.rejections, counts.total[..., None] - counts.truths)


def ppv(counts: Counts) -> Array:
    """Precision of each class: (…, K); undefined where the class is never predicted."""
    return ratio(counts.hits, counts.predictions)


def npv(counts: Counts) -> Array:
    """Share of the rows not predicted as the class that are of another one: (…, K)."""
    return ratio(counts.rejections, counts.total[..., None] - counts.predictions)


def f1(counts: Counts) -> Array:
    """F1 of each class, 2 TP / (2 TP + FP + FN): (…, K)."""
    return ratio(2 * counts.hits, counts.truths + counts.predictions)


def kappa(counts: Counts) -> Array:
    """Cohen's kappa: (…)."""
    return _weighted_kappa(counts, 1 - np.eye(counts.confusion.shape[-1]))


def quadratic_kappa(counts: Counts) -> Array:
    """Cohen's kappa with quadratic weights, for ordered classes only: (…)."""
    grades = np.arange(counts.confusion.shape[-1], dtype=float)
    return _weighted_kappa(counts, (grades[:, None] - grades) ** 2)


def _weighted_kappa(counts: Counts, penalty: Array) -> Array:
    expected = ratio(counts.truths[..., :, None] * counts.predictions[..., None, :], counts.total[..., None, None])
    return 1 - ratio((penalty * counts.confusion).sum((-2, -1)), (penalty * expected).sum((-2, -1)))


def mcc(counts: Counts) -> Array:
    """Matthews correlation for K classes (Gorodkin 2004): (…); 0 by convention if truth or prediction is constant."""
    total = counts.total
    covariance = counts.hits.sum(-1) * total - (counts.truths * counts.predictions).sum(-1)
    spread = (total**2 - (counts.truths**2).sum(-1)) * (total**2 - (counts.predictions**2).sum(-1))
    defined = spread > 0
    return np.where(defined, covariance / np.sqrt(np.where(defined, spread, 1)), 0)
