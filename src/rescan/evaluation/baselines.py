"""What the way an image was taken (its field of view, site or device) predicts by itself, without the image."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rescan.catalogue import KNOWN_COLUMNS, METRICS
from rescan.evaluation.readings import Reading
from rescan.evaluation.scoring import of_part, score
from rescan.evaluation.subgroups import columns_of_groups
from rescan.heads.head import TINY, Array
from rescan.results.metrics_file import Scores
from rescan.study import Study

LEFT_OUT = ("one_hot_accuracy", "quadratic_kappa")  # metrics that are not shown, unless the study's first one


def baselines(study: Study, images: Reading, unit: str) -> dict[str, dict[str, Scores]]:
    """Score the prediction from each column of the acquisition alone like an arm; fitted on each run's training part.

    Args:
        study: The study.
        images: By sample, all runs; only targets of the training part are learned from.
        unit: The column of what is resampled together.

    Returns:
        The scores by column and part: test, validation and out_of_fold.
    """
    if study.data.multilabel or not (images.rows["part"] == "train").any():  # an ensemble
        return {}
    classes, columns = study.data.classes, columns_of_groups(study)
    names = [name for name in METRICS if name not in LEFT_OUT or name == study.metric]
    scores: dict[str, dict[str, Scores]] = {}
    held_out = {"test": study.split.test_column, "validation": study.split.held_out_column}
    held_out["out_of_fold"] = held_out["validation"]
    for name in [name for name in columns if name in KNOWN_COLUMNS and KNOWN_COLUMNS[name].of_acquisition]:
        reading = predict(images.rows, columns[name].astype(object), len(classes))
        for part in ("test", "validation", "out_of_fold"):
            rows = of_part(reading, part)
            if not rows.rows.empty and held_out[part] != name:  # whose values no training part has
                pooled = part == "out_of_fold"
                scored = score(rows, "image", unit, names, classes, study.positive, pooled=pooled)
                scores.setdefault(name, {})[part] = scored.scores
    return scores


def predict(rows: pd.DataFrame, values: pd.Series[str], classes: int) -> Reading:
    """Predict each row's class from a value of its sample: the most frequent class of the run's training part.

    Args:
        rows: Of samples, all runs.
        values: By sample; missing ones get the frequencies of the whole training part, as do those unseen in it.
        classes: K.

    Returns:
        The rows with the frequencies as probabilities. Of equally frequent classes the one wins that is more frequent
        in the whole training part.
    """
    of_row = rows["sample"].map(values)
    probabilities = np.empty((len(rows), classes))
    predicted = np.empty(len(rows), np.intp)
    for run in sorted(set(zip(rows["fold"], rows["seed"]))):
        own = ((rows["fold"] == run[0]) & (rows["seed"] == run[1])).to_numpy()
        train = own & (rows["part"] == "train").to_numpy()
        overall = _frequencies(rows.loc[train, "target"], classes)
        table = {value: _frequencies(targets, classes) for value, targets in rows[train].groupby(of_row)["target"]}
        frequencies = np.stack([table.get(value, overall) for value in of_row[own]])
        probabilities[own] = frequencies
        tied = frequencies == frequencies.max(1, keepdims=True)
        predicted[own] = np.where(tied, overall, -1).argmax(1)
    log_probabilities = np.log(np.maximum(probabilities, TINY))
    return Reading(rows, predicted, probabilities @ np.arange(classes), log_probabilities)


def _frequencies(targets: pd.Series[int], classes: int) -> Array:
    counts = np.bincount(targets, minlength=classes)
    return np.asarray(counts / counts.sum())
