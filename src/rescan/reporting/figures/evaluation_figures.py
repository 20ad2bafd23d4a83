"""The figures of an arm: one function each, data in, PNG out. Readable at 330 CSS pixels (a phone), sharp at 700."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rescan.files import read_json, read_table
from rescan.paths import Paths
from rescan.reporting.figures import embedding, training_figures
from rescan.reporting.figures.style import COLORS, LINES, WIDTH, PathLike, canvas, class_colors, legend_above, short

if TYPE_CHECKING:
    from rescan.study import Study


def evaluation(study: Study, arm: str) -> None:
    """Draw into `<arm>/figures/` those that apply to the arm, all of the test part but for the curves.

    confusion; roc and reliability, where it gives probabilities; curves and losses, of all runs trained for it; of
    grades also grades and endpoints; features, a t-SNE of what the first run's heads are fed.

    Raises:
        RescanError: There is no metrics.json.
    """
    paths, recipe, classes = Paths(study.scale, study.name), study.arms[arm], study.data.classes
    metrics = read_json(f"{paths.arm(arm)}/metrics.json")
    folder = Path(paths.arm(arm), "figures")
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.png"):
        stale.unlink()
    ordered, drawn = study.data.ordered, {name: of.get("test") for name, of in metrics["curves"].items()}
    if not recipe.ensemble:
        trained = recipe.models or arm
        histories = [Path(paths.run(trained, *run), "history.csv") for run in study.runs(trained)]
        training_figures.curves([file for file in histories if file.is_file()], folder / "curves.png", graded=ordered)
        losses = [file.with_name("losses.csv") for file in histories]
        training_figures.losses([file for file in losses if file.is_file()], folder / "losses.png")
        features(study, arm, folder / "features.png")
    if "test" in metrics["confusion"]:
        confusion(metrics["confusion"]["test"], classes, folder / "confusion.png")
    if drawn["roc"]:
        areas = metrics["parts"]["test"]["image"]["metrics"].get("auroc", {}).get("classes", {})
        colors = dict(zip(classes, class_colors(classes, ordered)))
        roc(drawn["roc"], areas, folder / "roc.png", colors if ordered else None)
    if drawn["reliability"]:
        reliability(drawn["reliability"], folder / "reliability.png")
    if drawn.get("grades"):
        grades(drawn["grades"], folder / "grades.png")
    lines = {name: parts["test"] for name, parts in metrics["curves"].get("endpoints", {}).items() if parts.get("test")}
    if lines:
        named = {name: f"{name.replace('_', ' ')} (≥ {study.data.endpoints[name]})" for name in lines}
        found = {name: metrics["endpoints"][name]["parts"]["test"]["image"]["metrics"] for name in lines}
        areas = {named[name]: found[name].get("auroc", {}) for name in lines}
        roc({named[name]: line for name, line in lines.items()}, areas, folder / "endpoints.png")


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


def roc(
    points: Mapping[str, Mapping[str, Any]],
    areas: Mapping[str, Mapping[str, Any]],
    out: PathLike,
    colors: Mapping[str, str] | None = None,
) -> None:
    """Draw ROC curves, each with its area and the area's 95 % interval in the legend.

    Args:
        points: For each name, of a class against all others or of an endpoint, `fpr` and `tpr`: equally long sequences
            in [0, 1].
        areas: For each name, `value` and, if known, `low` and `high`.
        out: The PNG.
        colors: For each name; by default distinct for seven names, and by line style for 28.
    """
    with canvas(out, 4.7 + 0.24 * len(points)) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        for position, (name, line) in enumerate(points.items()):
            area = areas.get(name, {})
            said = "" if area.get("value") is None else f"  {area['value']:.3f}"
            if said and area.get("low") is not None:
                said += f" ({area['low']:.3f}–{area['high']:.3f})"
            style = LINES[0] if colors else LINES[position // len(COLORS) % len(LINES)]
            color = colors[name] if colors else COLORS[position % len(COLORS)]
            axes.plot(line["fpr"], line["tpr"], label=short(name, 30) + said, color=color, linestyle=style)
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
        below.set(xlabel="confidence (largest probability)", ylabel="samples")


def grades(spreads: Sequence[Mapping[str, Any]], out: PathLike) -> None:
    """Draw where the predicted grades of each true grade lie: box 25–75 %, whiskers 5–95 %, and the means.

    Args:
        spreads: For each class, the lowest first: `class`, `n`, and, unless n is 0, `mean` and `spread`, the 5th, 25th,
            50th, 75th and 95th percentiles, on the line of the classes' numbers.
        out: The PNG.
    """
    there = [(place, entry) for place, entry in enumerate(spreads) if entry["n"]]
    colors = class_colors([entry["class"] for entry in spreads], ordered=True)
    with canvas(out, 4.6) as figure:
        axes = figure.subplots()
        last = len(spreads) - 1
        axes.plot([-0.4, last + 0.4], [-0.4, last + 0.4], color="#999999", linewidth=1, label="right")
        keys = ("whislo", "q1", "med", "q3", "whishi")
        boxes = [dict(zip(keys, entry["spread"])) for _, entry in there]
        drawn = axes.bxp(
            boxes, [place for place, _ in there], widths=0.5, showfliers=False, patch_artist=True, manage_ticks=False
        )
        for box, (place, _) in zip(drawn["boxes"], there):
            box.set(facecolor=colors[place], alpha=0.55, edgecolor=colors[place])
        for line in drawn["medians"]:
            line.set(color="black", linewidth=1.5)
        means = [entry["mean"] for _, entry in there]
        axes.plot(
            [place for place, _ in there],
            means,
            "o-",
            color="black",
            markerfacecolor="white",
            markersize=6,
            label="mean",
        )
        axes.set_xticks(range(len(spreads)), [f"{short(entry['class'], 13)}\nn = {entry['n']:,}" for entry in spreads])
        axes.tick_params(axis="x", labelsize=9)
        axes.set_yticks(range(len(spreads)))
        axes.set(xlabel="true grade", ylabel="predicted grade on the line", xlim=(-0.5, last + 0.5))
        axes.grid(visible=False, axis="x")
        legend_above(figure)


def features(study: Study, arm: str, out: PathLike) -> None:
    """Draw a t-SNE of what the heads of an arm's first run are fed, for validation and test items, if it is there."""
    run = Path(Paths(study.scale, study.name).run(arm, *study.runs(arm)[0]))
    if not (run / "vectors.npy").is_file():
        return
    vectors = np.nan_to_num(np.load(run / "vectors.npy", allow_pickle=False).astype(np.float32))
    rows = read_table(run / "predictions.csv")
    rows = rows[rows["part"].isin(["validation", "test"])].head(len(vectors))
    if len(rows) < max(embedding.FEWEST_POINTS, len(vectors)):  # too few, or of another inference
        return
    points = embedding.tsne(vectors, study.split.seeds[0])
    labels = [study.data.classes[number] for number in rows["target"]]
    title = f"{vectors.shape[1]:,} features an image, {min(embedding.COMPONENTS, *vectors.shape)} principal components"
    embedding.scatter(
        points, labels, rows["part"].tolist(), study.data.classes, out, ordered=study.data.ordered, title=title
    )
