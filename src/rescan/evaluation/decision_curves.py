"""Precision-recall and decision curves of an arm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from rescan.evaluation.answers import answers_by_level
from rescan.evaluation.bootstrap import percentile, resamples
from rescan.evaluation.part_scores import PartReadings
from rescan.evaluation.scoring import of_part
from rescan.metrics.counted import Array
from rescan.metrics.sweep import Sweep, accumulated, places, sweep
from rescan.results.decisions import NetBenefit, PrCurve
from rescan.results.posttraining import RunId
from rescan.study import Outcome
from rescan.study.operating_points import questions

CURVE_POINTS = 200
PROBABILITIES = np.arange(1, 50) / 50  # that a decision may ask for


def decision_curves(
    outcome: Outcome, read: PartReadings, run: RunId, parts: tuple[str, ...] = ("test",)
) -> dict[str, Any]:
    """`precision_recall` and `net_benefit` of a `Decisions`, by image.

    Args:
        outcome: What is predicted.
        read: The readings of all parts.
        run: The one whose precision-recall curves are drawn.
        parts: The parts.
    """
    of_pr: dict[str, dict[str, PrCurve]] = {}
    of_benefit: dict[str, dict[str, NetBenefit]] = {}
    for part in parts:
        images = of_part(read.images, part)
        for name, question in questions(outcome).items() if not images.rows.empty else ():
            own = answers_by_level({"image": images}, outcome, question.kind, question.number).get("image")
            if own is None:
                continue
            rows = own.rows
            names, units = np.unique(rows[read.unit].to_numpy(str), return_inverse=True)
            runs = {
                key: sweep(own.scores[chosen], own.positive[chosen], units[chosen])
                for key, chosen in sorted(rows.groupby(["fold", "seed"]).indices.items())
            }
            curve = precision_recall(runs[run.fold, run.seed])
            if curve:
                of_pr.setdefault(part, {})[name] = curve
            of_two = question.kind == "endpoint" or outcome.positive is not None
            if curve and of_two and images.log_probabilities is not None:
                of_benefit.setdefault(part, {})[name] = net_benefit(runs, len(names))
    return {"precision_recall": of_pr, "net_benefit": of_benefit}


def precision_recall(rows: Sweep) -> PrCurve | None:
    """Precision and recall at every score, at 200 points at most; None without a positive or another row."""
    if rows.positive.all() or not rows.positive.any():
        return None
    hits, alarms = (side[0] for side in accumulated(rows, np.ones((1, int(rows.unit.max()) + 1))))
    ends = np.flatnonzero(np.diff(rows.scores, append=-np.inf)) + 1
    chosen = ends[np.unique(np.linspace(0, len(ends) - 1, CURVE_POINTS).astype(int))]
    recall, precision = hits[chosen] / hits[-1], hits[chosen] / (hits[chosen] + alarms[chosen])
    return PrCurve(
        recall=recall.round(5).tolist(),
        precision=precision.round(5).tolist(),
        prevalence=float(rows.positive.mean()),
    )


def net_benefit(runs: Mapping[Any, Sweep], units: int) -> NetBenefit:
    """The decision curve: mean over runs; the interval is the bootstrap's percentile one over units, of each point."""
    odds = PROBABILITIES / (1 - PROBABILITIES)
    taken = [(rows, places(rows, PROBABILITIES)) for rows in runs.values()]

    def benefit(weights: Array) -> Array:
        of_runs = []
        for rows, chosen in taken:
            hits, alarms = accumulated(rows, weights)
            everything = hits[:, -1:] + alarms[:, -1:]
            of_runs.append((hits[:, chosen] - odds * alarms[:, chosen]) / np.maximum(everything, 1))
        return np.asarray(np.mean(of_runs, axis=0))

    model = benefit(np.ones((1, units)))[0]
    drawn = np.concatenate([benefit(weights) for weights in resamples(units, max(len(r.scores) for r, _ in taken))])
    limits = np.array([percentile(values) for values in drawn.T])
    share = float(np.mean([rows.positive.mean() for rows, _ in taken]))
    return NetBenefit(
        thresholds=PROBABILITIES.round(4).tolist(),
        model=model.round(5).tolist(),
        low=limits[:, 0].round(5).tolist(),
        high=limits[:, 1].round(5).tolist(),
        treat_all=(share - (1 - share) * odds).round(5).tolist(),
    )
