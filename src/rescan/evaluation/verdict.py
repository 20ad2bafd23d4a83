"""Verdicts: our value of a metric against a published one."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.stats import t

from rescan.metrics.intervals import Z95
from rescan.results.metrics_file import Estimate, Interval, Scores
from rescan.study import Published, Study

SEEDS = 5
NOT_THE_RECIPE = {"demo": "demo: phantoms or a small recipe", "small": "small recipe"}  # by scale


@dataclass(frozen=True)
class Judgment:
    """A verdict, its reason, and the difference that it rests on, with its 95 % interval; NaN if unknown.

    The fields are columns of comparison.csv; the difference is None where nothing could be compared. A paired
    difference also has a test and its p.
    """

    verdict: str
    reason: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    test: str = ""
    p: float | None = None


def verdict(study: Study, entry: Published, scores: Scores | None, seeds: int) -> Judgment:
    """Judge our test value against a published one.

    "reproduced": the interval of d = ours − published contains 0 and its half-width is within the margin (so is |d|);
    "lower", "higher": it excludes 0; "inconclusive": otherwise, and with fewer than 5 seeds; "not comparable" and
    "not run": see the reason.

    Args:
        study: The study; published numbers are judged at scale `full` only.
        entry: The published number.
        scores: The arm's scores of the test part, if there are any.
        seeds: The number of seeds of the arm, 0 if it has not run.
    """
    ours = scores.metrics.get(entry.metric) if scores else None
    d = low = high = None
    word, reason = _obstacle(study, entry, scores, seeds)
    if not word and scores and ours:
        d, low, high = difference(study, entry, ours, scores.n, seeds)
        word, reason = _judge(low, high, entry.margin, seeds)
        if _identical_test_set(study, entry):
            reason = f"{reason}; identical test set".lstrip("; ")
    if entry.metric == "accuracy" and entry.n and attainable(entry.value, entry.n) is None:
        k = round(entry.value * entry.n)
        reason += f"; {entry.value * 100:.10g} % is no k/{entry.n}: the nearest is {k}/{entry.n} = {k / entry.n:.5f}"
    return Judgment(word, reason.lstrip("; "), d, low, high)


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


def _obstacle(study: Study, entry: Published, scores: Scores | None, seeds: int) -> tuple[str, str]:
    """What forbids a comparison: a word and its reason; both empty if nothing does."""
    ours = scores.metrics.get(entry.metric) if scores else None
    n = scores.n if scores else None
    obstacles = (
        (seeds == 0, "not run", "no metrics.json of this arm"),
        (study.scale in NOT_THE_RECIPE, "not comparable", NOT_THE_RECIPE.get(study.scale, "")),
        (bool(entry.not_comparable), "not comparable", entry.not_comparable or ""),
        (
            ours is None or ours.value is None,
            "not comparable",
            f"{entry.metric} is undefined or not computed here",
        ),
        (
            _identical_test_set(study, entry) and entry.n != n,
            "not comparable",
            f"test items differ: {n} here, {entry.n} published",
        ),
    )
    return next(((word, reason) for holds, word, reason in obstacles if holds), ("", ""))


def difference(study: Study, entry: Published, ours: Estimate, n: int, seeds: int) -> tuple[float, float, float]:
    """Return d = ours − published with its 95 % interval: d, low, high.

    SE² = SE_ours² + SE_published² + s_seed² (1 + 1/m) for m seeds, with a normal quantile.
    On the identical test set both sampling terms go, and the quantile is t's with m − 1 in place of the normal one. The
    rounding of the published number widens the interval, so that the same count of right answers never differs.

    Args:
        study: The study.
        entry: The published number.
        ours: The metric of our test part.
        n: Our number of test items.
        seeds: m.
    """
    d, variance, quantile = ours.numbers[0] - entry.value, math.nan, Z95
    if seeds > 1 and ours.seed_sd is not None:
        variance = ours.seed_sd**2 * (1 + 1 / seeds)
    if _identical_test_set(study, entry):
        quantile = float(t.ppf(0.975, max(seeds - 1, 1)))
    else:
        variance += _sampling_variance(entry, ours, n)
    half = quantile * math.sqrt(variance) + _rounding(entry.value)
    return d, d - half, d + half


def _sampling_variance(entry: Published, ours: Interval, n: int) -> float:
    """SE_ours² + SE_published²; the latter from its interval, else binomial for accuracy, else ours scaled to its n."""
    _, low, high = ours.numbers
    own = ((high - low) / (2 * Z95)) ** 2
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
