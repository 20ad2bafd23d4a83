"""Figures of decisions: precision-recall and decision curves, and operating points on curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rescan.reporting.figures.style import COLORS, LINES, POINTS, PathLike, canvas, legend_above, short
from rescan.reporting.text.words import Quantity, interval, number, spaced
from rescan.results.decisions import NetBenefit, PrCurve
from rescan.results.metrics_file import Metrics
from rescan.study import Study


class Marked(NamedTuple):
    """An operating point of the run whose curves are drawn; None where undefined."""

    name: str
    sensitivity: float | None
    specificity: float | None
    ppv: float | None


def marked(metrics: Metrics) -> dict[str, list[Marked]]:
    """The operating points of the first run's test images, by class, label or endpoint."""
    found: dict[str, list[Marked]] = {}
    for point in metrics.decisions.points:
        if level := point.parts.get("test", {}).get("image"):
            values = [level.metrics[name].runs[0] for name in ("sensitivity", "specificity", "ppv")]
            found.setdefault(point.of, []).append(Marked(point.name, *values))
    return found


def draw_points(axes: Any, places: Sequence[tuple[str, float | None, float | None, str]]) -> None:
    """Draw operating points, a marker for each name, which stands in the legend once.

    Args:
        axes: Of matplotlib.
        places: Name, x, y and color of each; those with an undefined place are left out.
    """
    names = list(dict.fromkeys(name for name, *_ in places))
    for name, x, y, color in places:
        if x is not None and y is not None:
            marker = POINTS[names.index(name) % len(POINTS)]
            axes.plot(x, y, marker, color=color, markeredgecolor="black", markersize=8, zorder=3, clip_on=False)
    for place, name in enumerate(names):
        axes.plot([], [], POINTS[place % len(POINTS)], color="white", markeredgecolor="black", label=name)


def decisions(study: Study, metrics: Metrics, folder: Any) -> None:
    """Draw precision_recall and net_benefit of the test part, of the questions that it has.

    Args:
        study: The study.
        metrics: The arm's results.
        folder: `ArmFigures`.
    """
    asked = list(study.data.endpoints) or metrics.classes
    lines = {name: curve for name, curve in metrics.decisions.precision_recall.get("test", {}).items() if name in asked}
    if lines:
        areas: dict[str, Quantity] = {}
        for name in lines:
            scores = metrics.scores(endpoint=name if name in study.data.endpoints else "")
            auprc = scores.metrics.get("auprc") if scores else None
            own = auprc if auprc is None or name in study.data.endpoints else auprc.classes.get(name)
            areas |= {name: own} if own else {}
        precision_recall(lines, areas, marked(metrics), folder.precision_recall)
    if benefits := metrics.decisions.net_benefit.get("test"):
        net_benefit(benefits, folder.net_benefit)


def precision_recall(
    lines: Mapping[str, PrCurve],
    areas: Mapping[str, Quantity],
    points: Mapping[str, Sequence[Marked]],
    out: PathLike,
) -> None:
    """Draw precision-recall curves, and in faint lines the precision of calling everyone positive.

    Args:
        lines: A curve for each name, of a class, label or endpoint.
        areas: For each name whose area is known.
        points: The operating points of each name.
        out: The PNG.
    """
    places = [
        (point.name, point.sensitivity, point.ppv, COLORS[position % len(COLORS)])
        for position, name in enumerate(lines)
        for point in points.get(name, ())
    ]
    with canvas(out, 4.7 + 0.24 * (len(lines) + len({name for name, *_ in places}))) as figure:
        axes = figure.subplots()
        for position, (name, line) in enumerate(lines.items()):
            color, style = COLORS[position % len(COLORS)], LINES[position // len(COLORS) % len(LINES)]
            area = areas.get(name)
            text = f"  {number(area.value)} {interval(area)}".rstrip() if area and area.value is not None else ""
            axes.axhline(line.prevalence, color=color, linewidth=1, alpha=0.35)
            axes.step(line.recall, line.precision, color=color, linestyle=style, label=short(spaced(name), 30) + text)
        draw_points(axes, places)
        axes.set(xlabel="sensitivity (recall)", ylabel="PPV (precision)", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        legend_above(figure, 1)


def net_benefit(lines: Mapping[str, NetBenefit], out: PathLike) -> None:
    """Draw decision curves with their intervals, beside acting on everyone and on no one.

    Args:
        lines: For each name, of a class or endpoint.
        out: The PNG.
    """
    with canvas(out, 4.9 + 0.48 * len(lines)) as figure:
        axes = figure.subplots()
        for position, (name, line) in enumerate(lines.items()):
            color = COLORS[position % len(COLORS)]
            axes.fill_between(line.thresholds, line.low, line.high, color=color, alpha=0.18, linewidth=0)
            axes.plot(line.thresholds, line.model, color=color, label=f"{short(spaced(name), 24)}: by the model")
            axes.plot(line.thresholds, line.treat_all, "--", color=color, linewidth=1, label="everyone")
        axes.axhline(0, color="#666666", linewidth=1, label="no one")
        top = max(0.01, *(max(line.high) for line in lines.values()))
        axes.set(xlabel="probability from which on one acts", ylabel="net benefit", xlim=(0, 1))
        axes.set_ylim(-0.25 * top, 1.08 * top)
        legend_above(figure, 1)
