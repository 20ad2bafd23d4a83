"""`metrics.json` of an arm: its scores with intervals, what its figures draw, warnings and findings."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import ConfigDict, Field

from rescan.paths import Paths
from rescan.results.curve_points import Curves
from rescan.results.damage import damaged
from rescan.results.decisions import Decisions
from rescan.results.json_result import JsonResult, Part
from rescan.results.posttraining import RunId
from rescan.results.reliability import Confidence
from rescan.study import Study
from rescan.study.keys import result_key


class Interval(Part):
    """A value with its 95 % interval; None where undefined."""

    value: float | None
    low: float | None
    high: float | None
    method: Literal["wilson", "log t"]

    @property
    def numbers(self) -> tuple[float, float, float]:
        """Value, low and high; NaN where undefined."""
        value, low, high = (math.nan if number is None else number for number in (self.value, self.low, self.high))
        return value, low, high


class Estimate(Interval):
    """A metric: the mean over runs, with its interval.

    Attributes:
        runs: The value of each run.
        seed_sd: The standard deviation over seeds of the mean over folds; None for one seed.
        classes: The value per class, of metrics that have one.
    """

    runs: list[float | None]
    seed_sd: float | None
    classes: dict[str, Interval] = {}


class Scores(Part):
    """What the rows of a part score at a level.

    Attributes:
        n: Number of patches, images, eyes, studies or patients.
        groups: Number of units that are resampled together.
        metrics: By name.
        majority: The same where each unit is predicted by the majority of its images.
        consistent: The same by majority, of units only whose images all have one label.
    """

    n: int
    groups: int
    metrics: dict[str, Estimate]
    majority: Scores | None = None
    consistent: Scores | None = None


Levels = dict[str, Scores]  # by level: patch, image, eye, study, patient


class Endpoint(Part):
    """The scores of a question with two answers: is the grade at least the class `lowest`?"""

    lowest: str
    parts: dict[str, Levels]


class Finding(Part):
    """What an arm, or one run of it, is consistent with.

    Attributes:
        finding: What it is.
        label: The class that nearly everything is predicted as; `class` in the file.
        share: Of the predictions, in [0, 1].
        implied_accuracy: k and n, for the accuracy k/n of calling everything this class.
        epoch: Where the accuracy dropped.
        text: A sentence.
        fold: The run's; None if the finding is about all runs.
        seed: The run's.
    """

    model_config = ConfigDict(populate_by_name=True)

    finding: Literal["diverged", "collapsed", "unlike training", "drop", "overfitting", "underfitting"]
    label: str | None = Field(default=None, alias="class")
    share: float | None = None
    implied_accuracy: list[int] | None = None
    epoch: int | None = None
    text: str
    fold: int | None = None
    seed: int | None = None


class BatchNorm(Part):
    """Accuracy by what batch norm takes for mean and variance, the mean over runs.

    Attributes:
        train_mode: With those of each batch itself.
        eval_mode: With the running ones of the training, as the network is used.
        recalibrated: With those of training images, estimated again with the trained weights.
        part: Whose images they are of: validation, or test where there is none.
    """

    train_mode: float
    eval_mode: float
    recalibrated: float
    part: Literal["validation", "test"] = "validation"


class Difference(Part):
    """A metric of external data less that of the home test part, with its 95 % interval; None where undefined."""

    value: float
    low: float | None
    high: float | None


def difference(home: Interval, external: Interval) -> Difference | None:
    """External less home with its interval, which is made of both (Zou and Donner 2008); None if one is undefined."""
    (ours, low, high), (theirs, their_low, their_high) = home.numbers, external.numbers
    if math.isnan(ours + theirs):
        return None
    value = theirs - ours
    below, above = math.hypot(theirs - their_low, high - ours), math.hypot(their_high - theirs, ours - low)
    whole = not math.isnan(below + above)
    return Difference(value=value, low=value - below if whole else None, high=value + above if whole else None)


class ExternalDifferences(Part):
    """How the scores of an external data set differ from those of the home test part, by image.

    Attributes:
        metrics: By metric.
        endpoints: By endpoint and metric.
    """

    metrics: dict[str, Difference]
    endpoints: dict[str, dict[str, Difference]]


class Metrics(JsonResult):
    """All results of an arm.

    Attributes:
        study: Its name.
        arm: Its name.
        result_key: A fingerprint of all that the results depend on (`rescan.study.keys`).
        metric: The metric that stands first.
        head: What predictions are read from: a head, or "linear".
        positive_class: Of two classes; None of more.
        classes: K names, in the order of the network's outputs.
        interval_units: The column of what is resampled together: patient or group.
        runs: The runs that the values are means of.
        parts: By part (train, validation, test, out_of_fold, test_unlinked, external/<name>) and level.
        endpoints: By name.
        heads: Where the arm has several: by head and part, the main scores by image.
        before_temperature: By part: loss, brier and ece of the network's own probabilities.
        confusion: By part: counts (K, K), true class by row, predicted class by column; the mean over runs.
        subgroups: Of the test part, by column of the manifest and its value.
        subgroups_of_studies: The same by study, where studies are known.
        subgroups_out_of_fold: The same of the validation parts of several folds.
        baselines: By column and part: what the column's value predicts without the image.
        curves: What the figures draw.
        confidence: How well probabilities are calibrated, and what is gained by referring unsure images.
        warnings: Sentences about what limits these results.
        diagnosis: Findings.
        batch_norm: What its statistics do; None of networks without it.
        label_counts: Where a sample has several labels: by part and label, how many rows of the first run have it.
        decisions: Operating points, precision-recall and decision curves.
        external: By name of an external data set, what its scores differ by from those of the test part.
    """

    step: ClassVar[str] = "evaluate"

    study: str
    arm: str
    result_key: str
    metric: str
    head: str
    positive_class: str | None
    classes: list[str]
    interval_units: Literal["patient", "group"]
    runs: list[RunId]
    parts: dict[str, Levels]
    endpoints: dict[str, Endpoint]
    heads: dict[str, dict[str, Scores]]
    before_temperature: dict[str, dict[str, float]]
    confusion: dict[str, list[list[float]]]
    subgroups: dict[str, dict[str, Scores]]
    subgroups_of_studies: dict[str, dict[str, Scores]]
    subgroups_out_of_fold: dict[str, dict[str, Scores]]
    baselines: dict[str, dict[str, Scores]]
    curves: Curves
    warnings: list[str]
    diagnosis: list[Finding]
    decisions: Decisions = Decisions()
    external: dict[str, ExternalDifferences] = {}
    label_counts: dict[str, dict[str, int]] = {}
    confidence: Confidence = Confidence()
    batch_norm: BatchNorm | None = None

    def scores(self, part: str = "test", level: str = "image", endpoint: str = "") -> Scores | None:
        """The scores of a part at a level, or those of an endpoint; None if there are none."""
        if endpoint and endpoint not in self.endpoints:
            return None
        parts = self.endpoints[endpoint].parts if endpoint else self.parts
        return parts.get(part, {}).get(level)

    def estimate(self, metric: str, part: str = "test") -> Estimate | None:
        """A metric of the images of a part; None if it is not known."""
        scores = self.scores(part)
        return scores.metrics.get(metric) if scores else None


def read_metrics(study: Study, arm: str) -> Metrics:
    """Read an arm's metrics.json.

    Raises:
        RescanError: It is missing or damaged, or does not belong to the study's arm.
    """
    path = Paths(study.scale, study.name).arm(arm).metrics
    metrics = Metrics.read(path)
    own = (study.name, arm, study.data.classes, study.arms[arm].head)
    if (metrics.study, metrics.arm, metrics.classes, metrics.head) != own:
        raise damaged(path, Metrics.step, "is of another study or arm, or of other classes")
    if {*metrics.endpoints, *metrics.curves.endpoints} - {*study.data.endpoints}:
        raise damaged(path, Metrics.step, "has an endpoint that the study does not have")
    return metrics


def is_scored(study: Study, arm: str) -> bool:
    """Whether there is a metrics.json of the arm as its recipe is now (relative to the working folder).

    Only the key is read: a file of another version of Rescan is of another recipe, and no fault.

    Raises:
        RescanError: It is not a JSON object.
    """
    path = Path(Paths(study.scale, study.name).arm(arm).metrics)
    if not path.is_file():
        return False
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise damaged(path, Metrics.step, f"not valid JSON ({error})") from None
    if not isinstance(content, dict):
        raise damaged(path, Metrics.step, f"input should be an object, not {type(content).__name__}")
    return content.get("result_key") == result_key(study, arm)
