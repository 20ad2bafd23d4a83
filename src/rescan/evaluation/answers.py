"""From readings to answers: of a question with two answers, the score of yes and the truth of each row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rescan.evaluation.crossfit import fit_per_row
from rescan.evaluation.levels import LEVELS
from rescan.evaluation.readings import Reading, least_score
from rescan.heads.head import Array
from rescan.heads.multilabel_head import present
from rescan.results.posttraining import FittedPoint
from rescan.study import Outcome
from rescan.study.operating_points import Kind


class Answers(NamedTuple):
    """The rows of a reading, (n,) each."""

    rows: pd.DataFrame
    scores: Array  # a probability, or the grade
    positive: NDArray[np.bool_]

    def where(self, wanted: NDArray[np.bool_]) -> Answers:
        """The rows where `wanted` (n,) is true."""
        return Answers(self.rows[wanted], self.scores[wanted], self.positive[wanted])


def scores_of(reading: Reading, kind: Kind, number: int, classes: int) -> Array | None:
    """The score (n,) of the answer yes: a probability, or the grade; None where a grade does not rank a class.

    Args:
        reading: The rows; their truth need not be known.
        kind: As of a `Question`.
        number: As of a `Question`.
        classes: K.
    """
    if kind == "endpoint" or (kind == "class" and classes == 2 and number == 1):
        return least_score(reading, number)
    return None if reading.log_probabilities is None else np.exp(reading.log_probabilities[:, number])


def answers(reading: Reading, kind: Kind, number: int, classes: int) -> Answers | None:
    """The answers to a question, as for `scores_of`."""
    scores, target = scores_of(reading, kind, number, classes), reading.rows["target"].to_numpy(np.intp)
    if scores is None:
        return None
    positive = present(target, classes)[:, number] if kind == "label" else target == number
    return Answers(reading.rows, scores, target >= number if kind == "endpoint" else positive)


def answers_by_level(levels: dict[str, Reading], outcome: Outcome, kind: Kind, number: int) -> dict[str, Answers]:
    """The answers by level, image and coarser.

    Eyes, studies and patients are read as in `coarser_levels`: of grades, the highest score of their images counts,
    else the mean probability. Whether a patient is of one of several grades cannot be read so, and is left out.
    """
    classes = len(outcome.classes)
    of_image = answers(levels["image"], kind, number, classes)
    if of_image is None:
        return {}
    found = {"image": of_image}
    for level in [name for name in levels if name not in ("patch", "image")]:
        if outcome.ordered:
            if kind == "endpoint" or outcome.positive is not None:
                found[level] = _highest(of_image, level)
        elif (own := answers(levels[level], kind, number, classes)) is not None:
            found[level] = own
    return found


def _highest(images: Answers, level: str) -> Answers:
    """The highest score, and the highest truth, of the images of each unit."""
    numbers = images.rows.groupby(["part", "fold", "seed", *LEVELS[level]], sort=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    scores, positive = np.full(len(first), -np.inf), np.zeros(len(first), bool)
    np.maximum.at(scores, numbers, images.scores)
    np.logical_or.at(positive, numbers, images.positive)
    return Answers(images.rows.iloc[first], scores, positive)


def thresholds_of(point: FittedPoint, rows: pd.DataFrame) -> Array:
    """The threshold of each row (n,), of validation rows the one without their fold; NaN without one."""
    return fit_per_row(point.threshold, rows, crossfit=True)
