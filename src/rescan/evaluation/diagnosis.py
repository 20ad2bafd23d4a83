"""What the runs of an arm are consistent with: a collapse, over- or underfitting, a drop in mid-training."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from rescan.evaluation.readings import Reading
from rescan.results.diagnosis_file import COLLAPSED, Diagnosis
from rescan.results.history_files import read_history
from rescan.results.metrics_file import Finding, Interval, Levels
from rescan.study import Study

STALE = 0.1  # accuracy that batch-norm statistics of the batch, or recalibrated ones, must add to be named
GAP = 0.05  # accuracy between training and validation from which overfitting is named
DROP = 0.15  # accuracy below the best epoch so far from which a drop is named


def diagnose(study: Study, arm: str, images: Reading, parts: dict[str, Levels]) -> list[Finding]:
    """Name what an arm's predictions and histories are consistent with.

    Args:
        study: The study.
        arm: The arm.
        images: Of all its runs, by image.
        parts: The `parts` of metrics.json.

    Returns:
        The findings about single runs, then that about all.
    """
    findings: list[Finding] = []
    by_accuracy = not study.data.multilabel
    for run in study.runs(arm):
        fold, seed, folder = run.fold, run.seed, run.folder
        checked = None if study.arms[arm].ensemble else Diagnosis.read_if_there(folder.diagnosis)
        of_run = [diverged(checked)]
        if by_accuracy:
            own = images.where((images.rows["fold"] == fold) & (images.rows["seed"] == seed))
            of_run.append(collapsed(own, study.data.classes, checked))
        if by_accuracy and Path(folder.history).exists():
            of_run.append(dropped(read_history(folder.history)["validation_accuracy"].to_numpy(float)))
        findings += [
            finding.model_copy(update={"fold": fold, "seed": seed, "text": f"fold {fold}, seed {seed}: {finding.text}"})
            for finding in of_run
            if finding
        ]
    if by_accuracy and "train" in parts and "validation" in parts:
        train, validation = (parts[part]["image"].metrics["accuracy"] for part in ("train", "validation"))
        fit = fitting(train, validation, len(study.data.classes))
        findings += [fit] if fit else []
    return findings


def diverged(checked: Diagnosis | None) -> Finding | None:
    """Name where a run's loss stopped being finite."""
    if checked is None or checked.diverged is None:
        return None
    text = f"diverged: the loss was not finite at {checked.diverged}; the weights are the last good ones before"
    return Finding(finding="diverged", text=text)


def collapsed(run: Reading, classes: list[str], checked: Diagnosis | None) -> Finding | None:
    """Name the class that a run predicts for nearly everything in its test part, or validation part if it has none.

    Args:
        run: One run's reading.
        classes: K names.
        checked: The run's diagnosis.json, if there is one.
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
    return Finding(
        finding="collapsed",
        label=classes[top],
        share=float(counts[top] / n),
        implied_accuracy=[k, n],
        text=text + (_modes(checked) if checked else ""),
    )


def _modes(checked: Diagnosis) -> str:
    """What the accuracies with other batch-norm statistics, of a network that has some, say of a collapse."""
    accuracies = {
        "train mode": checked.train_mode_accuracy,
        "eval mode": checked.eval_mode_accuracy,
        "recalibrated batch norm": checked.recalibrated_accuracy,
    }
    measured = {mode: accuracy for mode, accuracy in accuracies.items() if accuracy is not None}
    if "eval mode" not in measured or len(measured) < 2:
        return ""
    stale = max(measured.values()) - measured["eval mode"] >= STALE
    reading = "stale batch-norm statistics" if stale else "a wrong input scale or a training that failed"
    values = ", ".join(f"{mode} {accuracy:.2f}" for mode, accuracy in measured.items())
    return f"; accuracy: {values}: consistent with {reading}"


def fitting(train: Interval, validation: Interval, classes: int) -> Finding | None:
    """Compare accuracy on training and validation images, by their intervals, and that in training with chance."""
    (ours, low, high), (other, _, other_high) = train.numbers, validation.numbers
    text = f"accuracy {ours:.2f} in training, {other:.2f} in validation: consistent with "
    if ours - other >= GAP and low > other_high:
        return Finding(finding="overfitting", text=text + "overfitting")
    halfway = (1 + 1 / classes) / 2
    if high < halfway:
        text += f"underfitting (training accuracy below {halfway:.2f}, halfway from chance to 1)"
        return Finding(finding="underfitting", text=text)
    return None


def dropped(accuracies: np.ndarray) -> Finding | None:
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
    return Finding(finding="drop", epoch=epoch, text=text)
