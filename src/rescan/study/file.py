"""Study files: how one becomes a study, with every fault reported at once."""

from __future__ import annotations

import copy
import itertools
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from rescan import catalogue
from rescan.errors import RescanError, shown
from rescan.log import logger
from rescan.named_files import is_file
from rescan.study.bounds import MOST_ENTRIES
from rescan.study.changes import with_changes
from rescan.study.data import Data, DataSet, External
from rescan.study.faults import Faults
from rescan.study.merge import (
    anchor_sources,
    block_of,
    expand_ablations,
    if_comparable,
    is_changed,
    mapping,
    merge_file,
    sequence,
    sound_recipes,
    with_settings,
    with_task,
)
from rescan.study.published import Ablation
from rescan.study.recipe import Recipe
from rescan.study.settings import BLOCKS, SCALES, Settings
from rescan.study.splitting import read_patients
from rescan.study.study import Study
from rescan.study.study_file import StudyFile
from rescan.study.yaml_text import read_yaml

Entry = TypeVar("Entry")


def tasks_of(path: Path) -> list[str]:
    """The names of a study file's tasks."""
    return list(mapping(read_yaml(path), "tasks"))


def preparations_of_arms(study: Study) -> dict[str, str]:
    """The name of the preparation of each arm in a study's file, those that are not run too; {} without a file."""
    if not is_file(study.file):
        return {}
    content = read_yaml(study.file)
    block = block_of(content, study.scale) or {}
    whole = merge_file(content, block)
    default: Any = mapping(whole, "recipe").get("preparation")
    return {arm: (own or {}).get("preparation", default) for arm, own in mapping(whole, "arms").items()}


def load(path: str | Path, settings: Settings) -> Study:
    """Read a study file and resolve it at a scale.

    Args:
        path: The study file; its stem is the study's name.
        settings: The scale, and what else replaces the file's own.

    Returns:
        The study with every arm's whole recipe.

    Raises:
        RescanError: With one line for each fault: file, key path, what is wrong, nearest right name.
    """
    if settings.scale not in SCALES:
        raise RescanError(f"scale {settings.scale!r}: use {', '.join(BLOCKS)} or full")
    if settings.weights not in (None, "imagenet", "none"):
        raise RescanError(f"weights {settings.weights!r}: use imagenet or none")
    content, block = _with_block(path, settings.scale)
    written = with_task(merge_file(content, block), settings, path)
    changed, changes, refused = with_changes(written, settings)
    if refused:
        raise RescanError("\n".join(f"{shown(path)}: {line}" for line in refused))
    before = copy.deepcopy(written) if settings.changes else {}
    whole, places = _settled(changed, settings, path)

    faults = Faults({"set": changes, settings.scale: block})
    try:
        file = StudyFile.model_validate(whole)
    except ValidationError as error:
        faults.add_all(error, StudyFile)
        file = None
    arms = sound_recipes(whole, settings.weights, faults, places)
    _check_names_of_arms(whole, faults)
    if file and not faults.messages:
        before = _settled(before, settings, path)[0] if before else whole
        published = [if_comparable(entry, before, whole, settings.weights) for entry in file.published]
        try:
            study = _study(path, settings, file.model_copy(update={"published": published}), arms)
        except ValidationError as error:
            faults.add_all(error, Study)
        else:
            if set(changes) & {"recipe", "arms"} and not any(is_changed(before, whole, arm) for arm in study.arms):
                logger.warning("%s: what is set of recipe and arms changes no arm that is run", shown(path))
            return study
    raise RescanError("\n".join(f"{shown(path)}: {line}" for line in faults.lines()))


def _with_block(path: str | Path, scale: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a study file, and its block of differences at a scale.

    Raises:
        RescanError: The block is no mapping; or there is none at `small`, where the recipe would not be small.
    """
    content = read_yaml(path)
    block = block_of(content, scale)
    if block is None and scale == "small":
        raise RescanError(
            f"{shown(path)}: small: missing; add this block, such as `rescan init` writes, or use scale=demo or full"
        )
    if not isinstance(block or {}, dict):
        raise RescanError(f"{shown(path)}: {scale}: needs a mapping of differences")
    return content, block or {}


def _settled(
    tree: dict[str, Any], settings: Settings, path: str | Path
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """A file with its settings, paths and arms of ablations; and where the file describes each of these arms."""
    whole = with_settings(tree, settings)
    anchor_sources(whole, Path(path).parent)
    read_patients(whole, path)
    return whole, expand_ablations(whole)


def _study(path: str | Path, settings: Settings, file: StudyFile, recipes: dict[str, Recipe]) -> Study:
    """The study of a sound file: the arms that are run, and what of the other sections they need.

    Raises:
        ValidationError: The sections don't fit together.
    """
    run = list(file.arms) if file.run is None else file.run
    if settings.scale == "demo" and settings.source is not None:
        run = _without_phantoms(run, recipes, file.data.extra)
    arms = {arm: recipes[arm].anchored(Path(path).parent) for arm in run}
    extras = {name for recipe in arms.values() for name in recipe.extras}
    starts = {recipe.network.weights for recipe in arms.values() if recipe.network.start == "autoencoder"}
    return Study(
        name=Path(path).stem + (f"-{settings.task}" if settings.task else ""),
        scale=settings.scale,
        file=str(path),
        title=file.title,
        cite=file.cite,
        notes=file.notes,
        data=file.data.model_copy(update={"extra": _needed(file.data.extra, extras), "external": _alike(file.data)}),
        split=file.split,
        preparations=file.preparations,
        autoencoders=_needed(file.autoencoders, starts),
        arms=arms,
        published=[entry for entry in file.published if entry.arm in arms or settings.arms is None],
        claims=file.claims,
        ablations=_ablations(file, arms),
        operating_points=file.operating_points,
        changes=settings.changes,
        gradcam=file.gradcam if file.gradcam.beside in arms else file.gradcam.model_copy(update={"beside": None}),
    )


def _without_phantoms(run: list[str], recipes: dict[str, Recipe], extra: dict[str, DataSet]) -> list[str]:
    """The arms whose extra data are no phantoms, and that need no arm that is left out."""
    phantoms = {name for name, data_set in extra.items() if data_set.phantom is not None}
    out = {arm for arm in run if recipes[arm].trains and recipes[arm].extras & phantoms}
    out |= {arm for arm in run if recipes[arm].models in out}
    out |= {arm for arm in run if (ensemble := recipes[arm].ensemble) and out & set(ensemble.members)}
    if out:
        logger.warning("left out, as their extra data are not given: %s", ", ".join(arm for arm in run if arm in out))
    return [arm for arm in run if arm not in out]


def _alike(data: Data) -> dict[str, External]:
    """The external data sets that are phantoms if the study's own data are, and real if these are."""
    alike = {name: own for name, own in data.external.items() if (own.phantom is None) == (data.phantom is None)}
    if len(alike) < len(data.external):
        kind = "phantoms" if data.phantom else "real"
        left_out = ", ".join(name for name in data.external if name not in alike)
        logger.warning("external data left out, as the study's own are %s and these are not: %s", kind, left_out)
    return alike


def _needed(entries: dict[str, Entry], names: set[str]) -> dict[str, Entry]:
    """The entries of these names; all of them if one is missing, so that the checks can name it."""
    return {name: entry for name, entry in entries.items() if name in names or not names <= set(entries)}


def _ablations(file: StudyFile, arms: dict[str, Recipe]) -> dict[str, Ablation]:
    """The ablations whose base is run, with those of their arms that are run."""
    ablations = {}
    for name, question in file.ablations.items():
        base = question.of or next(iter(file.arms))
        labels = {arm: label.replace("_", " ") for arm, label in question.labels(name).items() if arm in arms}
        if labels and base in arms:
            ablations[name] = Ablation(question=question.question, base=base, arms=labels)
    return ablations


def _check_names_of_arms(whole: dict[str, Any], faults: Faults) -> None:
    """Arms that other sections name, but that do not exist, become faults."""
    arms = mapping(whole, "arms")
    published = [entry.get("arm") for entry in sequence(whole, "published") if isinstance(entry, dict)]
    claims = [
        entry.get(side) for entry in sequence(whole, "claims") if isinstance(entry, dict) for side in ("better", "than")
    ]
    beside = [mapping(whole, "gradcam").get("beside")]
    sections = {"run": sequence(whole, "run"), "published": published, "claims": claims, "gradcam": beside}
    for section, entries in sections.items():
        for arm in entries[:MOST_ENTRIES]:  # the model refuses more
            if isinstance(arm, str) and arm not in arms:
                faults.add((section,), f"no arm {arm!r}{catalogue.suggest(arm, arms)}")


def check(paths: list[Path]) -> None:
    """Check study files at all scales; at `small` those that have a block for it.

    Raises:
        RescanError: With one line for each fault of all files.
    """
    faults: dict[str, None] = {}
    for path in paths:
        try:
            tasks = [None, *tasks_of(path)]
            scales = [scale for scale in SCALES if scale != "small" or scale in read_yaml(path)]
        except RescanError:
            tasks, scales = [None], ["full"]  # `load` reports what is wrong
        for scale, task in itertools.product(scales, tasks):
            try:
                load(path, Settings(scale, task=task))
            except RescanError as error:
                faults.update(dict.fromkeys(str(error).splitlines()))
    if faults:
        raise RescanError("\n".join(faults))
