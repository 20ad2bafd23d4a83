"""`posttraining.json`: what was fitted on an arm's predictions, and which networks predict new images."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, Literal, Optional, TypeVar

from pydantic import Field, field_serializer

from rescan.results.json_result import JsonResult, Part
from rescan.study.operating_points import Kind
from rescan.study.recipe import Inference

CROSSFIT = 5  # folds of the cross-fitting
Temperature = Annotated[float, Field(gt=0)]
Fit = TypeVar("Fit", float, list[float], Optional[float])


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


class FittedPoint(Part):
    """An operating point of a question, as fitted on the validation part by image, pooled over the runs.

    Attributes:
        name: Of the point, such as `sensitivity_95`.
        of: The class, label or endpoint that it is about.
        kind: What that is (`rescan.study.operating_points.Question`).
        number: The index of the class or label, or of the lowest class of the endpoint.
        prevalence: Where it will be used, if that is declared.
        predicts: Whether predicted classes are read at it.
        scale: What is compared with the threshold, which it reaches or not: a probability, or the grade.
        threshold: The fits; None where none could be made.
        resampled: What other validation patients would have given: one fit per resample of them.
        having: Number of validation units (patients, else groups) with the class, label or grade.
        lacking: Number of those without.
        reached: Sensitivity, specificity and PPV of the rows that it was fitted on.
        lower: Where the rule asks for a sensitivity, specificity or PPV: its lower 95 % limit in validation, each row
            at the threshold that was fitted without it.
        problem: Why there is no threshold, or what limits it; "" if nothing does.
    """

    name: str
    of: str
    kind: Kind
    number: int = Field(ge=0)
    prevalence: Optional[float] = None
    predicts: bool = False
    scale: Literal["probability", "grade"]
    threshold: Fits[Optional[float]]
    resampled: list[Optional[float]]
    having: int
    lacking: int
    reached: dict[str, Optional[float]] = {}
    lower: Optional[float] = None
    problem: str = ""


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
        ordered: Whether they are grades.
        temperatures: Per head that gives probabilities, what its logits are divided by.
        linear: The neuron on all heads: a weight per head, then the bias. None if the arm has a single head.
        points: The operating points.
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
    ordered: bool = False
    temperatures: dict[str, Fits[Temperature]]
    linear: Fits[list[float]] | None = None
    cuts: Fits[list[float]] | None = None
    thresholds: Fits[list[float]] | None = None
    points: list[FittedPoint] = []
    runs: list[RunId]
    models: list[NetworkFile] = Field(min_length=1)
    ensemble: bool
    trim: float = Field(ge=0, lt=0.5)
