"""95 % intervals: a bootstrap over units (patients, else groups), and Wilson's for small proportions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy.stats import norm

from rescan.catalogue import METRICS
from rescan.metrics.counted import Array
from rescan.metrics.run_rows import RunRows, compute, headline
from rescan.results.metrics_file import Estimate, Interval

REPLICATES = 2000
Z95 = float(norm.ppf(0.975))
CHUNK = 300_000  # weights in memory at once: larger blocks leave the processor's cache
UNDEFINED = 0.05  # the share of undefined replicates from which there is a warning
# The bootstrap's interval of a share collapses this near to 0 or 1 with fewer units than this: Wilson's instead.
NEAR, FEW = 0.1, 100


def resamples(units: int, rows: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[Array]:
    """Yield the weights of bootstrap replicates: how often each of U units was drawn in U draws with replacement.

    Args:
        units: U.
        rows: Rows of the largest run, from which the size of a block follows.
        replicates: B, over all blocks.
        seed: Of the draws.

    Yields:
        (b, U) blocks whose b add up to B.
    """
    generator = np.random.default_rng(seed)
    block = max(1, CHUNK // max(rows, units))
    for start in range(0, replicates, block):
        size = min(block, replicates - start)
        drawn = generator.integers(units, size=(size, units)) + units * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * units).reshape(size, units).astype(float)


def distributions(
    metrics: Sequence[str], runs: Sequence[RunRows], replicates: int = REPLICATES, seed: int = 0
) -> dict[str, Array]:
    """Bootstrap every metric of several runs with the same resampled units.

    Returns:
        By name (R, B), or (R, B, K) where the metric has a value per class.
    """
    units = len(runs[0].features)
    blocks: dict[str, list[Array]] = {name: [] for name in metrics}
    for weights in resamples(units, max(len(run.target) for run in runs), replicates, seed):
        of_runs = [compute(metrics, run, weights) for run in runs]
        for name, of_metric in blocks.items():
            of_metric.append(np.stack([values[name] for values in of_runs]))
    return {name: np.concatenate(of_metric, axis=1) for name, of_metric in blocks.items()}


def percentile(values: Array) -> tuple[float, float]:
    """Percentile 95 % interval of replicates (B,); undefined ones (NaN) are left out; (NaN, NaN) if none is left."""
    defined = values[~np.isnan(values)]
    if not defined.size:
        return math.nan, math.nan
    low, high = np.percentile(defined, [2.5, 97.5])
    return float(low), float(high)


def wilson(value: float, n: int) -> tuple[float, float]:
    """Wilson's score interval, 95 %, of a proportion of n (Wilson 1927)."""
    center = (value + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * math.sqrt(value * (1 - value) / n + Z95**2 / (4 * n**2))
    return max(0.0, center - half), min(1.0, center + half)


def denominators(name: str, runs: Sequence[RunRows]) -> list[int]:
    """The number of units that a proportion rests on, per class; the mean over runs, rounded down.

    All units for accuracy (one number), those with a row of the class for sensitivity, those with a row of another
    class, or without the label, for specificity.
    """
    classes = runs[0].classes
    if name == "accuracy":
        return [sum(len(np.unique(run.unit)) for run in runs) // len(runs)]
    return [
        sum(len(np.unique(run.unit[run.of_class(number) == (name == "sensitivity")])) for run in runs) // len(runs)
        for number in range(classes)
    ]


class _Limits(NamedTuple):
    """A value with its interval; NaN where undefined."""

    value: float
    low: float
    high: float
    method: Literal["bootstrap", "wilson"]

    def fields(self) -> dict[str, Any]:
        """The fields of an `Interval`."""
        return {name: _without_nan(value) for name, value in self._asdict().items()}


def _limits(name: str, value: float, replicates: Array, n: int) -> _Limits:
    """The value with its interval: Wilson's for a proportion near 0 or 1 of few units, and for exactly 0 or 1."""
    near = value <= NEAR or value >= 1 - NEAR
    if METRICS[name].is_share and n > 0 and near and (n < FEW or value in (0, 1)):
        return _Limits(value, *wilson(value, n), "wilson")
    return _Limits(value, *percentile(replicates), "bootstrap")


def estimate(
    metrics: Sequence[str], runs: Sequence[RunRows], seeds: Sequence[int], classes: Sequence[str], positive: int | None
) -> tuple[dict[str, Estimate], list[str]]:
    """Every metric as the mean over runs, with its interval.

    A replicate's value is the mean over runs with the same resampled units. The interval of a macro average near 0 or 1
    over few units is the mean of the classes' Wilson limits: wide, as if the classes erred together.

    Args:
        metrics: Names of metrics.
        runs: R runs over the same units.
        seeds: (R,) the seed of each run.
        classes: K names.
        positive: Index of the positive class of two, else None.

    Returns:
        The estimates by name, and warnings.
    """
    ones = np.ones((1, len(runs[0].features)))
    points = [compute(metrics, run, ones) for run in runs]
    resampled = distributions(metrics, runs)
    estimates: dict[str, Estimate] = {}
    left_out: dict[str, float] = {}
    for name in metrics:
        values, replicates = np.stack([of_run[name][0] for of_run in points]), resampled[name]
        sizes = denominators(name, runs) if METRICS[name].is_share else []
        n, of_classes = min(sizes, default=0), {}
        if values.ndim == 2:
            of_classes = {
                label: _limits(name, float(values[:, k].mean()), replicates[:, :, k].mean(0), sizes[k] if sizes else 0)
                for k, label in enumerate(classes)
            }
            n = sizes[positive] if sizes and positive is not None else n
            values, replicates = headline(name, values, positive), headline(name, replicates, positive)
        limits = _limits(name, float(values.mean()), replicates.mean(0), n)
        if limits.method == "wilson" and of_classes and positive is None:
            ends = np.array([wilson(of_class.value, size) for of_class, size in zip(of_classes.values(), sizes)])
            low, high = ends.mean(0).tolist()
            limits = limits._replace(low=low, high=high)
        undefined = float(np.isnan(replicates.mean(0)).mean())
        if undefined > UNDEFINED and not math.isnan(limits.value):
            left_out[name] = undefined
        by_class = {label: Interval(**of_class.fields()) for label, of_class in of_classes.items()}
        estimates[name] = Estimate(
            **limits.fields(),
            runs=[_without_nan(value) for value in values.tolist()],
            seed_sd=_without_nan(_seed_sd(values, seeds)),
            **({"classes": by_class} if by_class else {}),
        )
    warnings = []
    if left_out:
        most = f"{max(left_out.values()):.0%} of the resamples, where they are undefined"
        warnings.append(f"{', '.join(left_out)}: the intervals leave out up to {most}: too few of some class")
    missing = [name for name, entry in estimates.items() if entry.value is None]
    if missing:
        warnings.append(f"undefined: {', '.join(missing)} (a class without an item, or one that is never predicted)")
    return estimates, warnings


def _seed_sd(values: Array, seeds: Sequence[int]) -> float | None:
    """The standard deviation over seeds of the mean over folds; None for one seed."""
    means = [values[np.array(seeds) == seed].mean() for seed in sorted(set(seeds))]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _without_nan(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value
