"""Which arm validation prefers, in words. No sentence names an arm for its test score."""

from __future__ import annotations

from collections.abc import Sequence

from rescan.reporting.text.words import change, interval, listed, metric, number
from rescan.results.choice import preferred
from rescan.results.comparison import Comparison
from rescan.results.metrics_file import Metrics

MOST = 4  # arms, in a sentence


def told_apart(arm: str, others: Sequence[str], comparison: Sequence[Comparison]) -> str:
    """Whether validation can tell the arm that it prefers from other arms; "" where they were not compared.

    Args:
        arm: The arm.
        others: Those that it was chosen among.
        comparison: The rows of comparison.csv.
    """
    rows = [row for row in comparison if row.kind == "choice" and row.arm == arm and row.against in others]
    close = [row for row in rows if row.difference is not None and row.verdict != "higher"]
    unlike = [row.against for row in rows if row.difference is None]
    without = [name for name in others if rows and name not in [row.against for row in rows]]
    sentences = []
    if len(close) == 1:
        sentences.append(f"Validation cannot tell it from {close[0].against}: they differ there by {change(close[0])}.")
    elif close:
        names = [row.against for row in close[:MOST]]
        names += [f"{len(close) - MOST} more"] if len(close) > MOST else []
        sentences.append(f"Validation cannot tell it from {listed(names)}: the intervals of the differences contain 0.")
    elif len(rows) > 1 and not unlike:
        sentences.append("Validation tells it from all others: the intervals of the differences lie above 0.")
    elif rows and not unlike:
        sentences.append(f"Validation tells it from {rows[0].against}: they differ there by {change(rows[0])}.")
    if unlike:
        sentences.append(f"Validated on other samples: {listed(unlike)}.")
    if without:
        sentences.append(f"Without validation scores: {listed(without)}.")
    return " ".join(sentences)


def chosen(name: str, arms: Sequence[Metrics], comparison: Sequence[Comparison]) -> str:
    """Say which of some arms validation prefers, what it has on test, and whether validation can tell.

    Args:
        name: The metric.
        arms: The arms' results, in the study's order.
        comparison: The rows of comparison.csv.
    """
    best = preferred(name, arms)
    if best is None or len(arms) < 2:
        return ""
    there, here = best.estimate(name, "validation"), best.estimate(name)
    text = f"validation prefers {best.arm}"
    if there is not None:
        text += f", with {metric(name)} {number(there.value, 2)} {interval(there)}".rstrip()
    if here is not None and here.value is not None:
        text += f"; on test it has {number(here.value, 2)} {interval(here)}".rstrip()
    others = [arm.arm for arm in arms if arm is not best]
    return " ".join(filter(None, [f"{text}.", told_apart(best.arm, others, comparison)]))
