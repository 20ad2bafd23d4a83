"""How often intervals at operating points hold: `python -m tests.point_coverage` prints the table of docs/intervals.md.

Validation and test patients are drawn anew in every simulation. The truth is what the rule reaches on average: the
thresholds of all simulated validation parts, applied to a part of 20,000 patients.
"""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from rescan.evaluation.answers import Answers
from rescan.evaluation.point_fitting import _fitted
from rescan.evaluation.point_scores import _score
from rescan.results.decisions import AtPoint
from rescan.results.posttraining import CROSSFIT
from rescan.study.operating_points import OperatingPoint, Question

QUESTION = Question("ill", "class", 1)
PREVALENCE, SHIFT, DECLARED = 0.3, 1.5, 0.05
RULES: tuple[dict[str, Any], ...] = ({"sensitivity": 0.9}, {"youden": True}, {"threshold": 0.5})


class Case(NamedTuple):
    """Numbers of patients of the two parts, images of each and runs over them, and the rule."""

    validation: int
    test: int
    images: int
    runs: int
    rule: dict[str, Any]


def drawn(rng: np.random.Generator, patients: int, images: int = 1, runs: int = 1) -> Answers:
    """Answers whose scores correlate by .4 in a patient's images, and by .8 in the runs of an image."""
    positive = rng.random(patients) < PREVALENCE
    names = np.arange(patients).astype(str)
    own = rng.normal(size=patients)
    tables, scores = [], []
    for image in range(images):
        of_image = rng.normal(size=patients)
        for run in range(runs):
            score = np.sqrt([0.4, 0.4, 0.2]) @ np.stack([own, of_image, rng.normal(size=patients)])
            scores.append(norm.cdf(score + SHIFT * positive - SHIFT / 2))
            keys = {"sample": [f"{name}_{image}" for name in names], "group": names, "patient": names}
            tables.append(pd.DataFrame({"part": "test", "fold": 0, "seed": run, **keys}))
    return Answers(pd.concat(tables, ignore_index=True), np.concatenate(scores), np.tile(positive, images * runs))


def cover(case: Case, simulations: int, seed: int = 0) -> tuple[dict[str, float], list[dict[str, AtPoint]]]:
    """The share of simulations whose interval covers the truth, by metric; and what each simulation found."""
    rng = np.random.default_rng(seed)
    point = OperatingPoint(**case.rule, prevalence=DECLARED)
    everyone, fits, found = drawn(rng, 20_000), [], []
    for _ in range(simulations):
        validation = drawn(rng, case.validation, case.images, case.runs)
        read = dict.fromkeys([None, *range(CROSSFIT)], validation)
        fitted = _fitted(point, QUESTION, read, validation, graded=False)
        if fitted.threshold.whole is not None:
            fits.append(fitted.threshold.whole)
            level = _score(fitted, drawn(rng, case.test, case.images, case.runs), "image", "patient")
            found.append(level.metrics)
    ill, well = (np.sort(everyone.scores[everyone.positive == side]) for side in (True, False))
    sensitivity, specificity = 1 - np.searchsorted(ill, fits) / len(ill), np.searchsorted(well, fits) / len(well)
    truth = {"sensitivity": sensitivity, "specificity": specificity}
    truth["ppv"], truth["npv"] = predictive(sensitivity, specificity, PREVALENCE)
    truth["ppv_at_prevalence"], truth["npv_at_prevalence"] = predictive(sensitivity, specificity, DECLARED)
    shares = {}
    for name, values in truth.items():
        ends = [(own[name].low, own[name].high) for own in found if own[name].value is not None]
        shares[name] = float(np.mean([low <= values.mean() <= high for low, high in ends]))
    return shares, found


def predictive(sensitivity: np.ndarray, specificity: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """PPV and NPV at a prevalence."""
    ill, well = share * sensitivity, (1 - share) * specificity
    return ill / (ill + (1 - share) * (1 - specificity)), well / (well + share * (1 - sensitivity))


if __name__ == "__main__":
    for sizes, copies, rule in itertools.product([(30, 60), (60, 200), (200, 400)], [(1, 1), (2, 2)], RULES):
        shares, _ = cover(Case(*sizes, *copies, rule), 150)
        cells = " | ".join(f"{share:.3f}" for share in shares.values())
        size = f"{sizes[0]}, {sizes[1]} | {copies[0]} × {copies[1]}"
        print(f"| {size} | {OperatingPoint(**rule).name} | {cells} |", flush=True)  # noqa: T201
