"""Figures of a whole study: its classes, its arms beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rescan.reporting.figures.style import PART_LOOKS, PUBLISHED, PathLike, canvas, legend_above, short
from rescan.reporting.text.words import Quantity
from rescan.results.parts import PARTS

DASHES = (":", "--", "-.", (0, (8, 3)), (0, (1, 4)), (0, (6, 2, 1, 2, 1, 2)))  # of references


def class_distribution(
    counts: Mapping[str, Mapping[str, int]], classes: Sequence[str], out: PathLike, beside: Sequence[str] = ()
) -> None:
    """Draw the number of samples of each class in each part.

    Args:
        counts: Part (train, validation, test; those that apply) → class → number.
        classes: The order from top to bottom.
        out: The PNG.
        beside: Lines on samples that no bar counts.
    """
    parts = [part for part in PARTS if part in counts]
    thick = 0.8 / len(parts)
    most = max(n for part in parts for n in counts[part].values())
    with canvas(out, 1.2 + 0.28 * len(classes) * len(parts) + 0.2 * len(beside)) as figure:
        axes = figure.subplots()
        for number, part in enumerate(parts):
            heights = [counts[part].get(name, 0) for name in classes]
            places = np.arange(len(classes)) + (number - (len(parts) - 1) / 2) * thick
            look = PART_LOOKS[part]
            bars = axes.barh(places, heights, thick, label=look.name, color=look.color)
            axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=10)
        axes.set_yticks(range(len(classes)), [short(name) for name in classes])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="samples", xlim=(0, most * 1.15))
        if beside:
            figure.supxlabel("\n".join(beside), fontsize=9, color="#555555")
        legend_above(figure, 3)


@dataclass(frozen=True)
class ForestRow:
    """An arm, its score if it is known, and what was published of it."""

    arm: str
    score: Quantity | None
    published: Sequence[float] = ()


def forest(rows: Sequence[ForestRow], metric: str, out: PathLike, references: Sequence[tuple[str, float]] = ()) -> None:
    """Draw each arm's value with its 95 % interval, published values beside.

    Args:
        rows: The arms from top to bottom.
        metric: The axis label.
        out: The PNG.
        references: Labels and values to draw as lines, such as that of always answering one class.
    """
    pitch = 0.42 if len(rows) <= 12 else 0.32
    with canvas(out, 1.5 + pitch * len(rows) + 0.22 * len(references)) as figure:
        axes = figure.subplots()
        for line, (label, value) in zip(DASHES, references):
            axes.axvline(value, color="#888888", linestyle=line, label=short(label, 40))
        ours = PART_LOOKS["test"]
        line_style: dict[str, Any] = {
            "color": ours.color,
            "linewidth": 2.5,
            "solid_capstyle": "butt",
            "marker": ours.marker,
            "markersize": 7,
        }
        diamond: dict[str, Any] = {
            "color": PUBLISHED.color,
            "linestyle": PUBLISHED.line,
            "marker": PUBLISHED.marker,
            "markersize": 7,
            "markerfacecolor": "white",
        }
        axes.plot([], [], label="this run, 95 % interval", **line_style)
        if any(row.published for row in rows):
            axes.plot([], [], label=PUBLISHED.name, **diamond)
        for place, row in enumerate(rows):
            if row.score is not None and row.score.value is not None:
                value = row.score.value
                low, high = (value if bound is None else bound for bound in (row.score.low, row.score.high))
                axes.plot([low, value, high], [place] * 3, markevery=[1], **line_style)
            axes.plot(row.published, [place + 0.24] * len(row.published), **diamond)
        axes.set_yticks(range(len(rows)), [short(row.arm, 28) for row in rows], fontsize=10)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(metric)
        axes.grid(visible=False, axis="y")
        legend_above(figure, 1)


def note(text: str, out: PathLike) -> None:
    """Write a sentence in the place of a figure that has nothing to show."""
    with canvas(out, 0.6, vectors=False) as figure:
        figure.text(0.02, 0.5, text, va="center")
