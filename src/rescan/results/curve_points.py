"""What the figures of an arm draw, in its `metrics.json`."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from rescan.results.json_result import Part
from rescan.results.posttraining import RunId


class RocCurve(Part):
    """Points of a ROC curve; none where one of the two sides has no row."""

    fpr: list[float] = []
    tpr: list[float] = []


class Spread(Part):
    """The grades of a true class on the line of the classes' numbers.

    Attributes:
        label: The class; `class` in the file.
        n: Number of items.
        mean: Their mean grade; None without an item.
        spread: Their 5th, 25th, 50th, 75th and 95th percentiles; None without an item.
    """

    model_config = ConfigDict(populate_by_name=True)

    label: str = Field(alias="class")
    n: int
    mean: float | None
    spread: list[float] | None


class Curves(Part):
    """What the figures of one run draw, by part.

    Attributes:
        run: The run.
        roc: A curve per class against all others.
        grades: A spread per class, of ordered classes.
        endpoints: A curve per endpoint and part.
    """

    run: RunId
    roc: dict[str, dict[str, RocCurve]]
    grades: dict[str, list[Spread]] = {}
    endpoints: dict[str, dict[str, RocCurve]] = {}
