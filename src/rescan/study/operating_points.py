"""The section `operating_points`: where the answer of a question with two answers turns from no to yes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Optional

from pydantic import Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from rescan import catalogue
from rescan.study.bounds import Cost, Limit, Share
from rescan.study.data import Outcome
from rescan.study.strict import Strict

if TYPE_CHECKING:
    from rescan.study.recipe import Recipe
    from rescan.study.study import Study

RULES = ("youden", "sensitivity", "specificity", "ppv", "cost", "threshold")
Kind = Literal["class", "label", "endpoint"]


class Costs(Strict):
    """What a miss and a false alarm cost; only their ratio counts."""

    fn: Cost
    fp: Cost


class OperatingPoint(Strict):
    """A rule for a threshold: `youden`, a number, or a mapping with one of RULES.

    It is fitted on validation. `prevalence` is that of where it will be used: the rules `ppv` and `cost` and the
    predictive values take it in place of the data's.
    """

    youden: Optional[Literal[True]] = None
    sensitivity: Optional[Share] = None
    specificity: Optional[Share] = None
    ppv: Optional[Share] = None
    cost: Optional[Costs] = None
    threshold: Optional[Limit] = None
    of: Optional[str] = Field(default=None, description="a class, label or endpoint; see the documentation if left out")
    prevalence: Optional[Share] = None
    predicts: bool = Field(default=False, description="whether predicted classes are read at it")

    @model_validator(mode="before")
    @classmethod
    def _as_mapping(cls, value: Any) -> Any:
        if value == "youden":
            return {"youden": True}
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return {"threshold": value}
        if not isinstance(value, (dict, OperatingPoint)):
            raise ValueError(f"{value!r} is no rule; use youden, a number, or a mapping such as {{sensitivity: 0.95}}")
        return value

    @model_validator(mode="after")
    def _has_one_rule(self) -> OperatingPoint:
        given = [rule for rule in RULES if getattr(self, rule) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(RULES)}, not {' and '.join(given) or 'none'}")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        whole = handler.resolve_ref_schema(handler(schema))
        number = {"type": "number", "exclusiveMinimum": 0, "maximum": 1000}
        return {"anyOf": [{"enum": ["youden"]}, number, dict(whole)]}

    @property
    def rule(self) -> str:
        """Which of RULES it is."""
        return next(rule for rule in RULES if getattr(self, rule) is not None)

    @property
    def name(self) -> str:
        """What results and `predict --at` call it: `youden`, `sensitivity_95`, `cost_fn5_fp1`, `threshold_0.3`."""
        if self.cost:
            return f"cost_fn{self.cost.fn:g}_fp{self.cost.fp:g}"
        if self.threshold:
            return f"threshold_{self.threshold:g}"
        return "youden" if self.youden else f"{self.rule}_{100 * getattr(self, self.rule):g}"


@dataclass(frozen=True)
class Question:
    """A question with two answers.

    Attributes:
        name: Of the class, label or endpoint.
        kind: `class`: is it this one of classes that exclude each other? `label`: is it present? `endpoint`: is the
            grade at least this?
        number: The index of the class or label, or of the lowest class of the endpoint.
    """

    name: str
    kind: Kind
    number: int

    @property
    def decides(self) -> bool:
        """Whether its answer alone may say the class: of two classes, or of a label."""
        return self.kind != "endpoint"


def questions(outcome: Outcome) -> dict[str, Question]:
    """The questions that an operating point may be of, by name; an endpoint goes before a class of its name."""
    kind: Kind = "label" if outcome.multilabel else "class"
    classes = {name: Question(name, kind, number) for number, name in enumerate(outcome.classes)}
    endpoints = {
        name: Question(name, "endpoint", outcome.classes.index(lowest)) for name, lowest in outcome.endpoints.items()
    }
    if outcome.positive is not None:
        return {**endpoints, outcome.classes[1]: classes[outcome.classes[1]]}
    return {**classes, **endpoints}


def asked(point: OperatingPoint, outcome: Outcome) -> list[Question]:
    """The questions that a point is of: the one it names, else the positive class, all endpoints, classes or labels.

    Raises:
        ValueError: There is none of that name, or it must be named.
    """
    known = questions(outcome)
    if point.of is not None:
        if point.of not in known:
            near = catalogue.suggest(point.of, known)
            raise ValueError(f"operating_points: {point.name}: of: no question about {point.of!r}{near}")
        return [known[point.of]]
    if outcome.positive is not None:
        return [known[outcome.classes[1]]]
    if outcome.ordered and not outcome.endpoints:
        raise ValueError(f"operating_points: {point.name}: of grades, add data.endpoints, or name a class by of")
    return [known[name] for name in (outcome.endpoints if outcome.ordered else outcome.classes)]


def points_asked(points: Sequence[OperatingPoint], outcome: Outcome) -> list[tuple[OperatingPoint, Question]]:
    """Every point with every question that it is of."""
    return [(point, question) for point in points for question in asked(point, outcome)]


def check_points(study: Study) -> None:
    """Points must have names of their own, and fit the classes and the arms.

    Raises:
        ValueError: One does not.
    """
    outcome, seen, deciding = study.data.outcome, set(), set()
    for point, question in points_asked(study.operating_points, outcome):
        where = f"operating_points: {point.name}"
        if (point.name, question.name) in seen:
            raise ValueError(f"{where}: is there twice of {question.name}; take one out")
        seen.add((point.name, question.name))
        if point.predicts:
            if not question.decides or (outcome.positive is None and not outcome.multilabel):
                raise ValueError(f"{where}: predicts: is for two classes or several labels, not of {question.name}")
            if question.name in deciding:
                raise ValueError(f"{where}: predicts: another point predicts {question.name}, too; keep one")
            deciding.add(question.name)
        for arm, recipe in study.arms.items():
            _check_arm(where, point, arm, recipe, len(outcome.classes))


def _check_arm(where: str, point: OperatingPoint, arm: str, recipe: Recipe, classes: int) -> None:
    head = recipe.network.heads.get(recipe.head)  # type: ignore[call-overload]
    graded = catalogue.READERS[recipe.head].gives_grade or (head is not None and head.link == "softmax")
    if point.predicts and (recipe.posttrain.thresholds != "half" or recipe.posttrain.cuts != "rounding"):
        raise ValueError(f"{where}: predicts: arm {arm} has posttrain thresholds or cuts already; keep one of the two")
    highest = classes - 1 if graded else 1
    if point.threshold and point.threshold >= highest:
        what = "grades" if graded else "probabilities"
        raise ValueError(f"{where}: threshold: arm {arm} gives {what}; use a number below {highest}")
