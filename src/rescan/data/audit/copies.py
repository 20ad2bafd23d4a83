"""Copies of an image, identical or alike: how often their labels agree, and which of the test part lie in training.

Each function takes samples with the columns that the audit adds: `pixels` (digest of the decoded image), `all_copies`
and `upright_copies` (number of the group of copies, with and without mirrored and turned ones), `group` and `part`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from rescan.metrics.counted import Counts, quadratic_kappa
from rescan.results.audit_report import Copies, Identical, LargestGroup, LinkedShare, LinkedTest
from rescan.results.parts import UNLABELED
from rescan.study import Data


def contradicted(samples: pd.DataFrame, labeled: pd.Series[bool]) -> pd.Series[int]:
    """1 for a labeled sample whose very image another one has under another label, else 0."""
    labels = samples[labeled & (samples["pixels"] != "")].groupby("pixels")["label"].nunique()
    return (labeled & samples["pixels"].map(labels).gt(1)).astype(int)


def identical(data: Data, readable: pd.DataFrame, labeled: pd.DataFrame) -> Identical:
    """Identical images: their bytes may differ, and some may be among the samples without a label."""
    sizes = labeled.groupby("sha256").size()
    unlabeled = readable.loc[readable["published_part"] == UNLABELED, "pixels"]
    return Identical(
        byte_pairs=int((sizes * (sizes - 1) // 2).sum()),
        **agreement(data, labeled, "pixels").model_dump(exclude_unset=True),
        pairs_with_unlabeled=int(unlabeled.map(labeled["pixels"].value_counts()).sum()),
    )


def agreement(data: Data, labeled: pd.DataFrame, column: str) -> Copies:
    """How often the labels of two copies agree: as well as one can expect the labels to be repeated.

    Args:
        data: For the classes.
        labeled: The samples.
        column: What copies share; all pairs of those that do are counted.
    """
    table = pd.crosstab(labeled[column], labeled["label"])  # of several labels, two agree if all do
    counts = (table if data.multilabel else table.reindex(columns=data.classes, fill_value=0)).to_numpy()
    counts = counts[counts.sum(1) > 1]
    ordered_pairs = counts.T @ counts - np.diag(counts.sum(0))  # of a sample with another one, by their labels
    pairs, agreeing = int(ordered_pairs.sum()) // 2, int(np.trace(ordered_pairs)) // 2
    copies = Copies(
        pairs=pairs,
        groups=len(counts),
        conflicting_pairs=pairs - agreeing,
        conflicting_groups=int(((counts > 0).sum(1) > 1).sum()),
        label_agreement=agreeing / pairs if pairs else None,
    )
    if not data.ordered:
        return copies
    kappa = float(quadratic_kappa(Counts.of(ordered_pairs)))
    return copies.model_copy(update={"quadratic_kappa": kappa if np.isfinite(kappa) else None})


def mixed_labels(labeled: pd.DataFrame) -> list[list[str]]:
    """The samples of each group of copies with more than one label."""
    mixed = labeled[labeled.groupby("all_copies")["label"].transform("nunique") > 1]
    return [rows["sample"].tolist() for _, rows in mixed.groupby("all_copies")]


def of_several_patients(labeled: pd.DataFrame) -> list[list[str]]:
    """The samples of each group of copies that is said to be of several patients, though their labels agree."""
    known = labeled[labeled["patient"] != ""]
    several = set(known.loc[known.groupby("all_copies")["patient"].transform("nunique") > 1, "all_copies"])
    rows = labeled[labeled["all_copies"].isin(several)]
    alike = rows[rows.groupby("all_copies")["label"].transform("nunique") == 1]
    return [group["sample"].tolist() for _, group in alike.groupby("all_copies")]


def largest_group(readable: pd.DataFrame) -> LargestGroup:
    """The largest group that copies alone make."""
    rows = readable[readable["all_copies"] == readable["all_copies"].value_counts().idxmax()]
    return LargestGroup(group=rows["group"].iloc[0], size=len(rows), samples=rows["sample"].tolist())


def linked_test(data: Data, labeled: pd.DataFrame) -> LinkedTest | None:
    """The share of the published test part, whole and per class, with a copy in the published training part."""
    test = labeled["part"] == "test"
    if not test.any():
        return None

    def share(rows: pd.Series[bool]) -> LinkedShare:
        upright, anyhow = (
            float(labeled.loc[rows, column].isin(labeled.loc[~test, column]).mean())
            for column in ("upright_copies", "all_copies")
        )
        return LinkedShare(n=int(rows.sum()), same_orientation=upright, any_orientation=anyhow)

    classes = {label: test & data.outcome.has(labeled["label"], label) for label in data.classes}
    return LinkedTest(
        **dict(share(test)), classes={label: share(rows) for label, rows in classes.items() if rows.any()}
    )
