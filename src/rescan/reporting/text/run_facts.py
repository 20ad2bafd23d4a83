"""What was really run of a study, and on what: read from its results, for the paragraph of methods and checklists."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rescan.paths import Paths
from rescan.results.agreement import read_splits
from rescan.results.audit_report import AuditReport
from rescan.results.comparison import read_comparison
from rescan.results.map_files import MapSummary
from rescan.results.metrics_file import Metrics
from rescan.results.network_summary import NetworkSummary
from rescan.results.packed_store import PackedStore
from rescan.results.parts import PARTS
from rescan.results.posttraining import Posttraining
from rescan.results.source import SourceReport
from rescan.results.trained_model import TrainedModel, read_trained_model
from rescan.study import Study

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PartFacts:
    """A part of fold 0: how many samples, how many patients (else groups), and the samples of each class."""

    samples: int
    units: int
    classes: Mapping[str, int]


@dataclass(frozen=True)
class RunFacts:
    """What was run. What is unknown is None or empty; arms that were not run are in none of the mappings.

    Attributes:
        study: The study.
        arms: The results of the arms that were run.
        audit: What the audit found.
        source: Where the data came from.
        parts: The parts of fold 0.
        stores: The prepared samples, by preparation, of those that arms took.
        networks: The layers of an arm's network.
        models: What an arm's first model file says of its training.
        fitted: What was fitted on an arm's predictions.
        maps: The Grad-CAM maps of an arm.
        tests: Names of the tests of differences between arms that have a p.
        devices: What trained: `cpu` or `cuda`.
        threads: Torch's threads on a CPU; 0 if none was used.
    """

    study: Study
    arms: Sequence[Metrics]
    audit: AuditReport | None
    source: SourceReport | None
    parts: Mapping[str, PartFacts]
    stores: Mapping[str, PackedStore]
    networks: Mapping[str, NetworkSummary]
    models: Mapping[str, TrainedModel]
    fitted: Mapping[str, Posttraining]
    maps: Mapping[str, MapSummary]
    tests: Sequence[str]
    devices: Sequence[str]
    threads: int

    @property
    def is_phantom(self) -> bool:
        """Whether the images are phantoms."""
        return self.source.kind == "phantom" if self.source else self.study.data.phantom is not None

    @property
    def unit(self) -> str:
        """What is resampled together, in a word: patient, or group where patients are unknown."""
        return self.arms[0].interval_units if self.arms else "patient"

    @property
    def names(self) -> list[str]:
        """The arms that were run."""
        return [arm.arm for arm in self.arms]

    @property
    def trained(self) -> list[str]:
        """Those of them that have networks of their own."""
        return [name for name in self.names if self.study.arms[name].trains]


def run_facts(study: Study, arms: Sequence[Metrics]) -> RunFacts:
    """Collect what was run.

    Args:
        study: The study.
        arms: The results of the arms that have some.

    Raises:
        RescanError: A file that is there is damaged.
    """
    paths, names = Paths(study.scale, study.name), [arm.arm for arm in arms]
    audit = AuditReport.read_if_there(paths.audit)
    runs = {name: study.runs(name) for name in names if study.arms[name].trains}
    preparations = dict.fromkeys(study.arms[name].preparation for name in runs)
    stores = {name: PackedStore.read_if_there(paths.store(name).preparation) for name in preparations}
    networks = {name: _first(NetworkSummary.read, [run.folder.network for run in own]) for name, own in runs.items()}
    models = {name: _first(read_trained_model, [run.folder.model for run in own]) for name, own in runs.items()}
    fitted = {name: Posttraining.read_if_there(paths.arm(name).posttraining) for name in names}
    maps = {name: MapSummary.read_if_there(paths.arm(name).gradcam.summary) for name in names}
    keys = [_key(run.state_folder.state) for own in runs.values() for run in own]
    return RunFacts(
        study=study,
        arms=arms,
        audit=audit,
        source=SourceReport.read_if_there(paths.source),
        parts=_parts(study, known=bool(audit and audit.patients_known)) if Path(paths.splits).is_file() else {},
        stores=_there(stores),
        networks=_there(networks),
        models=_there(models),
        fitted=_there(fitted),
        maps=_there(maps),
        tests=_tests(paths.comparison),
        devices=sorted({str(key["device"]) for key in keys if key.get("device")}),
        threads=max((key.get("threads") or 0 for key in keys), default=0),
    )


def _tests(comparison: str) -> list[str]:
    rows = read_comparison(comparison) if Path(comparison).is_file() else []
    return sorted({row.test for row in rows if row.kind == "arms" and row.p is not None})


def _there(files: Mapping[str, Any]) -> dict[str, Any]:
    return {name: file for name, file in files.items() if file is not None}


def _first(read: Any, files: Sequence[str]) -> Any:
    """The first of these files that is there; None if none is."""
    return next((read(file) for file in files if Path(file).is_file()), None)


def _key(state: str) -> dict[str, Any]:
    """What a finished training depended on; empty where its state was removed, or is of another version."""
    try:
        key = json.loads(Path(state).read_bytes())["key"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return key if isinstance(key, dict) else {}


def _parts(study: Study, *, known: bool) -> dict[str, PartFacts]:
    splits = read_splits(study)
    first = splits[splits["fold"] == 0]
    return {part: _part(study, rows, known) for part in PARTS if len(rows := first[first["part"] == part])}


def _part(study: Study, rows: pd.DataFrame, known: bool) -> PartFacts:
    outcome = study.data.outcome
    classes = {name: int(outcome.has(rows["label"], name).sum()) for name in study.data.classes}
    return PartFacts(len(rows), int(rows["patient" if known else "group"].nunique()), classes)
