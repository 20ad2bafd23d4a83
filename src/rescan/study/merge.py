"""Merging differences: of the demo, a task, the settings, an ablation's arms, and every arm from the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rescan import catalogue
from rescan.errors import RescanError, shown
from rescan.named_files import at_home, is_file
from rescan.study.faults import Faults
from rescan.study.published import Published, Question
from rescan.study.recipe import Recipe
from rescan.study.settings import BLOCKS, Settings


def merge(base: Any, difference: Any, *, base_is_difference: bool = False) -> Any:
    """Merge a difference into a base, by the rules of a study file.

    Mappings merge key by key, in the base's order, new keys last; a mapping whose `name` differs replaces the other
    whole; `null` removes a key; everything else, lists too, is replaced. Where the base is a difference itself, a
    `null` stays, as it is to remove the key from what both will be merged into.
    """
    if not isinstance(base, dict) or not isinstance(difference, dict):
        return difference
    if "name" in difference and base.get("name", difference["name"]) != difference["name"]:
        return difference
    merged = dict(base)
    for key, value in difference.items():
        if value is not None:
            merged[key] = merge(base.get(key, {}), value, base_is_difference=base_is_difference)
        elif base_is_difference:
            merged[key] = None
        else:
            merged.pop(key, None)
    return merged


def merge_file(whole: Any, difference: Any) -> Any:
    """Merge a difference into a study file, whose arms, and those of its ablations, are differences themselves."""
    merged = merge(whole, difference)
    if isinstance(whole, dict) and isinstance(difference, dict):
        _merge_arms(whole, difference, merged)
        for name in mapping(difference, "ablations"):
            own, new = (mapping(mapping(tree, "ablations"), name) for tree in (whole, difference))
            _merge_arms(own, new, mapping(mapping(merged, "ablations"), name))
    return merged


def _merge_arms(whole: dict[str, Any], difference: dict[str, Any], merged: dict[str, Any]) -> None:
    """Merge the arms of a file or of an ablation once more, as differences."""
    for arm, change in mapping(difference, "arms").items():
        if isinstance(change, dict):
            own = mapping(whole, "arms").get(arm) or {}
            merged["arms"][arm] = merge(own, change, base_is_difference=True)


def block_of(tree: dict[str, Any], scale: str) -> Any:
    """Take the blocks of the scales out of a file or a task; return that of one scale, or None."""
    return {name: tree.pop(name, None) for name in BLOCKS}.get(scale)


def mapping(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """A key's mapping, or an empty one where the value is something else: that is a fault of its own."""
    return value if isinstance(value := tree.get(key), dict) else {}


def sequence(tree: dict[str, Any], key: str) -> list[Any]:
    """A key's list, or an empty one where the value is something else."""
    return value if isinstance(value := tree.get(key), list) else []


def with_task(whole: dict[str, Any], settings: Settings, path: str | Path) -> dict[str, Any]:
    """A file with the difference of the chosen task, which may have blocks of its own for the scales.

    Raises:
        RescanError: The file at `path` has no such task.
    """
    if settings.task is None:
        return whole
    tasks = mapping(whole, "tasks")
    if settings.task not in tasks:
        raise RescanError(f"{shown(path)}: tasks: no task {settings.task!r}{catalogue.suggest(settings.task, tasks)}")
    difference = dict(mapping(tasks, settings.task))
    block = block_of(difference, settings.scale)
    if {"classes", "labels"} & set(mapping(difference, "data")):  # the file's published numbers are of other classes
        whole = {key: value for key, value in whole.items() if key != "published"}
    return merge_file(merge_file(whole, difference), block or {})


def with_settings(whole: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """A file with its arms, folds, seeds and sources as set; weights are set per recipe."""
    if settings.arms is not None:
        whole["run"] = settings.arms
    if settings.folds is not None:
        whole = merge(whole, {"split": {"folds": settings.folds}, "recipe": {"folds": None}})
    if settings.scale != "demo" or settings.source is not None:
        whole = merge(whole, {"data": {"phantom": None}})
    if settings.source is not None and isinstance(whole.get("data"), dict):
        whole["data"]["source"] = {"path": settings.source}
    for name, other in other_data(whole).items():
        if settings.scale != "demo" or name in settings.extra_sources:
            other.pop("phantom", None)
        if name in settings.extra_sources:
            other["source"] = {"path": settings.extra_sources[name]}
    return merge(whole, {"split": {"seeds": settings.seeds}}) if settings.seeds is not None else whole


def other_data(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The extra and the external data sets of a file, by name."""
    data = mapping(whole, "data")
    others = {**mapping(data, "extra"), **mapping(data, "external")}
    return {str(name): other for name, other in others.items() if isinstance(other, dict)}


def anchor_sources(whole: dict[str, Any], folder: Path) -> None:
    """Make relative paths of sources start at the study file's folder; those of tables too that are not in the data."""
    for data_set in (mapping(whole, "data"), *other_data(whole).values()):
        source = mapping(data_set, "source")
        if isinstance(source.get("path"), str) and source["path"]:
            source["path"] = str(Path(folder, at_home(source["path"])).resolve())
        layout = mapping(data_set, "layout")
        if isinstance(layout.get("file"), str):
            layout["file"] = _anchored(layout["file"], source.get("path"), folder)


def _anchored(table: str, source: Any, folder: Path) -> str:
    """A table's path: as it is where the data's folder or a folder in it has it, else from the study file's folder."""
    own = Path(folder, at_home(table)).resolve()
    if at_home(table).is_absolute():
        return str(own)
    data = Path(source) if isinstance(source, str) and ".." not in Path(table).parts else None
    inside = data is not None and any(is_file(place / table) for place in (data, *_entries(data)))
    return str(own) if is_file(own) and not inside else table


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing where it is none, or cannot be read."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def expand_ablations(whole: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Add the arms of a file's ablations to its arms and, where `run` names an ablation, to `run`.

    Faulty ablations are left out: they are reported where the file is checked.

    Returns:
        The key path at which the file describes each of these arms.
    """
    arms = mapping(whole, "arms")
    places: dict[str, tuple[str, ...]] = {}
    members: dict[str, list[str]] = {}
    for name, content in mapping(whole, "ablations").items():
        try:
            question = Question.model_validate(content)
        except ValidationError:
            continue
        base = question.of or next(iter(arms), "")
        changes, labels = _differences(question), question.labels(name)
        for arm, label in labels.items():
            of_base = arms.get(base) or {}
            own = {**merge(of_base, changes[label], base_is_difference=True), "against": base}
            arms[arm] = merge(own, arms.get(arm) or {}, base_is_difference=True)
            places[arm] = ("ablations", name, "arms", label) if question.arms else ("ablations", name)
        members[name] = list(labels)
    if run := sequence(whole, "run"):
        whole["run"] = [arm for entry in run for arm in members.get(str(entry), [entry])]
    return places


def _differences(question: Question) -> dict[str, dict[str, Any]]:
    """What each arm of an ablation changes in its base, by the arm's label."""
    changes = {label: difference or {} for label, difference in question.arms.items()}
    for value in question.values:
        for path in [question.vary] if isinstance(question.vary, str) else question.vary:
            change: Any = value
            for key in reversed(path.split(".")):
                change = {key: change}
            changes[f"{value}"] = merge(changes.get(f"{value}", {}), change)
    return changes


def whole_recipe(whole: dict[str, Any], arm: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """An arm's whole recipe: a difference from `recipe`, or from the arm whose models it reads, or reads first."""
    arms, base = mapping(whole, "arms"), mapping(whole, "recipe")
    difference = mapping(arms, arm)
    members = sequence(mapping(difference, "ensemble"), "members")
    source = members[0] if members else difference.get("models")
    if isinstance(source, str) and source in arms and source not in (arm, *above):
        base = merge(whole_recipe(whole, source, (arm, *above)), {"models": None, "ensemble": None, "against": None})
    return merge(base, difference)


def sound_recipes(
    whole: dict[str, Any], weights: str | None, faults: Faults, places: dict[str, tuple[str, ...]]
) -> dict[str, Recipe]:
    """Every arm's whole recipe, as far as they are sound; `places` are key paths of arms that are not under `arms`."""
    preparations = mapping(whole, "preparations")
    sound: dict[str, Recipe] = {}
    for arm in mapping(whole, "arms"):
        difference = mapping(mapping(whole, "arms"), arm)
        recipe = whole_recipe(whole, arm)
        if not keeps_weights(recipe, weights):
            recipe = merge(recipe, {"network": {"weights": weights}})
        try:
            sound[arm] = Recipe.model_validate(recipe)
        except ValidationError as error:
            faults.add_all(error, Recipe, places.get(arm, ("arms", arm)), difference)
        if isinstance(name := recipe.get("preparation"), str) and name not in preparations:
            where = ("arms", arm) if "preparation" in difference else ("recipe",)
            faults.add((*where, "preparation"), f"no preparation {name!r}{catalogue.suggest(name, preparations)}")
    return sound


def keeps_weights(recipe: dict[str, Any], weights: str | None) -> bool:
    """Whether a recipe keeps its own weights: those set are the same, or it can't start from ImageNet's."""
    network = mapping(recipe, "network")
    weights_in_file = network.get("weights", "imagenet")
    encoder = catalogue.ENCODERS.get(str(network.get("encoder")))
    fixed = (encoder is not None and encoder.weights is None) or network.get("norm", "batch") != "batch"
    return weights in (None, weights_in_file) or weights_in_file not in ("imagenet", "none") or fixed


def if_comparable(entry: Published, written: dict[str, Any], whole: dict[str, Any], weights: str | None) -> Published:
    """A published number; marked as not comparable if the settings change what is behind it.

    Args:
        entry: The number.
        written: The study file as it is written.
        whole: The file with what the run sets in it.
        weights: The setting of that name.
    """
    recipe = whole_recipe(whole, entry.arm)
    if not entry.not_comparable and _behind(written, entry.arm) != _behind(whole, entry.arm):
        return entry.model_copy(
            update={"not_comparable": "run with another recipe or data than the study file's, by set"}
        )
    if keeps_weights(recipe, weights) or entry.not_comparable:
        return entry
    weights_in_file = recipe["network"].get("weights", "imagenet")
    return entry.model_copy(update={"not_comparable": f"run with weights={weights}, the study says {weights_in_file}"})


def _behind(whole: dict[str, Any], arm: str) -> list[Any]:
    """What of a file an arm's numbers are of: its recipe, its preparation, the data and how they are split."""
    recipe = whole_recipe(whole, arm)
    members = [_behind(whole, member) for member in sequence(mapping(recipe, "ensemble"), "members")]
    split = {key: value for key, value in mapping(whole, "split").items() if key not in ("seeds", "folds")}
    data = {key: value for key, value in mapping(whole, "data").items() if key not in ("source", "phantom")}
    start = mapping(whole, "autoencoders").get(str(mapping(recipe, "network").get("weights")))
    return [recipe, mapping(whole, "preparations").get(str(recipe.get("preparation"))), start, split, data, members]
