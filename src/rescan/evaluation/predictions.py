"""An arm's predictions as its runs wrote them, what is read off them, and the same by sample, eye and patient."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from rescan.errors import RescanError
from rescan.files import read_table
from rescan.heads import outputs as heads
from rescan.heads.head import TINY, Array, Indices
from rescan.metrics.run_rows import RunRows, prepare
from rescan.paths import Paths
from rescan.study import Study

PARTS = ("train", "validation", "test")
KEYS = ["part", "item", "sample", "group", "patient", "eye", "study", "fold", "seed", "target"]
SAMPLE = ["part", "fold", "seed", "sample"]  # what the patches of a sample share
# What a row stands for at each level, the finest first. Items are numbered by their store: other arms number otherwise.
LEVELS = {
    "patch": ["item"],
    "image": ["sample"],
    "eye": ["patient", "eye"],
    "study": ["patient", "study"],
    "patient": ["patient"],
}


class Predictions(NamedTuple):
    """Rows (one an item and run) and the heads' outputs in the same order."""

    rows: pd.DataFrame  # columns KEYS
    outputs: dict[str, Array]  # (n, K_head) by head

    def where(self, chosen: Sequence[bool] | np.ndarray | pd.Series) -> Predictions:
        """The rows where `chosen` (n,) is true."""
        chosen = np.asarray(chosen, bool)
        return Predictions(self.rows[chosen], {head: output[chosen] for head, output in self.outputs.items()})


class Reading(NamedTuple):
    """What is read off predictions: a row a run and item, sample, eye or patient; classes, grades, probabilities."""

    rows: pd.DataFrame
    predicted: Indices  # (n,)
    grade: Array  # (n,) on the line of the classes' numbers
    log_probabilities: Array | None  # (n, K)

    def where(self, chosen: Sequence[bool] | np.ndarray | pd.Series) -> Reading:
        """The rows where `chosen` (n,) is true."""
        chosen = np.asarray(chosen, bool)
        log_probabilities = None if self.log_probabilities is None else self.log_probabilities[chosen]
        return Reading(self.rows[chosen], self.predicted[chosen], self.grade[chosen], log_probabilities)


def read(study: Study, arm: str, seed: int | None = None) -> Predictions:
    """Read predictions.csv of all runs of an arm, or of those of a seed.

    Raises:
        RescanError: A file is missing, lacks a column, or holds outputs that are no numbers (a training that diverged).
    """
    paths = Paths(study.scale, study.name)
    runs = [run for run in study.runs(arm) if seed in (None, run[1])]
    tables = [read_run(study, arm, paths.run(arm, *run).predictions) for run in runs]
    whole = pd.concat(tables, ignore_index=True)
    named = _columns(study, arm)
    return Predictions(whole[KEYS], {head: whole[columns].to_numpy(float) for head, columns in named.items()})


def _columns(study: Study, arm: str) -> dict[str, list[str]]:
    """The columns of each head of an arm."""
    described = study.arms[arm].network.heads
    known = {head: described[head] for head in heads.HEADS if head in described}
    widths = {head: heads.HEADS[head].width(len(study.data.classes), own.link) for head, own in known.items()}
    return {head: heads.HEADS[head].columns(width) for head, width in widths.items()}


def read_run(study: Study, arm: str, path: str) -> pd.DataFrame:
    """Read one predictions.csv: columns KEYS and those of the arm's heads.

    Raises:
        RescanError: See `read`.
    """
    table, classes = read_table(path), len(study.data.classes)
    wanted = [name for columns in _columns(study, arm).values() for name in columns]
    missing = [name for name in KEYS + wanted if name not in table]
    if missing or f"classification_{classes}" in table:
        what = f"lacks {', '.join(missing)}" if missing else f"has more than {classes} classes"
        raise RescanError(f"{path}: {what}; run infer again")
    labeled = table["part"].isin(PARTS) & table["target"].between(0, classes - 1)
    if not (labeled | ((table["part"] == "unlabeled") & (table["target"] == -1))).all():
        raise RescanError(f"{path}: has a part or target that the study does not have; run infer again")
    finite = np.isfinite(table[wanted].to_numpy(float)).all(1)
    if not finite.all():
        bad = f"{(~finite).sum()} of {len(table)} rows have no finite outputs"
        raise RescanError(f"{path}: {bad}: the training diverged; lower its lr")
    return table[KEYS + wanted]


def has_patches(rows: pd.DataFrame) -> bool:
    """Whether a sample has several items in a run."""
    return bool(rows.duplicated(SAMPLE).any())


def averaged(given: Predictions, keys: list[str], trim: float = 0.0) -> Predictions:
    """Average the outputs of all rows that agree in some columns, probabilities where a head has them.

    Args:
        given: Predictions.
        keys: The columns.
        trim: Share of the values cut off at either end of each output (0: the plain mean).

    Returns:
        The first row of each, in their order, with the mean outputs.
    """
    numbers = given.rows.groupby(keys, sort=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    rank = given.rows.groupby(numbers).cumcount().to_numpy()
    found = {head: np.empty((len(first), output.shape[1])) for head, output in given.outputs.items()}
    sizes = np.bincount(numbers)
    for size in np.unique(sizes):  # those with equally many rows are averaged at once
        places = np.flatnonzero(sizes == size)
        chosen = np.isin(numbers, places)
        order = np.lexsort((rank[chosen], numbers[chosen]))
        stacked = {
            head: list(output[chosen][order].reshape(len(places), size, -1).swapaxes(0, 1))
            for head, output in given.outputs.items()
        }
        for head, values in heads.average(stacked, trim).items():
            found[head][places] = values
    return Predictions(given.rows.iloc[first].reset_index(drop=True), found)


def by_unit(
    reading: Reading, unit: str, classes: int, *, ordered: bool, majority: bool = False, consistent: bool = False
) -> tuple[Reading, dict[str, int]]:
    """Read eyes, studies or patients off their samples.

    Of grades, the highest counts, in truth and in prediction: a patient is as ill as the worse eye. Else the truth is
    the majority of the samples' labels, and the prediction the most probable class by their mean probability.

    Args:
        reading: Of samples.
        unit: `eye` or `study` (each patient's) or `patient`.
        classes: K.
        ordered: Whether the classes are grades.
        majority: Of classes without an order: predict what most samples are predicted to be; of those that tie, the
            most probable by the mean probability.
        consistent: Only units whose samples all have one label.

    Returns:
        One row a unit, part and run, and the number of units left out of each part because their labels tie.
    """
    rows = reading.rows
    keys = ["part", "fold", "seed", *LEVELS[unit]]
    numbers = rows.groupby(keys, sort=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    target = rows["target"].to_numpy(np.intp)
    if ordered:
        highest = np.full((3, len(first)), -np.inf)
        for place, values in enumerate((target, reading.predicted, reading.grade)):
            np.maximum.at(highest[place], numbers, values)
        units = rows.iloc[first].assign(target=highest[0].astype(int))
        return Reading(units, highest[1].astype(np.intp), highest[2], None), {}
    if reading.log_probabilities is None:
        raise ValueError("classes without an order are read from probabilities")
    counts, sums = np.zeros((len(first), classes)), np.zeros((len(first), classes))
    np.add.at(counts, (numbers, target), 1)
    np.add.at(sums, numbers, np.exp(reading.log_probabilities))
    tied = (counts == counts.max(1, keepdims=True)).sum(1) > 1
    units = rows.iloc[first].assign(target=counts.argmax(1))
    ties = units[tied].drop_duplicates(["part", *LEVELS[unit]]).groupby("part").size().to_dict()
    mean = np.maximum(sums / counts.sum(1, keepdims=True), np.finfo(float).tiny)
    predicted = mean.argmax(1)
    if majority:
        votes = np.zeros_like(counts)
        np.add.at(votes, (numbers, reading.predicted), 1)
        predicted = np.where(votes == votes.max(1, keepdims=True), mean, 0).argmax(1)
    found = Reading(units, predicted, mean @ np.arange(classes), np.log(mean))
    return found.where(~tied & (counts.max(1) == counts.sum(1) if consistent else True)), ties


def endpoint(reading: Reading, lowest: int) -> Reading:
    """The same with two classes, whether the grade is at least `lowest`; with its probability, if that is known."""
    rows = reading.rows.assign(target=(reading.rows["target"] >= lowest).astype(int))
    log_probabilities = None
    if reading.log_probabilities is not None:
        positive = np.exp(reading.log_probabilities)[:, lowest:].sum(1).clip(TINY, 1 - TINY)
        log_probabilities = np.log(np.stack([1 - positive, positive], axis=1))
    return Reading(rows, (reading.predicted >= lowest).astype(np.intp), reading.grade, log_probabilities)


def runs_of(reading: Reading, unit: str, classes: int) -> tuple[list[RunRows], list[tuple[int, int]]]:
    """Split the rows of one part by run, over the same units (`unit`: the column that names them).

    Returns:
        The runs, ready for `metrics.compute`, and their (fold, seed).
    """
    names, units = np.unique(reading.rows[unit].to_numpy(str), return_inverse=True)
    runs: list[RunRows] = []
    which: list[tuple[int, int]] = []
    target, fold, seed = (reading.rows[name].to_numpy(np.intp) for name in ("target", "fold", "seed"))
    # Two classes can be ranked by the grade; more cannot, each against all others.
    by_grade = classes == 2 and reading.log_probabilities is None
    ranking = np.stack([-reading.grade, reading.grade], axis=1) if by_grade else None
    for run in sorted(set(zip(fold.tolist(), seed.tolist()))):
        own = (fold == run[0]) & (seed == run[1])
        given = None if reading.log_probabilities is None else reading.log_probabilities[own]
        ranked = None if ranking is None else ranking[own]
        runs.append(prepare(target[own], reading.predicted[own], units[own], len(names), classes, given, ranked))
        which.append(run)
    return runs, which
