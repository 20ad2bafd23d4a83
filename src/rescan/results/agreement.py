"""Files that must agree with each other, and with the study: checked where a step joins them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rescan.errors import RescanError
from rescan.paths import Paths, StoreFolder
from rescan.results.audit_report import GROUPS
from rescan.results.damage import damaged
from rescan.results.manifest import MANIFEST
from rescan.results.packed_store import PackedStore
from rescan.results.parts import EXTRA, UNLABELED
from rescan.results.source import SourceReport
from rescan.results.splits import SPLITS
from rescan.study import Study

if TYPE_CHECKING:
    import pandas as pd


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
    return manifest.merge(groups, on="sample", validate="one_to_one")


def read_splits(study: Study) -> pd.DataFrame:
    """Read the splits.

    Raises:
        RescanError: They are missing or damaged, name a class or an extra source that the study does not have, or have
            other folds than the study.
    """
    path = Paths(study.scale, study.name).splits
    splits = SPLITS.read(path)
    _check_values(splits, "part", path, SPLITS.step, study)
    folds = sorted(splits["fold"].unique().tolist())
    if folds != list(range(study.split.fold_count)):
        raise damaged(path, SPLITS.step, f"has the folds {folds}, the study {study.split.fold_count}")
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


def check_splits(study: Study, samples: pd.DataFrame, splits: pd.DataFrame) -> None:
    """Refuse splits without all readable samples in each fold, or with others; extra ones may be left out.

    Args:
        study: The study.
        samples: As of `read_samples`.
        splits: As of `read_splits`.

    Raises:
        RescanError: It names a sample, and the files that differ in it.
    """
    paths = Paths(study.scale, study.name)
    check_samples(paths.manifest, samples["sample"], paths.splits, splits["sample"], "index and run split")
    needed = samples.loc[(samples["problem"] == "") & (samples["published_part"] != EXTRA), "sample"]
    for _, rows in splits.groupby("fold"):
        check_samples(paths.splits, rows["sample"], paths.groups, needed, "split")


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
