"""The sections `published`, `claims` and `ablations`: what a study's results are compared with."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Union

from pydantic import Field, model_validator

from rescan import catalogue
from rescan.study.bounds import ItemCount, Margin, Score, Varied, VariedCount
from rescan.study.strict import ArmName, Name, Strict


class Published(Strict):
    """A published number: `value` in [0, 1] on `n` test items. It is reproduced if ours differs by up to `margin`."""

    arm: str
    endpoint: str | None = None
    metric: Literal[tuple(catalogue.METRICS)]  # type: ignore[valid-type]
    level: Literal["image", "study", "patient"] = "image"
    value: Score
    n: ItemCount | None = None
    low: Score | None = None
    high: Score | None = None
    who: str
    margin: Margin = 0.05
    not_comparable: str | None = None

    @model_validator(mode="after")
    def _is_a_share_with_a_whole_interval(self) -> Published:
        if self.metric != "loss" and not -1 <= self.value <= 1:
            raise ValueError(f"value {self.value:g} is not in [0, 1]; write 88.94 % as 0.8894")
        if (self.low is None) != (self.high is None):
            raise ValueError("low and high belong together")
        return self


class Claim(Strict):
    """A published claim without a number: one arm scores better than another."""

    better: str
    than: str
    metric: Literal[tuple(catalogue.METRICS)] = "accuracy"  # type: ignore[valid-type]
    who: str


class Ablation(Strict):
    """A question that some arms answer, each by a difference from `base`, with the same number of training steps."""

    question: str = Field(description='what is changed, such as "adding two convolutions"')
    base: str
    arms: Annotated[dict[ArmName, str], Field(min_length=1, description="arms, and what each is called in a figure")]


class Question(Strict):
    """An ablation as a study file has it: arms that differ from one arm, `of` (by default the first), in one thing.

    The file lists them, or the `values` of a key, or of several keys at once, such as stages.main.batch_size.
    """

    question: str
    of: str | None = None
    arms: dict[Name, Union[dict[str, Any], None]] = Field(default={})
    vary: Union[str, list[str]] = Field(default=[])
    values: list[Union[bool, VariedCount, Varied, str]] = Field(default=[])

    @model_validator(mode="after")
    def _has_arms(self) -> Question:
        if bool(self.arms) == bool(self.values) or bool(self.vary) != bool(self.values):
            raise ValueError("needs arms, or vary and values")
        return self

    def labels(self, ablation: str) -> dict[str, str]:
        """The label of each arm; an arm is called after the ablation and its label, such as batch_size_8."""
        return {f"{ablation}_{label}": label for label in [*self.arms, *map(str, self.values)]}
