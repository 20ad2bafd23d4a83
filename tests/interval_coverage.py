"""`python -m tests.interval_coverage [SIMULATIONS]`: how often the intervals cover the truth, for docs/intervals.md.

A patient has one label and one to four images. A network's score of an image is normal: the label's shift, what the
patient's images share (the intraclass correlation), what all networks make of the image, and noise. So the truth of
every metric is known, but for two that a million images give.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import defaultdict
from functools import cache, partial
from typing import NamedTuple
from unittest import mock

import numpy as np
from scipy.stats import norm

from rescan.data.pool import pooled
from rescan.evaluation import bootstrap
from rescan.evaluation.bootstrap import distributions, estimate, percentile
from rescan.metrics.run_rows import RunRows, compute, headline, prepare

METRICS = (
    *("accuracy", "balanced_accuracy", "sensitivity", "specificity", "ppv", "npv", "kappa", "mcc", "macro_f1"),
    *("auroc", "auprc", "brier", "loss"),
)
BY_NUMBER = ("auprc", "brier", "loss")
REPLICATES = 300
SHARED = 0.6  # of what is not the patient's: what all networks make of an image


class Case(NamedTuple):
    """A test part and its networks."""

    patients: int
    images: int  # of a patient, at most
    correlation: float  # of the scores of a patient's images
    prevalence: float
    shift: float  # of the positive images' scores, in standard deviations
    runs: int


GRID = [
    Case(patients, images, correlation, prevalence, shift, runs)
    for patients, (images, correlation), prevalence, shift, runs in itertools.product(
        (10, 20, 50, 100, 500), ((1, 0.0), (4, 0.5)), (0.05, 0.2, 0.5), (1.5, 3.0), (1, 5)
    )
    if patients * prevalence >= 1
]


def draw(case: Case, rng: np.random.Generator) -> list[RunRows]:
    """The rows of each run."""
    sizes = rng.integers(1, case.images + 1, case.patients)
    unit = np.repeat(np.arange(case.patients), sizes)
    target = (rng.random(case.patients) < case.prevalence)[unit].astype(int)
    of_patient, of_image = rng.normal(size=case.patients)[unit], rng.normal(size=len(unit))
    runs = []
    for _ in range(case.runs):
        own = math.sqrt(SHARED) * of_image + math.sqrt(1 - SHARED) * rng.normal(size=len(unit))
        noise = math.sqrt(case.correlation) * of_patient + math.sqrt(1 - case.correlation) * own
        logit = 2 * (case.shift * target + noise - case.shift / 2)
        log_probabilities = np.stack([-np.logaddexp(0, logit), -np.logaddexp(0, -logit)], axis=1)
        runs.append(prepare(target, (logit > 0).astype(int), unit, case.patients, 2, log_probabilities))
    return runs


@cache
def truth(prevalence: float, shift: float) -> dict[str, float]:
    """Every metric of endless data."""
    right = float(norm.cdf(shift / 2))  # sensitivity and specificity
    tp, fn = prevalence * right, prevalence * (1 - right)
    fp, tn = (1 - prevalence) * (1 - right), (1 - prevalence) * right
    positive = tp + fp
    chance = prevalence * positive + (1 - prevalence) * (1 - positive)
    many = draw(Case(1_000_000, 1, 0, prevalence, shift, 1), np.random.default_rng(0))[0]
    return {
        "accuracy": right,
        "balanced_accuracy": right,
        "sensitivity": right,
        "specificity": right,
        "ppv": tp / positive,
        "npv": tn / (tn + fn),
        "kappa": (right - chance) / (1 - chance),
        "mcc": (tp * tn - fp * fn) / math.sqrt(prevalence * (1 - prevalence) * positive * (1 - positive)),
        "macro_f1": tp / (2 * tp + fp + fn) + tn / (2 * tn + fp + fn),
        "auroc": float(norm.cdf(shift / math.sqrt(2))),
        **{
            name: float(headline(name, values[0], 1)) if values.ndim == 2 else float(values[0])
            for name, values in compute(BY_NUMBER, many, np.ones((1, 1_000_000))).items()
        },
    }


def cover(case: Case, simulations: int, metrics: tuple[str, ...] = METRICS) -> dict[str, tuple[float, float]]:
    """The share of intervals that cover the truth, by metric: Rescan's, and the bootstrap's percentile interval."""
    rng, right = np.random.default_rng([case.patients, case.runs, int(100 * case.prevalence)]), truth(*case[3:5])
    covered: dict[str, list[tuple[bool, bool]]] = defaultdict(list)
    for _ in range(simulations):
        runs = draw(case, rng)
        kept = {}

        def keep(*arguments: object, kept: dict = kept) -> dict:
            kept.update(distributions(*arguments, REPLICATES))
            return kept

        with mock.patch.object(bootstrap, "distributions", keep):
            estimates = estimate(metrics, runs, range(case.runs), ("no", "yes"), 1)
        for name, entry in estimates.items():
            if entry.value is None:
                continue
            values = kept[name] if kept[name].ndim == 2 else headline(name, kept[name], 1)
            ends = ((entry.low, entry.high), percentile(values.mean(0)))
            covered[name].append(tuple(low <= right[name] <= high for low, high in ends))
    return {name: tuple(np.mean(of_metric, axis=0).tolist()) for name, of_metric in covered.items()}


def main(simulations: int) -> None:
    """Print two tables: the metrics over all cases, and the cases over all metrics."""
    found = list(pooled(partial(cover, simulations=simulations), GRID, 2, "cases"))
    print(f"{len(GRID)} cases, {simulations} simulations each\n")  # noqa: T201
    print("| metric | lowest | 5 % of the cases below | median | highest | percentile interval: lowest | median |")  # noqa: T201
    print("|---|--:|--:|--:|--:|--:|--:|")  # noqa: T201
    for name in METRICS:
        ours, plain = np.array([of_case[name] for of_case in found if name in of_case]).T
        numbers = (ours.min(), np.percentile(ours, 5), np.median(ours), ours.max(), plain.min(), np.median(plain))
        print(f"| {name} | {' | '.join(f'{number:.3f}' for number in numbers)} |")  # noqa: T201
    print("\n| patients | runs | lowest | median | highest |\n|--:|--:|--:|--:|--:|")  # noqa: T201
    groups = defaultdict(list)
    for case, of_case in zip(GRID, found):
        groups[case.patients, case.runs] += [ours for name, (ours, _) in of_case.items() if name != "loss"]
    for (patients, runs), values in groups.items():
        numbers = (min(values), np.median(values), max(values))
        print(f"| {patients} | {runs} | {' | '.join(f'{number:.3f}' for number in numbers)} |")  # noqa: T201


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
