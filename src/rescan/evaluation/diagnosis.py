"""What the runs of an arm are consistent with: a collapse, outdated statistics, over- or underfitting, a drop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from rescan.evaluation.readings import Reading
from rescan.results.diagnosis_file import Diagnosis, dominant
from rescan.results.history_files import read_history
from rescan.results.metrics_file import BatchNorm, Finding, Interval, Levels
from rescan.study import Recipe, Study

UNLIKE = 0.15  # accuracy that training images must lose when the network is used, to be named
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
            history = read_history(folder.history) if Path(folder.history).exists() else None
            trained = None if history is None else accuracy_of_training(study.arms[arm], history)
            of_run.append(collapsed(own, study.data.classes, checked) or unlike_training(own, trained, checked))
            if history is not None:
                of_run.append(dropped(history["validation_accuracy"].to_numpy(float)))
        findings += [
            finding.model_copy(update={"fold": fold, "seed": seed, "text": f"fold {fold}, seed {seed}: {finding.text}"})
            for finding in of_run
            if finding
        ]
    as_trained = not any(finding.finding == "unlike training" for finding in findings)
    if by_accuracy and as_trained and "train" in parts and "validation" in parts:
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
    top = dominant(predicted, target, len(classes))
    if top is None:
        return None
    n, named, k = len(target), int((predicted == top).sum()), int((target == top).sum())
    text = (
        f"collapsed: {named} of {n} {part} predictions are {classes[top]!r}; calling everything {classes[top]!r} "
        f"has accuracy {k}/{n} = {k / n:.4f} (here {np.mean(target == predicted):.4f})"
    )
    return Finding(
        finding="collapsed",
        label=classes[top],
        share=named / n,
        implied_accuracy=[k, n],
        text=text + (_modes(checked) if checked else ""),
    )


def unlike_training(run: Reading, trained: float | None, checked: Diagnosis | None) -> Finding | None:
    """Name a network that, as it is used, is far worse than it was while it trained, on images of the same kind.

    Args:
        run: One run's reading.
        trained: The accuracy of the kept epoch's training, if it was on the images of the training part.
        checked: The run's diagnosis.json, if there is one.
    """
    rows = run.where(run.rows["part"] == "train")
    lost = 0.0
    if trained is not None and len(rows.predicted):
        used = float(np.mean(rows.rows["target"].to_numpy() == rows.predicted))
        lost = trained - used
    stale = checked is not None and checked.is_stale
    if lost < UNLIKE and not stale:
        return None
    text = "unlike training"
    if lost >= UNLIKE:
        text += f": accuracy on training images {trained:.2f} while it trained, {used:.2f} as the network is used"
    if checked is not None:
        text += _modes(checked, f"{checked.part} accuracy", "images that are not those that it trained on")
    return Finding(finding="unlike training", text=text)


def accuracy_of_training(recipe: Recipe, history: pd.DataFrame) -> float | None:
    """The accuracy of the kept epoch's training; None if it did not train on the training part as it is.

    Args:
        recipe: The arm's.
        history: As in history.csv.
    """
    (kept,) = history[history["kept"] == 1].to_dict("records")
    stage = recipe.stages.get(kept["stage"])
    if stage is None or stage.samples != ["own"] or stage.sampling != "natural":
        return None
    accuracy = float(kept["train_accuracy"])
    return None if np.isnan(accuracy) else accuracy


def batch_norm(study: Study, arm: str) -> BatchNorm | None:
    """The mean over an arm's runs of the accuracies by batch norm's statistics; None if not all have them.

    Args:
        study: The study.
        arm: The arm.
    """
    if study.arms[arm].ensemble:
        return None
    checked = [Diagnosis.read_if_there(run.folder.diagnosis) for run in study.runs(arm)]
    known = [(found.accuracies, found.part) for found in checked if found and found.accuracies]
    if not checked or len(known) < len(checked):
        return None
    accuracies, parts = zip(*known)
    train_mode, eval_mode, recalibrated = np.mean(accuracies, axis=0).tolist()
    return BatchNorm(train_mode=train_mode, eval_mode=eval_mode, recalibrated=recalibrated, part=parts[0])


def _modes(
    checked: Diagnosis, what: str = "accuracy", other: str = "a wrong input scale or a training that failed"
) -> str:
    """What the accuracies by batch norm's statistics, of a network that has some, say of one that fails.

    Args:
        checked: The run's diagnosis.json.
        what: They are called.
        other: What a failure is consistent with that other statistics would not mend.
    """
    if checked.accuracies is None:
        return ""
    modes = ("train mode", "eval mode", "recalibrated batch norm")
    values = ", ".join(f"{mode} {accuracy:.2f}" for mode, accuracy in zip(modes, checked.accuracies))
    reading = "stale batch-norm statistics" if checked.is_stale else other
    return f"; {what}: {values}: consistent with {reading}"


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
