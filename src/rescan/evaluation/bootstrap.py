"""95 % intervals: a bootstrap over units (patients, else groups), and Wilson's for small proportions."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from scipy.stats import norm

from rescan.metrics.counted import Array
from rescan.metrics.run_rows import RunRows, compute, headline

REPLICATES = 2000
Z95 = float(norm.ppf(0.975))
CHUNK = 300_000  # weights in memory at once: larger blocks leave the processor's cache
UNDEFINED = 0.05  # the share of undefined replicates from which it is said
# The bootstrap's interval collapses for these, this near to 0 or 1, with fewer units than this: Wilson's instead.
WILSON = ("accuracy", "sensitivity", "specificity")
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
        For each name (R, B), or (R, B, K) where the metric has a value a class.
    """
    units = len(runs[0].features)
    blocks: dict[str, list[Array]] = {name: [] for name in metrics}
    for weights in resamples(units, max(len(run.target) for run in runs), replicates, seed):
        found = [compute(metrics, run, weights) for run in runs]
        for name, collected in blocks.items():
            collected.append(np.stack([values[name] for values in found]))
    return {name: np.concatenate(collected, axis=1) for name, collected in blocks.items()}


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
    """The number of units that a proportion rests on, for each class; the mean over runs, rounded down.

    All units for accuracy (one number), those with a row of the class for sensitivity, those with a row of another
    class for specificity.
    """
    classes = runs[0].classes
    if name == "accuracy":
        return [sum(len(np.unique(run.unit)) for run in runs) // len(runs)]
    return [
        sum(len(np.unique(run.unit[(run.target == number) == (name == "sensitivity")])) for run in runs) // len(runs)
        for number in range(classes)
    ]


def _interval(name: str, value: float, replicates: Array, n: int) -> dict[str, Any]:
    """The value with its interval: Wilson's for a proportion near 0 or 1 of few units, and for exactly 0 or 1."""
    low, high, method = *percentile(replicates), "bootstrap"
    near = value <= NEAR or value >= 1 - NEAR
    if name in WILSON and n > 0 and near and (n < FEW or value in (0, 1)):
        low, high, method = *wilson(value, n), "wilson"
    return {"value": value, "low": low, "high": high, "method": method}


def estimate(
    metrics: Sequence[str], runs: Sequence[RunRows], seeds: Sequence[int], classes: Sequence[str], positive: int | None
) -> tuple[dict[str, dict[str, Any]], list[str]]:
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
        `{name: {"value", "low", "high", "method", "runs", "seed_sd", "classes"}}`, with None for undefined numbers, and
        warnings. `seed_sd` is the standard deviation over seeds of the mean over folds; None for one seed.
    """
    found = [compute(metrics, run, np.ones((1, len(run.features)))) for run in runs]
    resampled = distributions(metrics, runs)
    results: dict[str, dict[str, Any]] = {}
    left_out: dict[str, float] = {}
    for name in metrics:
        points, replicates = np.stack([values[name][0] for values in found]), resampled[name]
        of_classes, n_classes = {}, denominators(name, runs) if name in WILSON else []
        n = min(n_classes, default=0)
        if points.ndim == 2:
            for number, label in enumerate(classes):
                of_classes[label] = _interval(
                    name,
                    float(points[:, number].mean()),
                    replicates[:, :, number].mean(0),
                    n_classes[number] if n_classes else 0,
                )
            if positive is not None and n_classes:
                n = n_classes[positive]
            points, replicates = headline(name, points, positive), headline(name, replicates, positive)
        entry = _interval(name, float(points.mean()), replicates.mean(0), n)
        if entry["method"] == "wilson" and of_classes and positive is None:
            limits = np.array([wilson(of_class["value"], k) for of_class, k in zip(of_classes.values(), n_classes)])
            entry["low"], entry["high"] = (float(limit) for limit in limits.mean(0))
        undefined = float(np.isnan(replicates.mean(0)).mean())
        if undefined > UNDEFINED and not math.isnan(entry["value"]):
            left_out[name] = undefined
        entry |= {"runs": points.tolist(), "seed_sd": _seed_sd(points, seeds)}
        if of_classes:
            entry["classes"] = of_classes
        results[name] = _without_nan(entry)
    warnings = []
    if left_out:
        most = f"{max(left_out.values()):.0%} of the resamples, where they are undefined"
        warnings.append(f"{', '.join(left_out)}: the intervals leave out up to {most}: too few of some class")
    missing = [name for name, entry in results.items() if entry["value"] is None]
    if missing:
        warnings.append(f"undefined: {', '.join(missing)} (a class without an item, or one that is never predicted)")
    return results, warnings


def _seed_sd(points: Array, seeds: Sequence[int]) -> float | None:
    means = [points[np.array(seeds) == seed].mean() for seed in sorted(set(seeds))]
    return float(np.std(means, ddof=1)) if len(means) > 1 else None


def _without_nan(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _without_nan(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_without_nan(value) for value in tree]
    return None if isinstance(tree, float) and math.isnan(tree) else tree
