"""What an arm's operating points score, and the curves that they lie on, in its `metrics.json`."""

from __future__ import annotations

from typing import Literal, Optional

from rescan.results.json_result import Part


class AtPoint(Part):
    """A metric at an operating point: the mean over runs with its 95 % interval; None where undefined.

    Attributes:
        value: The mean over runs.
        low: The interval's lower limit. It counts that another validation part would give another threshold.
        high: Its upper limit.
        runs: The value of each run.
    """

    value: Optional[float]
    low: Optional[float]
    high: Optional[float]
    runs: list[Optional[float]] = []


class PointLevel(Part):
    """A part at a level.

    Attributes:
        n: Number of images, eyes, studies or patients.
        groups: Number of units that are resampled together.
        confusion: Counts by truth, no and yes, and answer, no and yes: [[TN, FP], [FN, TP]]; the mean over runs.
        metrics: sensitivity, specificity, ppv, npv; where a prevalence is declared, also ppv_at_prevalence and
            npv_at_prevalence.
    """

    n: int
    groups: int
    confusion: list[list[float]]
    metrics: dict[str, AtPoint]


class PointScores(Part):
    """An operating point of a question; see `FittedPoint`.

    Attributes:
        name: Of the point.
        of: The class, label or endpoint that it is about.
        threshold: Of test and external data; None if none could be fitted. Validation rows have that of the other
            folds of the cross-fitting.
        scale: Of the threshold.
        prevalence: The declared one.
        predicts: Whether predicted classes are read at it.
        problem: Why there is no threshold, or what limits it; "" if nothing does.
        parts: By part (validation or out_of_fold, test, external/<name>) and level. Eyes, studies and patients have
            the same threshold, of the mean probability of their images; of grades, of the highest.
    """

    name: str
    of: str
    threshold: Optional[float]
    scale: Literal["probability", "grade"]
    prevalence: Optional[float]
    predicts: bool
    problem: str
    parts: dict[str, dict[str, PointLevel]]


class PrCurve(Part):
    """Points of a precision-recall curve, and the share of positive rows, which a constant answer has as precision."""

    recall: list[float]
    precision: list[float]
    prevalence: float


class NetBenefit(Part):
    """A decision curve (Vickers and Elkin 2006): net benefit TP/n − FP/n · p/(1 − p) of acting from a probability p on.

    Attributes:
        thresholds: The probabilities p.
        model: The net benefit of acting on the model's probability: mean over runs.
        low: The lower limit of its 95 % interval, of each p by itself.
        high: The upper limit.
        treat_all: The net benefit of acting on everyone; that of acting on no one is 0.
    """

    thresholds: list[float]
    model: list[float]
    low: list[float]
    high: list[float]
    treat_all: list[float]


class Decisions(Part):
    """What a question's threshold does.

    Attributes:
        points: The operating points.
        precision_recall: The curves of the run that `curves` are of, by part and class, label or endpoint.
        net_benefit: Of probabilities of two classes or endpoints: by part and question, by image.
    """

    points: list[PointScores] = []
    precision_recall: dict[str, dict[str, PrCurve]] = {}
    net_benefit: dict[str, dict[str, NetBenefit]] = {}
