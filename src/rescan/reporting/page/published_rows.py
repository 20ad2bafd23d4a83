"""The rows of the page's tables of published numbers and claims: those that are not compared are listed as not run."""

from __future__ import annotations

from collections.abc import Sequence

from rescan.results.comparison import Comparison
from rescan.study import Study

NOT_RUN, NOT_COMPARED = "not run", "not compared yet"  # a verdict and its reason


def published_rows(study: Study, comparison: Sequence[Comparison], scored: Sequence[str]) -> list[Comparison]:
    """A row per published number of the study file.

    Args:
        study: The study.
        comparison: The rows of comparison.csv.
        scored: The arms that have results.
    """
    compared = {_number(row): row for row in comparison if row.kind == "published"}
    rows = []
    for entry in study.published:
        row = Comparison(
            "published",
            entry.arm,
            endpoint=entry.endpoint or "",
            metric=entry.metric,
            level=entry.level,
            published=entry.value,
            published_n=entry.n,
            who=entry.who,
            margin=entry.margin,
            verdict=NOT_RUN,
            reason=NOT_COMPARED if entry.arm in scored else "this arm has no results",
        )
        rows.append(compared.get(_number(row), row))
    return rows


def _number(row: Comparison) -> tuple[str, ...]:
    """What tells published numbers apart."""
    return row.arm, row.endpoint, row.metric, row.level, row.who


def claim_rows(study: Study, comparison: Sequence[Comparison]) -> list[Comparison]:
    """The rows of each published claim; of one that is not compared, a row that says so."""
    rows = []
    for claim in study.claims:
        key = (claim.better, claim.than, claim.metric, claim.who)
        own = [row for row in comparison if row.kind == "claim" and (row.arm, row.against, row.metric, row.who) == key]
        blank = Comparison(
            "claim",
            claim.better,
            claim.than,
            metric=claim.metric,
            who=claim.who,
            verdict=NOT_RUN,
            reason=NOT_COMPARED,
        )
        rows += own or [blank]
    return rows
