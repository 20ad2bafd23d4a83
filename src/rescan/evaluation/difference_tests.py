"""The p of a paired difference: by McNemar or DeLong where rows are independent, else by the bootstrap; Holm's family.

The effect and its interval come first: a test adds how surprising the difference would be if there were none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import binomtest

from rescan.evaluation.readings import Reading
from rescan.heads.head import Array
from rescan.metrics.delong import delong

OF_ROWS = {"accuracy": "all", "sensitivity": "positive", "specificity": "negative"}  # the rows that McNemar's is about

BOOTSTRAP = "bootstrap"


class PValue(NamedTuple):
    """A test in words, with what limits it in parentheses, and its two-sided p; None where it has none."""

    name: str
    p: float | None


def exact_test(name: str) -> str:
    """The test of independent rows that a metric has; "" if it has none."""
    return "McNemar" if name in OF_ROWS else "DeLong" if name == "auroc" else ""


def p_of(
    name: str, ours: Reading, theirs: Reading, unit: str, classes: int, positive: int | None, replicates: Array
) -> PValue:
    """Test a paired difference.

    Args:
        name: The metric.
        ours: An arm's readings of a part, of any runs.
        theirs: The other arm's.
        unit: The column of what is resampled together.
        classes: K.
        positive: Index of the positive class of two, else None.
        replicates: (B,) the bootstrap's differences.
    """
    test = exact_test(name)
    if ours.multilabel or (test and name != "accuracy" and positive is None) or (name == "auroc" and classes > 2):
        test = ""
    if not test:
        return bootstrapped(replicates)
    if _repeats(ours, unit) or _repeats(theirs, unit):
        return bootstrapped(replicates, f"several rows of a {unit}")
    pairs = _paired_runs(ours, theirs)
    if not pairs:
        return bootstrapped(replicates, "no run of the same fold and seed")
    results = [_mcnemar(name, *pair, positive) if test == "McNemar" else _delong(*pair, positive) for pair in pairs]
    ps = [p for p, _ in results]
    if any(math.isnan(p) for p in ps):
        return PValue(f"{test} is undefined here", None)
    limits = [", ".join(count for _, count in results if count), "patients unknown" if unit == "group" else ""]
    name = f"{test} of {len(ps)} runs" if len(ps) > 1 else test
    name += f" ({inside})" if (inside := "; ".join(filter(None, limits))) else ""
    # Runs share their rows. Twice the mean of their p holds however they depend on each other (Vovk and Wang 2020).
    return PValue(name, ps[0] if len(ps) == 1 else min(1.0, 2 * float(np.mean(ps))))


def bootstrapped(replicates: Array, why: str = "") -> PValue:
    """The bootstrap's p: twice the share of replicates (B,) on the rarer side of no difference.

    Args:
        replicates: The differences.
        why: Why there is no other test.
    """
    defined = replicates[~np.isnan(replicates)]
    if not len(defined):
        return PValue("", None)
    fewer = min(int((defined <= 0).sum()), int((defined >= 0).sum()))
    return PValue(f"{BOOTSTRAP} ({why})" if why else BOOTSTRAP, min(1.0, 2 * (fewer + 1) / (len(defined) + 1)))


def holm(ps: Sequence[float | None]) -> list[float | None]:
    """Holm's adjusted p of a family (Holm 1979): rejecting those below α errs in any of them with probability ≤ α."""
    family = sorted((p, place) for place, p in enumerate(ps) if p is not None)
    adjusted: list[float | None] = [None] * len(ps)
    highest = 0.0
    for rank, (p, place) in enumerate(family):
        highest = max(highest, min(1.0, (len(family) - rank) * p))
        adjusted[place] = highest
    return adjusted


def _repeats(reading: Reading, unit: str) -> bool:
    """Whether a run has several rows of a unit, which are not independent."""
    return bool(reading.rows.duplicated(["fold", "seed", unit]).any())


def _paired_runs(ours: Reading, theirs: Reading) -> list[tuple[Reading, Reading]]:
    """The two arms' rows of each run that both have, the same samples in the same order."""
    runs = [{*zip(of.rows["fold"].tolist(), of.rows["seed"].tolist())} for of in (ours, theirs)]
    pairs = []
    for fold, seed in sorted(runs[0] & runs[1]):
        one, other = (
            _in_order(of.where((of.rows["fold"] == fold) & (of.rows["seed"] == seed))) for of in (ours, theirs)
        )
        if one.rows["sample"].tolist() == other.rows["sample"].tolist():
            pairs.append((one, other))
    return pairs


def _in_order(reading: Reading) -> Reading:
    order = np.argsort(reading.rows["sample"].to_numpy(str), kind="stable")
    logs = reading.log_probabilities
    return reading._replace(
        rows=reading.rows.iloc[order],
        predicted=reading.predicted[order],
        grade=reading.grade[order],
        log_probabilities=None if logs is None else logs[order],
    )


def _mcnemar(name: str, ours: Reading, theirs: Reading, positive: int | None) -> tuple[float, str]:
    """McNemar's exact p, and in how many rows one arm alone is right, to the other."""
    target = ours.rows["target"].to_numpy()
    chosen = {"all": np.full(len(target), True), "positive": target == positive, "negative": target != positive}
    rows = chosen[OF_ROWS[name]]
    right, other = ((of.predicted == target)[rows] for of in (ours, theirs))
    wins, losses = int((right & ~other).sum()), int((~right & other).sum())
    return (float(binomtest(wins, wins + losses).pvalue) if wins + losses else 1.0), f"{wins} to {losses}"


def _delong(ours: Reading, theirs: Reading, positive: int | None) -> tuple[float, str]:
    """DeLong's p of the positive class; a grade ranks the rows where there are no probabilities."""
    scores = [of.grade if of.log_probabilities is None else of.log_probabilities[:, positive] for of in (ours, theirs)]
    return delong(ours.rows["target"].to_numpy() == positive, scores[0], scores[1]).p, ""
