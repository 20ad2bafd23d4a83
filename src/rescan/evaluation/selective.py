"""Selective prediction: what an arm scores on the rest, if the images it is least sure of are referred to a human.

It describes the part; nothing is chosen by it.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import logit

from rescan.evaluation.readings import Reading, endpoint
from rescan.metrics import referral
from rescan.metrics.counted import Array, Indices
from rescan.metrics.recalibration import Ends
from rescan.metrics.referral import Answers
from rescan.results.reliability import Range, Referral
from rescan.study import Outcome

DIGITS = 6


def referrals(outcome: Outcome, reading: Reading, unit: str) -> dict[str, Referral]:
    """What is gained by referring images: by question, "" for the arm's own, else an endpoint.

    Of several labels nothing: an image has no one confidence.

    Args:
        outcome: What is predicted.
        reading: Rows of one part, with probabilities.
        unit: The column of what is drawn together.
    """
    if outcome.multilabel:
        return {}
    of_endpoints = {
        name: _referral(endpoint(reading, outcome.classes.index(lowest)), unit, 1)
        for name, lowest in outcome.endpoints.items()
    }
    return {"": _referral(reading, unit, outcome.positive), **of_endpoints}


def _referral(reading: Reading, unit: str, positive: int | None) -> Referral:
    if reading.log_probabilities is None:
        raise ValueError("only images with a confidence are referred")
    target = reading.rows["target"].to_numpy(np.intp)
    confidence = _confidence(reading.log_probabilities, reading.lowest)
    answers = Answers(reading.predicted == target, confidence, *units_and_runs(reading, unit))
    parts = referral.kept(answers)
    accuracy = referral.accuracies(answers, parts)
    target_accuracy = 1 - (1 - accuracy[0].value) / 2
    needed, surely = referral.needed(accuracy, target_accuracy)
    sides = [] if positive is None else [target == positive, target != positive]
    of_sides = [[range_of(ends) for ends in referral.accuracies(answers, parts, side)] for side in sides]
    return Referral(
        referred=referral.REFERRED.tolist(),
        accuracy=[range_of(ends) for ends in accuracy],
        sensitivity=of_sides[0] if sides else [],
        specificity=of_sides[1] if sides else [],
        target=target_accuracy,
        needed=needed,
        surely_needed=surely,
        gain=range_of(referral.area_gain(answers, parts)),
    )


def _confidence(log_probabilities: Array, lowest: Array | None) -> Array:
    """How sure each row (n,) is: its largest probability, or how far it is from the threshold between two classes."""
    largest: Array = log_probabilities.max(1)
    if lowest is None or np.isnan(lowest).any():
        return largest
    return np.abs(log_probabilities[:, 1] - log_probabilities[:, 0] - logit(lowest))


def units_and_runs(reading: Reading, unit: str) -> tuple[Indices, Indices]:
    """The numbers, from 0, of each row's unit and run: (n,) each."""
    rows = reading.rows
    units = np.unique(rows[unit].to_numpy(str), return_inverse=True)[1]
    runs = rows.groupby(["fold", "seed"]).ngroup().to_numpy()
    return units.astype(np.intp), runs.astype(np.intp)


def range_of(ends: Ends) -> Range:
    """A value and its interval as they are written."""
    value, low, high = (None if math.isnan(end) else round(float(end), DIGITS) for end in ends)
    return Range(value=value, low=low, high=high)
