"""In `metrics.json`: how well probabilities are calibrated, and what is gained by referring unsure images."""

from __future__ import annotations

from typing import Literal, Optional

from rescan.results.json_result import Part


class Range(Part):
    """A value with its 95 % interval; None where undefined."""

    value: Optional[float]
    low: Optional[float]
    high: Optional[float]


class MassBin(Part):
    """Rows of neighboring probabilities: about equally many in each bin.

    Attributes:
        rows: How many, of all runs together.
        lowest: Their lowest probability.
        highest: Their highest.
        predicted: Their mean.
        observed: The share of them that the outcome holds for.
    """

    rows: int
    lowest: float
    highest: float
    predicted: float
    observed: Range


class Reliability(Part):
    """How well the probabilities of an outcome are calibrated.

    Attributes:
        bins: The lowest probabilities first.
        ece: Mean distance of observed from predicted shares over the bins, without what chance adds to it.
        brier: Mean squared distance of the probability from the outcome, in [0, 1].
        slope: Of logistic recalibration: below 1 where probabilities are too extreme.
        intercept: Of logistic recalibration with a slope of 1: above 0 where they are too low on average.
    """

    bins: list[MassBin]
    ece: Range
    brier: Range
    slope: Range
    intercept: Range


class Calibration(Part):
    """The calibration of the probability of one outcome.

    Attributes:
        kind: What the outcome is: a class against all others, a label, or an endpoint.
        n: Rows, of all runs together.
        present: Of these, how many the outcome holds for.
        groups: Number of units that are drawn together.
        after: Of the probabilities as the arm is read.
        before: Of the network's own, before the temperature; None where the head has none.
        undefined: Why the slope is undefined, and the intercept unless a threshold alone is why; "" if it is not.
    """

    kind: Literal["class", "label", "endpoint"]
    n: int
    present: int
    groups: int
    after: Reliability
    before: Optional[Reliability]
    undefined: str


class Referral(Part):
    """What the networks score on the images that they keep, if a share of the images is referred to a human.

    Attributes:
        referred: The shares, the least sure images first.
        accuracy: Of what is kept, for each share.
        sensitivity: The same of those with the positive answer; empty without one.
        specificity: The same of those with the negative answer; empty without one.
        target: An accuracy: half of the errors that there are without referral.
        needed: The share from which on the accuracy stays at the target; None if none does.
        surely_needed: The share from which on the interval of the accuracy lies above the target; None if none does.
        gain: Error rate of all less the mean error rate over the shares: 0 if confidence says nothing about errors.
    """

    referred: list[float]
    accuracy: list[Range]
    sensitivity: list[Range]
    specificity: list[Range]
    target: float
    needed: Optional[float]
    surely_needed: Optional[float]
    gain: Range


class Confidence(Part):
    """What the probabilities of an arm are worth; empty where its head gives none.

    Attributes:
        calibration: By part (test, else validation; external/<name>) and class, label or endpoint.
        referral: By part and question: "" is the arm's own, else an endpoint; empty of several labels.
    """

    calibration: dict[str, dict[str, Calibration]] = {}
    referral: dict[str, dict[str, Referral]] = {}

    @property
    def home(self) -> str:
        """The part of the study's own data that is looked at: test, or validation where no image is tested on."""
        return "test" if "test" in self.calibration else "validation"
