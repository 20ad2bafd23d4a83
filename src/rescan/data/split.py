"""Splits: by group, stratified by label, the same for every seed of training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from rescan.catalogue import KNOWN_COLUMNS
from rescan.data.external_split import split_external
from rescan.data.headers import key_at
from rescan.data.held_out import check_classes, check_folds, check_groups, find, warn_of_unknown, with_hashes
from rescan.errors import RescanError
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.agreement import check_no_leak, read_samples
from rescan.results.parts import EXTRA, LEFT_OUT, UNLABELED
from rescan.results.splits import SPLITS
from rescan.spelling import plain
from rescan.study import Outcome, Study

SEED = 20240601  # of the splits: not a seed of training, so that all runs of a fold share it
ANY_POSITIVE = "any_positive"  # to stratify by: whether a group has a sample of the last class


def split(study: Study) -> None:
    """Write `splits.csv` (`SPLITS`): for each fold every readable sample's part.

    A published test part stays as it is. Otherwise the test part is cut or held out first, the same for all folds. One
    fold cuts `split.validation` from the rest; k folds cut the rest into k validation parts, or hold out values of a
    column. Samples without a label are in part "unlabeled". Those of extra sources are in part "extra" of the folds
    that validate and test on no relative of theirs, and not in the others. Where values are held out, samples of others
    that share a group with them, and samples whose value is unknown, are in part "left_out".

    Raises:
        RescanError: The study asks for a published test part and there is none; or it stratifies by an unknown column;
            or what is to be held out is not there; or there are too few patients; or a class has no training or no test
            sample.
    """
    if study.home:
        split_external(study)
        return
    paths = Paths(study.scale, study.name)
    samples = read_samples(study)
    key = key_at(paths.patients_key) if Path(paths.patients_key).is_file() else None
    splits = split_samples(study, samples[samples["problem"] == ""], key)
    for warning in [
        *check_classes(study, splits),
        *check_no_leak(splits, study.split.test == "published", paths.splits),
    ]:
        logger.warning(warning)
    SPLITS.write(paths.splits, splits)


def split_samples(study: Study, samples: pd.DataFrame, key: bytes | None) -> pd.DataFrame:
    """Split samples.

    Args:
        study: The study.
        samples: As of `read_samples`, those that can be read.
        key: What ids from headers are hashed with, if they are.

    Returns:
        The rows of `splits.csv`.

    Raises:
        RescanError: See `split`.
    """
    study, samples = with_hashes(study, samples, key), samples.reset_index(drop=True)
    samples["stratum"] = _strata(study, samples)
    unlabeled, extra = samples["published_part"] == UNLABELED, samples["published_part"] == EXTRA
    own = ~unlabeled & ~extra
    test, left_out = _tested(study, samples, own)
    rest = own & ~test & ~left_out
    check_groups(study, samples[own], samples[rest])
    linked = own & ~test & samples["group"].isin(samples.loc[test, "group"])

    tables = []
    for fold, (validation, unknown) in enumerate(_validations(study, samples, rest)):
        related = rest & ~validation & samples["group"].isin(samples.loc[validation, "group"])
        part = validation.map({True: "validation", False: "train"}).mask(left_out | unknown | related, LEFT_OUT)
        part = part.mask(test, "test").mask(unlabeled, UNLABELED).mask(extra, EXTRA)
        held_out = samples[part.isin(["validation", "test"])]
        unused = extra & (samples["group"].isin(held_out["group"]) | _is_held_out(study, samples, fold))
        if related.any():
            logger.info("fold %d: %d samples are left out: it validates on relatives", fold, related.sum())
        if unused.any():
            logger.info("fold %d: %d extra samples are left out: it tests on relatives", fold, unused.sum())
        tables.append(samples.assign(fold=fold, part=part, linked=linked.astype(int))[~unused])
    return pd.concat(tables)[[column.name for column in SPLITS.columns]]


def _tested(study: Study, samples: pd.DataFrame, own: pd.Series[bool]) -> tuple[pd.Series[bool], pd.Series[bool]]:
    """The test part; and the study's own samples that are neither in it nor may be trained on."""
    test, nothing = study.split.test, own & False
    if isinstance(test, dict):
        (column, values), *_ = test.items()
        held_out, unknown = find(study, samples, own, "split.test", column, values)
        warn_of_unknown("split.test", column, unknown)
        related = own & ~held_out & samples["group"].isin(samples.loc[held_out, "group"])
        if related.any():
            logger.info("split.test: %d samples are left out: they share a group with the test part", related.sum())
        return held_out, related | unknown
    if test == "published":
        published = samples["published_part"] == "test"
        if not published.any():
            raise RescanError(
                f"{study.name}: split.test: there is no published test part; give the share to hold out, such as 0.15"
            )
        return published, nothing
    return own & samples["group"].isin(cut(samples[own], test, SEED)), nothing


def _validations(
    study: Study, samples: pd.DataFrame, rest: pd.Series[bool]
) -> Iterator[tuple[pd.Series[bool], pd.Series[bool]]]:
    """Yield each fold's validation part, of the rest; and samples of the rest whose value of its column is unknown."""
    if column := study.split.held_out_column:
        check_folds(study, samples, rest)
        for values in study.split.fold_values:
            yield find(study, samples, rest, "split.folds", column, values)
        return
    remaining, folds = samples[rest], study.split.fold_count
    for fold in range(folds):
        share = study.split.validation if folds == 1 else 1 / (folds - fold)
        chosen = cut(remaining, share, SEED + 1 + fold)
        remaining = remaining[~remaining["group"].isin(chosen)]
        yield rest & samples["group"].isin(chosen), rest & False


def _is_held_out(study: Study, samples: pd.DataFrame, fold: int) -> pd.Series[bool]:
    """Whether a sample has a value that is tested on, or validated on in a fold, as an extra sample may."""
    section = study.split
    held_out = [*section.test.items()] if isinstance(section.test, dict) else []
    held_out += [(section.held_out_column, section.fold_values[fold])] if section.fold_values else []
    held = pd.Series(False, samples.index)
    for column, values in held_out:
        held |= samples[column].map(plain).isin({plain(value) for value in values})
    return held


def _strata(study: Study, samples: pd.DataFrame) -> pd.Series[str]:
    """What each sample is stratified by: its label, and the columns that the study names; of several labels, a list."""
    outcome = study.data.outcome
    strata = pd.Series("", samples.index)
    for column in study.split.stratify_by:
        if column == ANY_POSITIVE:
            positive = outcome.has(samples["label"], study.data.classes[-1])
            strata = strata + "/" + positive.groupby(samples["group"]).transform("any").astype(str)
            continue
        if column not in samples or (samples[column] == "").all():
            columns = ", ".join(name for name in KNOWN_COLUMNS if name in samples and (samples[name] != "").any())
            raise RescanError(
                f"{study.name}: split.stratify_by: no sample has a {column!r}; known of this data: {columns or 'none'}"
            )
        strata = strata + "/" + samples[column].astype(str)
    if not outcome.multilabel:
        return samples["label"] + strata
    labels = samples["label"].map(lambda label: outcome.classes_of(label) or [label])
    return pd.Series([[name + more for name in names] for names, more in zip(labels, strata)], samples.index)


def cut(samples: pd.DataFrame, share: float, seed: int) -> set[str]:
    """Choose groups that hold a share of each stratum: of each class, or of each class in each field of view.

    Goes through the groups in random order and takes one if that brings the counts of the classes nearer to the share.
    Not large ones first, as is common: they would fill a small part, which then had few groups, all of one kind.

    Args:
        samples: Columns group and stratum; a sample of several strata has a list of them, and counts in each.
        share: In (0, 1], of the samples of each stratum.
        seed: Of the order.
    """
    samples = samples[["group", "stratum"]].explode("stratum")
    counts = pd.crosstab(samples["group"], samples["stratum"]).sample(frac=1, random_state=seed)
    shares = counts.to_numpy() / counts.sum().to_numpy()
    missing = np.full(shares.shape[1], float(share))
    chosen = set()
    for group, of_group in zip(counts.index, shares):
        if ((missing - of_group) ** 2).sum() < (missing**2).sum():
            missing -= of_group
            chosen.add(group)
    return chosen


def training_samples(
    splits: pd.DataFrame, fold: int, subset: str, seed: int, outcome: Outcome | None = None
) -> list[str]:
    """The study's own training samples of a run, in the order of `splits.csv`. Validation and test parts stay whole.

    Args:
        splits: `splits.csv`.
        fold: The run's fold.
        subset: `all`; `leak_free`, without the samples whose group has a member in the test part; `size_matched`,
            without as many at random of each class; `clean_labels`, without images that also exist under another label.
        seed: The run's seed; only `size_matched` uses it.
        outcome: For the classes of labels that name several.

    Raises:
        RescanError: A class has no sample left.
    """
    rows = splits[(splits["fold"] == fold) & (splits["part"] == "train")]
    if subset == "leak_free":
        chosen = rows[rows["linked"] == 0]
    elif subset == "clean_labels":
        chosen = rows[rows["conflict"] == 0]
    elif subset == "size_matched":
        counts = rows["linked"].groupby(rows["label"]).sum()
        rng = np.random.default_rng([SEED, fold, seed])
        left_out = [rows[rows["label"] == label].sample(count, random_state=rng) for label, count in counts.items()]
        chosen = rows.drop(pd.concat(left_out).index)
    else:
        chosen = rows
    before, after = (set((outcome.by_class(some) if outcome else some)["label"]) for some in (rows, chosen))
    missing = sorted(before - after)
    if missing:
        raise RescanError(
            f"training_samples: {subset}: no training sample of class {missing[0]!r} is left; leave this arm out"
        )
    return chosen["sample"].tolist()
