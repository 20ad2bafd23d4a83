"""Files that must agree with each other, and with the study: checked where a step joins them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rescan.errors import RescanError
from rescan.paths import Paths, StoreFolder
from rescan.results.audit_report import GROUPS
from rescan.results.damage import damaged, worded
from rescan.results.manifest import MANIFEST
from rescan.results.packed_store import PackedStore
from rescan.results.parts import EXTERNAL, EXTRA, LEFT_OUT, PARTS, UNLABELED
from rescan.results.source import SourceReport
from rescan.results.splits import SPLITS
from rescan.study import Study

if TYPE_CHECKING:
    import pandas as pd

# Columns that splits.csv has from groups.csv, and from the manifest.
GROUPED, INDEXED = ("group", "conflict"), ("label", "patient", "eye", "study", "origin")


def read_manifest(study: Study) -> pd.DataFrame:
    """Read the manifest.

    Raises:
        RescanError: It is missing or damaged, or names a class or an extra source that the study does not have.
    """
    path = Paths(study.scale, study.name).manifest
    manifest = MANIFEST.read(path)
    _check_values(manifest, "published_part", path, MANIFEST.step, study)
    return manifest


def read_samples(study: Study) -> pd.DataFrame:
    """Read the manifest with the columns of groups.csv beside.

    Raises:
        RescanError: One of them is missing or damaged, or they do not hold the same samples.
    """
    paths = Paths(study.scale, study.name)
    manifest, groups = read_manifest(study), GROUPS.read(paths.groups)
    check_samples(paths.groups, groups["sample"], paths.manifest, manifest["sample"], "audit")
    check_samples(paths.manifest, manifest["sample"], paths.groups, groups["sample"], "index and run audit")
    if (groups["sample"].to_numpy() != manifest["sample"].to_numpy()).any():
        raise damaged(paths.groups, GROUPS.step, f"its samples are not in the order of {paths.manifest}")
    return manifest.merge(groups, on="sample", validate="one_to_one")


def read_splits(study: Study) -> pd.DataFrame:
    """Read the splits.

    Raises:
        RescanError: They, the manifest or groups.csv are missing or damaged; they have other folds than the study; they
            do not hold each readable sample once per fold, as the manifest and groups.csv have it, in a part that it
            may be in; or a group lies on both sides.
    """
    path = Paths(study.scale, study.name).splits
    splits = SPLITS.read(path)
    _check_values(splits, "part", path, SPLITS.step, study)
    folds = sorted(splits["fold"].unique().tolist())
    if folds != list(range(study.split.fold_count)):
        raise damaged(path, SPLITS.step, f"has the folds {folds}, the study {study.split.fold_count}")
    samples = read_samples(study)
    _check_samples_of_folds(study, samples, splits)
    if fault := _fault_of_rows(study, samples, splits):
        raise damaged(path, SPLITS.step, fault)
    check_no_leak(splits, study.split.test == "published", path)
    return splits


def class_counts(manifest: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count labeled samples: part → class → samples, as in source.json; the part is "all" if none are published.

    Several labels of a sample are counted as they are joined, so that each sample counts once.
    """
    counts: dict[str, dict[str, int]] = {}
    for (part, label), rows in manifest[manifest["label"] != ""].groupby(["published_part", "label"]):
        counts.setdefault("all" if part in ("", EXTRA) else str(part), {})[str(label)] = len(rows)
    return counts


def check_counts(study: Study, manifest: pd.DataFrame) -> None:
    """Refuse a manifest without the samples that `download` counted.

    Raises:
        RescanError: It names both files.
    """
    paths = Paths(study.scale, study.name)
    source = SourceReport.read(paths.source)
    for origin, data in {"": source, **source.extra}.items():
        rows = manifest[manifest["origin"] == origin]
        unlabeled = int((rows["label"] == "").sum())
        if class_counts(rows) != data.classes or (not origin and unlabeled != source.unlabeled):
            name = f"of {origin!r} " if origin else ""
            fault = f"its samples {name}are not those that {paths.source} counts"
            raise RescanError(f"{paths.manifest}: {fault}; run download and run index again")


def _check_samples_of_folds(study: Study, samples: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Refuse splits without all readable samples in each fold, or with others; extra ones may be left out."""
    paths = Paths(study.scale, study.name)
    check_samples(paths.manifest, samples["sample"], paths.splits, splits["sample"], "index and run split")
    readable = samples["problem"] == ""
    needed = samples.loc[readable & (samples["published_part"] != EXTRA), "sample"]
    for _, rows in splits.groupby("fold"):
        check_samples(paths.splits, rows["sample"], paths.groups, needed, "split")
    unreadable = splits["sample"].isin(samples.loc[~readable, "sample"])
    if unreadable.any():
        name = splits["sample"].iloc[int(unreadable.to_numpy().argmax())]
        raise damaged(paths.splits, SPLITS.step, f"holds sample {name!r}, which {paths.groups} calls unreadable")


def _fault_of_rows(study: Study, samples: pd.DataFrame, splits: pd.DataFrame) -> str | None:
    """The first line of splits.csv that contradicts the manifest, groups.csv, or the other lines; None if none does.

    Args:
        study: The study.
        samples: As of `read_samples`.
        splits: As of `read_splits`, with samples of these only.
    """
    paths = Paths(study.scale, study.name)
    known = samples.set_index("sample").loc[splits["sample"]].reset_index()
    part, tested = splits["part"], splits["part"] == "test"
    linked = ~tested & part.isin([*PARTS, LEFT_OUT]) & splits["group"].isin(splits.loc[tested, "group"])
    possible = ~part.isin(PARTS if study.home else [EXTERNAL])
    for name in (UNLABELED, EXTRA):
        possible &= (part == name) == (known["published_part"] == name)
    if study.split.test == "published" and not study.home:
        possible &= tested == (known["published_part"] == "test")
    right = [(name, splits[name] == known[name], paths.groups) for name in GROUPED]
    right += [(name, splits[name] == known[name], paths.manifest) for name in INDEXED]
    right += [
        ("part", possible, paths.manifest),
        ("part", tested == splits["sample"].isin(splits.loc[tested, "sample"]), "its other folds"),
        ("linked", splits["linked"] == linked, "the groups of its test part"),
    ]
    for name, fits, source in right:
        if not fits.all():
            row = int(fits.to_numpy().argmin())
            return f"line {row + 2}: {name} {worded(splits.loc[row, name])} does not agree with {source}"
    return None


def check_no_leak(splits: pd.DataFrame, published: bool, path: str) -> list[str]:
    """Refuse groups on both sides of a split that Rescan made. Samples without a label are on no side.

    Args:
        splits: `splits.csv`.
        published: The test part is the data set's own, which is never changed.
        path: Of the file, for messages.

    Returns:
        One warning if groups lie on both sides of a published test part, else nothing.

    Raises:
        RescanError: A group is in training and in validation, or on both sides of a test part that Rescan cut; or one
            of an extra source is in validation or test.
    """
    warnings = []
    own = splits[splits["part"].isin(PARTS)]
    cut_by_us = own if not published else own[own["part"] != "test"]
    extra = splits[splits["part"] == EXTRA].merge(own.loc[own["part"] != "train", ["fold", "group"]])
    parts = cut_by_us.groupby(["fold", "group"])["part"].nunique()
    leaks = [*parts[parts > 1].index, *extra.groupby(["fold", "group"]).size().index]
    if leaks:
        fold, group = leaks[0]
        raise RescanError(
            f"{path}: group {group!r}, one of {len(leaks)}, lies in more than one part of fold {fold}; run split again"
        )
    test = own["part"] == "test"
    across = set(own.loc[test, "group"]) & set(own.loc[~test, "group"])
    if across:
        share = own.loc[test, "group"].isin(across).mean()
        warnings.append(
            f"{len(across)} groups lie on both sides of the published test part: {share:.1%} of the test samples have "
            "a relative in training"
        )
    return warnings


def check_items(study: Study, splits: pd.DataFrame, items: pd.DataFrame, store: StoreFolder) -> None:
    """Refuse a store without the samples of the splits, but those that it left out; or with others, but extra ones.

    Args:
        study: The study.
        splits: As of `read_splits`.
        items: The store's items.csv.
        store: The store.

    Raises:
        RescanError: It names a sample, and the files that differ in it.
    """
    path, samples = Paths(study.scale, study.name).splits, items["sample"].drop_duplicates()
    extra = samples.str.startswith(tuple(f"{name}/" for name in study.data.extra))
    check_samples(path, splits["sample"], store.items, samples[~extra], "split and run preprocess")
    left_out = [entry.sample for entry in PackedStore.read(store.preparation).left_out]
    needed = splits.loc[~splits["sample"].isin(left_out), "sample"]
    check_samples(store.items, samples, path, needed, "preprocess")


def check_samples(
    path: str | Path, samples: pd.Series[str], other: str | Path, others: pd.Series[str], steps: str
) -> None:
    """Refuse a file that lacks a sample of another one.

    Args:
        path: The file.
        samples: Its samples.
        other: The other file.
        others: The samples that it must have.
        steps: What makes them anew.

    Raises:
        RescanError: It names a sample and both files.
    """
    missing = ~others.isin(samples).to_numpy()
    if missing.any():
        raise RescanError(f"{path}: lacks sample {others.iloc[missing.argmax()]!r} of {other}; run {steps} again")


def _check_values(table: pd.DataFrame, part: str, path: str, step: str, study: Study) -> None:
    """Refuse labels and origins that the study does not have, and labels that do not suit the column `part`."""
    unlabeled, extra = table[part] == UNLABELED, table[part] == EXTRA
    labels = {label: study.data.outcome.is_label(label) for label in table["label"].unique()}
    for name, right, expected in (
        (
            "label",
            table["label"].map(labels).astype(bool).mask(unlabeled, table["label"] == ""),
            "class",
        ),
        ("origin", (table["origin"] == "").mask(extra, table["origin"].isin(list(study.data.extra))), "source"),
    ):
        if not right.all():
            row = int((~right).to_numpy().argmax())
            value, of_part = table[name].iloc[row], table[part].iloc[row]
            has_none = (of_part == UNLABELED) if name == "label" else (of_part != EXTRA)
            fault = f"where there is no {expected}" if has_none else f"not a {expected} of the study"
            raise damaged(path, step, f"line {row + 2}: {name} is {value!r} in part {of_part!r}, {fault}")
