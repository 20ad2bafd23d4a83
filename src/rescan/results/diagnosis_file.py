"""`diagnosis.json` of a run: whether its network collapsed, and what batch norm's statistics have to do with it."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import numpy as np
from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from rescan.results.json_result import JsonResult

COLLAPSED = 0.9  # share of all predictions, and of those for the other classes' images, that name one class
STALE = 0.1  # accuracy that other batch-norm statistics must add to be named; more where few images tell it
OPTIONAL = {"part", "images", "diverged"}  # of what a collapse is described by


def dominant(predicted: np.ndarray, targets: np.ndarray, classes: int) -> int | None:
    """The class that nearly all images get, those of the other classes, too; None if none does.

    A class that most images have may be predicted for most, so the images of the other classes decide.

    Args:
        predicted: (n,) class indices.
        targets: (n,) class indices.
        classes: K.
    """
    if not len(predicted):
        return None
    top = int(np.bincount(predicted, minlength=classes).argmax())
    of_others = predicted[targets != top] == top
    if not len(of_others) or min(np.mean(predicted == top), of_others.mean()) < COLLAPSED:
        return None
    return top


class Diagnosis(JsonResult):
    """Whether nearly all validation images get one class, and the accuracies by batch norm's statistics.

    Attributes:
        collapsed: Whether they do. Files of older versions have the accuracies only then.
        label: The class; `class` in the file. Only of a collapse, as its share.
        share: The share of validation images that get it.
        train_mode_accuracy: Validation accuracy with each batch's own statistics; None of a network without batch norm.
        eval_mode_accuracy: With the statistics of the training, as the network is used.
        recalibrated_accuracy: With statistics estimated again over training images; None without batch norm.
        part: Whose images were looked at: validation, or test where there is none.
        images: How many of them the accuracies are of; None in files of older versions.
        diverged: Where the loss stopped being finite, if it did; then the last finite weights were kept.
    """

    model_config = ConfigDict(populate_by_name=True)
    step: ClassVar[str] = "infer"

    collapsed: bool
    label: str | None = Field(default=None, alias="class")
    share: float | None = None
    train_mode_accuracy: float | None = None
    eval_mode_accuracy: float | None = None
    recalibrated_accuracy: float | None = None
    part: Literal["validation", "test"] = "validation"
    images: int | None = None
    diverged: str | None = None

    @model_validator(mode="after")
    def _collapse_is_described(self) -> Self:
        if self.collapsed and (missing := set(type(self).model_fields) - self.model_fields_set - OPTIONAL):
            raise ValueError(f"a collapse lacks {', '.join(sorted(missing))}")
        return self

    @property
    def accuracies(self) -> tuple[float, float, float] | None:
        """Those with each batch's own statistics, as used, and recalibrated; None without batch norm."""
        own, used, again = self.train_mode_accuracy, self.eval_mode_accuracy, self.recalibrated_accuracy
        return None if own is None or used is None or again is None else (own, used, again)

    @property
    def is_stale(self) -> bool:
        """Whether other statistics of batch norm would make the network much better, beyond what chance may.

        Two standard errors of a difference of two accuracies over n images are √(2 / n) at most.
        """
        least = max(STALE, math.sqrt(2 / self.images)) if self.images else STALE
        return self.accuracies is not None and max(self.accuracies) - self.accuracies[1] >= least
