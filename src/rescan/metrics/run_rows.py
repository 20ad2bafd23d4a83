"""The metrics of one run's rows, each for B weightings of the rows at once.

A weight of 1 for every row gives the metric itself, the weights of B resamples its bootstrap distribution. Counted and
probabilistic metrics need sums of row features only, ranked ones the weights accumulated down the ranking. Undefined
values are NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rescan.catalogue import METRICS
from rescan.metrics import counted, probabilistic, ranked
from rescan.metrics.counted import Array, Counts, Indices
from rescan.metrics.ranked import Ranking


class RunRows(NamedTuple):
    """One run's rows of one part, made ready for weighting by unit (what is resampled together)."""

    target: Indices  # (n,)
    predicted: Indices  # (n,)
    classes: int
    probabilities: Array | None  # (n, K)
    unit: Indices  # (n,), in 0 … U−1
    features: Array  # (U, K² + FEATURES): sums over the unit's rows
    rankings: list[Ranking]  # one per class; none without probabilities or another ranking
    multilabel: bool = False  # target and predicted then hold several labels each, Σ 2^k; features are (U, 3K + 1)

    def of_class(self, number: int) -> NDArray[np.bool_]:
        """Which rows are of a class: (n,)."""
        return (self.target >> number & 1).astype(bool) if self.multilabel else self.target == number

    def predicted_as(self, number: int) -> NDArray[np.bool_]:
        """Which rows are predicted as a class: (n,)."""
        return (self.predicted >> number & 1).astype(bool) if self.multilabel else self.predicted == number

    @property
    def confusion(self) -> NDArray[np.intp]:
        """Counts (K, K) of truth and prediction."""
        return counted.confusion_matrix(self.target, self.predicted, self.classes)

    def defined(self, metrics: Iterable[str]) -> list[str]:
        """Those of some metrics that these rows have."""
        return [
            name
            for name in metrics
            if (self.probabilities is not None or not METRICS[name].of_probabilities)
            and (self.rankings or not METRICS[name].ranked)
            and (METRICS[name].of_labels or not self.multilabel)
        ]


def prepare(
    target: Indices,
    predicted: Indices,
    unit: Indices,
    units: int,
    classes: int,
    log_probabilities: Array | None = None,
    ranking: Array | None = None,
) -> RunRows:
    """Make a run's rows ready for `compute`.

    Args:
        target: (n,) class indices.
        predicted: (n,) class indices.
        unit: (n,) unit of each row, in 0 … units−1; rows of a unit get the same weight.
        units: U.
        classes: K.
        log_probabilities: (n, K), if there are any.
        ranking: (n, K) scores by which the rows are ranked for each class; by default its probabilities.
    """
    features = np.zeros((len(target), classes**2 + probabilistic.FEATURES))
    features[np.arange(len(target)), target * classes + predicted] = 1
    probabilities = None
    if log_probabilities is not None:
        probabilities = np.exp(log_probabilities)
        features[:, classes**2 :] = probabilistic.features(target, log_probabilities)
        ranking = probabilities if ranking is None else ranking
    by_unit = np.zeros((units, features.shape[1]))
    np.add.at(by_unit, unit, features)
    scores = np.empty((0, len(target))) if ranking is None else ranking.T
    rankings = [ranked.rank(of_class, target == number, unit) for number, of_class in enumerate(scores)]
    return RunRows(target, predicted, classes, probabilities, unit, by_unit, rankings)


def prepare_labels(
    target: Indices, predicted: Indices, unit: Indices, units: int, classes: int, ranking: Array
) -> RunRows:
    """Make a run's rows of several labels ready for `compute`: each label is told apart from its absence.

    Args:
        target: (n,) the labels of each row, Σ 2^k.
        predicted: (n,) those that it is read as.
        unit: (n,) as for `prepare`.
        units: U.
        classes: K.
        ranking: (n, K) scores by which the rows are ranked for each label.
    """
    of_row = np.arange(classes)
    truths, predictions = ((labels[:, None] >> of_row & 1).astype(bool) for labels in (target, predicted))
    features = np.column_stack([truths, predictions, truths & predictions, np.ones(len(target))]).astype(float)
    by_unit = np.zeros((units, features.shape[1]))
    np.add.at(by_unit, unit, features)
    rankings = [ranked.rank(ranking[:, number], truths[:, number], unit) for number in of_row]
    return RunRows(target, predicted, classes, None, unit, by_unit, rankings, multilabel=True)


def compute(metrics: Iterable[str], rows: RunRows, weights: Array) -> dict[str, Array]:
    """Metrics of a run under B weightings of its units.

    Args:
        metrics: Names out of METRICS.
        rows: From `prepare`.
        weights: (B, U), ≥ 0.

    Returns:
        For each name (B,), or (B, K) where the metric has a value per class; NaN where undefined.
    """
    records, classes = [METRICS[name] for name in metrics], rows.classes
    # Not a BLAS product: its threads stall each other on a busy machine, and their number would change the last digits.
    sums = np.einsum("bu,uf->bf", weights, rows.features)
    if rows.multilabel:
        truths, predictions, hits = np.split(sums[:, :-1], 3, axis=1)
        counts = Counts.of_labels(truths, predictions, hits, sums[:, -1])
        sums = np.zeros((len(sums), classes**2 + probabilistic.FEATURES))  # of probabilities there are no metrics
    else:
        counts = Counts.of(sums[:, : classes**2].reshape(-1, classes, classes))
    of_probabilities = probabilistic.read_sums(sums[:, classes**2 :], counts.total, classes)
    rankings = rows.rankings if any(record.ranked for record in records) else []
    curves = [ranked.steps(ranking, weights) for ranking in rankings]
    values = {}
    for record in records:
        if record.ranked:
            values[record.name] = np.stack([record.implementation(curve) for curve in curves], axis=1)
        else:
            values[record.name] = record.implementation(of_probabilities if record.of_probabilities else counts)
    return values


def headline(name: str, values: Array, positive: int | None) -> Array:
    """The one value of a metric: of the positive class of two where that is the custom, else the mean over the classes.

    Args:
        name: The metric.
        values: (…, K), one per class.
        positive: Index of the positive class; None for more than two classes.
    """
    return np.asarray(values[..., positive] if positive is not None and METRICS[name].of_positive else values.mean(-1))
