"""The audit: unreadable files, duplicates, label conflicts, leaks across a published split, confounds, class counts."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from rescan.data.audit import confounds, copies, duplicates
from rescan.data.audit.cautions import cautions, large_groups
from rescan.data.audit.inspection import Inspected, inspect, unreadable
from rescan.data.headers import by_hash, key_at
from rescan.data.index import locate
from rescan.data.pool import pooled
from rescan.data.readers.frames import file_of
from rescan.data.readers.volumes import any_dicom
from rescan.data.sources.digests import check_contents, check_sizes
from rescan.errors import RescanError
from rescan.files import together
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.agreement import check_counts, read_manifest
from rescan.results.audit_report import (
    GROUPS,
    AuditReport,
    ClassCounts,
    Confounds,
    NearDuplicates,
    Unlisted,
    UnreadableSample,
)
from rescan.results.manifest import MANIFEST, DroppedSamples
from rescan.results.parts import EXTRA, UNLABELED
from rescan.spelling import plain
from rescan.study import Study

UNLISTED_NAMED = 20
SUBGROUPS = ("sex", "eye", "fov", "view", "body_part", "site", "device")


def audit(study: Study, processes: int) -> None:
    """Look at every sample's file or folder; write `audit.json` (an `AuditReport`) and `groups.csv` (`GROUPS`).

    Duplicates and groups are found among all samples: a relative is one with or without a label, and wherever it comes
    from. Labels, parts and confounds are those of the study's own labeled samples.

    Args:
        study: The study. `split.group_by` says which relations, of patient and near_duplicate, make groups.
        processes: Number of worker processes.

    Raises:
        RescanError: A file has changed since download; no file, or no file of a class, can be read; or near-duplicates
            chain into too large a group.
    """
    paths = Paths(study.scale, study.name)
    manifest, dropped = read_manifest(study), DroppedSamples.read(paths.dropped)
    check_counts(study, manifest)
    check_sizes(study)
    samples, thumbnails = _inspected(study, manifest, processes)
    check_contents(study, samples)
    _check_readable(study, samples[_own(samples)])
    if study.home:
        samples["relative"] = _relatives(study, samples, thumbnails, processes)

    identical = duplicates.same(samples["pixels"])
    upright, mirrored = _near_duplicates(samples, thumbnails)
    related = [duplicates.same(samples["patient"].map(plain))] if "patient" in study.split.group_by else []
    if study.data.frames == "each":  # of one file
        related.append(duplicates.same(samples["sample"].map(file_of)))
    related += [identical, upright, mirrored] if "near_duplicate" in study.split.group_by else []
    samples["group"] = [f"g{number:06d}" for number in duplicates.components(len(samples), *related)]
    samples["conflict"] = copies.contradicted(samples, _own(samples))
    samples["upright_copies"] = duplicates.components(len(samples), identical, upright)
    samples["all_copies"] = duplicates.components(len(samples), identical, upright, mirrored)

    readable = samples[samples["problem"] == ""]
    labeled = readable[_own(readable)]
    labeled = labeled.assign(part=_parts(labeled))
    unreadable = samples[samples["problem"] != ""]
    patients_known = bool((samples.loc[_own(samples), "patient"] != "").all())
    linked = readable["group"].isin(labeled["group"])
    near_duplicates = NearDuplicates(
        pairs=len(upright) + len(mirrored),
        groups=int((readable["all_copies"].value_counts() > 1).sum()),
        mirrored_pairs=len(mirrored),
    )
    report = AuditReport(
        samples=len(samples),
        volumes=int((samples["depth"] > 0).sum()),
        dropped=dropped.labels,
        unlisted=Unlisted(files=len(dropped.unlisted), such_as=dropped.unlisted[:UNLISTED_NAMED]),
        unreadable=[
            UnreadableSample(sample=sample, problem=problem)
            for sample, problem in zip(unreadable["sample"], unreadable["problem"])
        ],
        constant=readable.loc[readable["constant"], "sample"].tolist(),
        classes={str(part): _classes(study, rows) for part, rows in labeled.groupby("part")},
        unlabeled=int((readable["published_part"] == UNLABELED).sum()),
        extra={name: _classes(study, readable[readable["origin"] == name]) for name in study.data.extra},
        linked_extra={name: int((linked & (readable["origin"] == name)).sum()) for name in study.data.extra},
        identical=copies.identical(study.data, readable, labeled),
        near_duplicates=near_duplicates,
        copies=copies.agreement(study.data, labeled, "all_copies"),  # identical images and near-duplicates
        largest_group=copies.largest_group(readable),
        mixed_label_groups=copies.mixed_labels(labeled),
        several_patient_groups=copies.of_several_patients(labeled),
        linked_test=copies.linked_test(study.data, labeled),
        patients_known=patients_known,
        patients_in_both_parts=_patients_in_both_parts(samples[_own(samples)]),
        **_confounds(study, labeled),
        subgroups=_subgroups(study, labeled),
        warnings=large_groups(study, readable, np.concatenate([upright, mirrored])),
    )
    report = report.model_copy(update={"warnings": [*report.warnings, *cautions(study, labeled, report)]})
    for warning in report.warnings:
        logger.warning(warning)
    with together():
        GROUPS.write(paths.groups, samples[[column.name for column in GROUPS.columns if column.name in samples]])
        report.write(paths.audit)


def _relatives(study: Study, samples: pd.DataFrame, thumbnails: np.ndarray, processes: int) -> list[str]:
    """For each external sample one of the home data's in its group: of the same patient, or alike; "" without one.

    All home images are read once more, as no step keeps their thumbnails: on two cores 66 s for 40,005 radiographs of
    512 pixels, 172 s for 3,662 photographs of up to 12 megapixels.
    """
    home = study.trainer
    paths = Paths(home.scale, home.name)
    own, own_thumbnails = _inspected(home, MANIFEST.read(paths.manifest), processes)
    both = pd.concat([samples, own], ignore_index=True)
    related = []
    if "patient" in study.split.group_by:
        same_patients = study.home is not None and study.home.same_patients
        key = key_at(paths.patients_key) if Path(paths.patients_key).is_file() else None
        names = by_hash(both["patient"], key)  # of one of the two a table may name them, of the other headers
        patients = both["patient"].map(lambda patient: names.get(patient, patient))
        related += [duplicates.same((patients if same_patients else samples["patient"]).map(plain))]
    if "near_duplicate" in study.split.group_by:
        related += [
            duplicates.same(both["pixels"]),
            *_near_duplicates(both, np.concatenate([thumbnails, own_thumbnails])),
        ]
    groups = pd.Series(duplicates.components(len(both), *related))
    at_home = own["sample"].groupby(groups[len(samples) :].to_numpy()).first()
    nearest = groups[: len(samples)].map(at_home).fillna("").tolist()
    for pairs in related:  # rather than one of the group at home, that which it is related to itself
        for first, second in pairs[(pairs[:, 0] < len(samples)) & (pairs[:, 1] >= len(samples))]:
            nearest[first] = both["sample"][second]
    return nearest


def _inspected(study: Study, manifest: pd.DataFrame, processes: int) -> tuple[pd.DataFrame, np.ndarray]:
    """The manifest with what was read of each file beside; and the thumbnails, (N, 64, 64) float16."""
    files = cast("list[Path]", locate(Paths(study.scale, study.name), manifest))
    gaps = any(preparation.nan == "black" for preparation in study.preparations.values())
    thumbnails, rows = np.zeros((len(manifest), *(duplicates.THUMBNAIL_SIDE,) * 2), np.float16), []
    look, apart = partial(inspect, gaps=gaps), processes <= 1 and any_dicom(files)
    for row, inspected in enumerate(pooled(look, files, processes, "audit", unreadable, apart=apart)):
        thumbnails[row] = inspected.thumbnail
        rows.append(inspected[:-1])
    return pd.concat([manifest, pd.DataFrame(rows, columns=list(Inspected._fields[:-1]))], axis=1), thumbnails


def _own(samples: pd.DataFrame) -> pd.Series[bool]:
    """Which samples are the study's own, with a label."""
    return ~samples["published_part"].isin([UNLABELED, EXTRA])


def _parts(labeled: pd.DataFrame) -> pd.Series[str]:
    """The published part of labeled samples; "all" if none are published."""
    return labeled["published_part"].replace("", "train" if (labeled["published_part"] != "").any() else "all")


def _classes(study: Study, rows: pd.DataFrame) -> ClassCounts:
    return {label: int(study.data.outcome.has(rows["label"], label).sum()) for label in study.data.classes}


def _subgroups(study: Study, labeled: pd.DataFrame) -> dict[str, dict[str, ClassCounts]]:
    """Samples per class by each value of those of SUBGROUPS that are known: column → value → class → samples."""
    columns = [name for name in SUBGROUPS if name in labeled and (labeled[name] != "").any()]
    values = {name: labeled[name].replace("", "unknown") for name in columns}
    return {
        name: {str(value): _classes(study, rows) for value, rows in labeled.groupby(values[name])} for name in columns
    }


def _confounds(study: Study, labeled: pd.DataFrame) -> dict[str, Any]:
    """What metadata alone predict: `confounds` and `attributes`; of several labels, nothing is looked for."""
    classes = study.data.classes
    if study.data.multilabel:
        return {"confounds": Confounds(warnings=[]), "attributes": {}}
    return {
        "confounds": confounds.metadata_baseline(labeled, classes, study.data.ordered),
        "attributes": confounds.attribute_baselines(labeled, classes),
    }


def _check_readable(study: Study, labeled: pd.DataFrame) -> None:
    outcome = study.data.outcome
    there = set(outcome.by_class(labeled)["label"])
    for label in study.data.classes if study.home is None else there:
        rows = labeled[outcome.has(labeled["label"], label)]
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
    thumbnails = thumbnails[: len(distinct)]
    of_volumes = bool((samples.loc[distinct, "depth"] > 0).all())
    least = duplicates.least_correlation(thumbnails) if of_volumes else duplicates.MIN_CORRELATION
    matches = duplicates.near_duplicates(thumbnails, least)
    upright = matches[matches[:, 2] == 0, :2]
    others = np.unique(matches[matches[:, 2] > 0, :2], axis=0)
    count = len(distinct)
    others = others[~np.isin(others @ [count, 1], upright @ [count, 1])]
    return distinct[upright], distinct[others]


def _patients_in_both_parts(labeled: pd.DataFrame) -> int:
    test = labeled["published_part"] == "test"
    patients = labeled["patient"].map(plain)
    return len(set(patients[test]) & set(patients[~test]) - {""})
