"""What the page shows of external data: what they are, what of them was left out, and how they differ from the test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rescan.paths import EXTERNAL as FOLDER
from rescan.paths import Paths
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.text import calibration_words, words
from rescan.results.agreement import read_splits
from rescan.results.audit_report import GROUPS, AuditReport
from rescan.results.metrics_file import Difference, Interval, Metrics, Scores, difference
from rescan.results.parts import EXTERNAL, LEFT_OUT
from rescan.results.source import SourceReport
from rescan.study import Study

METRICS = ("balanced_accuracy", "auroc", "sensitivity", "specificity", "ece", "brier")  # after the study's first one
OF_ENDPOINTS = ("auroc", "sensitivity", "specificity")


@dataclass(frozen=True)
class ExternalRow:
    """A metric of an arm: of the home test part, of the external data, and their difference."""

    arm: str
    metric: str
    test: Interval
    external: Interval
    difference: Difference | None


@dataclass(frozen=True)
class ExternalView:
    """An external data set. What has not run is None or empty.

    Attributes:
        name: Its name.
        source: Where the data came from.
        samples: How many samples are tested on.
        counts: Of each class.
        left_out: Pairs of a sample that is left out and the home sample that its group is shared with, "" if it is
            another of the group that is.
        warnings: What its audit found.
        same_patients: Whether patients' names mean the same patients as at home.
        rows: The scores.
        figures: How well the arms' home temperatures fit.
    """

    name: str
    source: SourceReport | None
    samples: int
    counts: Mapping[str, int]
    left_out: Sequence[tuple[str, str]]
    warnings: Sequence[str]
    same_patients: bool
    rows: Sequence[ExternalRow]
    figures: Sequence[Picture]

    @property
    def is_calibrated(self) -> bool:
        """Whether the scores say how well the temperature fits."""
        return any(row.metric == words.metric("ece") for row in self.rows)


def external_views(study: Study, arms: Sequence[Metrics]) -> list[ExternalView]:
    """Collect what the page shows of a study's external data sets, and of its arms' scores on them."""
    views = []
    for name, data_set in study.externals.items():
        paths = Paths(data_set.scale, data_set.name)
        samples, counts, left_out = _samples(data_set, paths)
        source = SourceReport.read_if_there(paths.source)
        rows = [row for metrics in arms for row in _rows(study, metrics, name)]
        same_patients = study.data.external[name].same_patients
        audit = AuditReport.read_if_there(paths.audit)
        warnings = audit.warnings if audit else []
        figures = [figure for metrics in arms if (figure := _reliability(study, metrics, name))]
        views.append(ExternalView(name, source, samples, counts, left_out, warnings, same_patients, rows, figures))
    return views


def _reliability(study: Study, metrics: Metrics, name: str) -> Picture | None:
    """The figure of an arm's reliability."""
    arm = metrics.arm
    runs = ", all runs together" if len(metrics.runs) > 1 else ""
    caption = f"Reliability of {arm} on {name} and on the home test part{runs}. {calibration_words.FIGURE}"
    file = Paths(study.scale, study.name).arm(arm).figures.reliability_on(name)
    return picture(file, "evaluate", f"{arm}: reliability on {name}", caption)


def _samples(study: Study, paths: Paths) -> tuple[int, dict[str, int], list[tuple[str, str]]]:
    """How many samples of an external data set are tested on, and of each class; and those that are left out."""
    if not Path(paths.splits).is_file() or not Path(paths.groups).is_file():
        return 0, {}, []
    splits = read_splits(study)
    splits = splits[splits["fold"] == 0]
    tested = splits.loc[splits["part"] == EXTERNAL, "label"]
    left_out = splits.loc[splits["part"] == LEFT_OUT, ["sample"]].merge(GROUPS.read(paths.groups), on="sample")
    pairs = list(zip(left_out["sample"], left_out["relative"])) if "relative" in left_out else []
    return len(tested), {label: int(study.data.outcome.has(tested, label).sum()) for label in study.data.classes}, pairs


def _rows(study: Study, metrics: Metrics, name: str) -> list[ExternalRow]:
    """The rows of an arm: its metrics, then those of its endpoints."""
    part, differences = f"{FOLDER}/{name}", metrics.external.get(name)
    if differences is None:
        return []
    rows = []
    for endpoint in ("", *study.data.endpoints):
        test, external = metrics.scores("test", endpoint=endpoint), metrics.scores(part, endpoint=endpoint)
        own = differences.endpoints.get(endpoint, {}) if endpoint else differences.metrics
        if test and external:
            names = OF_ENDPOINTS if endpoint else [*dict.fromkeys([study.metric, *METRICS])]
            rows += _of_scores(metrics.arm, endpoint, names, (test, external), own)
            rows += _of_labels(metrics.arm, test, external) if study.data.multilabel else []
    return rows


def _of_labels(arm: str, test: Scores, external: Scores) -> list[ExternalRow]:
    """The AUROC of each label."""
    areas, others = (of.metrics["auroc"].classes for of in (test, external))
    return [
        ExternalRow(arm, f"{words.metric('auroc')}, {label}", area, others[label], difference(area, others[label]))
        for label, area in areas.items()
    ]


def _of_scores(
    arm: str, endpoint: str, names: Sequence[str], scores: tuple[Scores, Scores], own: Mapping[str, Difference]
) -> list[ExternalRow]:
    test, external = (of.metrics for of in scores)
    what = f", {words.spaced(endpoint)}" if endpoint else ""
    return [
        ExternalRow(arm, words.metric(name) + what, test[name], external[name], own.get(name))
        for name in names
        if name in test and name in external
    ]
