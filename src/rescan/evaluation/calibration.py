"""How well an arm's probabilities are calibrated, before and after its temperature: each class, label and endpoint."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from rescan.evaluation.part_scores import PartReadings
from rescan.evaluation.posttrain import BOUNDS
from rescan.evaluation.readings import Reading, endpoint
from rescan.evaluation.scoring import of_part
from rescan.evaluation.selective import range_of, referrals, units_and_runs
from rescan.heads.multilabel_head import present
from rescan.metrics import recalibration
from rescan.metrics.counted import Array
from rescan.metrics.recalibration import Forecast
from rescan.results.posttraining import Posttraining
from rescan.results.reliability import Calibration, Confidence, MassBin, Reliability
from rescan.study import Outcome

Kind = Literal["class", "label", "endpoint"]
NEAR = 1e-3  # of a temperature's logarithm to that of a bound
AT_BOUND = (  # what a temperature at the lower bound means, and at the upper one
    "validation has too few errors to hold it back, so the probabilities of new images may be too extreme",
    "validation fits best where all classes are as probable, so the probabilities tell next to nothing",
)


def confidence(outcome: Outcome, posttraining: Posttraining, read: PartReadings, parts: Sequence[str]) -> Confidence:
    """What the probabilities of some parts are worth, by image; nothing where there are none.

    Args:
        outcome: What is predicted.
        posttraining: What was fitted.
        read: The readings of the parts.
        parts: The parts; those without a row are left out.
    """
    if read.images.log_probabilities is None:
        return Confidence()
    tempered = posttraining.head in posttraining.temperatures
    result = Confidence()
    for part in parts:
        after, before = (of_part(reading, part) for reading in (read.images, read.softmax))
        if not after.rows.empty:
            result.calibration[part] = calibrations(outcome, after, before if tempered else None, read.unit)
            result.referral[part] = referrals(outcome, after, read.unit)
    return result


def calibrations(outcome: Outcome, after: Reading, before: Reading | None, unit: str) -> dict[str, Calibration]:
    """The calibration of each class, or of the positive one of two, or of each label; and of each endpoint.

    Args:
        outcome: What is predicted.
        after: The rows as the arm is read.
        before: The same without its temperature, if it has one.
        unit: The column of what is drawn together.
    """
    found = {}
    for (name, kind, forecast), other in zip(
        _forecasts(outcome, after, unit), _forecasts(outcome, after if before is None else before, unit)
    ):
        found[name] = Calibration(
            kind=kind,
            n=len(forecast.present),
            present=int(forecast.present.sum()),
            groups=forecast.units,
            after=_reliability(forecast),
            before=None if before is None else _reliability(other[2]),
            undefined=recalibration.without_slope(forecast),
        )
    return found


def bound_warnings(posttraining: Posttraining) -> list[str]:
    """Sentences about temperatures that ended at a bound of their fit: beyond it, validation would fit better still."""
    sentences = []
    for head, fits in posttraining.temperatures.items():
        for bound, end, why in zip(BOUNDS, ("lower", "upper"), AT_BOUND):
            ended = [abs(math.log(fit / bound)) < NEAR for fit in (fits.whole, *fits.crossfit)]
            if any(ended):
                some = f"{sum(ended)} of {len(fits.crossfit)} cross-fitted temperatures"
                of = "the temperature" if ended[0] else some
                sentences.append(f"{of} of the {head} head ended at the {end} bound of the fit, {bound:g}: {why}")
    return sentences


def _forecasts(outcome: Outcome, reading: Reading, unit: str) -> Iterator[tuple[str, Kind, Forecast]]:
    """What is forecast: its name, its kind, and the rows."""
    target = reading.rows["target"].to_numpy(np.intp)
    probabilities = np.exp(_log_probabilities(reading))
    units, runs = units_and_runs(reading, unit)
    classes = len(outcome.classes)
    truths = present(target, classes) if outcome.multilabel else target[:, None] == np.arange(classes)
    for number, label in enumerate(outcome.classes):
        if outcome.positive in (None, number):
            kind: Kind = "label" if outcome.multilabel else "class"
            yield label, kind, Forecast(probabilities[:, number], truths[:, number], units, runs)
    for name, lowest in outcome.endpoints.items():
        of_two = endpoint(reading, outcome.classes.index(lowest))
        probability = np.exp(_log_probabilities(of_two))[:, 1]
        yield name, "endpoint", Forecast(probability, of_two.rows["target"].to_numpy() == 1, units, runs)


def _log_probabilities(reading: Reading) -> Array:
    if reading.log_probabilities is None:
        raise ValueError("only probabilities are calibrated")
    return reading.log_probabilities


def _reliability(forecast: Forecast) -> Reliability:
    bins = recalibration.bin_numbers(forecast)
    return Reliability(
        bins=[
            MassBin(**{**mass._asdict(), "observed": range_of(mass.observed)})
            for mass in recalibration.masses(forecast, bins)
        ],
        ece=range_of(recalibration.calibration_error(forecast, bins)),
        brier=range_of(recalibration.brier(forecast)),
        slope=range_of(recalibration.slope(forecast)),
        intercept=range_of(recalibration.intercept(forecast)),
    )
