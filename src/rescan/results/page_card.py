"""What a study's page says in short: card.json, of which the page of all studies is made."""

from __future__ import annotations

from typing import ClassVar, Optional

from rescan.results.json_result import Count, JsonResult, Part


class Compared(Part):
    """A published number or claim against ours.

    Attributes:
        published: The number, or the claim, in words.
        published_value: The number; None of a claim.
        who: Who published it.
        metric: What it is of.
        arm: Whose result is compared.
        ours: Our number; of a claim, the paired difference.
        low: The lower end of its 95 % interval.
        high: The upper end.
        verdict: What became of it.
    """

    published: str
    published_value: Optional[float]
    who: str
    metric: str
    arm: str
    ours: Optional[float]
    low: Optional[float]
    high: Optional[float]
    verdict: str


class PageCard(JsonResult):
    """What a study's page says in short.

    Attributes:
        title: Of the study.
        headline: The answer in one sentence.
        metric: The main metric.
        arm: The arm that validation prefers; "" without a result.
        ours: Its test score.
        low: The lower end of the score's 95 % interval.
        high: The upper end.
        compared: The published numbers and claims.
        caution: What must be known before any number is read.
        arms: Number of arms.
        missing: The arms without results.
    """

    step: ClassVar[str] = "report"

    title: str
    headline: str
    metric: str
    arm: str
    ours: Optional[float]
    low: Optional[float]
    high: Optional[float]
    compared: list[Compared]
    caution: str
    arms: Count
    missing: list[str]
