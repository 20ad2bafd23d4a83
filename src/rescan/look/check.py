"""Checking a study's data before anything runs: what is there, and what would fail later."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Optional

import pandas as pd

from rescan.data.audit.cautions import spelling_warnings
from rescan.data.headers import by_hash, passing_key, with_years
from rescan.data.held_out import FEWEST_GROUPS, check_classes
from rescan.data.index import Files, files_by
from rescan.data.layouts.reading import check_patients, read_layout
from rescan.data.split import split_samples
from rescan.errors import RescanError
from rescan.log import logger
from rescan.look.samples import look, span, spread, with_hidden_headers
from rescan.paths import Paths
from rescan.preparation.sample import NeedsWindow, prepare_all
from rescan.results.manifest import OTHER_PATH
from rescan.results.source import SourceReport
from rescan.spelling import plain
from rescan.study import DataSet, Preparation, Settings, Study
from rescan.study.file import load, tasks_of


def check_data(path: Path) -> None:
    """Check the data of a sound study file, and of its tasks, at full scale; log what is found.

    Raises:
        RescanError: One line per fault.
    """
    faults: dict[str, None] = {}
    for task in (None, *tasks_of(path)):
        study = load(path, Settings("full", task=task))
        try:
            found = _check(study)
        except RescanError as error:
            found = str(error).splitlines()
        faults.update(dict.fromkeys(found))
    if faults:
        raise RescanError("\n".join(faults))


def _check(study: Study) -> list[str]:
    """Check a study's data; what would fail, one line each."""
    root = _root(study, study.data, "")
    if root is None:
        logger.warning("%s: its data are no folder of this machine; nothing of them was checked", study.name)
        return []
    key = passing_key() if study.data.patients == "hashed" else None
    manifest = with_years(with_hidden_headers(root, read_layout(study, root), key), study.name)
    check_patients(study, study.name, manifest)
    extras = []
    for origin, extra in study.data.extra.items():
        place = _root(study, extra, origin)
        if place is not None:
            extras.append(with_hidden_headers(place, read_layout(study, place, origin), key))
            logger.info("%s: data.extra: %s: %d samples", study.name, origin, len(extras[-1]))
    labeled = manifest[manifest["label"] != ""]
    _say(study, root, manifest)
    faults = _faults_of_classes(study, labeled) or _faults_of_split(study, pd.concat([manifest, *extras]), key)
    faults += _faults_of_weights(study, manifest)
    shapes: dict[str, tuple[int, ...]] = {}
    for name in dict.fromkeys(recipe.preparation for recipe in study.arms.values()):
        shape, found = _prepared(study, name, root, manifest)
        faults += found
        if shape:
            shapes[name] = shape
    faults += _faults_of_networks(study, shapes)
    for external in study.externals.values():
        faults += _faults_of_external(external, root, labeled, shapes, key)
    return faults


def _say(study: Study, root: Path, manifest: pd.DataFrame) -> None:
    """Say what is there."""
    labeled = manifest[manifest["label"] != ""]
    has = study.data.outcome.has
    counts = ", ".join(f"{label} {has(labeled['label'], label).sum()}" for label in study.data.classes)
    patients = labeled.loc[labeled["patient"] != "", "patient"].nunique()
    logger.info("%s: %d samples in %s: %s", study.name, len(manifest), root, counts)
    logger.info("%s: %s patients", study.name, patients or "unknown")
    for warning in spelling_warnings(manifest):
        logger.warning("%s: %s", study.name, warning)


def _faults_of_split(study: Study, manifest: pd.DataFrame, key: Optional[bytes]) -> list[str]:
    """What the split would refuse, such as a site to hold out that nobody comes from; copies of images aside."""
    samples = manifest.reset_index(drop=True).fillna("").assign(conflict=0)
    by_patient = (samples["patient"] != "") & ("patient" in study.split.group_by)
    samples["group"] = ("patient " + samples["patient"].map(plain)).where(by_patient, "sample " + samples["sample"])
    try:
        check_classes(study, split_samples(study, samples, key))
    except RescanError as error:
        return str(error).splitlines()
    return []


def _faults_of_weights(study: Study, manifest: pd.DataFrame) -> list[str]:
    """Columns that class weights are taken within, and that some samples lack."""
    faults = []
    for column in sorted({column for arm in study.arms for run in study.runs(arm) for column in run.weight_columns}):
        lacking = (manifest[column] == "").sum() if column in manifest else len(manifest)
        if lacking:
            faults.append(f"{study.name}: class_weights: within: {lacking} samples have no {column}; fill it in")
    return faults


def _faults_of_external(
    study: Study, home: Path, own: pd.DataFrame, shapes: dict[str, tuple[int, ...]], key: Optional[bytes]
) -> list[str]:
    """What would fail on external data, which are tested on only.

    Args:
        study: The external data set.
        home: The folder of the study's own data.
        own: Its labeled samples.
        shapes: What its samples become, by preparation.
        key: What ids from headers are hashed with.
    """
    root = _root(study, study.data, "")
    if root is None:
        logger.warning("%s: its data are no folder of this machine; nothing of them was checked", study.name)
        return []
    manifest = with_hidden_headers(root, read_layout(study, root), key)
    _say(study, root, manifest)
    labeled = manifest[manifest["label"] != ""]
    faults = []
    files = {(home / path).resolve() for path in own["path"]}
    shared = pd.Series([(root / path).resolve() in files for path in labeled["path"]], labeled.index, dtype=bool)
    if study.home is not None and study.home.same_patients and "patient" in study.split.group_by:
        names = by_hash(own["patient"], key)
        known = {plain(patient) for patient in own["patient"]} - {""}
        shared |= pd.Series([plain(names.get(name, name)) in known for name in labeled["patient"]], labeled.index)
    if shared.all():
        fault = f"all {len(labeled)} labeled samples are of the study's own patients or files"
        remedy = "give other data; or same_patients: false, if only the numbers of patients are the same"
        faults.append(f"{study.name}: {fault}; {remedy}")
    elif shared.any():
        message = "%s: %d samples are of patients or files of the study's own data, and will be left out"
        logger.warning(message, study.name, shared.sum())
    for name, shape in shapes.items():
        own_shape, found = _prepared(study, name, root, manifest)
        faults += found
        if own_shape and own_shape != shape and not found:
            sizes = f"{span([own_shape])}, those of the study {span([shape])}"
            faults.append(f"{study.name}: preparations: {name}: samples become of another size: {sizes}")
    return faults


def _root(study: Study, data: DataSet, origin: str) -> Path | None:
    """The folder of data: a local source, or what was downloaded; None if there is none."""
    if data.source.path is not None and Path(data.source.path).is_dir():
        return Path(data.source.path)
    if data.source.path is not None and not Path(data.source.path).exists():
        raise RescanError(f"{study.name}: the source {data.source.path} is not there; check the path")
    for scale in ("full", "small"):  # the same data
        report = SourceReport.read_if_there(Paths(scale, study.name).source)
        entry = report.extra.get(origin) if report and origin else report
        if entry and Path(entry.root).is_dir():
            return Path(entry.root)
    return None


def _faults_of_classes(study: Study, labeled: pd.DataFrame) -> list[str]:
    """Classes that a part lacks, or will lack; those with few patients are only said."""
    faults = []
    labeled = study.data.outcome.by_class(labeled).reset_index(drop=True)
    published = study.split.test == "published"
    parts = labeled["published_part"].where(labeled["published_part"] == "test", "train") if published else "all"
    by_patient = "patient" in study.split.group_by
    groups = labeled["patient"].where((labeled["patient"] != "") & by_patient, labeled["sample"])
    unit = "patients" if by_patient and (labeled["patient"] != "").any() else "samples"
    numbers = groups.groupby([labeled["label"], pd.Series(parts, labeled.index)]).nunique()
    for label in study.data.classes:
        for part in ("train", "test") if published else ("all",):
            number = int(numbers.get((label, part), 0))
            needed = 1 if part == "test" else 2 + (part == "all") + study.split.fold_count - 1
            where = "" if part == "all" else f" in part {part!r}"
            if number < needed:
                fault = f"class {label!r} has {number} {unit}{where}; its parts and folds need {needed} or more"
                faults.append(f"{study.name}: {fault}; get more, or take fewer folds")
            elif number < FEWEST_GROUPS:
                message = "%s: class %r has only %d %s%s; scores will say little"
                logger.warning(message, study.name, label, number, unit, where)
    return faults


def _prepared(study: Study, name: str, root: Path, manifest: pd.DataFrame) -> tuple[tuple[int, ...], list[str]]:
    """Prepare some samples: the shape that most become, (C, …), () without one; and what would fail."""
    preparation = study.preparations[name]
    where = f"{study.name}: preparations: {name}"
    rows = spread(list(_files(root, preparation, manifest).items()))
    problems: dict[str, str] = {}
    shapes: dict[tuple[int, ...], list[str]] = {}
    sources = []
    faults: dict[str, None] = {}
    for (sample, files), result in zip(rows, prepare_all([files for _, files in rows], preparation)):
        if isinstance(result, NeedsWindow):
            faults.setdefault(f"{where}: {sample}: {result}")
            break  # of one is enough: the values that it names are this file's
        if isinstance(result, Exception):
            problems[sample] = str(result)
        else:
            item = result.items[0]
            shapes.setdefault((item.shape[-1], *item.shape[:-1]), []).append(sample)
            sources.append(look(files.path).shape)
    if problems:
        sample, problem = next(iter(problems.items()))
        message = f"{where}: {len(problems)} of {len(rows)} samples cannot be used, such as {sample}: {problem}"
        if shapes:
            logger.warning("%s", message)
        else:
            faults.setdefault(message)
    if len(shapes) > 1:
        (one, (first, *_)), (other, (second, *_)) = list(shapes.items())[:2]
        remedy = "add resize_volume or pad_volume" if preparation.dimensions == 3 else "add resize"
        sizes = f"{first} {span([one[1:]])}, {second} {span([other[1:]])}"
        faults.setdefault(f"{where}: samples become of different sizes ({sizes}); {remedy}")
    elif shapes:
        usual = next(iter(shapes))
        size = span([shape for shape in sources if len(shape) == len(sources[0])])
        made = f"{span([usual[1:]])} {'gray' if usual[0] == 1 else 'RGB'}"
        logger.info("%s: of %s, becomes %s (%d of %d looked at)", where, size, made, len(rows), len(manifest))
    return (max(shapes, key=lambda shape: len(shapes[shape])) if shapes else ()), list(faults)


def _files(root: Path, preparation: Preparation, manifest: pd.DataFrame) -> dict[str, Files]:
    """The files of each sample that has one of the preparation's modality."""
    column = f"{OTHER_PATH}{preparation.modality}" if preparation.modality else "path"
    if column not in manifest:
        return {}
    found = files_by(manifest, column, lambda name: [root / place if place else None for place in manifest[name]])
    return {sample: files for sample, files in zip(manifest["sample"], found) if files is not None}


def _faults_of_networks(study: Study, shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Networks that cannot take what their preparation makes, such as volumes that are too small."""
    if find_spec("torch") is None:
        logger.warning("%s: without torch, no network was tried", study.name)
        return []
    from rescan.models.networks import build

    tried: set[str] = set()
    faults = []
    for arm, recipe in study.arms.items():
        key = f"{recipe.network.model_dump_json()} {recipe.preparation}"
        if key in tried or recipe.preparation not in shapes or not recipe.trains:
            continue
        tried.add(key)
        try:
            build(recipe, len(study.data.classes), shapes[recipe.preparation])
        except RescanError as error:
            faults.append(f"{study.name}: arms: {arm}: {error}")
    return faults
