"""Tables, arrays and JSON files against each other and the study: each is read as the next step would read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rescan.errors import RescanError
from rescan.evaluation.predictions import read as read_predictions
from rescan.paths import AutoencoderFolder, Paths, RunFolder, StoreFolder
from rescan.preparation.store import check_store, open_beside, open_store
from rescan.results.agreement import check_counts, check_items, read_manifest, read_splits
from rescan.results.audit_report import AuditReport
from rescan.results.comparison import check_comparison
from rescan.results.diagnosis_file import Diagnosis
from rescan.results.history_files import read_history, read_losses
from rescan.results.map_files import MapSummary
from rescan.results.metrics_file import read_metrics
from rescan.results.network_summary import NetworkSummary
from rescan.results.page_card import PageCard
from rescan.results.posttraining import Posttraining
from rescan.results.predictions_file import read_vectors
from rescan.results.trained_model import read_trained_model
from rescan.results.training_range import read_range
from rescan.study import AutoencoderRun, Study
from rescan.trace.verified import Findings


class Check(NamedTuple):
    """The file that must be there for a check, and the check."""

    path: str
    read: Callable[[], Any]


def check_neighbors(study: Study, findings: Findings, *, stores: bool) -> None:
    """Read what is there of a study's results, in the order of the steps.

    Args:
        study: The study.
        findings: Where to put what is wrong.
        stores: Whether to compare all items of packed stores with their digests; else some.
    """
    for check in _checks(study, Paths(study.scale, study.name), stores=stores):
        if not Path(check.path).exists():
            continue
        try:
            check.read()
        except RescanError as error:
            findings.error(error)


def _checks(study: Study, paths: Paths, *, stores: bool) -> Iterator[Check]:
    yield Check(paths.manifest, lambda: read_manifest(study))
    if Path(paths.source).is_file():
        yield Check(paths.manifest, lambda: check_counts(study, read_manifest(study)))
    yield Check(paths.audit, lambda: AuditReport.read(paths.audit))
    yield Check(paths.splits, lambda: read_splits(study))
    for preparation in study.preparations:
        store = paths.store(preparation)
        yield Check(store.preparation, lambda store=store: _check_store(study, paths, store, stores))  # type: ignore[misc]
    for name in study.autoencoders:
        for run in study.runs(study.first_arm):
            own = AutoencoderRun(study, name, run.fold, run.seed).folder
            yield from _of_training(own, own.encoder)
    for arm, recipe in study.arms.items():
        folder = paths.arm(arm)
        for run in study.runs(arm):
            yield from _of_training(run.folder, run.folder.model)
            yield from _of_run(run.folder)
        if all(Path(run.folder.predictions).is_file() for run in study.runs(arm)):
            first = study.runs(arm)[0].folder.predictions
            yield Check(first, lambda arm=arm: read_predictions(study, arm))  # type: ignore[misc]
        yield Check(folder.posttraining, lambda folder=folder: Posttraining.read(folder.posttraining))  # type: ignore[misc]
        if study.home is None:
            yield Check(folder.metrics, lambda arm=arm: read_metrics(study, arm))  # type: ignore[misc]
        if recipe.trains:
            yield Check(folder.gradcam.summary, lambda folder=folder: MapSummary.read(folder.gradcam.summary))  # type: ignore[misc]
    yield Check(paths.comparison, lambda: check_comparison(study))
    yield Check(paths.card, lambda: PageCard.read(paths.card))


def _check_store(study: Study, paths: Paths, store: StoreFolder, whole: bool) -> None:
    if whole:
        check_store(store)
    _, items = open_store(store)
    for name in ("masks", "affines", "layers"):
        open_beside(store, name)  # type: ignore[arg-type]
    if Path(paths.splits).is_file():
        check_items(study, read_splits(study), items, store)


def _of_training(folder: RunFolder | AutoencoderFolder, model: str) -> Iterator[Check]:
    yield Check(model, lambda: read_trained_model(model))
    yield Check(folder.history, lambda: read_history(folder.history))


def _of_run(folder: RunFolder) -> Iterator[Check]:
    yield Check(folder.losses, lambda: read_losses(folder.losses))
    yield Check(folder.network, lambda: NetworkSummary.read(folder.network))
    yield Check(folder.vectors, lambda: read_vectors(folder.vectors))
    yield Check(folder.diagnosis, lambda: Diagnosis.read(folder.diagnosis))
    yield Check(folder.training_range, lambda: read_range(folder.training_range))
