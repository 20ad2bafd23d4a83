"""The figures: one function each, data in, PNG file out. Readable at 330 CSS pixels (a phone) and sharp at 700."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rescan.files import read_json
from rescan.paths import Paths
from rescan.reporting.style import COLORS, LINES, MARKERS, WIDTH, PathLike, canvas, legend_above, short

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from rescan.study import Study

PARTS = ("train", "validation", "test")


def _style_of(position: int) -> dict[str, Any]:
    """Color and line style of the class at `position`: distinct for 28 classes."""
    return {"color": COLORS[position % len(COLORS)], "linestyle": LINES[position // len(COLORS) % len(LINES)]}


def evaluation(study: Study, arm: str) -> None:
    """Draw an arm's confusion.png, roc.png, reliability.png (test part) and curves.png (all runs) beside metrics.json.

    Raises:
        RescanError: There is no metrics.json.
    """
    paths = Paths(study.scale, study.name)
    folder = Path(paths.arm(arm))
    metrics = read_json(folder / "metrics.json")
    lines = metrics["curves"]
    histories = [Path(paths.run(arm, fold, seed), "history.csv") for fold, seed in study.runs()]
    curves([file for file in histories if file.is_file()], folder / "curves.png")
    if "test" not in metrics["confusion"]:
        for name in ("confusion", "roc", "reliability"):
            note("There is no test part.", folder / f"{name}.png")
        return
    areas = next(iter(metrics["parts"]["test"].values()))["metrics"].get("auroc", {}).get("classes", {})
    confusion(metrics["confusion"]["test"], study.data.classes, folder / "confusion.png")
    roc(lines["roc"]["test"], areas, folder / "roc.png")
    reliability(lines["reliability"]["test"], folder / "reliability.png")


def curves(histories: PathLike | Sequence[PathLike], out: PathLike) -> None:
    """Draw loss and accuracy over the epochs, training and validation, all runs of an arm in one figure.

    Args:
        histories: The run's history.csv, or those of all runs. Lines mark where stages begin, dots the kept epochs.
        out: The PNG.
    """
    files = [histories] if isinstance(histories, (str, Path)) else histories
    tables = [table for file in files if len(table := pd.read_csv(file))]
    with canvas(out, 5.4) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, metric in zip(panels, ("loss", "accuracy")):
            for number, table in enumerate(tables):
                epochs = table["epoch"] + 1
                kept = table["kept"] == 1
                for part, color, line in (("train", COLORS[0], "--"), ("validation", COLORS[1], "-")):
                    axes.plot(
                        epochs,
                        table[f"{part}_{metric}"],
                        line,
                        color=color,
                        linewidth=1.8 if len(tables) == 1 else 1.1,
                        label={"train": "training", "validation": part}[part] if number == 0 else None,
                    )
                dots = table.loc[kept, f"validation_{metric}"]
                axes.plot(epochs[kept], dots, "o", color=COLORS[1], label="kept epoch" if number == 0 else None)
            axes.set_ylabel("loss (nats)" if metric == "loss" else "accuracy")
            _mark_stages(axes, tables[0] if tables else pd.DataFrame({"stage": [], "epoch": []}), metric == "accuracy")
        panels[1].set(xlabel="epoch", ylim=(0, 1.02))
        panels[1].xaxis.get_major_locator().set_params(integer=True)
        panels[0].set_ylim(bottom=0)
        legend_above(figure, 3)


def _mark_stages(axes: Axes, table: pd.DataFrame, named: bool) -> None:
    starts = table.loc[table["stage"] != table["stage"].shift(), ["stage", "epoch"]]
    for stage, epoch in starts.itertuples(index=False) if len(starts) > 1 else ():
        axes.axvline(epoch + 0.5, color="#888888", linewidth=1, linestyle=":")
        if named:
            axes.annotate(
                str(stage), (epoch + 0.6, 0.02), xycoords=("data", "axes fraction"), color="#555555", fontsize=9
            )


def confusion(counts: Sequence[Sequence[float]], classes: Sequence[str], out: PathLike) -> None:
    """Draw a confusion matrix: each cell holds its count and, beneath, its share of the true class, which colors it.

    Args:
        counts: (K, K), true class by row, predicted class by column; a mean over runs may be fractional.
        classes: The K names.
        out: The PNG.
    """
    table = np.asarray(counts, float)
    totals = table.sum(1, keepdims=True)
    shares = np.divide(table, totals, out=np.zeros_like(table), where=totals > 0)
    side = max(WIDTH, 1.6 + 0.62 * len(classes))
    with canvas(out, side * 0.86, side) as figure:
        axes = figure.subplots()
        axes.grid(visible=False)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        whole = bool(np.all(table == table.round()))
        for row, column in np.ndindex(table.shape):
            count = f"{table[row, column]:,.0f}" if whole else f"{table[row, column]:,.1f}"
            color = "white" if shares[row, column] > 0.55 else "black"
            axes.text(
                column, row, f"{count}\n{shares[row, column]:.0%}", ha="center", va="center", color=color, fontsize=10
            )
        axes.set_xticks(
            range(len(classes)), [short(name) for name in classes], rotation=30, ha="right", rotation_mode="anchor"
        )
        axes.set_yticks(range(len(classes)), [short(name) for name in classes])
        axes.set(xlabel="predicted class", ylabel="true class")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)


def roc(points: Mapping[str, Mapping[str, Any]], areas: Mapping[str, Mapping[str, Any]], out: PathLike) -> None:
    """Draw one ROC curve a class, against all others, with its area and the area's 95 % interval in the legend.

    Args:
        points: For each class, `fpr` and `tpr`: equally long sequences in [0, 1].
        areas: For each class, `value` and, if known, `low` and `high`.
        out: The PNG.
    """
    with canvas(out, 4.7 + 0.24 * len(points)) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        for position, (name, line) in enumerate(points.items()):
            area = areas.get(name, {})
            said = "" if area.get("value") is None else f"  {area['value']:.3f}"
            if said and area.get("low") is not None:
                said += f" ({area['low']:.3f}–{area['high']:.3f})"
            axes.plot(line["fpr"], line["tpr"], label=short(name) + said, **_style_of(position))
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        legend_above(figure, 1)


def reliability(bins: Sequence[Mapping[str, Any]], out: PathLike) -> None:
    """Draw accuracy against confidence a bin, and below how many items each bin holds.

    Args:
        bins: For each, `low`, `high` (bounds of confidence), `n` and, unless it is 0, mean `confidence` and `accuracy`.
        out: The PNG.
    """
    filled = [entry for entry in bins if entry["n"]]
    with canvas(out, 5.2) as figure:
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        above.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="perfectly calibrated")
        above.plot(
            [entry["confidence"] for entry in filled],
            [entry["accuracy"] for entry in filled],
            "o-",
            color=COLORS[0],
            label="model",
        )
        above.set(ylabel="share that is right", ylim=(-0.02, 1.02), xlim=(0, 1))
        legend_above(figure)
        lows = [entry["low"] for entry in bins]
        widths = [entry["high"] - entry["low"] for entry in bins]
        below.bar(lows, [entry["n"] for entry in bins], widths, align="edge", color=COLORS[0], edgecolor="white")
        below.set(xlabel="confidence (largest probability)", ylabel="items")


def class_distribution(counts: Mapping[str, Mapping[str, int]], classes: Sequence[str], out: PathLike) -> None:
    """Draw the number of samples of each class in each part.

    Args:
        counts: Part (train, validation, test; those that apply) → class → number.
        classes: The order from top to bottom.
        out: The PNG.
    """
    parts = [part for part in PARTS if part in counts]
    thick = 0.8 / len(parts)
    most = max(n for part in parts for n in counts[part].values())
    with canvas(out, 1.2 + 0.28 * len(classes) * len(parts)) as figure:
        axes = figure.subplots()
        for number, part in enumerate(parts):
            heights = [counts[part].get(name, 0) for name in classes]
            places = np.arange(len(classes)) + (number - (len(parts) - 1) / 2) * thick
            bars = axes.barh(places, heights, thick, label=part, color=COLORS[number % len(COLORS)])
            axes.bar_label(bars, fmt="{:,.0f}", padding=3, fontsize=10)
        axes.set_yticks(range(len(classes)), [short(name) for name in classes])
        axes.invert_yaxis()
        axes.grid(visible=False, axis="y")
        axes.set(xlabel="samples", xlim=(0, most * 1.15))
        legend_above(figure, 3)


def forest(
    rows: Sequence[Mapping[str, Any]], metric: str, out: PathLike, reference: tuple[str, float] | None = None
) -> None:
    """Draw each arm's value with its 95 % interval, published values beside.

    Args:
        rows: For each arm, `arm`, `value`, `low`, `high` (each may be None) and `published`: a list of values.
        metric: The axis label.
        out: The PNG.
        reference: A label and value to draw as a line, such as that of always answering one class.
    """
    with canvas(out, 1.5 + 0.42 * len(rows)) as figure:
        axes = figure.subplots()
        if reference:
            axes.axvline(reference[1], color="#888888", linestyle=":", label=short(reference[0], 40))
        interval: dict[str, Any] = {
            "color": COLORS[0],
            "linewidth": 2.5,
            "solid_capstyle": "butt",
            "marker": "o",
            "markersize": 7,
        }
        diamond: dict[str, Any] = {
            "color": COLORS[1],
            "linestyle": "",
            "marker": "D",
            "markersize": 7,
            "markerfacecolor": "white",
        }
        axes.plot([], [], label="this run, 95 % interval", **interval)
        if any(row["published"] for row in rows):
            axes.plot([], [], label="published", **diamond)
        for place, row in enumerate(rows):
            if row["value"] is not None:
                bounds = [row["value"] if row[bound] is None else row[bound] for bound in ("low", "high")]
                axes.plot([bounds[0], row["value"], bounds[1]], [place] * 3, markevery=[1], **interval)
            axes.plot(row["published"], [place + 0.24] * len(row["published"]), **diamond)
        axes.set_yticks(range(len(rows)), [short(row["arm"]) for row in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlabel(metric)
        axes.grid(visible=False, axis="y")
        legend_above(figure, 1)


def scatter(
    points: np.ndarray, labels: Sequence[str], parts: Sequence[str], classes: Sequence[str], out: PathLike
) -> None:
    """Draw points of two dimensions: class by color, part by marker.

    Args:
        points: (N, 2) coordinates without units.
        labels: N class names.
        parts: N parts.
        classes: The classes in the legend's order.
        out: The PNG.
    """
    label, part = np.asarray(labels), np.asarray(parts)
    shown = [name for name in PARTS if (part == name).any()]
    with canvas(out, 4.8 + 0.22 * ((len(classes) + 1) // 2)) as figure:
        axes = figure.subplots()
        for position, name in enumerate(classes):
            for marker, which in zip(MARKERS, shown):
                here = points[(label == name) & (part == which)]
                axes.scatter(
                    here[:, 0],
                    here[:, 1],
                    s=16,
                    marker=marker,
                    color=COLORS[position % len(COLORS)],
                    alpha=0.75,
                    linewidths=0,
                )
        colors = [
            axes.scatter([], [], s=30, marker="s", color=COLORS[k % len(COLORS)], label=short(name))
            for k, name in enumerate(classes)
        ]
        markers = [
            axes.scatter([], [], s=30, marker=marker, color="#777777", label=which)
            for marker, which in zip(MARKERS, shown)
        ]
        axes.set(xticks=[], yticks=[], xlabel="t-SNE 1", ylabel="t-SNE 2")
        figure.legend(handles=colors, loc="outside upper left", ncols=2)
        figure.legend(handles=markers, loc="outside lower left", ncols=3)


def note(text: str, out: PathLike) -> None:
    """Write a sentence in the place of a figure that has nothing to show."""
    with canvas(out, 0.6) as figure:
        figure.text(0.02, 0.5, text, va="center")
