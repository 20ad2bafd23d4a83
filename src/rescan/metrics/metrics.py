"""The metrics of a K-class classification, each for B weightings of the rows at once.

A weight of 1 for every row gives the metric itself, the weights of B resamples its bootstrap distribution. Counted
metrics need sums of row features only, ranked ones the weights accumulated down the ranking. Undefined values are NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
BINS = 15


class Counts(NamedTuple):
    """Weighted sums over the rows, for B weightings."""

    confusion: Array  # (B, K, K): truth, prediction
    total: Array  # (B,)
    truths: Array  # (B, K): rows of the class
    predictions: Array  # (B, K): rows predicted as the class
    hits: Array  # (B, K): rows of the class predicted as it
    rejections: Array  # (B, K): rows of another class not predicted as it
    brier: Array  # (B,): squared distance of the probabilities from the truth
    loss: Array  # (B,): negative log-likelihood
    one_hot: Array  # (B,): share of the K probabilities that lie on the right side of a half
    gaps: Array  # (B, BINS): confidence − correct, by bin of confidence


def count(sums: Array, classes: int) -> Counts:
    """Read the sums (B, K² + 3 + BINS) of the features that `prepare` makes."""
    confusion = sums[:, : classes**2].reshape(-1, classes, classes)
    total, truths, predictions = confusion.sum((1, 2)), confusion.sum(2), confusion.sum(1)
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    rejections = total[:, None] - truths - predictions + hits
    brier, loss, one_hot = sums[:, classes**2 : classes**2 + 3].T
    gaps = sums[:, classes**2 + 3 :]
    return Counts(confusion, total, truths, predictions, hits, rejections, brier, loss, one_hot, gaps)


def _ratio(numerator: Array, denominator: Array) -> Array:
    ratio: Array = np.divide(numerator, denominator, out=np.full(numerator.shape, np.nan), where=denominator != 0)
    return ratio


def accuracy(counts: Counts) -> Array:
    """Share of rows predicted as their class: (B,)."""
    return _ratio(counts.hits.sum(1), counts.total)


def sensitivity(counts: Counts) -> Array:
    """Recall of each class: (B, K); undefined without a row of the class."""
    return _ratio(counts.hits, counts.truths)


def balanced_accuracy(counts: Counts) -> Array:
    """Mean recall over the classes: (B,)."""
    return np.asarray(sensitivity(counts).mean(1))


def specificity(counts: Counts) -> Array:
    """Share of the other classes' rows that are not predicted as the class: (B, K)."""
    return _ratio(counts.rejections, counts.total[:, None] - counts.truths)


def ppv(counts: Counts) -> Array:
    """Precision of each class: (B, K); undefined where the class is never predicted."""
    return _ratio(counts.hits, counts.predictions)


def npv(counts: Counts) -> Array:
    """Share of the rows not predicted as the class that are of another one: (B, K)."""
    return _ratio(counts.rejections, counts.total[:, None] - counts.predictions)


def f1(counts: Counts) -> Array:
    """F1 of each class, 2 TP / (2 TP + FP + FN): (B, K)."""
    return _ratio(2 * counts.hits, counts.truths + counts.predictions)


def _weighted_kappa(counts: Counts, penalty: Array) -> Array:
    expected = counts.truths[:, :, None] * counts.predictions[:, None, :] / counts.total[:, None, None]
    return 1 - _ratio((penalty * counts.confusion).sum((1, 2)), (penalty * expected).sum((1, 2)))


def kappa(counts: Counts) -> Array:
    """Cohen's kappa: (B,)."""
    return _weighted_kappa(counts, 1 - np.eye(counts.confusion.shape[1]))


def quadratic_kappa(counts: Counts) -> Array:
    """Cohen's kappa with quadratic weights, for ordered classes only: (B,)."""
    grades = np.arange(counts.confusion.shape[1], dtype=float)
    return _weighted_kappa(counts, (grades[:, None] - grades) ** 2)


def mcc(counts: Counts) -> Array:
    """Matthews correlation for K classes (Gorodkin 2004): (B,); 0 by convention if truth or prediction is constant."""
    total = counts.total
    covariance = counts.hits.sum(1) * total - (counts.truths * counts.predictions).sum(1)
    spread = (total**2 - (counts.truths**2).sum(1)) * (total**2 - (counts.predictions**2).sum(1))
    defined = spread > 0
    return np.where(defined, covariance / np.sqrt(np.where(defined, spread, 1)), 0)


def brier(counts: Counts) -> Array:
    """Mean squared distance of the probabilities from the one-hot truth: (B,), in [0, 2]; two classes: half."""
    return _ratio(counts.brier, counts.total) / (2 if counts.confusion.shape[1] == 2 else 1)


def ece(counts: Counts) -> Array:
    """Expected calibration error of the predicted class's probability, 15 equal-width bins (Guo et al. 2017): (B,)."""
    return _ratio(np.abs(counts.gaps).sum(1), counts.total)


def loss(counts: Counts) -> Array:
    """Mean negative log-likelihood, in nats: (B,)."""
    return _ratio(counts.loss, counts.total)


def one_hot_accuracy(counts: Counts) -> Array:
    """Share of all K · n probabilities on the right side of a half (B,): what Keras' binary accuracy of a softmax is.

    Not accuracy: of five classes, always answering "none of them" reaches .8.
    """
    return _ratio(counts.one_hot, counts.total)


def auroc(true_positives: Array, false_positives: Array) -> Array:
    """Area under the ROC curve by trapezoids, so that ties count half: (B, G) and (B, G) accumulated → (B,)."""
    steps = np.diff(false_positives, axis=1, prepend=0)
    heights = true_positives - np.diff(true_positives, axis=1, prepend=0) / 2
    return _ratio(np.einsum("bg,bg->b", steps, heights), true_positives[:, -1] * false_positives[:, -1])


def average_precision(true_positives: Array, false_positives: Array) -> Array:
    """Sum of precision × step of recall, without interpolation: (B, G) and (B, G) accumulated → (B,)."""
    predicted = true_positives + false_positives
    precision = np.divide(true_positives, predicted, out=np.zeros_like(predicted), where=predicted > 0)
    steps = np.diff(true_positives, axis=1, prepend=0)
    return _ratio(np.einsum("bg,bg->b", steps, precision), true_positives[:, -1])


COUNTED: dict[str, Callable[[Counts], Array]] = {
    "accuracy": accuracy,
    "balanced_accuracy": balanced_accuracy,
    "quadratic_kappa": quadratic_kappa,
    "kappa": kappa,
    "macro_f1": f1,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "ppv": ppv,
    "npv": npv,
    "mcc": mcc,
    "brier": brier,
    "ece": ece,
    "loss": loss,
    "one_hot_accuracy": one_hot_accuracy,
}
# These need probabilities, which a regression and a linear neuron do not give.
OF_PROBABILITIES = ("brier", "ece", "loss", "one_hot_accuracy")
RANKED: dict[str, Callable[[Array, Array], Array]] = {"auroc": auroc, "auprc": average_precision}
# With two classes, these are said of the positive class; all other metrics with a value a class are macro averages.
OF_POSITIVE = ("sensitivity", "specificity", "ppv", "npv", "auroc", "auprc")


class Ranking(NamedTuple):
    """The rows of a run by falling probability of one class."""

    unit: Indices  # (n,)
    positive: NDArray[np.bool_]  # (n,)
    last: Indices | slice  # (G,): the last row of every distinct probability; all rows if no two are equal


class Run(NamedTuple):
    """One run's rows of one part, made ready for weighting by unit (what is resampled together)."""

    target: Indices  # (n,)
    predicted: Indices  # (n,)
    classes: int
    probabilities: Array | None  # (n, K)
    unit: Indices  # (n,), in 0 … U−1
    features: Array  # (U, K² + 3 + BINS): sums over the unit's rows
    rankings: list[Ranking]  # one a class; none without probabilities or another ranking

    def known(self, metrics: Iterable[str]) -> list[str]:
        """Those of some metrics that this run has."""
        without = () if self.probabilities is not None else OF_PROBABILITIES
        return [name for name in metrics if name not in without and (self.rankings or name not in RANKED)]


def confidence_bins(confidence: Array) -> Indices:
    """The bin of a probability: (i/15, (i+1)/15] has number i."""
    return np.clip(np.ceil(confidence * BINS).astype(np.intp) - 1, 0, BINS - 1)


def prepare(
    target: Indices,
    predicted: Indices,
    unit: Indices,
    units: int,
    classes: int,
    log_probabilities: Array | None = None,
    ranking: Array | None = None,
) -> Run:
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
    rows, index = len(target), np.arange(len(target))
    features = np.zeros((rows, classes**2 + 3 + BINS))
    features[index, target * classes + predicted] = 1
    probabilities = None
    if log_probabilities is not None:
        probabilities = np.exp(log_probabilities)
        truth = np.eye(classes)[target]
        confidence = probabilities.max(1)
        right = probabilities.argmax(1) == target
        features[:, classes**2] = ((probabilities - truth) ** 2).sum(1)
        features[:, classes**2 + 1] = -log_probabilities[index, target]
        features[:, classes**2 + 2] = ((probabilities > 0.5) == truth).mean(1)
        features[index, classes**2 + 3 + confidence_bins(confidence)] = confidence - right
        ranking = probabilities if ranking is None else ranking
    by_unit = np.zeros((units, features.shape[1]))
    np.add.at(by_unit, unit, features)
    rankings = []
    for number in range(classes if ranking is not None else 0):
        scores = ranking[:, number]  # type: ignore[index]
        order = np.argsort(-scores, kind="stable")
        last = np.flatnonzero(np.diff(scores[order], append=np.inf))
        rankings.append(Ranking(unit[order], target[order] == number, last if len(last) < rows else slice(None)))
    return Run(target, predicted, classes, probabilities, unit, by_unit, rankings)


def accumulate(ranking: Ranking, weights: Array) -> tuple[Array, Array]:
    """Accumulate weights (B, U) down a ranking: true and false positives, each (B, G), at every distinct score."""
    rows = weights[:, ranking.unit]
    everything = np.cumsum(rows, axis=1)[:, ranking.last]
    rows *= ranking.positive
    true_positives = np.cumsum(rows, axis=1)[:, ranking.last]
    return true_positives, everything - true_positives


def compute(metrics: Iterable[str], run: Run, weights: Array) -> dict[str, Array]:
    """Metrics of a run under B weightings of its units.

    Args:
        metrics: Names out of `COUNTED` and `RANKED`.
        run: From `prepare`.
        weights: (B, U), ≥ 0.

    Returns:
        For each name (B,), or (B, K) where the metric has a value a class; NaN where undefined.
    """
    metrics = list(metrics)
    # Not a BLAS product: its threads stall each other on a busy machine, and their number would change the last digits.
    counts = count(np.einsum("bu,uf->bf", weights, run.features), run.classes)
    values = {name: COUNTED[name](counts) for name in metrics if name in COUNTED}
    ranked = [name for name in metrics if name in RANKED]
    if ranked:
        curves = [accumulate(ranking, weights) for ranking in run.rankings]
        values |= {name: np.stack([RANKED[name](*curve) for curve in curves], axis=1) for name in ranked}
    return {name: values[name] for name in metrics}


def headline(name: str, values: Array, positive: int | None) -> Array:
    """The one value of a metric: of the positive class of two where that is the custom, else the mean over the classes.

    Args:
        name: The metric.
        values: (…, K), values a class.
        positive: Index of the positive class; None for more than two classes.
    """
    return np.asarray(values[..., positive] if positive is not None and name in OF_POSITIVE else values.mean(-1))
