"""Holding out samples by a column of the manifest, and what a split needs: enough patients, every class."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pandas as pd

from rescan.catalogue import suggest
from rescan.data.headers import IDS, hashed
from rescan.errors import RescanError
from rescan.log import logger
from rescan.results.parts import PARTS
from rescan.spelling import ONLY_WRITTEN, alike, named, plain
from rescan.study import Study
from rescan.study.splitting import FoldsBy

FEWEST_GROUPS = 10  # of a class in a part; with fewer, its metrics say little
FEWEST_OF_A_FOLD = 5  # groups that a fold by a column must validate on
SINGLE = ("patient", "study", "sample")  # columns whose values may each be left out: leave one patient out
MOST_NAMED = 20  # values in a message
HASHED = re.compile("[ps][0-9a-f]{16}")  # ids from headers


def with_hashes(study: Study, samples: pd.DataFrame, key: bytes | None) -> Study:
    """The study with the hash of an id from headers in place of the id, where it lists ids to hold out.

    Args:
        study: The study.
        samples: Rows of the manifest.
        key: What the ids are hashed with; None leaves the study as it is.
    """
    if key is None:
        return study

    def meant(column: str, values: list[str]) -> list[str]:
        there = set(samples[column]) if column in IDS and column in samples else set()
        hashes = {value: hashed(value, key, column[0]) for value in values}
        return [hashes[value] if value not in there and hashes[value] in there else value for value in values]

    section = study.split
    changed: dict[str, object] = {}
    if isinstance(section.test, dict):
        changed["test"] = {column: meant(column, values) for column, values in section.test.items()}
    if isinstance(section.folds, FoldsBy):
        folds = [meant(section.folds.by, values) for values in section.fold_values]
        changed["folds"] = section.folds.model_copy(update={"values": folds})
    return study.model_copy(update={"split": section.model_copy(update=changed)})


def find(
    study: Study, samples: pd.DataFrame, own: pd.Series[bool], where: str, column: str, values: Sequence[str]
) -> tuple[pd.Series[bool], pd.Series[bool]]:
    """Find the samples with some values of a column.

    Args:
        study: The study.
        samples: As of `read_samples`.
        own: Which of them may be found.
        where: The key that asks for it, for messages.
        column: The column's name.
        values: Its values.

    Returns:
        Which samples have one of the values; and of which the value is unknown: they may have it, too.

    Raises:
        RescanError: The column is missing or empty, or a value is not in it; or others differ from it only in how they
            are written, and would be trained on.
    """
    known = samples[column][own] if column in samples else pd.Series(dtype=str)
    there = sorted(set(known) - {""})
    if not there:
        raise RescanError(f"{study.name}: {where}: no sample has a {column!r}; add the column, or split by another")
    if missing := [value for value in values if value not in there]:
        more = f" and {len(missing) - 1} more of {len(values)}" if len(missing) > 1 else ""
        near = _nearest(missing[0], there)
        raise RescanError(f"{study.name}: {where}: no sample of {column} {missing[0]!r}{more}{near}")
    listed = set(values)
    if others := [written for written in alike(there) if listed & {*written} and not listed >= {*written}]:
        remedy = "list them all, or write them alike in the data"
        raise RescanError(f"{study.name}: {where}: {column} {named(others)} {ONLY_WRITTEN}; {remedy}")
    return own & samples[column].isin(list(values)), own & (samples[column] == "")


def warn_of_unknown(where: str, column: str, unknown: pd.Series[bool]) -> None:
    """Say how many samples are left out as their value is unknown, if any are."""
    if unknown.any():
        logger.warning("%s: %d samples are left out: their %s is unknown", where, unknown.sum(), column)


def _nearest(value: str, there: list[str]) -> str:
    """The nearest of the values that are there, or the first of them: a column may have thousands, as of patients."""
    if written := [name for name in there if plain(name) == plain(value)]:
        return f"; did you mean {written[0]!r}?"
    if any(map(HASHED.fullmatch, there)):
        remedy = "list one as the header has it, or its hash as manifest.csv has it"
        return f" among {len(there)}; ids from DICOM headers are known by their hashes only: {remedy}"
    near = suggest(value, there)
    return near if near.startswith("; did") or len(there) <= MOST_NAMED else suggest(value, there[:MOST_NAMED]) + ", …"


def check_folds(study: Study, samples: pd.DataFrame, rest: pd.Series[bool]) -> None:
    """Refuse folds by a column that do not cover its values, or that have too little to validate on.

    Raises:
        RescanError: It names the value.
    """
    column, folds = study.split.held_out_column, study.split.fold_values
    for fold in folds:
        found, unknown = find(study, samples, rest, "split.folds", column, fold)
        groups = samples.loc[found, "group"].nunique()
        if groups < FEWEST_OF_A_FOLD and column not in SINGLE:
            raise RescanError(
                f"{study.name}: split.folds: {column} {' and '.join(fold)} has only {found.sum()} samples of "
                f"{groups} patients or groups, a fold needs {FEWEST_OF_A_FOLD}; join it with another: [{fold[0]}, …]"
            )
    warn_of_unknown("split.folds", column, unknown)
    listed = {value for fold in folds for value in fold}
    counts = samples.loc[rest & ~samples[column].isin([*listed, ""]), column].value_counts()
    if len(counts):
        others = ", ".join(f"{value} {count}" for value, count in counts.head(MOST_NAMED).items())
        raise RescanError(f"{study.name}: split.folds: values lacks some of {column}: {others} samples; add them")


def check_groups(study: Study, own: pd.DataFrame, rest: pd.DataFrame) -> None:
    """Refuse to split fewer patients, or groups, than there are parts.

    Args:
        study: The study.
        own: Its own labeled samples.
        rest: Those of them that are trained or validated on.

    Raises:
        RescanError: It says how many there are.
    """
    cuts_test, folds = isinstance(study.split.test, float), max(2, study.split.fold_count)
    samples, needed = (own, folds + 1) if cuts_test else (rest, folds)
    if samples["group"].nunique() < needed:
        parts = "training, validation and test" if cuts_test else "training and validation"
        each = f"{parts} need one each" if folds == 2 else f"{folds} folds{' and test' * cuts_test} need one each"
        raise RescanError(
            f"{study.name}: split: all {len(samples)} samples are of {_of_groups(samples)}; {each}: check the column "
            "patient, or split.group_by"
        )


def _of_groups(samples: pd.DataFrame) -> str:
    """Whom some samples are of, in words: "one patient ('p1')" or "2 groups"."""
    patients = sorted(set(samples["patient"]))
    known = "" not in patients
    kind, count = ("patient", len(patients)) if known else ("group of relatives", samples["group"].nunique())
    if count == 1:
        return f"one {kind}" + (f" ({patients[0]!r})" if patients[0] else "")
    return f"{count} {kind.replace('patient', 'patients').replace('group', 'groups')}"


def check_classes(study: Study, splits: pd.DataFrame) -> list[str]:
    """Refuse a split with a class that is not trained or not tested on.

    Args:
        study: The study.
        splits: `splits.csv`.

    Returns:
        Warnings of classes with few groups.

    Raises:
        RescanError: It names the class, the part and the fold.
    """
    outcome = study.data.outcome
    groups = outcome.by_class(splits).groupby(["fold", "part", "label"])["group"].nunique()
    few: dict[tuple[str, str], list[tuple[int, int]]] = {}  # of a part and class: how many groups, in which fold
    on_test = all(recipe.validation == "test" for recipe in study.arms.values())
    for fold in range(study.split.fold_count):
        rest = splits[(splits["fold"] == fold) & splits["part"].isin(["train", "validation"])]
        if (rest["part"] == "train").all() and not on_test:
            raise RescanError(
                f"{study.name}: split: fold {fold} has no validation sample: its {len(rest)} samples are of "
                f"{_of_groups(rest)}, none of which fits; get more, or make split.validation larger"
            )
        for part in PARTS:
            for label in study.data.classes:
                count = int(groups.get((fold, part, label), 0))
                if part != "validation" and count == 0:
                    rows = splits[(splits["fold"] == fold) & outcome.has(splits["label"], label)]
                    raise RescanError(
                        f"{study.name}: split: class {label!r} has no readable sample in "
                        f"part {part!r} of fold {fold}; {_remedy(study, rows, part, fold)}"
                    )
                if count < FEWEST_GROUPS and (part != "test" or fold == 0):
                    few.setdefault((part, label), []).append((count, fold))
    return [_few(study, part, label, places) for (part, label), places in few.items()]


def _few(study: Study, part: str, label: str, places: list[tuple[int, int]]) -> str:
    """One warning of a class with few groups in a part; the test part is the same in all folds."""
    fewest, fold = min(places)
    groups = f"class {label!r} has only {fewest} group{'' if fewest == 1 else 's'} in part {part!r}"
    folds = study.split.fold_count
    if part == "test" or folds == 1:
        return groups
    return f"{groups} of fold {fold}; {len(places)} of {folds} folds have fewer than {FEWEST_GROUPS}"


def _remedy(study: Study, rows: pd.DataFrame, part: str, fold: int) -> str:
    """Why a class has no sample in a part, as far as the split says it, and what to do.

    Args:
        study: The study.
        rows: The samples of the class in the fold.
        part: train or test.
        fold: The fold.
    """
    test, folds = study.split.test, study.split.fold_values
    if isinstance(test, dict) and (part == "test" or (rows["part"] == "test").all()):
        (column, values), *_ = test.items()
        has = "have none of it" if part == "test" else "have all of it"
        return f"the held out {column} {', '.join(values[:MOST_NAMED])} {has}: hold out others"
    if folds and part == "train" and len(rows):
        return f"all of it are of {study.split.held_out_column} {', '.join(folds[fold])}, or related: make other folds"
    if 0 < rows["group"].nunique() < FEWEST_GROUPS:
        return f"its {len(rows)} samples are of {_of_groups(rows)}, each of which stays on one side; get more"
    return "get more"
