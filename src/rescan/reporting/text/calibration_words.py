"""Sentences about what an arm's probabilities are worth: their calibration, and what referring unsure images gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rescan.reporting.text.words import Quantity, Value, interval, listed, number, several, spaced
from rescan.results.metrics_file import Metrics
from rescan.results.posttraining import Posttraining
from rescan.results.reliability import Calibration, Referral

FIGURE = (
    "Each point is a tenth of the predictions, or more where images are few, with the 95 % interval of its share. "
    "Below the line, the class is rarer than the probability says."
)
TABLE = (
    "Slope and intercept are of the arm's probabilities, after its temperature: a slope below 1 means too extreme, an "
    "intercept above 0 too low on average. ECE is the mean distance of observed shares from probabilities, without "
    "what chance adds to it; the ECE among the metrics is of the predicted class's probability, and too large of few "
    "images. “Before” is of the network's own probabilities."
)
SEVERAL_LABELS = "An image with several labels has no one confidence: nothing is said about referring images."
READ_AT = 0.2  # the share referred that the sentence is about


def without_probabilities(head: str) -> str:
    """Why nothing is said of an arm."""
    return f"The arm is read from the {head}, which gives no probabilities of classes."


def temperature(metrics: Metrics, fitted: Posttraining | None) -> str:
    """Which temperature the probabilities were made with, and what it does to them; "" without one."""
    fits = fitted.temperatures.get(metrics.head) if fitted else None
    if fits is None or fitted is None:
        return ""
    if not fitted.n:
        return "Without a validation part there is no temperature: the probabilities are the network's own."
    if fits.whole == 1:
        return "On validation all temperatures are equally good: the probabilities are the network's own."
    effect = "less" if fits.whole > 1 else "more"
    return f"The temperature {number(fits.whole, 2)}, fitted on validation, makes the probabilities {effect} extreme."


def reading(calibrations: Mapping[str, Calibration], titles: Mapping[str, str]) -> Iterator[str]:
    """What slopes, intercepts and calibration errors show.

    Args:
        calibrations: By outcome.
        titles: Their names in a sentence.
    """
    faults = {name: list(_faults(one)) for name, one in calibrations.items()}
    shown = [f"{titles[name]} ({listed(of)})" for name, of in faults.items() if of]
    if shown:
        yield f"Shown to be miscalibrated: {listed(shown)}."
    if others := [titles[name] for name, of in faults.items() if not of]:
        more = "the others" if shown and len(others) > 1 else listed(others)
        yield f"Of {more}, no miscalibration is shown, which does not prove that there is none."
    for name, one in calibrations.items():
        if one.undefined:
            yield f"{titles[name]} has no slope: of {several(one.n, 'prediction')}, {one.undefined}."


def _faults(one: Calibration) -> Iterator[str]:
    """What is wrong with the probabilities of an outcome, as far as the intervals show it."""
    slope, intercept, error = one.after.slope, one.after.intercept, one.after.ece
    if slope.high is not None and slope.high < 1:
        yield "too extreme"
    if slope.low is not None and slope.low > 1:
        yield "not extreme enough"
    if intercept.high is not None and intercept.high < 0:
        yield "too high on average"
    if intercept.low is not None and intercept.low > 0:
        yield "too low on average"
    if one.undefined and error.low:
        yield f"off by {number(error.low)} at least"


def referral(name: str, one: Referral, noun: str) -> str:
    """What is gained if the least sure images are referred to a human.

    Args:
        name: The endpoint; "" for the arm's own question.
        one: The curve.
        noun: What is scored, such as image.
    """
    place = one.referred.index(READ_AT)
    now, then = one.accuracy[0], one.accuracy[place]
    of = f"{spaced(name)}: if" if name else "If"
    gain = (
        f"{of} the {_whole(READ_AT)} of {noun}s that each network is least sure of are referred to a human, accuracy "
        f"on the rest is {_with_interval(then)} instead of {_with_interval(now)}."
    )
    return " ".join([gain, _needed(one), _order(one)])


def _needed(one: Referral) -> str:
    if one.accuracy[0].value == 1:
        return "There is no error to avoid."
    if one.needed is None:
        return f"No share up to {_whole(one.referred[-1])} halves the error rate."
    surely = f"; its interval stays there from {_whole(one.surely_needed)} on" if one.surely_needed else ""
    return f"To halve the error rate, {_whole(one.needed)} must be referred{surely}."


def _order(one: Referral) -> str:
    """Whether the confidence says anything about errors."""
    gain = one.gain
    if gain.low is None or gain.high is None or gain.value is None:
        return ""
    verdict = "better than" if gain.low > 0 else "worse than" if gain.high < 0 else "not shown to be better than"
    lower = gain.value >= 0
    size = gain if lower else Value(-gain.value, -gain.high, -gain.low)
    return (
        f"Its order is {verdict} a random one: averaged over all shares, the error rate of the rest is "
        f"{_with_interval(size)} {'lower' if lower else 'higher'}."
    )


def _whole(share: float) -> str:
    return f"{share:.0%}".replace("%", " %")


def _with_interval(quantity: Quantity) -> str:
    return f"{number(quantity.value)} {interval(quantity)}".rstrip()
