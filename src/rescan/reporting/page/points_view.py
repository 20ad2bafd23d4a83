"""What the page shows of an arm's operating points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rescan.reporting.text import words
from rescan.results.decisions import PointLevel, PointScores
from rescan.results.metrics_file import Metrics
from rescan.study import Study

CAPTION = (
    "Thresholds are fitted on the validation part, by image, pooled over the runs; validation rows are read with that "
    "of the other folds of a cross-fitting. Intervals count patients of both parts: other validation patients would "
    "give another threshold."
)
COARSER = {
    True: "Eyes, studies and patients have the threshold of images, for the highest score of their images.",
    False: "Eyes, studies and patients have the threshold of images, for the mean probability of their images.",
}


@dataclass(frozen=True)
class PointRow:
    """A point on a part at a level.

    Attributes:
        name: Of the point; "" where it stands in the row above.
        of: The class, label or endpoint.
        threshold: In words.
        prevalence: The declared one, in words; "" without one.
        where: Part and level.
        scores: The point there.
    """

    name: str
    of: str
    threshold: str
    prevalence: str
    where: str
    scores: PointLevel

    @property
    def counts(self) -> str:
        """The confusion matrix in a cell: found, missed, false alarms, rightly not called."""
        (spared, alarms), (missed, found) = self.scores.confusion
        return " / ".join(
            f"{count:,.0f}" if count == round(count) else f"{count:,.1f}" for count in (found, missed, alarms, spared)
        )


@dataclass(frozen=True)
class PointsView:
    """The table of an arm's operating points.

    Attributes:
        at_prevalence: Whether a point declares one.
        rows: The rows.
        sentences: What limits the points, or why there is none.
        captions: Stand below it.
    """

    at_prevalence: bool
    rows: Sequence[PointRow]
    sentences: Sequence[str]
    captions: Sequence[str]


def points_view(study: Study, metrics: Metrics) -> PointsView | None:
    """Collect what the page shows of an arm's operating points; None without one."""
    points = metrics.decisions.points
    if not points:
        return None
    rows = [row for point in points for row in _rows(study, point)]
    declared = any(point.prevalence is not None for point in points)
    coarser = {level for point in points for levels in point.parts.values() for level in levels} - {"image"}
    captions = [CAPTION, *([COARSER[study.data.ordered]] if coarser else [])]
    if deciding := [
        f"{point.name} of {point.of}" for point in points if point.predicts and point.threshold is not None
    ]:
        captions.append(f"Predicted classes are read at {words.listed(deciding)}, everywhere on this page.")
    problems = {f"{point.name} of {words.spaced(point.of)}": point for point in points if point.problem}
    sentences = [
        f"{name}: {'' if point.threshold is not None else 'no threshold, as '}{point.problem}."
        for name, point in problems.items()
    ]
    return PointsView(declared, rows, sentences, captions)


def _rows(study: Study, point: PointScores) -> list[PointRow]:
    rows: list[PointRow] = []
    for part in sorted(point.parts, key=lambda part: part != "test"):
        for level, scores in point.parts[part].items():
            if part == "test" or level == "image":
                first = not rows
                name = point.name if first else ""
                of = words.spaced(point.of) if first else ""
                threshold = f"{words.number(point.threshold)} ({point.scale})" if first else ""
                where = words.part(part, level, "image")
                prevalence = f"prevalence {100 * point.prevalence:g} %" if first and point.prevalence else ""
                where = where.replace("image", words.noun(study))
                rows.append(PointRow(name, of, threshold, prevalence, where, scores))
    return rows
