"""The figures of an arm: one function each, data in, PNG out. Readable at 330 CSS pixels (a phone), sharp at 700."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np

from rescan.figure_folders import ArmFigures
from rescan.paths import Paths
from rescan.replacing import replacing
from rescan.reporting.figures import calibration_figures, embedding, training_figures
from rescan.reporting.figures.decision_figures import Marked, decisions, draw_points, marked
from rescan.reporting.figures.style import (
    COLORS,
    LINES,
    MEAN,
    WIDTH,
    PathLike,
    canvas,
    class_colors,
    legend_above,
    short,
)
from rescan.reporting.text.words import Quantity, interval, number, spaced
from rescan.results.curve_points import RocCurve, Spread
from rescan.results.metrics_file import Metrics, read_metrics
from rescan.results.predictions_file import MOST_VECTORS, PREDICTIONS, read_vectors
from rescan.study import Study


def evaluation(study: Study, arm: str, metrics: Metrics | None = None) -> None:
    """Draw into `<arm>/figures/` those that apply to the arm, all of the test part but for the curves.

    confusion; roc and reliability, where it gives probabilities; curves and losses, of all runs trained for it; of
    grades also grades and endpoints; features, a t-SNE of what the first run's heads are fed.

    Args:
        study: The study.
        arm: Its arm.
        metrics: Its scores; by default what metrics.json holds.

    Raises:
        RescanError: A result is missing or damaged.
    """
    metrics = read_metrics(study, arm) if metrics is None else metrics
    with replacing(Paths(study.scale, study.name).arm(arm).figures) as folder:
        _evaluation(study, arm, metrics, ArmFigures(folder))


def _evaluation(study: Study, arm: str, metrics: Metrics, folder: ArmFigures) -> None:
    recipe, classes, ordered = study.arms[arm], study.data.classes, study.data.ordered
    if not recipe.ensemble:
        runs = [run.folder for run in study.runs(recipe.models or arm)]
        histories = [run.history for run in runs if Path(run.history).is_file()]
        training_figures.curves(histories, folder.curves, graded=ordered)
        training_figures.losses([run.losses for run in runs if Path(run.losses).is_file()], folder.losses)
        features(study, arm, folder.features)
    if "test" in metrics.confusion:
        confusion(metrics.confusion["test"], classes, folder.confusion)
    curves = metrics.curves
    if lines := curves.roc.get("test"):
        auroc = metrics.estimate("auroc")
        colors = dict(zip(classes, class_colors(classes, ordered)))
        roc(lines, auroc.classes if auroc else {}, folder.roc, colors if ordered else None, marked(metrics))
    calibration_figures.of_arm(study, metrics, folder)
    if spreads := curves.grades.get("test"):
        grades(spreads, folder.grades)
    endpoints(study, metrics, folder.endpoints)
    decisions(study, metrics, folder)


def endpoints(study: Study, metrics: Metrics, out: PathLike) -> None:
    """Draw the ROC curves of the endpoints that have both sides, if there are any."""
    lines: dict[str, RocCurve] = {}
    areas: dict[str, Quantity] = {}
    points = {}
    for name, parts in metrics.curves.endpoints.items():
        title = f"{spaced(name)} (≥ {study.data.endpoints[name]})"
        if "test" in parts and parts["test"].fpr:
            lines[title] = parts["test"]
            points[title] = marked(metrics).get(name, [])
            scores = metrics.scores(endpoint=name)
            areas |= {title: scores.metrics["auroc"]} if scores and "auroc" in scores.metrics else {}
    if lines:
        roc(lines, areas, out, points=points)


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
    lines: Mapping[str, RocCurve],
    areas: Mapping[str, Quantity],
    out: PathLike,
    colors: Mapping[str, str] | None = None,
    points: Mapping[str, Sequence[Marked]] = MappingProxyType({}),
) -> None:
    """Draw ROC curves, each with its area and the area's 95 % interval in the legend.

    Args:
        lines: A curve for each name, of a class against all others or of an endpoint.
        areas: For each name whose area is known.
        out: The PNG.
        colors: For each name; by default distinct for seven names, and by line style for 28.
        points: The operating points of each name.
    """
    named = {point.name for name in lines for point in points.get(name, ())}
    with canvas(out, 4.7 + 0.24 * (len(lines) + len(named))) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color="#999999", linewidth=1)
        places = []
        for position, (name, line) in enumerate(lines.items()):
            area = areas.get(name)
            text = f"  {number(area.value)} {interval(area)}".rstrip() if area and area.value is not None else ""
            style = LINES[0] if colors else LINES[position // len(COLORS) % len(LINES)]
            color = colors[name] if colors else COLORS[position % len(COLORS)]
            axes.plot(line.fpr, line.tpr, label=short(name, 30) + text, color=color, linestyle=style)
            for point in points.get(name, ()):
                alarms = None if point.specificity is None else 1 - point.specificity
                places.append((point.name, alarms, point.sensitivity, color))
        draw_points(axes, places)
        axes.set(xlabel="1 − specificity", ylabel="sensitivity", xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
        legend_above(figure, 1)


def grades(spreads: Sequence[Spread], out: PathLike) -> None:
    """Draw where the predicted grades of each true grade lie: box 25–75 %, whiskers 5–95 %, and the means.

    Args:
        spreads: Of each class, the lowest first.
        out: The PNG.
    """
    filled = [(place, entry) for place, entry in enumerate(spreads) if entry.n]
    colors = class_colors([entry.label for entry in spreads], ordered=True)
    with canvas(out, 4.6) as figure:
        axes = figure.subplots()
        last = len(spreads) - 1
        axes.plot([-0.4, last + 0.4], [-0.4, last + 0.4], color="#999999", linewidth=1, label="right")
        keys = ("whislo", "q1", "med", "q3", "whishi")
        boxes = [dict(zip(keys, entry.spread or ())) for _, entry in filled]
        artists = axes.bxp(
            boxes, [place for place, _ in filled], widths=0.5, showfliers=False, patch_artist=True, manage_ticks=False
        )
        for box, (place, _) in zip(artists["boxes"], filled):
            box.set(facecolor=colors[place], alpha=0.55, edgecolor=colors[place])
        for line in artists["medians"]:
            line.set(color="black", linewidth=1.5)
        axes.plot(
            [place for place, _ in filled],
            [entry.mean or 0 for _, entry in filled],
            MEAN.marker + MEAN.line,
            color=MEAN.color,
            markerfacecolor="white",
            markersize=7,
            label=MEAN.name,
        )
        axes.set_xticks(range(len(spreads)), [f"{short(entry.label, 13)}\nn = {entry.n:,}" for entry in spreads])
        axes.tick_params(axis="x", labelsize=9)
        axes.set_yticks(range(len(spreads)))
        axes.set(xlabel="true grade", ylabel="predicted grade on the line", xlim=(-0.5, last + 0.5))
        axes.grid(visible=False, axis="x")
        legend_above(figure)


def features(study: Study, arm: str, out: PathLike) -> None:
    """Draw a t-SNE of what the heads of an arm's first run are fed, for validation and test items, if it is there."""
    run = study.runs(arm)[0].folder
    if not Path(run.vectors).is_file():
        return
    rows = PREDICTIONS.read(run.predictions)
    rows = rows[rows["part"].isin(["validation", "test"])].head(MOST_VECTORS)
    vectors = np.nan_to_num(read_vectors(run.vectors, least=len(rows)).astype(np.float32))
    if len(rows) < max(embedding.FEWEST_POINTS, len(vectors)):  # too few, or of another inference
        return
    points = embedding.tsne(vectors, study.split.seeds[0])
    labels, classes = embedding.groups(study.data.outcome, map(study.data.outcome.label, rows["target"]))
    title = f"{vectors.shape[1]:,} features per image, {min(embedding.COMPONENTS, *vectors.shape)} principal components"
    embedding.scatter(points, labels, rows["part"].tolist(), classes, out, ordered=study.data.ordered, title=title)
