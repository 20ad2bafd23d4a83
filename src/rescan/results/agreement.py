"""Tables that must agree with each other, and with the study: checked where they are joined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.audit_report import GROUPS
from rescan.results.damage import damaged
from rescan.results.manifest import MANIFEST
from rescan.results.parts import UNLABELED
from rescan.results.splits import SPLITS
from rescan.study import Study

if TYPE_CHECKING:
    import pandas as pd


def read_manifest(study: Study) -> pd.DataFrame:
    """Read the manifest.

    Raises:
        RescanError: It is missing or damaged, or names another class than the study's.
    """
    path = Paths(study.scale, study.name).manifest
    manifest = MANIFEST.read(path)
    _check_labels(manifest, "published_part", path, MANIFEST.step, study)
    return manifest


def read_samples(study: Study) -> pd.DataFrame:
    """Read the manifest with the columns of groups.csv beside.

    Raises:
        RescanError: One of them is missing or damaged, or they do not hold the same samples.
    """
    paths = Paths(study.scale, study.name)
    manifest, groups = read_manifest(study), GROUPS.read(paths.groups)
    check_samples(paths.groups, groups["sample"], paths.manifest, manifest["sample"], GROUPS.step)
    check_samples(paths.manifest, manifest["sample"], paths.groups, groups["sample"], GROUPS.step)
    return manifest.merge(groups, on="sample", validate="one_to_one")


def read_splits(study: Study) -> pd.DataFrame:
    """Read the splits.

    Raises:
        RescanError: They are missing or damaged, name another class than the study's, or have not all of its folds.
    """
    path = Paths(study.scale, study.name).splits
    splits = SPLITS.read(path)
    _check_labels(splits, "part", path, SPLITS.step, study)
    folds = sorted(splits["fold"].unique())
    if folds != list(range(study.split.folds)):
        raise damaged(path, SPLITS.step, f"has the folds {folds}, the study {study.split.folds}")
    return splits


def check_samples(
    path: str | Path, samples: pd.Series[str], other: str | Path, others: pd.Series[str], step: str
) -> None:
    """Refuse a file with a sample that another one lacks.

    Args:
        path: The file.
        samples: Its samples.
        other: The other file.
        others: The samples that it has.
        step: The step that makes the later of the two.

    Raises:
        RescanError: It names the sample and both files.
    """
    unknown = ~samples.isin(others).to_numpy()
    if unknown.any():
        raise RescanError(f"{path}: sample {samples.iloc[unknown.argmax()]!r} is not in {other}; run {step} again")


def _check_labels(table: pd.DataFrame, part: str, path: str, step: str, study: Study) -> None:
    """Refuse a label that is no class, and a sample without a label in another part than "unlabeled"."""
    unlabeled = table[part] == UNLABELED
    wrong = ~table["label"].isin(study.data.classes).mask(unlabeled, table["label"] == "").to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        expected = "" if unlabeled.iloc[row] else ", not one of the study's classes"
        raise damaged(path, step, f"line {row + 2}: label is {table['label'].iloc[row]!r}{expected}")
