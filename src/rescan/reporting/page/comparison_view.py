"""What the page shows of the paired differences of arms: effect and interval, then the test and its p."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rescan.catalogue import COMPARED, COMPARED_GRADES, COMPARED_LABELS
from rescan.reporting.text.words import number
from rescan.results.comparison import Comparison
from rescan.study import Study


@dataclass(frozen=True)
class PairRow:
    """A row of comparison.csv, with its p and Holm's as texts; "–" where there is none."""

    row: Comparison
    p: str
    adjusted: str


@dataclass(frozen=True)
class PairsView:
    """The differences in the first metrics by image, and how many others comparison.csv has.

    Attributes:
        rows: The differences.
        family: How many comparisons Holm's p is adjusted for.
        more: How many differences of other metrics, levels and endpoints there are.
    """

    rows: Sequence[PairRow]
    family: int
    more: int


def pairs_view(study: Study, comparison: Sequence[Comparison]) -> PairsView:
    """Choose the rows that the page shows."""
    data = study.data
    names = COMPARED_GRADES if data.ordered else COMPARED_LABELS if data.multilabel else (*COMPARED, "auroc")
    pairs = [row for row in comparison if row.kind in ("arms", "leak")]
    shown = [row for row in pairs if row.metric in names and row.level == "image" and not row.endpoint]
    rows = [PairRow(row, p_text(row.p), p_text(row.p_adjusted)) for row in shown]
    return PairsView(rows, sum(row.p_adjusted is not None for row in pairs), len(pairs) - len(shown))


def p_text(p: float | None) -> str:
    """A p with three decimals, "< 0.001" below; "–" for none."""
    return "< 0.001" if p is not None and p < 0.001 else number(p)
