"""Which arm validation prefers: the one rule by which an arm is named anywhere. The test part never chooses."""

from __future__ import annotations

from collections.abc import Sequence

from rescan.results.metrics_file import Estimate, Metrics


def preferred(metric: str, arms: Sequence[Metrics]) -> Metrics | None:
    """The arm with the best validation score, of equal ones the first; None where no arm has one.

    An ensemble has none: its validation rows are each of few members.
    """
    validated = [arm for arm in arms if _score(metric, arm) is not None]
    return max(validated, key=lambda arm: _score(metric, arm) or 0.0, default=None)


def _score(metric: str, arm: Metrics) -> float | None:
    estimate: Estimate | None = arm.estimate(metric, "validation")
    return estimate.value if estimate else None
