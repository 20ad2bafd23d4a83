"""Losses of the heads."""

from __future__ import annotations

from dataclasses import dataclass

from rescan.catalogue.record import Option, Record, by_name


@dataclass(frozen=True)
class Loss(Record):
    """A function `(outputs, targets, **options)` that gives one loss per item.

    Attributes:
        heads: The heads that it is for.
    """

    kind = "loss"
    heads: tuple[str, ...] = ()


SMOOTHING = Option(0.0, "share of the target spread evenly over all answers", below=1)
WEIGHT = Option(1.0, "its share in the sum over the heads", most=1e6, apart=True)
FOCAL = {
    "gamma": Option(2.0, "how much less an item counts that is right already", most=100),
    "alpha": Option(0.25, "factor", most=1000),
    "label_smoothing": SMOOTHING,
    "weight": WEIGHT,
}

LOSSES = by_name(
    Loss(
        "cross_entropy",
        "rescan.training.loss_functions:cross_entropy",
        about="of softmax: the same as NLL of log-softmax",
        sentence="cross-entropy",
        options={"label_smoothing": SMOOTHING, "weight": WEIGHT},
        heads=("classification",),
    ),
    Loss(
        "focal",
        "rescan.training.loss_functions:focal",
        about="focal loss of softmax (Lin et al. 2017)",
        sentence="focal loss",
        options=FOCAL,
        heads=("classification",),
    ),
    Loss(
        "one_hot_cross_entropy",
        "rescan.training.loss_functions:one_hot_cross_entropy",
        about="binary cross-entropy of the softmax probabilities against the one-hot class",
        sentence="binary cross-entropy of the one-hot outputs",
        options={"weight": WEIGHT},
        heads=("classification",),
    ),
    Loss(
        "binary_cross_entropy",
        "rescan.training.loss_functions:binary_cross_entropy",
        about="of sigmoids, averaged over the thresholds or labels",
        sentence="binary cross-entropy",
        options={"label_smoothing": SMOOTHING, "weight": WEIGHT},
        heads=("binary", "ordinal", "multilabel"),
    ),
    Loss(
        "binary_focal",
        "rescan.training.loss_functions:binary_focal",
        about="focal loss of sigmoids, averaged over the thresholds or labels (Lin et al. 2017)",
        sentence="binary focal loss",
        options=FOCAL,
        heads=("binary", "ordinal", "multilabel"),
    ),
    Loss(
        "mae",
        "rescan.training.loss_functions:mae",
        about="distance from the grade",
        sentence="mean absolute error",
        options={"weight": WEIGHT},
        heads=("regression",),
    ),
    Loss(
        "mse",
        "rescan.training.loss_functions:mse",
        about="squared distance from the grade",
        sentence="mean squared error",
        options={"weight": WEIGHT},
        heads=("regression",),
    ),
)
