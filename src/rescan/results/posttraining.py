"""`posttraining.json`: what was fitted on an arm's predictions, and which networks predict new images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import Field, field_serializer

from rescan.results.json_result import JsonResult, Part
from rescan.study.recipe import Inference

CROSSFIT = 5  # folds of the cross-fitting
Temperature = Annotated[float, Field(gt=0)]
Fit = TypeVar("Fit", float, list[float])


class RunId(Part):
    """Which run of an arm."""

    fold: int
    seed: int


class Fits(Part, Generic[Fit]):
    """One quantity, fitted several times.

    Attributes:
        whole: Fitted on all rows.
        crossfit: `crossfit[k]` is fitted without the rows of cross-fitting fold k.
    """

    whole: Fit
    crossfit: Annotated[list[Fit], Field(min_length=CROSSFIT, max_length=CROSSFIT)]

    def without(self, fold: int | None) -> Fit:
        """What was fitted without a fold; on all rows if None."""
        return self.whole if fold is None else self.crossfit[fold]


class NetworkFile(Part):
    """A trained network.

    Attributes:
        file: Its model file, relative to the arm's folder.
        inference: What it is shown of an image.
    """

    file: str
    inference: Inference

    @field_serializer("inference")
    def _whole(self, inference: Inference) -> dict[str, Any]:
        """All settings, those that were left at their defaults as well."""
        return inference.model_dump(mode="json")


class Posttraining(JsonResult):
    """What was fitted on the predictions of an arm's runs, pooled; never on the test part.

    Attributes:
        head: What the arm's predictions are read from: a head, or "linear", the neuron.
        fit_on: The rows that the neuron and the cut points are fitted on.
        n: Number of validation rows.
        classes: K.
        temperatures: Per head that gives probabilities, what its logits are divided by.
        linear: The neuron on all heads: a weight per head, then the bias. None if the arm has a single head.
        thresholds: The K probabilities from which on labels count as present, where a sample has several; else None.
        cuts: The (K − 1) rising cut points of the arm's grades. None if grades are rounded.
        runs: The arm's runs.
        models: The networks whose outputs are averaged to predict new images.
        ensemble: Whether they belong to several arms.
        trim: The share that is cut off at either end of each output before they are averaged.
    """

    step: ClassVar[str] = "posttrain"

    head: str
    fit_on: Literal["train", "validation", "crossfit"]
    n: int
    classes: int
    temperatures: dict[str, Fits[Temperature]]
    linear: Fits[list[float]] | None = None
    cuts: Fits[list[float]] | None = None
    thresholds: Fits[list[float]] | None = None
    runs: list[RunId]
    models: list[NetworkFile] = Field(min_length=1)
    ensemble: bool
    trim: float = Field(ge=0, lt=0.5)
