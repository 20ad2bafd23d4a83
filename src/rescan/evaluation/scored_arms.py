"""What arms are compared by: their metrics.json and what is read off their held-out samples."""

from __future__ import annotations

from dataclasses import dataclass, replace

from rescan.evaluation import predictions
from rescan.evaluation.readings import Reading, by_sample, read_posttraining
from rescan.evaluation.scoring import of_part
from rescan.paths import Paths
from rescan.results.comparison import Comparison
from rescan.results.damage import damaged
from rescan.results.metrics_file import Metrics, Scores, read_metrics
from rescan.study import Study

PART, LEVEL = "test", "image"


@dataclass(frozen=True)
class ScoredArms:
    """The results of those arms of a study that have some.

    Attributes:
        study: The study.
        metrics: By arm.
        readings: By arm, the validation and test samples; of ensembles the latter only: the former are for fitting.
    """

    study: Study
    metrics: dict[str, Metrics]
    readings: dict[str, Reading]

    @classmethod
    def read(cls, study: Study, arms: list[str]) -> ScoredArms:
        """Read the results of some arms.

        Raises:
            RescanError: A file is missing or damaged.
        """
        metrics = {arm: read_metrics(study, arm) for arm in arms}
        readings = {arm: _held_out(study, arm) for arm in arms}
        for arm in arms:
            tested, scores = of_part(readings[arm], PART), metrics[arm].scores()
            n = 0 if tested is None else tested.rows["sample"].nunique()
            if scores is not None and scores.n != n:
                path = Paths(study.scale, study.name).arm(arm).metrics
                raise damaged(path, Metrics.step, f"is of {scores.n} test samples, the arm's predictions have {n}")
        return cls(study, metrics, readings)

    def reading(self, arm: str, part: str = PART) -> Reading | None:
        """What is read off the samples of a part; None if there is none."""
        reading = of_part(self.readings[arm], part) if arm in self.readings else None
        return None if reading is None or reading.rows.empty else reading

    def without_test(self, *arms: str) -> str:
        """Why some arms cannot be compared: those without a test result; "" if all have one."""
        absent = [arm for arm in arms if self.reading(arm) is None]
        return f"no test result of {', '.join(absent)}" if absent else ""

    def scores(self, arm: str, *, endpoint: str = "", part: str = PART, level: str = LEVEL) -> Scores | None:
        """The scores of a part at a level, or those of an endpoint; None if there are none."""
        metrics = self.metrics.get(arm)
        return metrics.scores(part, level, endpoint) if metrics else None

    def row(
        self, kind: str, arm: str, metric: str, *, endpoint: str = "", part: str = PART, level: str = LEVEL
    ) -> Comparison:
        """A row of comparison.csv with the arm's own value, if it has one."""
        row = Comparison(kind, arm, metric=metric, endpoint=endpoint, part=part, level=level)
        scores = self.scores(arm, endpoint=endpoint, part=part, level=level)
        return row if scores is None else with_value(replace(row, n=scores.n), scores)


def with_value(row: Comparison, scores: Scores) -> Comparison:
    """The row with the value of its metric and its interval."""
    estimate = scores.metrics.get(row.metric)
    return replace(row, value=estimate.value, low=estimate.low, high=estimate.high) if estimate else row


def _held_out(study: Study, arm: str) -> Reading:
    rows = predictions.read(study, arm)
    parts = ("test",) if study.arms[arm].ensemble else ("validation", "test")
    return by_sample(read_posttraining(study, arm, rows), rows.where(rows.rows["part"].isin(parts)))
