"""What an arm's probabilities are worth and what its thresholds do, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rescan.reporting.tables.export_table import Cell, ExportTable
from rescan.results.map_files import MapSummary
from rescan.results.metrics_file import Metrics

OF_POINTS = (
    *("of", "point", "threshold", "scale", "prevalence"),
    *("part", "level", "n", "units", "metric", "value"),
)
CHECKS = ("deletion", "insertion", "randomized", "seeds")
CALIBRATION = ("ece", "brier", "slope", "intercept")


def decision_tables(arms: Sequence[Metrics]) -> list[ExportTable]:
    """The tables of operating points, calibration and referral; without those that have no row.

    Args:
        arms: The results of the arms that have some.
    """
    tables = [
        ExportTable(
            "operating_points",
            "Scores at each operating point; the thresholds are of validation.",
            ("arm", *OF_POINTS),
            [(arm.arm, *line) for arm in arms for line in _of_points(arm)],
        ),
        ExportTable(
            "calibration",
            "Calibration of the probability of each outcome, after and before the temperature.",
            ("arm", "part", "outcome", "probabilities", "n", "present", "units", *CALIBRATION),
            [(arm.arm, *line) for arm in arms for line in _of_calibration(arm)],
        ),
        ExportTable(
            "referral",
            "Accuracy of the images that are kept, if the least sure ones are referred.",
            ("arm", "part", "question", "referred", "accuracy"),
            [
                (arm.arm, part, question, share, accuracy)
                for arm in arms
                for part, questions in arm.confidence.referral.items()
                for question, referral in questions.items()
                for share, accuracy in zip(referral.referred, referral.accuracy)
            ],
        ),
    ]
    return [table for table in tables if table.rows]


def _of_points(arm: Metrics) -> Iterator[tuple[Cell, ...]]:
    for point in arm.decisions.points:
        about = (point.of, point.name, point.threshold, point.scale, point.prevalence)
        for part, levels in point.parts.items():
            for level, scores in levels.items():
                (spared, alarms), (missed, found) = scores.confusion
                counts = {"found": found, "missed": missed, "false alarms": alarms, "rightly not called": spared}
                values: dict[str, Cell] = {**scores.metrics, **counts}
                for name, value in values.items():
                    yield (*about, part, level, scores.n, scores.groups, name, value)


def _of_calibration(arm: Metrics) -> Iterator[tuple[Cell, ...]]:
    for part, outcomes in arm.confidence.calibration.items():
        for outcome, found in outcomes.items():
            for when, reliability in (("after", found.after), ("before", found.before)):
                if reliability:
                    values = (getattr(reliability, name) for name in CALIBRATION)
                    yield (part, outcome, when, found.n, found.present, found.groups, *values)


def map_check_table(summaries: Mapping[str, MapSummary]) -> list[ExportTable]:
    """The table of the checks of each arm's maps, if there is one.

    Args:
        summaries: By arm.
    """
    rows: list[tuple[Cell, ...]] = []
    for arm, summary in summaries.items():
        checks = summary.checks
        means = {name: getattr(checks, name) for name in CHECKS}
        rows += [(arm, name, checks.n, checks.units, mean) for name, mean in means.items() if mean]
        located = {**summary.located.hits, **summary.located.overlaps}
        rows += [(arm, name, summary.located.n, None, mean) for name, mean in located.items()]
    caption = "Checks of the maps: deletion, insertion, random weights, seeds; lesions that they find."
    return [ExportTable("map_checks", caption, ("arm", "check", "n", "units", "value"), rows)] if rows else []
