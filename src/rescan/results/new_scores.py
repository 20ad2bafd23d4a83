"""The scores of an arm on labeled files that no study has, as `rescan evaluate-on` writes them."""

from __future__ import annotations

from typing import ClassVar, Literal

from rescan.results.decisions import PointScores
from rescan.results.json_result import JsonResult, Part
from rescan.results.metrics_file import Difference, Endpoint, Levels
from rescan.results.posttraining import RunId


class NotScored(Part):
    """A file of the table that has no prediction, and why."""

    image: str
    problem: str


class NewScores(JsonResult):
    """What an arm scores on labeled files. Keys that metrics.json has too mean the same.

    Attributes:
        study: The study that the arm was trained in.
        arm: Its name.
        table: The table of the files.
        head: What predictions are read from.
        positive_class: Of two classes; None of more.
        classes: K names, in the order of the network's outputs.
        interval_units: The column of what is resampled together: patient, or group where patients are unknown.
        runs: The runs that the values of part `new` are means of.
        parts: By part and level. `new`: the mean over the runs, as the values of metrics.json are; `new_averaged`: of
            the mean of all networks' outputs, as `rescan predict` reads them.
        endpoints: By name, of the same parts.
        points: The operating points, of the same parts.
        confusion: By part: counts (K, K), true class by row; the mean over runs. None of several labels.
        label_counts: Of several labels: how many files have each.
        differences: By metric: part `new` less the test part of metrics.json, by image.
        endpoint_differences: The same by endpoint.
        not_scored: The files without a prediction.
        warnings: Sentences about what limits these results.
    """

    step: ClassVar[str] = "evaluate-on"

    study: str
    arm: str
    table: str
    head: str
    positive_class: str | None
    classes: list[str]
    interval_units: Literal["patient", "group"]
    runs: list[RunId]
    parts: dict[str, Levels]
    endpoints: dict[str, Endpoint]
    points: list[PointScores] = []
    confusion: dict[str, list[list[float]]]
    label_counts: dict[str, int]
    differences: dict[str, Difference]
    endpoint_differences: dict[str, dict[str, Difference]]
    not_scored: list[NotScored]
    warnings: list[str]
