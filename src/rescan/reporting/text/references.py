"""References for the scores of the arms: one constant answer, metadata, other labels of the same images."""

from __future__ import annotations

from collections.abc import Sequence

from rescan.reporting.text.words import known_column
from rescan.results.audit_report import AuditReport
from rescan.results.metrics_file import Estimate, Metrics
from rescan.study import Study


def constant(arms: Sequence[Metrics]) -> tuple[str, float] | None:
    """The most frequent class of the test part and the accuracy of always answering it."""
    for arm in arms:
        if "test" in arm.confusion:
            totals = [round(sum(row), 6) for row in arm.confusion["test"]]  # means of runs: ties but for last digits
            most = max(range(len(totals)), key=totals.__getitem__)
            return arm.classes[most], totals[most] / sum(totals)
    return None


def repeated_labels(audit: AuditReport | None) -> float | None:
    """The quadratic kappa of identical images' labels, if there are any of grades."""
    return audit.identical.quadratic_kappa if audit else None


def baselines(arms: Sequence[Metrics], part: str = "test") -> dict[str, dict[str, Estimate]]:
    """What the field of view, site and device predict by themselves: metrics by column, as the first arm has them."""
    columns = next((arm.baselines for arm in arms if arm.baselines), {})
    return {name: parts[part].metrics for name, parts in columns.items() if part in parts}


def forest_lines(study: Study, arms: Sequence[Metrics], audit: AuditReport | None) -> list[tuple[str, float]]:
    """The references as lines of the forest plot: label and value of the first metric."""
    lines: list[tuple[str, float | None]] = []
    if study.data.ordered:
        metadata = audit.confounds.quadratic_kappa if audit else None
        lines += [("file metadata alone", metadata.value)] if metadata else []
        lines += [("labels of identical images", repeated_labels(audit))]
    elif always := constant(arms):
        lines += [(f"always “{always[0]}”", always[1])]
    for name, metrics in baselines(arms).items():
        if study.metric in metrics:
            lines += [(f"{known_column(name)} alone", metrics[study.metric].value)]
    return [(label, value) for label, value in lines if value is not None]
