"""What a study's page says in short, for the page of all studies."""

from __future__ import annotations

from rescan.reporting.page.study_view import StudyView
from rescan.reporting.text import words
from rescan.results.comparison import Comparison
from rescan.results.page_card import Compared, PageCard


def card(view: StudyView) -> PageCard:
    """Sum up what the page shows of a study."""
    study, lead = view.study, view.lead
    arm = next((arm for arm in view.arms if arm.name == lead.arm), None)
    score = arm.metrics.estimate(study.metric) if arm else None
    rows = [_compared(row) for row in (*view.published, *view.claims)]
    return PageCard(
        title=study.title,
        headline=lead.headline,
        metric=words.metric(study.metric),
        arm=lead.arm,
        ours=score.value if score else None,
        low=score.low if score else None,
        high=score.high if score else None,
        # First what stands for all: of the preferred arm and the main metric, if there is such.
        compared=sorted(rows, key=lambda row: (row.arm != lead.arm, row.metric != words.metric(study.metric))),
        caution=lead.caution,
        arms=len(study.arms),
        missing=list(view.missing),
    )


def _compared(row: Comparison) -> Compared:
    claimed = row.kind == "claim"
    ours = words.difference(row) if claimed else row
    return Compared(
        published=f"{row.arm} better than {row.against}" if claimed else words.number(row.published, 4),
        published_value=None if claimed else row.published,
        who=row.who,
        metric=words.metric(row.metric),
        arm=row.arm,
        ours=ours.value,
        low=ours.low,
        high=ours.high,
        verdict=row.verdict,
    )
