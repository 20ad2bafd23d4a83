"""Paired differences of two arms on the same samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import binomtest

from rescan.evaluation.bootstrap import REPLICATES, distributions, percentile
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


def paired(ours: Reading, theirs: Reading, unit: str, classes: int, metrics: Sequence[str]) -> dict[str, Judgment]:
    """Paired differences of two arms on the same samples, with units and seeds resampled.

    Args:
        ours: What is read off an arm's predictions of a part, by sample.
        theirs: That of the arm that it is compared with. Only seeds and samples that both have are used; of each
            seed, the mean over the arm's folds.
        unit: The column of what is resampled together.
        classes: K.
        metrics: Their names.

    Returns:
        By metric: higher, lower, inconclusive or not comparable. The reason holds, for accuracy on the test part,
        McNemar's exact test of the first run where every unit has one row.
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
    a, b = (
        runs_of(reading.where(reading.rows["sample"].isin(common) & reading.rows["seed"].isin(seeds)), unit, classes)
        for reading in (ours, theirs)
    )
    mcnemar = _mcnemar_of_first(a, b) if ours.rows["part"].iloc[0] == "test" else ""
    ones = np.ones((1, len(next(iter(a.values())).features)))
    points = [{run: compute(metrics, rows, ones) for run, rows in runs.items()} for runs in (a, b)]
    resampled = distributions(metrics, [*a.values(), *b.values()])
    shares = _drawn_seeds(seeds)
    judgments = {}
    for name in metrics:
        values = resampled[name]
        values = headline(name, values, None) if values.ndim == 3 else values
        means = [np.mean([_mean_of_seed(of_runs, name, seed) for seed in seeds]) for of_runs in points]
        difference = _by_seed(values[: len(a)], a, shares) - _by_seed(values[len(a) :], b, shares)
        low, high = percentile(difference)
        value, least = float(means[0] - means[1]), least_half_width(name, [*a.values()])
        low, high = min(low, value - least), max(high, value + least)
        word = "higher" if low > 0 else "lower" if high < 0 else "inconclusive"
        reasons = list(notes)
        if (undefined := float(np.isnan(difference).mean())) > UNDEFINED:
            word = "inconclusive"
            reasons.append(f"undefined in {undefined:.0%} of the resamples: the test part is too small")
        reasons += [mcnemar] if name == "accuracy" and mcnemar else []
        judgments[name] = Judgment(word, "; ".join(reasons), value, low, high)
    return judgments


def _mean_of_seed(points: dict[RunId, dict[str, Array]], name: str, seed: int) -> float:
    """The mean of a metric over an arm's folds, of one seed."""
    return float(np.mean([np.mean(values[name]) for run, values in points.items() if run.seed == seed]))


def _drawn_seeds(seeds: list[int]) -> dict[int, Array]:
    """How often each seed counts in each replicate, as a share (B,), when the seeds are drawn with replacement."""
    m = len(seeds)
    drawn = np.random.default_rng(1).multinomial(m, np.full(m, 1 / m), REPLICATES) / m
    return dict(zip(seeds, drawn.T))


def _by_seed(values: Array, runs: Runs, shares: dict[int, Array]) -> Array:
    """The mean over runs (R, B) in each replicate, with the seeds that were drawn for it: (B,)."""
    means = {seed: values[[seed == run.seed for run in runs]].mean(0) for seed in shares}
    return np.asarray(sum(shares[seed] * mean for seed, mean in means.items()))


def _mcnemar_of_first(ours: Runs, theirs: Runs) -> str:
    """McNemar's exact test of the first runs, if these are the same of both arms and have one row per unit."""
    run, rows = next(iter(ours.items()))
    if run != next(iter(theirs)) or len(rows.features) != len(rows.target):
        return ""
    right = [(one.predicted == one.target)[np.argsort(one.unit)] for one in (rows, theirs[run])]
    wins, losses = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    p = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return f"fold {run.fold}, seed {run.seed}: McNemar {wins} to {losses}, p = {p:.3g}"
