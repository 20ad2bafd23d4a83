"""`diagnosis.json` of a run: whether its network collapsed, and whether batch norm, if it has some, may be why."""

from __future__ import annotations

from typing import ClassVar

from pydantic import ConfigDict, Field, model_validator
from typing_extensions import Self

from rescan.results.json_result import JsonResult

COLLAPSED = 0.98  # share of predictions that name one class


class Diagnosis(JsonResult):
    """Whether nearly all validation images get one class.

    Attributes:
        collapsed: Whether they do. Only then there are the other fields, but the last.
        label: The class; `class` in the file.
        share: The share of validation images that get it.
        train_mode_accuracy: Validation accuracy with each batch's own statistics; None of a network without batch norm.
        eval_mode_accuracy: With the statistics of the training, as the network is used.
        recalibrated_accuracy: With statistics estimated again over the training images; None without batch norm.
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
    diverged: str | None = None

    @model_validator(mode="after")
    def _collapse_is_described(self) -> Self:
        if self.collapsed and (missing := set(type(self).model_fields) - self.model_fields_set - {"diverged"}):
            raise ValueError(f"a collapse lacks {', '.join(sorted(missing))}")
        return self
