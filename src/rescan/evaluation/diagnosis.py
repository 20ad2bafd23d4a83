"""What the runs of an arm are consistent with: a collapse, over- or underfitting, a drop in mid-training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from rescan.evaluation.predictions import Reading
from rescan.files import read_json, read_table
from rescan.paths import Paths
from rescan.study import Study

COLLAPSED = 0.98  # share of predictions that name one class
STALE = 0.1  # accuracy that batch-norm statistics of the batch, or recalibrated ones, must add to be named
GAP = 0.05  # accuracy between training and validation from which overfitting is named
DROP = 0.15  # accuracy below the best epoch so far from which a drop is named


def diagnose(study: Study, arm: str, reading: Reading, parts: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Name what an arm's predictions and histories are consistent with.

    Args:
        study: The study.
        arm: The arm.
        reading: Of all its runs, by image.
        parts: The `parts` of metrics.json.

    Returns:
        Findings `{"finding", "text", …}`; those about one run have "fold" and "seed".
    """
    findings, paths = [], Paths(study.scale, study.name)
    for fold, seed in study.runs(arm):
        folder = paths.run(arm, fold, seed)
        run = reading.where((reading.rows["fold"] == fold) & (reading.rows["seed"] == seed))
        checks = read_json(folder.diagnosis) if Path(folder.diagnosis).exists() else {}
        found = [collapsed(run, study.data.classes, checks)]
        if Path(folder.history).exists():
            found.append(dropped(read_table(folder.history)["validation_accuracy"].to_numpy(float)))
        for finding in found:
            if finding:
                text = f"fold {fold}, seed {seed}: {finding['text']}"
                findings.append({**finding, "fold": fold, "seed": seed, "text": text})
    fit = fitting(parts, len(study.data.classes))
    return [*findings, fit] if fit else findings


def collapsed(run: Reading, classes: list[str], checked: dict[str, Any]) -> dict[str, Any] | None:
    """Name the class that a run predicts for nearly everything in its test part, or validation part if it has none.

    Args:
        run: One run's reading.
        classes: K names.
        checked: The run's diagnosis.json: accuracies in train mode, in eval mode and after batch-norm recalibration.
    """
    for part in ("test", "validation"):
        rows = run.where(run.rows["part"] == part)
        if not rows.rows.empty:
            break
    target, predicted = rows.rows["target"].to_numpy(), rows.predicted
    counts = np.bincount(predicted, minlength=len(classes))
    n, top = len(target), int(counts.argmax())
    if not n or counts[top] < COLLAPSED * n or len(np.unique(target)) < 2:
        return None
    k = int((target == top).sum())
    text = (
        f"collapsed: {counts[top]} of {n} {part} predictions are {classes[top]!r}; calling everything {classes[top]!r} "
        f"has accuracy {k}/{n} = {k / n:.4f} (here {np.mean(target == predicted):.4f})"
    )
    return {
        "finding": "collapsed",
        "class": classes[top],
        "share": float(counts[top] / n),
        "implied_accuracy": [k, n],
        "text": text + _modes(checked),
    }


def _modes(checked: dict[str, Any]) -> str:
    """What the accuracies with other batch-norm statistics say of a collapse."""
    modes = {
        "train mode": checked.get("train_mode_accuracy"),
        "eval mode": checked.get("eval_mode_accuracy"),
        "recalibrated batch norm": checked.get("recalibrated_accuracy"),
    }
    known = {mode: value for mode, value in modes.items() if value is not None}
    if "eval mode" not in known or len(known) < 2:
        return ""
    stale = max(known.values()) - known["eval mode"] >= STALE
    reading = "stale batch-norm statistics" if stale else "a wrong input scale or a training that failed"
    values = ", ".join(f"{mode} {value:.2f}" for mode, value in known.items())
    return f"; accuracy: {values}: consistent with {reading}"


def fitting(parts: dict[str, dict[str, Any]], classes: int) -> dict[str, Any] | None:
    """Compare accuracy on training and validation images, by their intervals, and that in training with chance."""
    if "train" not in parts or "validation" not in parts:
        return None
    train, validation = (parts[part]["image"]["metrics"]["accuracy"] for part in ("train", "validation"))
    text = f"accuracy {train['value']:.2f} in training, {validation['value']:.2f} in validation: consistent with "
    if train["value"] - validation["value"] >= GAP and train["low"] > validation["high"]:
        return {"finding": "overfitting", "text": text + "overfitting"}
    halfway = (1 + 1 / classes) / 2
    if train["high"] < halfway:
        text += f"underfitting (training accuracy below {halfway:.2f}, halfway from chance to 1)"
        return {"finding": "underfitting", "text": text}
    return None


def dropped(accuracies: np.ndarray) -> dict[str, Any] | None:
    """Name the deepest fall of validation accuracy (epochs,) below the best so far; the last epoch does not count."""
    accuracies = accuracies[~np.isnan(accuracies)]
    if len(accuracies) < 3:
        return None
    falls = np.maximum.accumulate(accuracies) - accuracies
    epoch = int(falls[:-1].argmax())
    if falls[epoch] < DROP:
        return None
    before = accuracies[:epoch].max()
    text = (
        f"validation accuracy fell from {before:.2f} to {accuracies[epoch]:.2f} at epoch {epoch} (the first is 0) "
        f"and ended at {accuracies[-1]:.2f}: consistent with an unstable training"
    )
    return {"finding": "drop", "epoch": epoch, "text": text}
