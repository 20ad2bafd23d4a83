"""Metrics of a test part, in the order of metrics.json."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import Record, by_name


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
        compares: Whether epochs, heads and pairs of arms are compared by it.
        is_share: Whether it is a share of rows, which gets a Wilson interval near 0 and 1.
    """

    kind = "metric"
    ranked: bool = False
    of_probabilities: bool = False
    of_positive: bool = False
    of_grades: bool = False
    of_labels: bool = False
    compares: bool = False
    is_share: bool = False

    @property
    def title(self) -> str:
        """Its name in running text."""
        return self.sentence or self.name.replace("_", " ")


METRICS = by_name(
    Metric(
        "accuracy",
        "rescan.metrics.counted:accuracy",
        about="share of right answers",
        compares=True,
        is_share=True,
    ),
    Metric(
        "balanced_accuracy",
        "rescan.metrics.counted:balanced_accuracy",
        about="mean sensitivity over the classes",
        compares=True,
    ),
    Metric(
        "quadratic_kappa",
        "rescan.metrics.counted:quadratic_kappa",
        about="Cohen's kappa with quadratic weights, of grades",
        of_grades=True,
        compares=True,
    ),
    Metric("kappa", "rescan.metrics.counted:kappa", about="Cohen's kappa"),
    Metric(
        "macro_f1",
        "rescan.metrics.counted:f1",
        about="mean F1 over the classes",
        sentence="macro F1",
        compares=True,
        of_labels=True,
    ),
    Metric(
        "sensitivity",
        "rescan.metrics.counted:sensitivity",
        about="share of a class that is found",
        of_positive=True,
        is_share=True,
        of_labels=True,
    ),
    Metric(
        "specificity",
        "rescan.metrics.counted:specificity",
        about="share of the others that are not taken for a class",
        of_positive=True,
        is_share=True,
        of_labels=True,
    ),
    Metric(
        "ppv",
        "rescan.metrics.counted:ppv",
        about="positive predictive value, or precision",
        sentence="PPV",
        of_positive=True,
        of_labels=True,
    ),
    Metric(
        "npv",
        "rescan.metrics.counted:npv",
        about="negative predictive value",
        sentence="NPV",
        of_positive=True,
        of_labels=True,
    ),
    Metric("mcc", "rescan.metrics.counted:mcc", about="Matthews correlation", sentence="MCC"),
    Metric(
        "brier",
        "rescan.metrics.probabilistic:brier",
        about="mean squared distance of the probabilities from the truth",
        sentence="Brier score",
        of_probabilities=True,
    ),
    Metric(
        "ece",
        "rescan.metrics.probabilistic:ece",
        about="expected calibration error, 15 bins",
        sentence="ECE",
        of_probabilities=True,
    ),
    Metric(
        "loss",
        "rescan.metrics.probabilistic:loss",
        about="mean negative log-likelihood",
        of_probabilities=True,
    ),
    Metric(
        "one_hot_accuracy",
        "rescan.metrics.probabilistic:one_hot_accuracy",
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
    ),
    Metric(
        "auprc",
        "rescan.metrics.ranked:average_precision",
        about="area under the precision-recall curve",
        sentence="AUPRC",
        ranked=True,
        of_positive=True,
        of_labels=True,
    ),
)

# What epochs, heads and pairs of arms are compared by; and where classes are grades, that of grades first.
COMPARED = tuple(name for name, metric in METRICS.items() if metric.compares and not metric.of_grades)
COMPARED_LABELS = ("auroc", "macro_f1")  # where a sample has several labels
COMPARED_GRADES = (*(name for name, metric in METRICS.items() if metric.compares and metric.of_grades), *COMPARED)
