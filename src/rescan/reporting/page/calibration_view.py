"""What the page shows of the worth of an arm's probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rescan.catalogue import READERS
from rescan.paths import Paths
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.text import calibration_words, words
from rescan.reporting.text.words import Quantity
from rescan.results.metrics_file import Metrics
from rescan.results.posttraining import Posttraining
from rescan.results.reliability import Calibration
from rescan.study import Study

HEADINGS = (
    ("Slope", "1 is right"),
    ("Intercept", "0 is right"),
    ("ECE", "before"),
    ("ECE", "after"),
    ("Brier score", "before"),
    ("Brier score", "after"),
)


@dataclass(frozen=True)
class CalibrationRow:
    """One outcome: its name, what stands behind it in small, and its numbers in the order of HEADINGS."""

    title: str
    note: str
    cells: Sequence[Quantity | None]


@dataclass(frozen=True)
class CalibrationView:
    """What an arm's probabilities are worth; only sentences if it gives none.

    Attributes:
        headings: The heads of the columns, and what stands below them in small.
        rows: A row for each class, label or endpoint.
        caption: Stands below the table.
        sentences: What the numbers say.
        figures: Reliability, and accuracy by the share referred.
        referral: What the second figure says.
    """

    headings: Sequence[tuple[str, str]]
    rows: Sequence[CalibrationRow]
    caption: str
    sentences: Sequence[str]
    figures: Sequence[Picture]
    referral: Sequence[str]


def calibration_view(study: Study, metrics: Metrics, fitted: Posttraining | None) -> CalibrationView:
    """Collect what the page shows of an arm's probabilities, on test, else on validation."""
    part = metrics.confidence.home
    calibrations = metrics.confidence.calibration.get(part, {})
    if not calibrations:
        why = calibration_words.without_probabilities(READERS[metrics.head].title)
        return CalibrationView(HEADINGS, [], "", [why], [], [])
    titles = {name: _title(study, name, one) for name, one in calibrations.items()}
    referrals = metrics.confidence.referral.get(part, {})
    several = [calibration_words.SEVERAL_LABELS] if study.data.multilabel else []
    noun = words.noun(study)
    return CalibrationView(
        headings=HEADINGS,
        rows=[_row(titles[name], one) for name, one in calibrations.items()],
        caption=_caption(metrics, part, next(iter(calibrations.values()))),
        sentences=[
            *filter(None, [calibration_words.temperature(metrics, fitted)]),
            *calibration_words.reading(calibrations, titles),
        ],
        figures=_figures(study, metrics, part),
        referral=[*several, *(calibration_words.referral(name, one, noun) for name, one in referrals.items())],
    )


def _title(study: Study, name: str, one: Calibration) -> str:
    return f"{words.spaced(name)} (≥ {study.data.endpoints[name]})" if one.kind == "endpoint" else name


def _row(title: str, one: Calibration) -> CalibrationRow:
    after, before = one.after, one.before
    pairs = [(before.ece if before else None, after.ece), (before.brier if before else None, after.brier)]
    cells = [after.slope, after.intercept, *(cell for pair in pairs for cell in pair)]
    return CalibrationRow(title, f"{one.present:,} of {one.n:,}", cells)


def _caption(metrics: Metrics, part: str, one: Calibration) -> str:
    """What the numbers are of, and what they mean."""
    runs = f", the {len(metrics.runs)} runs together" if len(metrics.runs) > 1 else ""
    of = f"{words.capitalized(words.part(part, '', ''))} part{runs}: {words.several(one.n, 'prediction')}"
    units = words.several(one.groups, metrics.interval_units)
    return f"{of} of {units}, which the 95 % intervals are over. {calibration_words.TABLE}"


def _figures(study: Study, metrics: Metrics, part: str) -> list[Picture]:
    folder = Paths(study.scale, study.name).arm(metrics.arm).figures
    where = f"{words.part(part, '', '')}{', all runs together' if len(metrics.runs) > 1 else ''}"
    captions = {
        "reliability": f"Reliability, {where}. {calibration_words.FIGURE}",
        "selective": f"Selective prediction, {where}: what is right of the {words.noun(study)}s that are not referred.",
    }
    pictures = [
        picture(getattr(folder, name), "evaluate", f"{metrics.arm}: {name}", text) for name, text in captions.items()
    ]
    return [figure for figure in pictures if figure]
