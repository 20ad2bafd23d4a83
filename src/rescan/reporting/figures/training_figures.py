"""Figures of trainings: scores over the epochs, the loss over the steps, arms of one ablation beside each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rescan.reporting.figures.style import COLORS, KEPT, PART_LOOKS, PathLike, canvas, legend_above, short
from rescan.results.history_files import of_labels, read_history, read_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = {
    "loss": "loss",
    "accuracy": "accuracy",
    "quadratic_kappa": "quadratic kappa",
    "auroc": "mean AUROC",
}  # of the curves
READ = ("accuracy", "auroc")  # the panel below the losses
LINES = ("train", "validation", "test")  # the parts that are scored after each epoch
SMOOTH = 40  # an average over a fortieth of all steps


def curves(
    histories: PathLike | Sequence[PathLike], out: PathLike, *, graded: bool = False, vectors: bool = True
) -> None:
    """Draw loss and accuracy over the epochs, training and validation (and test, if watched), all runs of an arm.

    Args:
        histories: The run's history.csv, or those of all runs. Lines mark where stages begin, dots the kept epochs.
        out: The PNG.
        graded: Whether to draw the validation part's quadratic kappa, too.
        vectors: Whether to write SVG and PDF, too.
    """
    files = [histories] if isinstance(histories, (str, Path)) else histories
    tables = [table for file in files if len(table := read_history(file))]
    read = not tables or "train_accuracy" in tables[0] or of_labels(tables[0])  # an autoencoder reads no class
    metrics = list(PANELS)[: 1 if not read else 3 if graded else 2]
    if tables and of_labels(tables[0]):
        metrics = ["loss", "auroc"]
    stages = [*dict.fromkeys(tables[0]["stage"])] if tables else []
    with canvas(out, 1.2 + 2.1 * len(metrics), vectors=vectors) as figure:
        panels = figure.subplots(len(metrics), 1, sharex=True, squeeze=False)[:, 0]
        for axes, metric in zip(panels, metrics):
            for number, table in enumerate(tables):
                _curves_of_run(axes, table, metric, alone=len(tables) == 1, labels=number == 0)
            axes.set_ylabel("loss of the stage" if metric == "loss" and len(stages) > 1 else PANELS[metric])
            _mark_stages(axes, tables[0] if tables else pd.DataFrame({"stage": [], "epoch": []}), metric in READ)
        panels[0].set_ylim(0, _loss_limit(tables))
        if read:
            panels[1].set_ylim(0, 1.02)
        panels[-1].set_xlabel("epoch")
        panels[-1].xaxis.get_major_locator().set_params(integer=True)
        if graded:
            panels[2].set_ylim(min(0, panels[2].get_ylim()[0]), 1.02)
        legend_above(figure, 2)


def _curves_of_run(axes: Axes, table: pd.DataFrame, metric: str, *, alone: bool, labels: bool) -> None:
    epochs, best = table["epoch"] + 1, table["kept"] == 1
    for part in LINES:
        if f"{part}_{metric}" in table:
            look, width = PART_LOOKS[part], 1.8 if alone else 1.1
            label = look.name if labels else None
            axes.plot(epochs, table[f"{part}_{metric}"], look.line, color=look.color, linewidth=width, label=label)
    if f"validation_{metric}" in table:
        dots = table.loc[best, f"validation_{metric}"]
        label = KEPT.name if labels else None
        axes.plot(epochs[best], dots, KEPT.marker, color=KEPT.color, markersize=9, label=label)


def _loss_limit(tables: Sequence[pd.DataFrame]) -> float | None:
    """Where the axis of the losses ends: at the largest, unless a few epochs tower above all others."""
    columns = [f"{part}_loss" for part in LINES]
    losses = [table[[name for name in columns if name in table]].to_numpy(float).ravel() for table in tables]
    values = np.concatenate([np.empty(0), *losses])
    values = values[np.isfinite(values)]
    if not len(values) or not values.max():
        return None
    return float(1.05 * min(values.max(), 2.5 * np.percentile(values, 90)))


def _mark_stages(axes: Axes, table: pd.DataFrame, names: bool) -> None:
    starts = table.loc[table["stage"] != table["stage"].shift(), ["stage", "epoch"]]
    for number, (stage, epoch) in enumerate(starts.itertuples(index=False) if len(starts) > 1 else ()):
        axes.axvline(epoch + 0.5, color="#888888", linewidth=1, linestyle=":")
        if names:  # in steps: the names of short stages would lie on each other
            place = (epoch + 0.6, 0.02 + 0.1 * (number % 3))
            axes.annotate(str(stage), place, xycoords=("data", "axes fraction"), color="#555555", fontsize=9)


def losses(files: Sequence[PathLike], out: PathLike) -> None:
    """Draw the training loss over the steps of the optimizer: of each step, faint, and smoothed, one line per run.

    Args:
        files: losses.csv of each run. Nothing is drawn without any.
        out: The PNG.
    """
    tables = [table for file in files if len(table := read_losses(file))]
    if not tables:
        return
    with canvas(out, 3.0) as figure:
        axes = figure.subplots()
        for number, table in enumerate(tables):
            smooth = table["loss"].rolling(max(1, len(table) // SMOOTH), min_periods=1, center=True).mean()
            axes.plot(table["step"], table["loss"], color=COLORS[5], linewidth=0.5, alpha=1 / len(tables))
            label = "training, smoothed" if number == 0 else None
            axes.plot(table["step"], smooth, color=PART_LOOKS["train"].color, linewidth=1.2, label=label)
        losses = [table.loc[np.isfinite(table["loss"]), "loss"] for table in tables]
        highest = max((float(np.percentile(of_run, 99)) for of_run in losses if len(of_run)), default=0.0)
        axes.set(xlabel="step of the optimizer", ylabel="loss", ylim=(0, 1.05 * highest or None))
        legend_above(figure, 2)


def ablation(arms: Mapping[str, Sequence[PathLike]], out: PathLike) -> None:
    """Draw accuracy and loss over the steps of several arms: each part in its own line.

    Args:
        arms: For each arm's name its runs' history.csv, whose mean is drawn. The first is the baseline, in black.
        out: The PNG.
    """
    colors = [COLORS[-1], *COLORS[:-1]]
    with canvas(out, 6.0 + 0.22 * len(arms)) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        highest, shown = 0.0, dict[str, None]()
        for number, (name, files) in enumerate(arms.items()):
            tables = [read_history(file) for file in files if Path(file).is_file()]
            if not tables:
                continue
            mean = pd.concat(tables).select_dtypes("number").groupby(level=0).mean()
            held_out = "test" if "test_accuracy" in mean else "validation"
            color = colors[number % len(colors)]
            for axes, metric in zip(panels, ("accuracy", "loss")):
                axes.plot(mean["step"], mean[f"train_{metric}"], PART_LOOKS["train"].line, color=color, linewidth=1.1)
                label = short(name, 34) if metric == "accuracy" else None
                line = PART_LOOKS[held_out].line
                axes.plot(mean["step"], mean[f"{held_out}_{metric}"], line, color=color, linewidth=1.8, label=label)
            shown |= {"train": None, held_out: None}
            losses = mean[["train_loss", f"{held_out}_loss"]].to_numpy(float)
            highest = max(highest, float(np.nanpercentile(losses, 95)) if np.isfinite(losses).any() else 0.0)
        for part in shown:
            panels[0].plot([], [], PART_LOOKS[part].line, color="#777777", label=PART_LOOKS[part].name)
        panels[0].set(ylabel="accuracy", ylim=(None, 1.01))
        panels[1].set(ylabel="loss", xlabel="step of the optimizer", ylim=(0, 1.1 * highest or None))
        legend_above(figure, 1)
