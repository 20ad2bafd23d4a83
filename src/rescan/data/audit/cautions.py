"""What a reader of the audit must know, in sentences; and groups that are too large to be copies."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rescan.catalogue import KNOWN_COLUMNS
from rescan.data.audit import confounds
from rescan.data.held_out import FEWEST_GROUPS
from rescan.errors import RescanError
from rescan.results.audit_report import AuditReport
from rescan.results.manifest import BURNED_IN
from rescan.spelling import ONLY_WRITTEN, alike, named
from rescan.study import Study

CHAINED = 0.25  # of a large group's pairs match directly: fewer mean that it is no group of copies
SAMPLES_NAMED = 5  # of a group, in a message
OUTSIZE, TIMES = 0.1, 5  # a patient's share of the samples, and its multiple of the median, that are worth a look


def large_groups(study: Study, readable: pd.DataFrame, pairs: np.ndarray) -> list[str]:
    """Stop at a large group that near-duplicates have chained; a large group of true copies is worth a warning only.

    Large is over 1 % of the samples or over 50 images; but up to 10 is never large, for 1 % of 200 samples is one pair.
    In a chain few of the possible pairs match directly. On 7,019 brain slices the 25 largest groups, up to 81 copies of
    a slice, had 54 % to 100 % of them; groups chained on purpose by looser thresholds had 1 % to 18 %.

    Args:
        study: The study.
        readable: Samples with columns sample, group, all_copies, pixels and depth; the index is the sample's number.
        pairs: (P, 2) int numbers of samples that are near-duplicates.

    Raises:
        RescanError: A group is chained.
    """
    limit = min(50, max(10, len(readable) // 100))
    warnings = []
    sizes = readable["all_copies"].value_counts()
    for number, size in sizes[sizes > limit].items():
        rows = readable[readable["all_copies"] == number]
        distinct = rows["pixels"].nunique()
        matching = np.isin(pairs[:, 0], rows.index).sum() / max(1, distinct * (distinct - 1) / 2)
        warning = (
            f"group {rows['group'].iloc[0]} holds {size} near-duplicate {_kind(rows)}, more than {limit}; "
            f"{matching:.0%} of its pairs match directly (examples: {', '.join(rows['sample'][:SAMPLES_NAMED])})"
        )
        if "near_duplicate" in study.split.group_by and distinct > 1 and matching < CHAINED:
            raise RescanError(
                f"{study.name}: {warning}; if these are no copies, take near_duplicate out of split.group_by"
            )
        warnings.append(warning)
    return warnings


def cautions(study: Study, labeled: pd.DataFrame, report: AuditReport) -> list[str]:
    """All further warnings of the audit.

    Args:
        study: The study.
        labeled: The study's own labeled samples that can be read, with the columns that the audit adds.
        report: The rest of the report.
    """
    warnings, kind = [], _kind(labeled)
    burned_in = int((labeled[BURNED_IN] == "yes").sum()) if BURNED_IN in labeled else 0
    for count, what in (
        (burned_in, f"{kind} have text burned into their pixels, as their headers say: a model may read it"),
        (len(report.unreadable), "samples cannot be read and are left out"),
        (len(report.constant), f"{kind} are constant ({_examples(report.constant)})"),
        (report.identical.conflicting_pairs, f"pairs of identical {kind} have different labels"),
        (len(report.mixed_label_groups), "groups of near-duplicates have mixed labels"),
        (len(report.several_patient_groups), "groups of near-duplicates with one label are of several patients"),
        (report.patients_in_both_parts, "patients are in both the training and the test part as published"),
    ):
        if count:
            warnings.append(f"{count} {what}")
    warnings += [
        f"{count} samples of the extra source {name} have a relative among the study's own: where that one is "
        "validated or tested on, they are left out"
        for name, count in report.linked_extra.items()
        if count
    ]
    if (linked := report.linked_test) and linked.any_orientation > 0:
        warnings.append(
            f"{linked.any_orientation:.1%} of the published test part has a near-duplicate in the published training "
            f"part ({linked.same_orientation:.1%} in the same orientation)"
        )
    for part, rows in labeled.groupby("part"):
        for label in study.data.classes:
            groups = rows.loc[study.data.outcome.has(rows["label"], label), "group"].nunique()
            if groups < FEWEST_GROUPS:
                warnings.append(f"class {label!r} has only {groups} groups in part {part!r}")
    warnings += spelling_warnings(labeled)
    warnings += _unusual_patients(labeled)
    warnings += _unusual_stacks(labeled)
    warnings += confounds.attribute_warnings(report.attributes)
    return [*warnings, *report.confounds.warnings]


def spelling_warnings(samples: pd.DataFrame) -> list[str]:
    """Values of a column, and patients, that differ only in how they are written, and so count as different ones."""
    warnings = []
    for name in ("patient", "eye", *KNOWN_COLUMNS):
        found = alike(set(samples[name]) - {""}) if name in samples and name != "age" else []
        if found:
            stay = "; they stay on one side of every split" if name == "patient" else ""
            warnings.append(f"{name}: {named(found)} {ONLY_WRITTEN}, and count as different{stay}; write them alike")
    return warnings


def _unusual_patients(labeled: pd.DataFrame) -> list[str]:
    """Samples of no known patient among others; and a patient with so many that it may be several, or a word."""
    counts = labeled.loc[labeled["patient"] != "", "patient"].value_counts()
    if counts.empty:
        return []
    warnings, unknown, median = [], len(labeled) - int(counts.sum()), float(counts.median())
    if unknown:
        warnings.append(f"the patient of {unknown} of {len(labeled)} samples is unknown; each counts as one of its own")
    most = int(counts.iloc[0])
    if len(counts) > 1 and most > max(OUTSIZE * len(labeled), TIMES * median):
        warnings.append(
            f"patient {counts.index[0]!r} has {most} of {len(labeled)} samples, most others {median:g} or fewer; look "
            "whether it is one patient"
        )
    return warnings


def _unusual_stacks(labeled: pd.DataFrame) -> list[str]:
    """Volumes with fewer slices or B-scans than most of their field of view: the last ones may have been lost."""
    if "fov" not in labeled:
        return []
    warnings = []
    for fov, rows in labeled[labeled["depth"] > 0].groupby("fov"):
        usual = rows["height"].mode()[0]
        odd = rows.loc[rows["height"] != usual, "sample"].tolist()
        if odd and len(odd) < len(rows) / 2:
            what = f"volumes of field of view {fov!r} do not have {usual} B-scans as the others"
            warnings.append(f"{len(odd)} {what} ({_examples(odd)})")
    return warnings


def _kind(samples: pd.DataFrame) -> str:
    """What samples are, in a word."""
    volumes = samples["depth"] > 0
    return "volumes" if volumes.all() else "samples" if volumes.any() else "images"


def _examples(samples: list[str]) -> str:
    """The first of some samples, and whether there are more."""
    return ", ".join(samples[:SAMPLES_NAMED]) + (" …" if len(samples) > SAMPLES_NAMED else "")
