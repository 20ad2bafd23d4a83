"""Reading an arm's predictions, and seeing them by image or by patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import log_softmax

from rescan.errors import RescanError
from rescan.evaluation.metrics import Array, Run, prepare
from rescan.files import read_table
from rescan.paths import Paths
from rescan.study import Study

PARTS = ("train", "validation", "test")


class Predictions(NamedTuple):
    """Rows (one an item, or one a patient) and their scores in the same order."""

    rows: pd.DataFrame  # part, item, sample, group, patient, fold, seed, target
    scores: Array  # (n, K): logits, or log-probabilities

    def where(self, chosen: Sequence[bool] | np.ndarray | pd.Series) -> Predictions:
        """The rows where `chosen` (n,) is true."""
        chosen = np.asarray(chosen, bool)
        return Predictions(self.rows[chosen], self.scores[chosen])


def read(study: Study, arm: str) -> Predictions:
    """Read predictions.csv of all runs of an arm.

    Raises:
        RescanError: A file is missing, lacks a column, or holds logits that are no numbers (a training that diverged).
    """
    paths, tables = Paths(study.scale, study.name), []
    columns = ["part", "item", "sample", "group", "patient", "fold", "seed", "target"]
    heads = [f"classification_{number}" for number in range(len(study.data.classes))]
    for fold, seed in study.runs():
        path = f"{paths.run(arm, fold, seed)}/predictions.csv"
        table = read_table(path)
        missing = [name for name in columns + heads if name not in table]
        if missing or f"classification_{len(heads)}" in table:
            what = f"lacks {', '.join(missing)}" if missing else f"has more than {len(heads)} classes"
            raise RescanError(f"{path}: {what}; run infer again")
        if not (table["part"].isin(PARTS) & table["target"].between(0, len(heads) - 1)).all():
            raise RescanError(f"{path}: has a part or target that the study does not have; run infer again")
        finite = np.isfinite(table[heads].to_numpy(float)).all(1)
        if not finite.all():
            bad = f"{(~finite).sum()} of {len(table)} rows have no finite logits"
            raise RescanError(f"{path}: {bad}: the training diverged; lower its lr")
        tables.append(table[columns + heads])
    whole = pd.concat(tables, ignore_index=True)
    return Predictions(whole[columns], whole[heads].to_numpy(float))


def by_patient(predictions: Predictions, classes: int) -> tuple[Predictions, dict[str, int]]:
    """Mean probability of a patient's items; the truth is the majority of their labels.

    Returns:
        One row a patient, part and run, and the number of patients left out of each part because their labels tie.
    """
    rows, scores = predictions
    keys = ["part", "fold", "seed", "patient"]
    numbers = rows.groupby(keys, sort=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    counts, sums = np.zeros((len(first), classes)), np.zeros((len(first), classes))
    np.add.at(counts, (numbers, rows["target"].to_numpy()), 1)
    np.add.at(sums, numbers, np.exp(log_softmax(scores, axis=1)))
    tied = (counts == counts.max(1, keepdims=True)).sum(1) > 1
    patients = rows.iloc[first].assign(target=counts.argmax(1))
    ties = patients[tied].groupby("part")["patient"].nunique().to_dict()
    mean = np.maximum(sums / counts.sum(1, keepdims=True), np.finfo(float).tiny)
    return Predictions(patients, np.log(mean)).where(~tied), ties


def runs_of(predictions: Predictions, unit: str) -> tuple[list[Run], list[tuple[int, int]]]:
    """Split the rows of one part by run, over the same units (`unit`: the column that names them).

    Returns:
        The runs, ready for `metrics.compute`, and their (fold, seed).
    """
    names, units = np.unique(predictions.rows[unit].to_numpy(str), return_inverse=True)
    runs: list[Run] = []
    which: list[tuple[int, int]] = []
    target, fold, seed = (predictions.rows[name].to_numpy(np.intp) for name in ("target", "fold", "seed"))
    for run in sorted(set(zip(fold.tolist(), seed.tolist()))):
        own = (fold == run[0]) & (seed == run[1])
        runs.append(prepare(target[own], predictions.scores[own], units[own], len(names)))
        which.append(run)
    return runs, which
