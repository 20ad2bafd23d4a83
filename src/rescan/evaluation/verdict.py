"""Verdicts: our value of a metric against a published one."""

from __future__ import annotations

import math
from typing import Any

from scipy.stats import t

from rescan.evaluation.bootstrap import Z95
from rescan.study import Published, Study

SEEDS = 5


def verdict(study: Study, entry: Published, result: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Judge our test value against a published one.

    "reproduced": the interval of d = ours − published contains 0 and its half-width is within the margin (so is |d|);
    "lower", "higher": it excludes 0; "inconclusive": otherwise, and with fewer than 5 seeds; "not comparable" and
    "not run": see the reason.

    Args:
        study: The study; published numbers are compared at scale `full` only.
        entry: The published number.
        result: "n" and "metrics" of the test images in the arm's metrics.json.
        seeds: The number of seeds of the arm, 0 if it has not run.

    Returns:
        The columns verdict and reason and, if comparable, the difference with its interval (NaN if unknown).
    """
    columns: dict[str, float] = {}
    found = _obstacle(study, entry, result, seeds)
    if found is None:
        columns = difference(study, entry, result, seeds)
        found = _judge(columns["difference_low"], columns["difference_high"], entry.margin, seeds)
        if _identical_test_set(study, entry):
            found = (found[0], f"{found[1]}; identical test set".lstrip("; "))
    word, reason = found
    if entry.metric == "accuracy" and entry.n and attainable(entry.value, entry.n) is None:
        k = round(entry.value * entry.n)
        reason += f"; {entry.value * 100:.10g} % is no k/{entry.n}: the nearest is {k}/{entry.n} = {k / entry.n:.5f}"
    return {**columns, "verdict": word, "reason": reason.lstrip("; ")}


def attainable(value: float, n: int) -> int | None:
    """The k for which k/n rounds to a published proportion, at its decimals; None if there is none.

    Args:
        value: The published proportion, in [0, 1].
        n: The published number of test items.
    """
    k = round(value * n)
    return k if abs(k / n - value) <= _rounding(value) + 1e-12 else None


def _rounding(value: float) -> float:
    """Half a unit of a number's last decimal; at least the second, as YAML drops zeros at the end."""
    return float(0.5 * 10.0 ** -max(2, len(f"{value:.12f}".rstrip("0").partition(".")[2])))


def _identical_test_set(study: Study, entry: Published) -> bool:
    """Whether a comparable number is of our very test items: the published part's (`_obstacle` compares the counts)."""
    return study.split.test == "published" and entry.n is not None


def _obstacle(study: Study, entry: Published, result: dict[str, Any], seeds: int) -> tuple[str, str] | None:
    """What forbids a comparison: a word and its reason."""
    undefined = result["metrics"].get(entry.metric, {}).get("value") is None
    other_items = _identical_test_set(study, entry) and entry.n != result["n"]
    obstacles = (
        (seeds == 0, "not run", "no metrics.json of this arm"),
        (study.scale == "demo", "not comparable", "demo: phantoms or a small recipe"),
        (bool(entry.not_comparable), "not comparable", entry.not_comparable or ""),
        (undefined, "not comparable", f"{entry.metric} is undefined or not computed here"),
        (other_items, "not comparable", f"test items differ: {result['n']} here, {entry.n} published"),
    )
    return next(((word, reason) for holds, word, reason in obstacles if holds), None)


def difference(study: Study, entry: Published, result: dict[str, Any], seeds: int) -> dict[str, float]:
    """Return d = ours − published with its 95 % interval.

    SE² = SE_ours² + SE_published² + s_seed² (1 + 1/m) for m seeds, with a normal quantile.
    On the identical test set both sampling terms go, and the quantile is t's with m − 1 in place of the normal one. The
    rounding of the published number widens the interval, so that the same count of right answers never differs.
    """
    ours = result["metrics"][entry.metric]
    d, variance, quantile = ours["value"] - entry.value, math.nan, Z95
    if seeds > 1:
        variance = ours["seed_sd"] ** 2 * (1 + 1 / seeds)
    if _identical_test_set(study, entry):
        quantile = float(t.ppf(0.975, max(seeds - 1, 1)))
    else:
        variance += _sampling_variance(entry, ours, result["n"])
    half = quantile * math.sqrt(variance) + _rounding(entry.value)
    return {"difference": d, "difference_low": d - half, "difference_high": d + half}


def _sampling_variance(entry: Published, ours: dict[str, Any], n: int) -> float:
    """SE_ours² + SE_published²; the latter from its interval, else binomial for accuracy, else ours scaled to its n."""
    own = ((ours["high"] - ours["low"]) / (2 * Z95)) ** 2
    if entry.low is not None and entry.high is not None:
        return float(own + ((entry.high - entry.low) / (2 * Z95)) ** 2)
    if entry.n is None:
        return math.nan
    return float(own + (entry.value * (1 - entry.value) / entry.n if entry.metric == "accuracy" else own * n / entry.n))


def _judge(low: float, high: float, margin: float, seeds: int) -> tuple[str, str]:
    """The word for an interval of d, and a reason where it has one."""
    half = (high - low) / 2
    words = (
        (seeds < SEEDS, "inconclusive", f"{seeds} seed{'s' * (seeds > 1)}: a verdict needs {SEEDS}"),
        (math.isnan(half), "inconclusive", "neither n nor an interval is published"),
        (low > 0, "higher", ""),
        (high < 0, "lower", ""),
        (half <= margin, "reproduced", ""),
        (True, "inconclusive", f"half-width {half:.3f} exceeds the margin {margin:g}"),
    )
    return next((word, reason) for holds, word, reason in words if holds)
