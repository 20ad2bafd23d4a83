"""Paired differences of two arms on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from rescan.evaluation.bootstrap import REPLICATES, distributions, percentile
from rescan.evaluation.difference_tests import BOOTSTRAP, p_of
from rescan.evaluation.readings import Reading
from rescan.evaluation.scoring import runs_of
from rescan.evaluation.verdict import Judgment
from rescan.heads.head import Array
from rescan.metrics.intervals import least_half_width
from rescan.metrics.run_rows import RunRows, compute, headline
from rescan.results.posttraining import RunId

UNDEFINED = 0.05  # the share of undefined replicates from which a difference is not judged
SHARED = 0.9  # of the samples that two arms must share to be compared

Runs = dict[RunId, RunRows]


def paired(
    ours: Reading, theirs: Reading, unit: str, classes: int, metrics: Sequence[str], positive: int | None = None
) -> dict[str, Judgment]:
    """Paired differences of two arms on the same samples, with units and seeds resampled.

    Args:
        ours: What is read off an arm's predictions of a part; a row per sample, or whatever `sample` names.
        theirs: That of the arm that it is compared with. Only seeds and samples that both have are used; of each
            seed, the mean over the arm's folds.
        unit: The column of what is resampled together.
        classes: K.
        metrics: Their names; those that the readings have no values for are left out.
        positive: Index of the positive class of two, else None.

    Returns:
        By metric: higher, lower, inconclusive or not comparable, with the difference, its interval and a test.
    """
    samples = [set(reading.rows["sample"]) for reading in (ours, theirs)]
    common, either = samples[0] & samples[1], samples[0] | samples[1]
    if len(common) < SHARED * len(either):
        return dict.fromkeys(metrics, Judgment("not comparable", "the arms' samples differ"))
    seeds = sorted(set(ours.rows["seed"]) & set(theirs.rows["seed"]))
    if not seeds:
        return dict.fromkeys(metrics, Judgment("not comparable", "the arms share no seed"))
    notes = ["one seed: the spread of seeds is not in the interval"] if len(seeds) == 1 else []
    if len(common) < len(either):
        notes.append(f"{len(either) - len(common)} samples that only one arm has are left out")
    ours, theirs = (
        reading.where(reading.rows["sample"].isin(common) & reading.rows["seed"].isin(seeds))
        for reading in (ours, theirs)
    )
    a, b = (runs_of(reading, unit, classes) for reading in (ours, theirs))
    names = [name for name in next(iter(a.values())).defined(metrics) if next(iter(b.values())).defined([name])]
    ones = np.ones((1, len(next(iter(a.values())).features)))
    points = [{run: compute(names, rows, ones) for run, rows in runs.items()} for runs in (a, b)]
    resampled = distributions(names, [*a.values(), *b.values()])
    shares = _drawn_seeds(seeds)
    judgments = {}
    for name in names:
        values = resampled[name]
        values = headline(name, values, positive) if values.ndim == 3 else values
        means = [np.mean([_mean_of_seed(of_runs, name, seed, positive) for seed in seeds]) for of_runs in points]
        difference = _by_seed(values[: len(a)], a, shares) - _by_seed(values[len(a) :], b, shares)
        value, least = float(means[0] - means[1]), least_half_width(name, [*a.values()])
        if np.isnan(value):
            judgments[name] = Judgment("not comparable", "undefined for one of the arms")
            continue
        judgment = _judge(value, difference, least, notes)
        test = p_of(name, ours, theirs, unit, classes, positive, difference)
        low, high = percentile(difference)
        if test.name.startswith(BOOTSTRAP) and judgment.verdict == "inconclusive" and (low > 0 or high < 0):
            test = test._replace(p=None)  # the interval is wider than the replicates say, as there are few units
        judgments[name] = replace(judgment, test=test.name, p=test.p)
    return judgments


def _judge(value: float, difference: Array, least: float, notes: Sequence[str]) -> Judgment:
    """The verdict on a difference, by its interval: that of its replicates (B,), `least` to either side at least."""
    low, high = percentile(difference)
    low, high = min(low, value - least), max(high, value + least)
    word = "higher" if low > 0 else "lower" if high < 0 else "inconclusive"
    reasons = list(notes)
    if (undefined := float(np.isnan(difference).mean())) > UNDEFINED:
        word = "inconclusive"
        reasons.append(f"undefined in {undefined:.0%} of the resamples: the part is too small")
    return Judgment(word, "; ".join(reasons), value, low, high)


def _mean_of_seed(points: dict[RunId, dict[str, Array]], name: str, seed: int, positive: int | None) -> float:
    """The mean of a metric over an arm's folds, of one seed."""
    own = [values[name][0] for run, values in points.items() if run.seed == seed]
    return float(np.mean([headline(name, value, positive) if value.ndim else value for value in own]))


def _drawn_seeds(seeds: list[int]) -> dict[int, Array]:
    """How often each seed counts in each replicate, as a share (B,), when the seeds are drawn with replacement."""
    m = len(seeds)
    drawn = np.random.default_rng(1).multinomial(m, np.full(m, 1 / m), REPLICATES) / m
    return dict(zip(seeds, drawn.T))


def _by_seed(values: Array, runs: Runs, shares: dict[int, Array]) -> Array:
    """The mean over runs (R, B) in each replicate, with the seeds that were drawn for it: (B,)."""
    means = {seed: values[[seed == run.seed for run in runs]].mean(0) for seed in shares}
    return np.asarray(sum(shares[seed] * mean for seed, mean in means.items()))
