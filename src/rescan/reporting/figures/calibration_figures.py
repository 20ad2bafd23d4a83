"""Figures of what an arm's probabilities are worth: reliability, and accuracy if unsure images are referred."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from rescan.figure_folders import ArmFigures
from rescan.paths import EXTERNAL
from rescan.reporting.figures.style import COLORS, PathLike, canvas, legend_above, short
from rescan.reporting.text.words import spaced
from rescan.results.metrics_file import Metrics
from rescan.results.reliability import Calibration, MassBin, Referral
from rescan.study import Study

MOST_PANELS = 12
TICKS = (0, 0.25, 0.5, 0.75, 1)
TICK_LABELS = ("0", "", ".5", "", "1")
BEHIND = "#9aa0a8"  # the color of the first of two series
ENDS = ("low", "high", "value")


class Series(NamedTuple):
    """Bins under a name; the first series of a panel stands behind."""

    name: str
    bins: Sequence[MassBin]


class Panel(NamedTuple):
    """What one panel shows: a title, and one or two series."""

    title: str
    series: Sequence[Series]


def of_arm(study: Study, metrics: Metrics, folder: ArmFigures) -> None:
    """Draw an arm's reliability, on external data too, and what referring images gains; those that apply."""
    found, home = metrics.confidence, metrics.confidence.home
    if calibrations := found.calibration.get(home):
        reliability([_before_and_after(study, name, one) for name, one in calibrations.items()], folder.reliability)
    if referrals := found.referral.get(home):
        selective(referrals, folder.selective)
    for name in study.externals:
        if there := found.calibration.get(f"{EXTERNAL}/{name}"):
            at_home = found.calibration.get("test", {})
            panels = [_home_and_away(study, outcome, at_home.get(outcome), one) for outcome, one in there.items()]
            reliability(panels, folder.reliability_on(name))


def title_of(study: Study, name: str, calibration: Calibration) -> str:
    """What the probability of a panel is of."""
    return f"≥ {study.data.endpoints[name]}" if calibration.kind == "endpoint" else name


def _before_and_after(study: Study, name: str, one: Calibration) -> Panel:
    title, after = title_of(study, name, one), one.after.bins
    if one.before is None:
        return Panel(title, [Series("model", after)])
    return Panel(title, [Series("before temperature", one.before.bins), Series("after temperature", after)])


def _home_and_away(study: Study, name: str, home: Calibration | None, away: Calibration) -> Panel:
    at_home = [Series("test part, at home", home.after.bins)] if home else []
    return Panel(title_of(study, name, away), [*at_home, Series("external data", away.after.bins)])


def reliability(panels: Sequence[Panel], out: PathLike) -> None:
    """Draw the observed share against the probability, a point with its interval for each bin; no lines between.

    Args:
        panels: One per class, label or endpoint; of more than 12, those whose outcomes are most frequent.
        out: The PNG.
    """
    shown = _most_frequent(panels)
    columns = min(2, len(shown))
    rows = math.ceil(len(shown) / columns)
    with canvas(out, 0.9 + (4.3 if columns == 1 else 2.5) * rows) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, panel in zip(grid, shown):
            _draw_panel(axes, panel, large=columns == 1)
        for axes in grid[len(shown) :]:
            axes.set_visible(False)
        for place in range(max(0, len(shown) - columns), len(shown)):
            grid[place].tick_params(labelbottom=True)
        figure.supxlabel("probability of the class", fontsize=11)
        figure.supylabel("share of images that are of it", fontsize=11)
        legend_above(figure)


def _most_frequent(panels: Sequence[Panel]) -> Sequence[Panel]:
    if len(panels) <= MOST_PANELS:
        return panels

    def present(place: int) -> float:
        return -sum(entry.rows * (entry.observed.value or 0) for entry in panels[place].series[-1].bins)

    return [panels[place] for place in sorted(sorted(range(len(panels)), key=present)[:MOST_PANELS])]


def _draw_panel(axes: Axes, panel: Panel, *, large: bool) -> None:
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="perfectly calibrated")
    size = 6.5 if large else 5.0
    looks: list[tuple[dict[str, Any], str, float]] = [
        ({"marker": "s", "markersize": size * 1.3, "markerfacecolor": "none", "zorder": 4}, BEHIND, 2.4),
        ({"marker": "o", "markersize": size, "zorder": 3}, COLORS[0], 1.2),
    ]
    for series, (marker, color, width) in zip(panel.series, looks[-len(panel.series) :]):
        places = [entry.predicted for entry in series.bins]
        lows, highs, values = ([_or_nan(getattr(entry.observed, end)) for entry in series.bins] for end in ENDS)
        axes.vlines(places, lows, highs, colors=color, linewidth=width)
        axes.plot(places, values, linestyle="", color=color, label=series.name, **marker)
    title = short(panel.title, 40 if large else 22)
    axes.set_title(f"{title}\n{_sizes(panel.series)}", loc="left", fontsize=10)
    axes.set_xticks(TICKS, TICK_LABELS)
    axes.set_yticks(TICKS, TICK_LABELS)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))


def _sizes(several: Sequence[Series]) -> str:
    """How many rows a point of each series stands for."""
    ranges = [(min(entry.rows for entry in one.bins), max(entry.rows for entry in one.bins)) for one in several]
    sizes = [f"{least:,}" if least == most else f"{least:,}–{most:,}" for least, most in dict.fromkeys(ranges)]
    return f"{' and '.join(sizes)} predictions per point"


def selective(referrals: Mapping[str, Referral], out: PathLike) -> None:
    """Draw accuracy against the share referred, with the interval; of two answers, also sensitivity and specificity.

    Args:
        referrals: By question, "" for the arm's own.
        out: The PNG.
    """
    with canvas(out, 0.7 + 3.5 * len(referrals)) as figure:
        panels = figure.subplots(len(referrals), 1, sharex=True, squeeze=False).ravel()
        for axes, (name, one) in zip(panels, referrals.items()):
            _draw_referral(axes, one)
            if len(referrals) > 1:
                axes.set_title(spaced(name) if name else "class", loc="left")
        panels[-1].set_xlabel("referred to a human, the least sure images first")
        legend_above(figure)


def _draw_referral(axes: Axes, one: Referral) -> None:
    shares = np.array(one.referred)
    lows, highs, values = ([_or_nan(getattr(entry, end)) for entry in one.accuracy] for end in ENDS)
    axes.plot(shares, values, color=COLORS[0], linewidth=2, label="accuracy of the rest")
    axes.fill_between(shares, lows, highs, color=COLORS[0], alpha=0.18, linewidth=0, label="its 95 % interval")
    axes.axhline(values[0], color="#999999", linewidth=1, label="accuracy, random order")
    least = min(lows)
    for side, name, line, color in (
        (one.sensitivity, "sensitivity", "--", COLORS[1]),
        (one.specificity, "specificity", "-.", COLORS[2]),
    ):
        if side:
            of_side = [_or_nan(entry.value) for entry in side]
            axes.plot(shares, of_side, color=color, linestyle=line, label=name)
            least = min(least, float(np.nanmin([least, *of_side])))
    if one.needed:
        there = values[one.referred.index(one.needed)]
        axes.plot([one.needed], [there], "D", color="black", markersize=6, label="half the errors")
    axes.set(xlim=(0, max(one.referred)), ylim=(max(0, least - 0.03), 1.01), ylabel="share that is right")
    axes.set_xticks(np.arange(0, 0.9, 0.2))
    axes.xaxis.set_major_formatter(PercentFormatter(1, 0, " %"))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
