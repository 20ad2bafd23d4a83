"""The audit: unreadable files, duplicates, label conflicts, leaks across a published split, confounds, class counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rescan.data import confounds, duplicates
from rescan.data.inspection import Inspected, inspect
from rescan.data.pool import pooled
from rescan.data.split import FEWEST_GROUPS
from rescan.errors import RescanError
from rescan.files import read_json, read_table, write_json, write_table
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Study

CHAINED = 0.25  # of a large group's pairs match directly: fewer mean that it is no group of copies
SAMPLES_NAMED = 5  # of a group, in a message


def audit(study: Study, processes: int) -> None:
    """Look at every file of the manifest; write `audit.json` and `groups.csv`.

    Args:
        study: The study. `split.group_by` says which relations, of patient and near_duplicate, make groups.
        processes: Number of worker processes.

    Raises:
        RescanError: No file, or no file of a class, can be read; or near-duplicates chain into too large a group.
    """
    paths = Paths(study.scale, study.name)
    manifest = read_table(paths.manifest)
    root = Path(read_json(paths.source)["root"])
    thumbnails = np.zeros((len(manifest), *(duplicates.THUMBNAIL_SIDE,) * 2), np.float16)
    rows = []
    for row, file in enumerate(pooled(inspect, [root / path for path in manifest["path"]], processes, "audit")):
        thumbnails[row] = file.thumbnail
        rows.append(file[:-1])
    found = pd.DataFrame(rows, columns=list(Inspected._fields[:-1]))
    samples = pd.concat([manifest, found], axis=1)
    _check_readable(study, samples)

    identical = duplicates.same(samples["pixels"])
    upright, mirrored = _near_duplicates(samples, thumbnails)
    related = [duplicates.same(samples["patient"])] if "patient" in study.split.group_by else []
    related += [identical, upright, mirrored] if "near_duplicate" in study.split.group_by else []
    samples["group"] = [f"g{number:06d}" for number in duplicates.components(len(samples), *related)]
    samples["conflict"] = _contradicted(samples)
    samples["upright_copies"] = duplicates.components(len(samples), identical, upright)
    samples["all_copies"] = duplicates.components(len(samples), identical, upright, mirrored)

    readable = samples[samples["problem"] == ""]
    report: dict[str, Any] = {
        "samples": len(samples),
        "unreadable": samples.loc[samples["problem"] != "", ["sample", "problem"]].to_dict("records"),
        "classes": {
            part: {label: int((rows["label"] == label).sum()) for label in study.data.classes}
            for part, rows in readable.groupby(_part(readable))
        },
        "identical": _identical(readable),
        "near_duplicates": {
            "pairs": len(upright) + len(mirrored),
            "groups": int((readable["all_copies"].value_counts() > 1).sum()),
            "mirrored_pairs": len(mirrored),
        },
        "largest_group": _largest_group(readable),
        "mixed_label_groups": [
            rows["sample"].tolist() for _, rows in readable.groupby("all_copies") if len(set(rows["label"])) > 1
        ],
        "linked_test": _linked_test(study, readable),
        "patients_known": bool((samples["patient"] != "").all()),
        "patients_in_both_parts": _patients_in_both_parts(samples),
        "confounds": confounds.metadata_baseline(readable),
    }
    report["warnings"] = [
        *_check_large_groups(study, readable, np.concatenate([upright, mirrored])),
        *_warnings(study, readable, report),
    ]
    for warning in report["warnings"]:
        logger.warning(warning)
    columns = ["sample", "group", "problem", "width", "height", "mode", "bytes", "sha256", "conflict"]
    write_table(paths.groups, samples[columns])
    write_json(paths.audit, report)


def _check_readable(study: Study, samples: pd.DataFrame) -> None:
    for label in study.data.classes:
        rows = samples[samples["label"] == label]
        if rows.empty:
            raise RescanError(f"{study.name}: class {label!r} has no sample; check data.classes and the source")
        if (rows["problem"] != "").all():
            first = rows.iloc[0]
            raise RescanError(
                f"{study.name}: none of the {len(rows)} files of class {label!r} can be read "
                f"(the first, {first['path']}: {first['problem']}); check the source"
            )


def _near_duplicates(samples: pd.DataFrame, thumbnails: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pairs, (P, 2) int, of samples that match in the same orientation; and of those that match in others only.

    Of identical images only the first is compared.
    """
    distinct = np.flatnonzero((samples["problem"] == "") & ~samples["pixels"].duplicated())
    matches = duplicates.near_duplicates(thumbnails[distinct])
    upright = matches[matches[:, 2] == 0, :2]
    others = np.unique(matches[matches[:, 2] > 0, :2], axis=0)
    count = len(distinct)
    others = others[~np.isin(others @ [count, 1], upright @ [count, 1])]
    return distinct[upright], distinct[others]


def _contradicted(samples: pd.DataFrame) -> pd.Series:
    """1 for a sample whose very image another one has under another label, else 0."""
    labels = samples[samples["pixels"] != ""].groupby("pixels")["label"].nunique()
    return samples["pixels"].map(labels).gt(1).astype(int)


def _part(samples: pd.DataFrame) -> pd.Series:
    return samples["published_part"].replace("", "train" if (samples["published_part"] != "").any() else "all")


def _identical(readable: pd.DataFrame) -> dict[str, Any]:
    """Pairs of identical images, and how often their labels agree: what one can expect of the labels' repeatability."""

    def pairs(*columns: str) -> int:
        sizes = readable.groupby(list(columns)).size()
        return int((sizes * (sizes - 1) // 2).sum())

    same, agreeing = pairs("pixels"), pairs("pixels", "label")
    return {
        "byte_pairs": pairs("sha256"),
        "pairs": same,
        "conflicting_pairs": same - agreeing,
        "label_agreement": agreeing / same if same else None,
    }


def _largest_group(readable: pd.DataFrame) -> dict[str, Any]:
    """The largest group that near-duplicates alone make."""
    rows = readable[readable["all_copies"] == readable["all_copies"].value_counts().idxmax()]
    return {"group": rows["group"].iloc[0], "size": len(rows), "samples": rows["sample"].tolist()}


def _linked_test(study: Study, readable: pd.DataFrame) -> dict[str, Any]:
    """The share of the published test part, whole and a class, that has a relative in the published training part."""
    test = _part(readable) == "test"

    def shares(rows: pd.Series) -> dict[str, Any]:
        linked = {
            name: float(readable.loc[rows, column].isin(readable.loc[~test, column]).mean())
            for name, column in (("same_orientation", "upright_copies"), ("any_orientation", "all_copies"))
        }
        return {"n": int(rows.sum()), **linked}

    if not test.any():
        return {}
    classes = {label: test & (readable["label"] == label) for label in study.data.classes}
    return {**shares(test), "classes": {label: shares(rows) for label, rows in classes.items() if rows.any()}}


def _patients_in_both_parts(samples: pd.DataFrame) -> int:
    test = samples["published_part"] == "test"
    return len(set(samples.loc[test, "patient"]) & set(samples.loc[~test, "patient"]) - {""})


def _check_large_groups(study: Study, readable: pd.DataFrame, pairs: np.ndarray) -> list[str]:
    """Stop at a large group that near-duplicates have chained; a large group of true copies is worth a warning only.

    Large is over 1 % of the samples or over 50 images; but up to 10 is never large, for 1 % of 200 samples is one pair.
    In a chain few of the possible pairs match directly. On 7,019 brain slices the 25 largest groups, up to 81 copies of
    a slice, had 54 % to 100 % of them; groups chained on purpose by looser thresholds had 1 % to 18 %.
    """
    limit = min(50, max(10, len(readable) // 100))
    warnings = []
    sizes = readable["all_copies"].value_counts()
    for number, size in sizes[sizes > limit].items():
        rows = readable[readable["all_copies"] == number]
        distinct = rows["pixels"].nunique()
        matching = np.isin(pairs[:, 0], rows.index).sum() / max(1, distinct * (distinct - 1) / 2)
        said = (
            f"group {rows['group'].iloc[0]} holds {size} near-duplicate images, more than {limit}; {matching:.0%} of "
            f"its pairs match directly (examples: {', '.join(rows['sample'][:SAMPLES_NAMED])})"
        )
        if "near_duplicate" in study.split.group_by and distinct > 1 and matching < CHAINED:
            raise RescanError(
                f"{study.name}: {said}; if these are no copies, take near_duplicate out of split.group_by"
            )
        warnings.append(said)
    return warnings


def _warnings(study: Study, readable: pd.DataFrame, report: dict[str, Any]) -> list[str]:
    warnings = []
    for count, what in (
        (len(report["unreadable"]), "samples cannot be read and are left out"),
        (int(readable["constant"].sum()), "images are constant"),
        (report["identical"]["conflicting_pairs"], "pairs of identical images have different labels"),
        (len(report["mixed_label_groups"]), "groups of near-duplicates have mixed labels"),
        (report["patients_in_both_parts"], "patients are in both the training and the test part as published"),
    ):
        if count:
            warnings.append(f"{count} {what}")
    linked = report["linked_test"]
    if linked and linked["any_orientation"] > 0:
        warnings.append(
            f"{linked['any_orientation']:.1%} of the published test part has a near-duplicate in training "
            f"({linked['same_orientation']:.1%} in the same orientation)"
        )
    for part, rows in readable.groupby(_part(readable)):
        for label in study.data.classes:
            groups = rows.loc[rows["label"] == label, "group"].nunique()
            if groups < FEWEST_GROUPS:
                warnings.append(f"class {label!r} has only {groups} groups in part {part!r}")
    return warnings + report["confounds"].get("warnings", [])
