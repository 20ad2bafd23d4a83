"""Metrics of a test part, in the order of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from rescan.catalogue.record import Record, by_name

RestsOn = Literal["units", "class", "others", "both", "predicted", "not_predicted", "classes", ""]


@dataclass(frozen=True)
class Metric(Record):
    """A function of counts, of sums of probabilities, or of true and false positives down a ranking.

    Attributes:
        sentence: Its name in running text, if it is another than the name's words.
        ranked: Whether it is computed from a ranking of the rows for each class.
        of_probabilities: Whether it needs probabilities of the classes.
        of_positive: Whether it is that of the positive class, where there are two; else it is the mean over classes.
        of_grades: Whether it is for ordered classes only.
        of_labels: Whether it is also of several labels of a sample, of each and as the mean over them.
        compares: Whether heads and pairs of arms are compared by it.
        rests_on: What it is counted over (`intervals.units_behind`): all units, those of the class or of the others,
            both, those that are predicted as the class or not, or the classes; "" where it has no upper bound.
        lowest: Its lower bound.
        falls: Whether less is better.
        never_chosen: Why no epoch is chosen by it; "" if one may be.
    """

    kind = "metric"
    ranked: bool = False
    of_probabilities: bool = False
    of_positive: bool = False
    of_grades: bool = False
    of_labels: bool = False
    compares: bool = False
    rests_on: RestsOn = "units"
    lowest: float = 0.0
    falls: bool = False
    never_chosen: str = ""

    @property
    def title(self) -> str:
        """Its name in running text."""
        return self.sentence or self.name.replace("_", " ")


HALF = "is one half of a pair, the best where all or nothing is called positive; use balanced_accuracy or auroc"

METRICS = by_name(
    Metric(
        "accuracy",
        "rescan.metrics.counted:accuracy",
        about="share of right answers",
        compares=True,
    ),
    Metric(
        "balanced_accuracy",
        "rescan.metrics.counted:balanced_accuracy",
        about="mean sensitivity over the classes",
        compares=True,
        rests_on="classes",
    ),
    Metric(
        "quadratic_kappa",
        "rescan.metrics.counted:quadratic_kappa",
        about="Cohen's kappa with quadratic weights, of grades",
        of_grades=True,
        compares=True,
        rests_on="classes",
        lowest=-1.0,
    ),
    Metric("kappa", "rescan.metrics.counted:kappa", about="Cohen's kappa", rests_on="classes", lowest=-1.0),
    Metric(
        "macro_f1",
        "rescan.metrics.counted:f1",
        about="mean F1 over the classes",
        sentence="macro F1",
        compares=True,
        of_labels=True,
        rests_on="class",
    ),
    Metric(
        "sensitivity",
        "rescan.metrics.counted:sensitivity",
        never_chosen=HALF,
        about="share of a class that is found",
        of_positive=True,
        of_labels=True,
        rests_on="class",
    ),
    Metric(
        "specificity",
        "rescan.metrics.counted:specificity",
        never_chosen=HALF,
        about="share of the others that are not taken for a class",
        of_positive=True,
        of_labels=True,
        rests_on="others",
    ),
    Metric(
        "ppv",
        "rescan.metrics.counted:ppv",
        never_chosen=HALF,
        about="positive predictive value, or precision",
        sentence="PPV",
        of_positive=True,
        of_labels=True,
        rests_on="predicted",
    ),
    Metric(
        "npv",
        "rescan.metrics.counted:npv",
        never_chosen=HALF,
        about="negative predictive value",
        sentence="NPV",
        of_positive=True,
        of_labels=True,
        rests_on="not_predicted",
    ),
    Metric(
        "mcc",
        "rescan.metrics.counted:mcc",
        about="Matthews correlation",
        sentence="MCC",
        rests_on="classes",
        lowest=-1.0,
    ),
    Metric(
        "brier",
        "rescan.metrics.probabilistic:brier",
        falls=True,
        about="mean squared distance of the probabilities from the truth",
        sentence="Brier score",
        of_probabilities=True,
    ),
    Metric(
        "ece",
        "rescan.metrics.probabilistic:ece",
        never_chosen="says nothing of how well classes are told apart; use brier or loss",
        falls=True,
        about="expected calibration error, 15 bins",
        sentence="ECE",
        of_probabilities=True,
    ),
    Metric(
        "loss",
        "rescan.metrics.probabilistic:loss",
        falls=True,
        about="mean negative log-likelihood",
        of_probabilities=True,
        rests_on="",
    ),
    Metric(
        "one_hot_accuracy",
        "rescan.metrics.probabilistic:one_hot_accuracy",
        never_chosen="is no accuracy; use accuracy",
        about="binary accuracy of the one-hot outputs, which is no accuracy",
        sentence="binary accuracy of the one-hot outputs (no accuracy)",
        of_probabilities=True,
    ),
    Metric(
        "auroc",
        "rescan.metrics.ranked:auroc",
        about="area under the ROC curve",
        sentence="AUROC",
        ranked=True,
        of_positive=True,
        of_labels=True,
        rests_on="both",
    ),
    Metric(
        "auprc",
        "rescan.metrics.ranked:average_precision",
        about="area under the precision-recall curve",
        sentence="AUPRC",
        ranked=True,
        of_positive=True,
        of_labels=True,
        rests_on="class",
    ),
)

# What heads and pairs of arms are compared by; and where classes are grades, that of grades first.
COMPARED = tuple(name for name, metric in METRICS.items() if metric.compares and not metric.of_grades)
COMPARED_LABELS = ("auroc", "macro_f1")  # where a sample has several labels
COMPARED_GRADES = (*(name for name, metric in METRICS.items() if metric.compares and metric.of_grades), *COMPARED)
