"""The audit: unreadable files, duplicates, label conflicts, leaks across a published split, confounds, class counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from rescan.data.audit import confounds, duplicates
from rescan.data.audit.inspection import Inspected, inspect
from rescan.data.index import locate
from rescan.data.layouts.reading import EXTRA, UNLABELED
from rescan.data.pool import pooled
from rescan.data.split import FEWEST_GROUPS
from rescan.errors import RescanError
from rescan.files import read_json, read_table, write_json, write_table
from rescan.log import logger
from rescan.metrics.counted import Counts, quadratic_kappa
from rescan.paths import Paths
from rescan.study import Study

CHAINED = 0.25  # of a large group's pairs match directly: fewer mean that it is no group of copies
SAMPLES_NAMED = 5  # of a group, in a message
UNLISTED_NAMED = 20
SUBGROUPS = ("sex", "eye", "fov", "body_part", "site", "device")


def audit(study: Study, processes: int) -> None:
    """Look at every sample's file or folder; write `audit.json` and `groups.csv`.

    Duplicates and groups are found among all samples: a relative is one with or without a label, and wherever it comes
    from. What is said of labels, parts and confounds is said of the study's own labeled samples.

    Args:
        study: The study. `split.group_by` says which relations, of patient and near_duplicate, make groups.
        processes: Number of worker processes.

    Raises:
        RescanError: No file, or no file of a class, can be read; or near-duplicates chain into too large a group.
    """
    paths = Paths(study.scale, study.name)
    manifest = read_table(paths.manifest)
    thumbnails = np.zeros((len(manifest), *(duplicates.THUMBNAIL_SIDE,) * 2), np.float16)
    files, rows = cast("list[Path]", locate(paths, manifest)), []  # every sample has a file
    for row, file in enumerate(pooled(inspect, files, processes, "audit")):
        thumbnails[row] = file.thumbnail
        rows.append(file[:-1])
    found = pd.DataFrame(rows, columns=list(Inspected._fields[:-1]))
    samples = pd.concat([manifest, found], axis=1)
    _check_readable(study, samples[_labeled(samples)])

    identical = duplicates.same(samples["pixels"])
    upright, mirrored = _near_duplicates(samples, thumbnails)
    related = [duplicates.same(samples["patient"])] if "patient" in study.split.group_by else []
    related += [identical, upright, mirrored] if "near_duplicate" in study.split.group_by else []
    samples["group"] = [f"g{number:06d}" for number in duplicates.components(len(samples), *related)]
    samples["conflict"] = _contradicted(samples)
    samples["upright_copies"] = duplicates.components(len(samples), identical, upright)
    samples["all_copies"] = duplicates.components(len(samples), identical, upright, mirrored)

    readable = samples[samples["problem"] == ""]
    labeled = readable[_labeled(readable)]
    left_out = read_json(paths.dropped)
    report: dict[str, Any] = {
        "samples": len(samples),
        "volumes": int((samples["depth"] > 0).sum()),
        "dropped": left_out["labels"],
        "unlisted": {"files": len(left_out["unlisted"]), "such_as": left_out["unlisted"][:UNLISTED_NAMED]},
        "unreadable": samples.loc[samples["problem"] != "", ["sample", "problem"]].to_dict("records"),
        "constant": readable.loc[readable["constant"], "sample"].tolist(),
        "classes": {part: _classes(study, rows) for part, rows in labeled.groupby(_part(labeled))},
        "unlabeled": int((readable["published_part"] == UNLABELED).sum()),
        "extra": {name: _classes(study, readable[readable["origin"] == name]) for name in study.data.extra},
        "linked_extra": _linked_extra(study, readable),
        "identical": _identical(study, readable, labeled),
        "near_duplicates": {
            "pairs": len(upright) + len(mirrored),
            "groups": int((readable["all_copies"].value_counts() > 1).sum()),
            "mirrored_pairs": len(mirrored),
        },
        "copies": _repeatability(study, labeled, "all_copies"),  # identical images and near-duplicates
        "largest_group": _largest_group(readable),
        "mixed_label_groups": [rows["sample"].tolist() for _, rows in labeled[_mixed(labeled)].groupby("all_copies")],
        "linked_test": _linked_test(study, labeled),
        "patients_known": bool((samples.loc[_labeled(samples), "patient"] != "").all()),
        "patients_in_both_parts": _patients_in_both_parts(samples[_labeled(samples)]),
        "confounds": confounds.metadata_baseline(labeled, study.data.classes, study.data.ordered),
        "attributes": confounds.attribute_baselines(labeled, study.data.classes),
        "subgroups": _subgroups(study, labeled),
    }
    report["warnings"] = [
        *_check_large_groups(study, readable, np.concatenate([upright, mirrored])),
        *_warnings(study, labeled, report),
    ]
    for warning in report["warnings"]:
        logger.warning(warning)
    columns = ["sample", "group", "problem", "depth", "width", "height", "mode", "bytes", "sha256", "conflict"]
    write_table(paths.groups, samples[columns])
    write_json(paths.audit, report)


def _labeled(samples: pd.DataFrame) -> pd.Series[bool]:
    """Which samples are the study's own, with a label."""
    return ~samples["published_part"].isin([UNLABELED, EXTRA])


def _classes(study: Study, rows: pd.DataFrame) -> dict[str, int]:
    return {label: int((rows["label"] == label).sum()) for label in study.data.classes}


def _subgroups(study: Study, labeled: pd.DataFrame) -> dict[str, dict[str, dict[str, int]]]:
    """Counts a class by each value of those of SUBGROUPS that are known: column → value → class → samples."""
    known = [name for name in SUBGROUPS if name in labeled and (labeled[name] != "").any()]
    values = {name: labeled[name].replace("", "unknown") for name in known}
    return {
        name: {str(value): _classes(study, rows) for value, rows in labeled.groupby(values[name])} for name in known
    }


def _check_readable(study: Study, labeled: pd.DataFrame) -> None:
    for label in study.data.classes:
        rows = labeled[labeled["label"] == label]
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

    Of identical images only the first is compared. The thumbnails of these are moved to the front.
    """
    distinct = np.flatnonzero((samples["problem"] == "") & ~samples["pixels"].duplicated())
    for place, row in enumerate(distinct):  # in place, for of many samples a copy is large
        thumbnails[place] = thumbnails[row]
    matches = duplicates.near_duplicates(thumbnails[: len(distinct)])
    upright = matches[matches[:, 2] == 0, :2]
    others = np.unique(matches[matches[:, 2] > 0, :2], axis=0)
    count = len(distinct)
    others = others[~np.isin(others @ [count, 1], upright @ [count, 1])]
    return distinct[upright], distinct[others]


def _contradicted(samples: pd.DataFrame) -> pd.Series[int]:
    """1 for a labeled sample whose very image another one has under another label, else 0."""
    labeled = _labeled(samples)
    labels = samples[labeled & (samples["pixels"] != "")].groupby("pixels")["label"].nunique()
    return (labeled & samples["pixels"].map(labels).gt(1)).astype(int)


def _mixed(labeled: pd.DataFrame) -> pd.Series[bool]:
    """Which samples are of a group of copies with more than one label."""
    return labeled.groupby("all_copies")["label"].transform("nunique") > 1


def _part(samples: pd.DataFrame) -> pd.Series[str]:
    return samples["published_part"].replace("", "train" if (samples["published_part"] != "").any() else "all")


def _identical(study: Study, readable: pd.DataFrame, labeled: pd.DataFrame) -> dict[str, Any]:
    """Identical images: their bytes may differ, and some may be among the samples without a label."""
    sizes = labeled.groupby("sha256").size()
    unlabeled = readable.loc[readable["published_part"] == UNLABELED, "pixels"]
    return {
        "byte_pairs": int((sizes * (sizes - 1) // 2).sum()),
        **_repeatability(study, labeled, "pixels"),
        "pairs_with_unlabeled": int(unlabeled.map(labeled["pixels"].value_counts()).sum()),
    }


def _repeatability(study: Study, labeled: pd.DataFrame, column: str) -> dict[str, Any]:
    """How often the labels of two copies agree: as well as one can expect the labels to be repeated.

    Args:
        study: The study.
        labeled: The samples.
        column: What copies share; all pairs of those that do are counted.

    Returns:
        Counts of `pairs`, of `groups` of copies, and of those with different labels (`conflicting_…`); the share of
        pairs with the same label, `label_agreement`; of grades also `quadratic_kappa`, of the pairs' labels, each pair
        in both orders. None where there is no pair, or a single grade.
    """
    counts = pd.crosstab(labeled[column], labeled["label"]).reindex(columns=study.data.classes, fill_value=0).to_numpy()
    counts = counts[counts.sum(1) > 1]
    ordered_pairs = counts.T @ counts - np.diag(counts.sum(0))  # of a sample with another one, by their labels
    pairs, agreeing = int(ordered_pairs.sum()) // 2, int(np.trace(ordered_pairs)) // 2
    found = {
        "pairs": pairs,
        "groups": len(counts),
        "conflicting_pairs": pairs - agreeing,
        "conflicting_groups": int(((counts > 0).sum(1) > 1).sum()),
        "label_agreement": agreeing / pairs if pairs else None,
    }
    if study.data.ordered:
        kappa = float(quadratic_kappa(Counts.of(ordered_pairs)))
        found["quadratic_kappa"] = kappa if np.isfinite(kappa) else None
    return found


def _largest_group(readable: pd.DataFrame) -> dict[str, Any]:
    """The largest group that near-duplicates alone make."""
    rows = readable[readable["all_copies"] == readable["all_copies"].value_counts().idxmax()]
    return {"group": rows["group"].iloc[0], "size": len(rows), "samples": rows["sample"].tolist()}


def _linked_test(study: Study, labeled: pd.DataFrame) -> dict[str, Any]:
    """The share of the published test part, whole and a class, that has a relative in the published training part."""
    test = _part(labeled) == "test"

    def shares(rows: pd.Series[bool]) -> dict[str, Any]:
        linked = {
            name: float(labeled.loc[rows, column].isin(labeled.loc[~test, column]).mean())
            for name, column in (("same_orientation", "upright_copies"), ("any_orientation", "all_copies"))
        }
        return {"n": int(rows.sum()), **linked}

    if not test.any():
        return {}
    classes = {label: test & (labeled["label"] == label) for label in study.data.classes}
    return {**shares(test), "classes": {label: shares(rows) for label, rows in classes.items() if rows.any()}}


def _linked_extra(study: Study, readable: pd.DataFrame) -> dict[str, int]:
    """How many samples of each extra source have a relative among the study's own labeled samples."""
    linked = readable["group"].isin(readable.loc[_labeled(readable), "group"])
    return {name: int((linked & (readable["origin"] == name)).sum()) for name in study.data.extra}


def _patients_in_both_parts(labeled: pd.DataFrame) -> int:
    test = labeled["published_part"] == "test"
    return len(set(labeled.loc[test, "patient"]) & set(labeled.loc[~test, "patient"]) - {""})


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
            f"group {rows['group'].iloc[0]} holds {size} near-duplicate {_kind(rows)}, more than {limit}; "
            f"{matching:.0%} of its pairs match directly (examples: {', '.join(rows['sample'][:SAMPLES_NAMED])})"
        )
        if "near_duplicate" in study.split.group_by and distinct > 1 and matching < CHAINED:
            raise RescanError(
                f"{study.name}: {said}; if these are no copies, take near_duplicate out of split.group_by"
            )
        warnings.append(said)
    return warnings


def _kind(samples: pd.DataFrame) -> str:
    """What samples are, in a word."""
    volumes = samples["depth"] > 0
    return "volumes" if volumes.all() else "samples" if volumes.any() else "images"


def _unusual_stacks(labeled: pd.DataFrame) -> list[str]:
    """Volumes with fewer slices or B-scans than most of their field of view: the last ones may have been lost."""
    if "fov" not in labeled:
        return []
    warnings = []
    for fov, rows in labeled[labeled["depth"] > 0].groupby("fov"):
        usual = rows["height"].mode()[0]
        odd = rows.loc[rows["height"] != usual, "sample"].tolist()
        if odd and len(odd) < len(rows) / 2:
            said = f"volumes of field of view {fov!r} do not have {usual} B-scans as the others"
            warnings.append(f"{len(odd)} {said} ({_some(odd)})")
    return warnings


def _some(samples: list[str]) -> str:
    """The first of some samples, and whether there are more."""
    return ", ".join(samples[:SAMPLES_NAMED]) + (" …" if len(samples) > SAMPLES_NAMED else "")


def _warnings(study: Study, labeled: pd.DataFrame, report: dict[str, Any]) -> list[str]:
    warnings = []
    constant, kind = report["constant"], _kind(labeled)
    for count, what in (
        (len(report["unreadable"]), "samples cannot be read and are left out"),
        (len(constant), f"{kind} are constant ({_some(constant)})"),
        (report["identical"]["conflicting_pairs"], f"pairs of identical {kind} have different labels"),
        (len(report["mixed_label_groups"]), "groups of near-duplicates have mixed labels"),
        (report["patients_in_both_parts"], "patients are in both the training and the test part as published"),
    ):
        if count:
            warnings.append(f"{count} {what}")
    for name, count in report["linked_extra"].items():
        if count:
            said = f"{count} samples of the extra source {name} have a relative among the study's own"
            warnings.append(f"{said}: where that one is validated or tested on, they are left out")
    linked = report["linked_test"]
    if linked and linked["any_orientation"] > 0:
        warnings.append(
            f"{linked['any_orientation']:.1%} of the published test part has a near-duplicate in training "
            f"({linked['same_orientation']:.1%} in the same orientation)"
        )
    for part, rows in labeled.groupby(_part(labeled)):
        for label in study.data.classes:
            groups = rows.loc[rows["label"] == label, "group"].nunique()
            if groups < FEWEST_GROUPS:
                warnings.append(f"class {label!r} has only {groups} groups in part {part!r}")
    warnings += _unusual_stacks(labeled)
    warnings += confounds.attribute_warnings(report["attributes"])
    return warnings + report["confounds"].get("warnings", [])
