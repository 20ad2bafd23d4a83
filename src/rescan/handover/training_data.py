"""What an arm was trained on, in numbers, from the tables of its study beside it; no ids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from pydantic import ValidationError

from rescan.catalogue import KNOWN_COLUMNS
from rescan.log import logger
from rescan.named_files import read_bytes
from rescan.paths import Paths
from rescan.reporting.text.methods import came_from
from rescan.results.bundle_file import DataPart, TrainingData
from rescan.results.manifest import MANIFEST
from rescan.results.parts import EXTRA, PARTS
from rescan.results.source import SourceReport
from rescan.results.splits import SPLITS
from rescan.results.trained_model import ModelHeader
from rescan.study import Study
from rescan.study.resolved import MOST_BYTES


def study_of(arm_folder: Path, header: ModelHeader) -> Study | None:
    """The study that lies around an arm's folder; None where it does not, or is another one.

    Args:
        arm_folder: The arm's folder.
        header: Of one of its networks.
    """
    file = _study_folder(arm_folder) / "study.json"
    if not file.is_file():
        return None
    try:
        study = Study.model_validate_json(read_bytes(file, MOST_BYTES))  # `study.read` wants it below where we work
    except ValidationError:
        logger.warning("%s: of another version: title and data of the study stay unknown", file)
        return None
    return study if (study.name, study.scale) == (header.study, header.scale) else None


def training_data(arm_folder: Path, study: Study, headers: Sequence[ModelHeader]) -> TrainingData | None:
    """Count what is in the parts of a study's split; None where the split is not beside the arm.

    Args:
        arm_folder: The arm's folder.
        study: The study.
        headers: Of the arm's networks; the fold of the first is counted.

    Raises:
        RescanError: A table is damaged.
    """
    folder = _study_folder(arm_folder)
    splits, manifest = folder / "splits.csv", folder / "manifest.csv"
    if not splits.is_file():
        return None
    rows = SPLITS.read(splits)
    of_fold = rows[rows["fold"] == headers[0].fold]
    parts = {part: of_fold[of_fold["part"] == part] for part in PARTS}
    extras = of_fold[of_fold["part"] == EXTRA]["origin"].value_counts()
    used = dict.fromkeys(name for header in headers for name in header.recipe.extras)
    source = _source(arm_folder, study)
    return TrainingData(
        kind=source.kind if source else "unknown",
        origin=came_from(study.data, phantom=source.kind == "phantom" if source else study.scale == "demo"),
        folds=int(rows["fold"].nunique()),
        parts={part: _counted(study, own) for part, own in parts.items() if len(own)},
        extra={name: int(extras[name]) for name in used if name in extras},
        values=_values(MANIFEST.read(manifest), parts["train"]) if manifest.is_file() else {},
    )


def _study_folder(arm_folder: Path) -> Path:
    return arm_folder.resolve().parent


def _source(arm_folder: Path, study: Study) -> SourceReport | None:
    above = _study_folder(arm_folder).parents
    return SourceReport.read_if_there(above[2] / Paths(study.scale, study.name).source) if len(above) > 2 else None


def _counted(study: Study, rows: pd.DataFrame) -> DataPart:
    outcome, patients = study.data.outcome, set(rows["patient"]) - {""}
    return DataPart(
        samples=len(rows),
        classes={name: int(outcome.has(rows["label"], name).sum()) for name in outcome.classes},
        groups=int(rows["group"].nunique()),
        patients=len(patients) or None,
    )


def _values(manifest: pd.DataFrame, trained: pd.DataFrame) -> dict[str, int]:
    own = manifest[manifest["sample"].isin(trained["sample"])]
    names = [name for name, column in KNOWN_COLUMNS.items() if column.of_acquisition and name in own]
    return {name: count for name in names if (count := len(set(own[name]) - {""}))}
