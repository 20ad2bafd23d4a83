"""The predictions of an arm as its runs wrote them, and means of them: over patches, runs and networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd

from rescan.data.run_items import items_of
from rescan.errors import RescanError
from rescan.heads import outputs as heads
from rescan.heads.head import Array
from rescan.paths import RUN, Paths
from rescan.results.agreement import read_splits
from rescan.results.damage import damaged, worded
from rescan.results.packed_store import read_items_if_there
from rescan.results.parts import EXTERNAL, EXTRA, UNLABELED
from rescan.results.predictions_file import KEYS, PREDICTIONS
from rescan.study import Recipe, Run, Study

SAMPLE = ["part", "fold", "seed", "sample"]  # what the patches of a sample share


class Predictions(NamedTuple):
    """Rows (one per item and run) and the heads' outputs in the same order."""

    rows: pd.DataFrame  # columns KEYS
    outputs: dict[str, Array]  # (n, width) by head

    def where(self, chosen: Sequence[bool] | np.ndarray | pd.Series) -> Predictions:
        """The rows where `chosen` (n,) is true."""
        chosen = np.asarray(chosen, bool)
        return Predictions(self.rows[chosen], {head: output[chosen] for head, output in self.outputs.items()})

    @property
    def has_patches(self) -> bool:
        """Whether a sample has several items in a run."""
        return bool(self.rows.duplicated(SAMPLE).any())


def read(study: Study, arm: str, seed: int | None = None) -> Predictions:
    """Read predictions.csv of all runs of an arm, or of those of a seed.

    Raises:
        RescanError: A file is missing or damaged, does not fit the study or the other runs, or holds outputs that are
            no numbers (a training that diverged).
    """
    runs, splits = [run for run in study.runs(arm) if seed in (None, run.seed)], read_splits(study)
    rows = pd.concat([_read_run(run, splits) for run in runs], ignore_index=True)
    _check_samples(study, arm, rows)
    columns = head_columns(study, arm)
    return Predictions(rows[KEYS], {head: rows[names].to_numpy(float) for head, names in columns.items()})


def head_columns(study: Study, arm: str) -> dict[str, list[str]]:
    """The columns of each head of an arm, in the order of HEADS."""
    settings, classes = study.arms[arm].network.heads, len(study.data.classes)
    return {
        name: head.columns(head.width(classes, settings[name].link))
        for name, head in heads.HEADS.items()
        if name in settings
    }


def _read_run(run: Run, splits: pd.DataFrame) -> pd.DataFrame:
    """Read the predictions.csv of a run: columns KEYS and those of the arm's heads."""
    path, study = run.folder.predictions, run.study
    step = _maker(study, run.name)
    rows = replace(PREDICTIONS, step=step).read(path)
    outputs = [name for names in head_columns(study, run.name).values() for name in names]
    fault = _fault_of_columns(rows, outputs, len(study.data.classes)) or _fault_of_rows(run, rows, splits)
    if fault:
        raise damaged(path, step, fault)
    finite = np.isfinite(rows[outputs].to_numpy(float)).all(1)
    if not finite.all():
        diverged = f"{(~finite).sum()} of {len(rows)} rows have no finite outputs"
        remedy = f"lower its lr, or run {step} again if the file was edited"
        raise RescanError(f"{path}: {diverged}: the training diverged; {remedy}")
    return rows[KEYS + outputs]


def _maker(study: Study, arm: str) -> str:
    """The step that makes an arm's predictions."""
    return "ensemble" if study.arms[arm].ensemble else PREDICTIONS.step


def _fault_of_columns(rows: pd.DataFrame, outputs: list[str], classes: int) -> str | None:
    """Which columns of a run's outputs do not fit the study, if any do not."""
    if missing := [name for name in outputs if name not in rows]:
        return f"lacks {', '.join(missing)}"
    if f"classification_{classes}" in rows:
        return f"has more than {classes} classes"
    return "has no row" if rows.empty else None


def _fault_of_rows(run: Run, rows: pd.DataFrame, splits: pd.DataFrame) -> str | None:
    """The first line of a run's predictions that is not that of its splits and store; None if all are."""
    expected = _expected(run, rows, splits)
    for number, (own, other) in enumerate(zip(rows["sample"], expected["sample"]), 2):
        if own != other:
            return f"line {number}: is of sample {own!r}, not {other!r} as by {run.paths.splits} and {run.store.items}"
    if len(rows) != len(expected):
        return f"has {len(rows)} rows, {len(expected)} are expected by {run.paths.splits} and {run.store.items}"
    for name in KEYS:
        if not (right := rows[name].to_numpy() == expected[name].to_numpy()).all():
            row = int(right.argmin())
            return f"line {row + 2}: {name} is {worded(rows.loc[row, name])}, not {worded(expected.loc[row, name])}"
    return None


def _expected(run: Run, rows: pd.DataFrame, splits: pd.DataFrame) -> pd.DataFrame:
    """The columns KEYS of the rows that a run's predictions must have, in their order.

    Args:
        run: The run.
        rows: What is there. Where the store is not, as in a copy of the results alone, the items are taken from it.
        splits: As of `read_splits`.
    """
    recipe = run.settings
    if recipe.ensemble is not None:  # what `ensemble` averages: the first of a sample's rows stands for all
        members = [own for member in recipe.ensemble.members for own in run.study.runs(member) if own.seed == run.seed]
        whole = pd.concat([_expected(member, rows, splits) for member in members])
        whole = whole[whole["part"] != "train"].drop_duplicates(["part", "sample"])
        return whole.assign(fold=run.fold).reset_index(drop=True)
    store_items = read_items_if_there(run.store)
    items = items_of(run, splits, (rows if store_items is None else store_items)[["item", "sample"]])
    return items[items["part"] != EXTRA].assign(fold=run.fold, seed=run.seed)[KEYS].reset_index(drop=True)


def _check_samples(study: Study, arm: str, rows: pd.DataFrame) -> None:
    """Refuse runs that do not share one test part, or runs of a fold that do not share its other parts.

    Their mean and its interval would mean nothing.
    """
    of_fold = ("validation",) if study.arms[arm].training_samples == "size_matched" else ("validation", "train")
    for part in ("test", UNLABELED, EXTERNAL, *of_fold):
        first: dict[object, tuple[str, Counter[str]]] = {}
        for (fold, seed), run in rows[rows["part"] == part].groupby(["fold", "seed"]):
            name, samples = RUN.format(fold=fold, seed=seed), Counter(run["sample"])
            other, expected = first.setdefault(fold if part in of_fold else None, (name, samples))
            if samples != expected:
                path = Paths(study.scale, study.name).run(arm, fold, seed).predictions
                raise damaged(path, _maker(study, arm), f"holds different {part} samples from those of {other}")


def averaged(predictions: Predictions, keys: list[str], trim: float = 0.0) -> Predictions:
    """Average the outputs of all rows that agree in some columns, probabilities where a head has them.

    Args:
        predictions: Predictions.
        keys: The columns.
        trim: Share of the values that is cut off at either end of each output (0: the plain mean).

    Returns:
        The first row of each, in their order, with the mean outputs.
    """
    numbers = predictions.rows.groupby(keys, sort=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    rank = predictions.rows.groupby(numbers).cumcount().to_numpy()
    means = {head: np.empty((len(first), output.shape[1])) for head, output in predictions.outputs.items()}
    sizes = np.bincount(numbers)
    for size in np.unique(sizes):  # those with equally many rows are averaged at once
        places = np.flatnonzero(sizes == size)
        chosen = np.isin(numbers, places)
        order = np.lexsort((rank[chosen], numbers[chosen]))
        stacked = {
            head: list(output[chosen][order].reshape(len(places), size, -1).swapaxes(0, 1))
            for head, output in predictions.outputs.items()
        }
        for head, values in heads.average(stacked, trim).items():
            means[head][places] = values
    return Predictions(predictions.rows.iloc[first].reset_index(drop=True), means)


def combine(members: list[Predictions], trim: float) -> Predictions:
    """Average the outputs of all rows of a sample, over runs and members; of patches, first those of each run.

    Args:
        members: Of several arms, or of one; only heads that all have are kept.
        trim: Share of the values that is cut off at either end of each output (0: the plain mean).

    Returns:
        One row per part and sample.
    """
    members = [averaged(member, SAMPLE) if member.has_patches else member for member in members]
    return averaged(joined(members), ["part", "sample"], trim)


def joined(members: list[Predictions]) -> Predictions:
    """All rows, with the heads that all members have."""
    shared = [head for head in heads.HEADS if all(head in member.outputs for member in members)]
    rows = pd.concat([member.rows for member in members], ignore_index=True)
    return Predictions(rows, {head: np.concatenate([member.outputs[head] for member in members]) for head in shared})


def trim_of(recipe: Recipe) -> float:
    """The share that is cut off at either end when the outputs of an arm's networks are averaged; 0: the plain mean."""
    return recipe.ensemble.trim if recipe.ensemble and recipe.ensemble.combine == "trimmed_mean" else 0.0
