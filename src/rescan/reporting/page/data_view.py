"""What the page shows of a study's data: their source, the samples of each part, the audit, figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rescan.paths import Paths
from rescan.reporting.page.picture import Picture, picture
from rescan.results.agreement import read_splits
from rescan.results.audit_report import AuditReport
from rescan.results.packed_store import LeftOut, PackedStore
from rescan.results.parts import EXTRA, LEFT_OUT, PARTS, UNLABELED
from rescan.results.source import SourceReport
from rescan.study import NO_LABEL, Study

FIGURES = {  # of `explore`, and their captions
    "class_distribution": "Samples of each class in each part of the split.",
    "samples_raw": "Raw images, drawn at random.",
    "samples_prepared": "Images raw, and after those steps of the preparation that change their look.",
    "augmented": "One image of each class and augmented versions of it.",
    "augmentations": "Each augmentation of the arms by itself; of 16 draws the one that changes the image most.",
    "groups": "Groups of duplicates: mixed labels first, then those of several patients, then the largest.",
    "tsne": "t-SNE of the prepared images as gray vectors.",
}
FIGURES_OF_VOLUMES = {
    **FIGURES,
    "samples_raw": "Raw volumes, drawn at random: the mean along the depth, and a slice (of stacks, a B-scan), each in "
    "a gray scale of its own.",
    "samples_prepared": "A slice of volumes raw, and after those steps of the preparation that change their look.",
    "augmented": "One volume of each class and augmented versions of it: the mean along the depth, and a slice.",
    "tsne": "t-SNE of projections of the prepared volumes as gray vectors.",
}


@dataclass(frozen=True)
class Counts:
    """Samples of fold 0 per class, the sum of all classes last.

    Attributes:
        rows: Class → samples per part, then in all parts, then per extra source.
        extra: The extra sources that have samples.
        unlabeled: How many samples have no label.
        left_out: How many samples are in no part, at most, of a fold.
    """

    rows: Sequence[tuple[str, Sequence[int]]]
    extra: Sequence[str]
    unlabeled: int
    left_out: int


@dataclass(frozen=True)
class DataView:
    """The data of a study. What has not run is None or empty.

    Attributes:
        source: Where they came from.
        is_phantom: Whether they are phantoms.
        counts: Samples per class.
        audit: What the audit found.
        left_out: Readable samples that a preparation could not prepare.
        figures: Those of `explore`, of the first arm's preparation.
    """

    source: SourceReport | None
    is_phantom: bool
    counts: Counts | None
    audit: AuditReport | None
    left_out: Sequence[LeftOut]
    figures: Sequence[Picture]


def data_view(study: Study) -> DataView:
    """Collect what the page shows of a study's data."""
    paths = Paths(study.scale, study.name)
    source, audit = SourceReport.read_if_there(paths.source), AuditReport.read_if_there(paths.audit)
    preparation = study.preparations[study.arms[study.first_arm].preparation]
    captions = FIGURES_OF_VOLUMES if preparation.reads == "volume" else FIGURES
    pictures = [picture(getattr(paths.explore, name), "explore", text, text) for name, text in captions.items()]
    return DataView(
        source=source,
        is_phantom=source.kind == "phantom" if source else study.data.phantom is not None,
        counts=_counts(study),
        audit=audit,
        left_out=_left_out(study, audit),
        figures=[figure for figure in pictures if figure],
    )


def _counts(study: Study) -> Counts | None:
    if not Path(Paths(study.scale, study.name).splits).is_file():
        return None
    everything = read_splits(study)
    left_out = (everything["part"] == LEFT_OUT).groupby(everything["fold"]).sum().max()
    splits = everything[everything["fold"] == 0]
    extra = sorted({*splits.loc[splits["part"] == EXTRA, "origin"]})
    columns = [splits["part"] == part for part in PARTS]
    columns += [splits["part"].isin(PARTS)]
    columns += [(splits["part"] == EXTRA) & (splits["origin"] == name) for name in extra]
    rows = [
        (label, [int((column & study.data.outcome.has(splits["label"], label)).sum()) for column in columns])
        for label in study.data.classes
    ]
    if study.data.multilabel:
        rows.append((NO_LABEL, [int((column & (splits["label"] == NO_LABEL)).sum()) for column in columns]))
    rows.append(("all", [int(column.sum()) for column in columns]))
    return Counts(rows, extra, int((splits["part"] == UNLABELED).sum()), int(left_out))


def _left_out(study: Study, audit: AuditReport | None) -> list[LeftOut]:
    """Readable samples that a preparation could not prepare."""
    paths = Paths(study.scale, study.name)
    unreadable = {entry.sample for entry in audit.unreadable} if audit else set()
    preparations = sorted({recipe.preparation for recipe in study.arms.values()})
    stores = [PackedStore.read_if_there(paths.store(name).preparation) for name in preparations]
    return [entry for store in stores if store for entry in store.left_out if entry.sample not in unreadable]
