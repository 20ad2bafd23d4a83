"""What the way an image was taken (its field of view, site or device) predicts by itself, without the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rescan.catalogue import KNOWN_COLUMNS, METRICS
from rescan.evaluation import subgroups
from rescan.evaluation.predictions import Reading
from rescan.evaluation.scoring import of_part, scores
from rescan.heads.head import TINY, Array
from rescan.study import Study

NOT_SHOWN = ("one_hot_accuracy", "quadratic_kappa")


def baselines(study: Study, images: Reading, unit: str) -> dict[str, Any]:
    """Score the prediction from each column of the acquisition alone like an arm; fitted on each run's training part.

    Args:
        study: The study.
        images: By sample, all runs; only targets of the training part are learned from.
        unit: The column of what is resampled together.

    Returns:
        `{column: {part: {"n", "groups", "metrics"}}}` of the parts test, validation and out_of_fold.
    """
    if not (images.rows["part"] == "train").any():  # an ensemble
        return {}
    classes, columns = study.data.classes, subgroups.known(study)
    names = [name for name in METRICS if name not in NOT_SHOWN or name == study.metric]
    found: dict[str, Any] = {}
    for name in [name for name in columns if name in KNOWN_COLUMNS and KNOWN_COLUMNS[name].of_acquisition]:
        reading = predict(images.rows, columns[name].astype(object), len(classes))
        for part in ("test", "validation", "out_of_fold"):
            seen = of_part(reading, part)
            if not seen.rows.empty:
                entry, _, _ = scores(seen, "image", unit, names, classes, study.positive, pooled=part == "out_of_fold")
                found.setdefault(name, {})[part] = {key: entry[key] for key in ("n", "groups", "metrics")}
    return found


def predict(rows: pd.DataFrame, values: pd.Series[str], classes: int) -> Reading:
    """Predict each row's class from a value of its sample: the most frequent class of those that are trained on.

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
        found = np.stack([table.get(value, overall) for value in of_row[own]])
        probabilities[own] = found
        tied = found == found.max(1, keepdims=True)
        predicted[own] = np.where(tied, overall, -1).argmax(1)
    log_probabilities = np.log(np.maximum(probabilities, TINY))
    return Reading(rows, predicted, probabilities @ np.arange(classes), log_probabilities)


def _frequencies(targets: pd.Series[int], classes: int) -> Array:
    counts = np.bincount(targets, minlength=classes)
    return np.asarray(counts / counts.sum())
