"""Study files: reading YAML, merging differences, checking, and saying every fault at once."""

from __future__ import annotations

import itertools
import typing
from pathlib import Path
from typing import Annotated, Any, Union

from pydantic import BaseModel, Field, ValidationError, model_validator

from rescan import catalogue
from rescan.errors import RescanError
from rescan.files import writing
from rescan.log import logger
from rescan.study import (
    SCALES,
    ArmName,
    Autoencoder,
    AutoencoderName,
    Claim,
    Data,
    Explanation,
    Name,
    Preparation,
    PreparationName,
    Published,
    Recipe,
    Split,
    Strict,
    Study,
)


class Question(Strict):
    """An ablation as written: arms that differ from one arm, `of` (by default the first), in one thing.

    They are given one by one, or as the `values` of a key, or of several keys at once, such as stages.main.batch_size.
    Each is called after the ablation and itself, such as batch_size_8.
    """

    question: str
    of: str | None = None
    arms: dict[Name, Union[dict[str, Any], None]] = Field(default={})
    vary: Union[str, list[str]] = Field(default=[])
    values: list[Union[int, float, str]] = Field(default=[])

    @model_validator(mode="after")
    def _has_arms(self) -> Question:
        if bool(self.arms) == bool(self.values) or bool(self.vary) != bool(self.values):
            raise ValueError("needs arms, or vary and values")
        return self


class StudyFile(Strict):
    """A study file as written: arms are differences from `recipe`, and `run` picks some of them.

    A task is another question on the same data, such as more classes: a difference from the whole file.
    """

    title: str
    cite: str = ""
    notes: list[str] = Field(default=[])
    data: Data
    split: Split = Split()
    preparations: Annotated[dict[PreparationName, Preparation], Field(min_length=1)]
    autoencoders: dict[AutoencoderName, Autoencoder] = Field(default={})
    recipe: dict[str, Any]
    arms: Annotated[dict[ArmName, Union[dict[str, Any], None]], Field(min_length=1)]
    run: list[str] | None = None
    published: list[Published] = Field(default=[])
    claims: list[Claim] = Field(default=[])
    ablations: dict[Name, Question] = Field(default={})
    gradcam: Explanation = Explanation()
    tasks: dict[Name, dict[str, Any]] = Field(default={})


def merge(base: Any, difference: Any) -> Any:
    """Merge a difference into a base, by the rules of a study file.

    Mappings merge key by key, in the base's order, new keys last; a mapping whose `name` differs replaces the other
    whole; `null` removes a key; everything else, lists too, is replaced.
    """
    if not isinstance(base, dict) or not isinstance(difference, dict):
        return difference
    if "name" in difference and base.get("name", difference["name"]) != difference["name"]:
        return difference
    merged = dict(base)
    for key, value in difference.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(base.get(key, {}), value)
    return merged


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML 1.2 mapping.

    Raises:
        RescanError: No such file, or not valid YAML, or not a mapping.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        content = YAML(typ="safe", pure=True).load(Path(path).read_text("utf-8"))
    except OSError as error:
        raise RescanError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise RescanError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise RescanError(f"{path}: a study file is a mapping with keys such as title, data, recipe, arms")
    return content


def load(
    path: str | Path,
    scale: str,
    weights: str | None = None,
    seeds: list[int] | None = None,
    source: str | None = None,
    *,
    folds: int | None = None,
    arms: list[str] | None = None,
    extra_sources: dict[str, str] | None = None,
    task: str | None = None,
) -> Study:
    """Read a study file and resolve it at a scale.

    Args:
        path: The study file; its stem is the study's name.
        scale: `demo` or `full`.
        weights: Replaces every arm's `network.weights`, if given; not where they are an autoencoder's.
        seeds: Replaces `split.seeds`, if given.
        source: A local folder or archive that replaces `data.source` and the phantom, if given. Arms that need extra
            data which are not given too are then left out at `demo`: they would be phantoms beside real images.
        folds: Replaces `split.folds` and the recipe's `folds`, if given.
        arms: Replaces `run`, if given.
        extra_sources: Local folders or archives that replace the sources and phantoms of `data.extra`, by name.
        task: One of the file's `tasks`: its difference is merged in, and its name follows the study's, after a hyphen.

    Returns:
        The study with every arm's whole recipe.

    Raises:
        RescanError: With one line for each fault: file, key path, what is wrong, nearest right name.
    """
    if scale not in SCALES:
        raise RescanError(f"scale {scale!r}: use demo or full")
    raw = read_yaml(path)
    demo = raw.pop("demo", None) or {}
    if not isinstance(demo, dict):
        raise RescanError(f"{path}: demo: needs a mapping of differences")
    demo = demo if scale == "demo" else {}
    whole = _of_task(merge(raw, demo), task, scale, path)
    if arms is not None:
        whole["run"] = arms
    whole = merge(whole, {"split": {"folds": folds}, "recipe": {"folds": None}}) if folds is not None else whole
    whole = _configured(whole, scale, seeds, source, extra_sources or {})
    _anchor_sources(whole, Path(path).parent)
    ablations, written_at = _expand(whole)
    faults = _Faults(demo)
    try:
        file = StudyFile.model_validate(whole)
    except ValidationError as error:
        faults.add(error, StudyFile)
        file = None
    recipes = _arms(whole, weights, faults, written_at)
    run = _check_arm_names(whole, faults)
    if not faults.found and file:
        published = [_if_comparable(entry, whole, weights) for entry in file.published]
        content = file.model_dump(exclude={"recipe", "arms", "run", "published", "ablations", "tasks"})
        try:
            if scale == "demo" and source is not None:
                run = _without_phantoms(run, recipes, content["data"]["extra"])
            chosen = {arm: recipes[arm] for arm in run}
            published = [entry for entry in published if entry.arm in chosen or arms is None]
            _leave_out_unused(content, chosen)
            about = {"name": Path(path).stem + (f"-{task}" if task else ""), "file": str(path), "scale": scale}
            asked = _asked(ablations, chosen)
            return Study(**about, arms=chosen, published=published, ablations=asked, **content)
        except ValidationError as error:
            faults.add(error, Study)
    raise RescanError("\n".join(f"{path}: {fault}" for fault in faults.lines()))


def _expand(whole: dict[str, Any]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Add the arms of a file's ablations to its arms and, where it names an ablation, to `run`.

    Returns:
        The ablations as `Study` has them, and where the file says each of their arms. Faulty ones are left out: that is
        said where the file is checked.
    """
    arms = _mapping(whole, "arms")
    ablations: dict[str, Any] = {}
    places: dict[str, tuple[str, ...]] = {}
    for name, written in _mapping(whole, "ablations").items():
        try:
            asked = Question.model_validate(written)
        except ValidationError:
            continue
        of = asked.of or next(iter(arms), "")
        differences = dict(asked.arms)
        paths = [asked.vary] if isinstance(asked.vary, str) else asked.vary
        for value in asked.values:
            for path in paths:
                change: Any = value
                for key in reversed(path.split(".")):
                    change = {key: change}
                differences[f"{value}"] = merge(differences.get(f"{value}", {}), change)
        made = {f"{name}_{label}": label for label in differences}
        for arm, label in made.items():
            whole["arms"][arm] = merge(merge(arms.get(of) or {}, differences[label] or {}), {"against": of})
            places[arm] = ("ablations", name, "arms", label) if asked.arms else ("ablations", name)
        described = {arm: label.replace("_", " ") for arm, label in made.items()}
        ablations[name] = {"question": asked.question, "base": of, "arms": described}
    if isinstance(run := whole.get("run"), list):
        whole["run"] = [arm for entry in run for arm in (ablations[entry]["arms"] if entry in ablations else [entry])]
    return ablations, places


def _asked(ablations: dict[str, Any], chosen: dict[str, Recipe]) -> dict[str, Any]:
    """The ablations that are run, with those of their arms that are."""
    found = {}
    for name, asked in ablations.items():
        arms = {arm: label for arm, label in asked["arms"].items() if arm in chosen}
        if arms and asked["base"] in chosen:
            found[name] = {**asked, "arms": arms}
    return found


def _leave_out_unused(content: dict[str, Any], chosen: dict[str, Recipe]) -> None:
    """Take out of a study what no chosen arm needs; where one needs what is not there, all stays, for the message."""
    starts = {recipe.network.weights for recipe in chosen.values()} - {"imagenet", "none"}
    extras = {name for recipe in chosen.values() for name in recipe.extras}
    for of, key, used in ((content["data"], "extra", extras), (content, "autoencoders", starts)):
        if used <= set(of[key]):
            of[key] = {name: given for name, given in of[key].items() if name in used}
    if content["gradcam"]["beside"] not in chosen:
        content["gradcam"]["beside"] = None


def write_resolved(study: Study, out: Path) -> None:
    """Write a resolved study as JSON."""
    with writing(out) as temporary:
        temporary.write_text(study.model_dump_json(indent=1) + "\n", "utf-8")


def _of_task(whole: dict[str, Any], task: str | None, scale: str, path: str | Path) -> dict[str, Any]:
    """A merged file with a task's difference in it; the task may have a `demo` of its own."""
    tasks = _mapping(whole, "tasks")
    if task is None:
        return whole
    if task not in tasks:
        raise RescanError(f"{path}: tasks: no task {task!r}{catalogue.suggest(task, tasks)}")
    difference = dict(_mapping(tasks, task))
    demo = difference.pop("demo", None)
    if {"classes", "labels"} & set(_mapping(difference, "data")):  # the file's published numbers are of other classes
        whole = {key: value for key, value in whole.items() if key != "published"}
    return merge(merge(whole, difference), demo if scale == "demo" and demo else {})


def tasks_of(path: Path) -> list[str]:
    """The names of a study file's tasks."""
    return list(_mapping(read_yaml(path), "tasks"))


def _configured(
    whole: dict[str, Any], scale: str, seeds: list[int] | None, source: str | None, extra_sources: dict[str, str]
) -> dict[str, Any]:
    """A merged file with what the run's configuration changes in it."""
    if scale == "full" or source is not None:
        whole = merge(whole, {"data": {"phantom": None}})
    if source is not None and isinstance(whole.get("data"), dict):
        whole["data"]["source"] = {"path": source}
    for name, extra in _mapping(_mapping(whole, "data"), "extra").items():
        if isinstance(extra, dict) and (scale == "full" or name in extra_sources):
            extra.pop("phantom", None)
        if isinstance(extra, dict) and name in extra_sources:
            extra["source"] = {"path": extra_sources[name]}
    return merge(whole, {"split": {"seeds": seeds}}) if seeds is not None else whole


def _without_phantoms(run: list[str], recipes: dict[str, Recipe], extra: dict[str, Any]) -> list[str]:
    """The arms whose extra data are no phantoms, and that need no arm that is left out."""
    phantoms = {name for name, given in extra.items() if given["phantom"] is not None}
    out = {arm for arm in run if recipes[arm].trains and recipes[arm].extras & phantoms}
    out |= {arm for arm in run if recipes[arm].models in out}
    out |= {arm for arm in run if (group := recipes[arm].ensemble) and out & set(group.members)}
    if out:
        logger.warning("left out, as their extra data are not given: %s", ", ".join(arm for arm in run if arm in out))
    return [arm for arm in run if arm not in out]


def _anchor_sources(whole: dict[str, Any], folder: Path) -> None:
    """Make relative paths of sources start at the study file's folder."""
    data = _mapping(whole, "data")
    for place in (data, *(extra for extra in _mapping(data, "extra").values() if isinstance(extra, dict))):
        source = _mapping(place, "source")
        if isinstance(source.get("path"), str):
            source["path"] = str(Path(folder, Path(source["path"]).expanduser()).resolve())


def _mapping(whole: dict[str, Any], key: str) -> dict[str, Any]:
    """A key's mapping, or an empty one where the value is something else: that is a fault of its own."""
    return value if isinstance(value := whole.get(key), dict) else {}


def _arms(
    whole: dict[str, Any], weights: str | None, faults: _Faults, written_at: dict[str, tuple[str, ...]]
) -> dict[str, Recipe]:
    """Every arm's whole recipe, as far as they are sound; `written_at` says where, if not under `arms`."""
    preparations = _mapping(whole, "preparations")
    arms: dict[str, Recipe] = {}
    written_arms = {
        arm: written if isinstance(written, dict) else {} for arm, written in _mapping(whole, "arms").items()
    }
    for arm, difference in written_arms.items():
        merged = _merged(whole, written_arms, arm)
        try:
            arms[arm] = Recipe.model_validate(_with_weights(merged, weights))
        except ValidationError as error:
            faults.add(error, Recipe, written_at.get(arm, ("arms", arm)), difference)
        if isinstance(name := merged.get("preparation"), str) and name not in preparations:
            where = ("arms", arm) if "preparation" in difference else ("recipe",)
            faults.say((*where, "preparation"), f"no preparation {name!r}{catalogue.suggest(name, preparations)}")
    return arms


def _with_weights(recipe: dict[str, Any], weights: str | None) -> dict[str, Any]:
    """A recipe whose network starts from other weights, where it can."""
    return recipe if _weights_stay(recipe, weights) else merge(recipe, {"network": {"weights": weights}})


def _weights_stay(recipe: dict[str, Any], weights: str | None) -> bool:
    """Whether a recipe's weights are its own all the same: an autoencoder's, or of a network without ImageNet ones."""
    network = _mapping(recipe, "network")
    own = network.get("weights", "imagenet")
    encoder = catalogue.ENCODERS.get(str(network.get("encoder")))
    fixed = (encoder is not None and encoder.weights is None) or network.get("norm", "batch") != "batch"
    return weights in (None, own) or own not in ("imagenet", "none") or fixed


def _merged(whole: dict[str, Any], arms: dict[str, Any], arm: str, above: tuple[str, ...] = ()) -> dict[str, Any]:
    """An arm's whole recipe: a difference from `recipe`, or from the arm whose models it reads, or reads first."""
    difference = arms[arm]
    members = _mapping(difference, "ensemble").get("members")
    other = members[0] if isinstance(members, list) and members else difference.get("models")
    base = _mapping(whole, "recipe")
    if isinstance(other, str) and other in arms and other not in (arm, *above):
        base = merge(_merged(whole, arms, other, (arm, *above)), {"models": None, "ensemble": None, "against": None})
    return merge(base, difference)


def _check_arm_names(whole: dict[str, Any], faults: _Faults) -> list[str]:
    """The arms to run; arms that `run` and `published` name but are not there become faults."""
    arms = _mapping(whole, "arms")
    run = value if isinstance(value := whole.get("run"), list) else list(arms)
    entries = value if isinstance(value := whole.get("published"), list) else []
    compared = [entry["arm"] for entry in entries if isinstance(entry, dict) and "arm" in entry]
    claims = value if isinstance(value := whole.get("claims"), list) else []
    sides = ("better", "than")
    claimed = [claim[side] for claim in claims if isinstance(claim, dict) for side in sides if side in claim]
    beside = [arm] if (arm := _mapping(whole, "gradcam").get("beside")) else []
    for key, named in (("run", run), ("published", compared), ("claims", claimed), ("gradcam", beside)):
        for arm in named:
            if isinstance(arm, str) and arm not in arms:
                faults.say((key,), f"no arm {arm!r}{catalogue.suggest(arm, arms)}")
    return run


def _if_comparable(entry: Published, whole: dict[str, Any], weights: str | None) -> Published:
    """A published number is no longer comparable where the run's configuration changes the recipe behind it."""
    arms = {arm: written or {} for arm, written in whole["arms"].items()}
    recipe = _merged(whole, arms, entry.arm)
    if _weights_stay(recipe, weights) or entry.not_comparable:
        return entry
    own = recipe["network"].get("weights", "imagenet")
    return entry.model_copy(update={"not_comparable": f"run with weights={weights}, the study says {own}"})


def check(paths: list[Path]) -> None:
    """Check study files at both scales.

    Raises:
        RescanError: With one line for each fault of all files.
    """
    faults: dict[str, None] = {}
    for path in paths:
        try:
            tasks = [None, *tasks_of(path)]
        except RescanError:
            tasks = [None]  # what is wrong is said below
        for scale, task in itertools.product(SCALES, tasks):
            try:
                load(path, scale, task=task)
            except RescanError as error:
                faults.update(dict.fromkeys(str(error).splitlines()))
    if faults:
        raise RescanError("\n".join(faults))


def schema() -> dict[str, Any]:
    """The JSON Schema of a study file, for editors. Differences (`recipe`, `arms`, `demo`) may leave out any key."""
    whole = StudyFile.model_json_schema()
    recipe = Recipe.model_json_schema()
    definitions = {**whole.pop("$defs"), **recipe.pop("$defs"), "Recipe": recipe}
    for name in list(definitions):
        definitions[f"{name}Difference"] = _difference(definitions[name])
    arm = {"anyOf": [{"$ref": "#/$defs/RecipeDifference"}, {"type": "null"}]}
    whole["properties"]["recipe"] = {"$ref": "#/$defs/RecipeDifference"}
    whole["properties"]["arms"] = {"type": "object", "additionalProperties": arm}
    demo = {**_difference(whole), "type": ["object", "null"]}
    demo["properties"] = {key: value for key, value in demo["properties"].items() if key != "tasks"}
    task = {**demo, "properties": {**demo["properties"], "demo": demo}}
    whole["properties"]["tasks"] = {"type": "object", "additionalProperties": task}
    whole["properties"]["demo"] = demo
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **whole, "$defs": definitions}


def _difference(node: Any) -> Any:
    """A schema in which no key is required and every key may be null."""
    if isinstance(node, list):
        return [_difference(part) for part in node]
    if not isinstance(node, dict):
        return node
    loose = {key: _difference(value) for key, value in node.items() if key != "required"}
    if "$ref" in loose and not loose["$ref"].endswith("Difference"):
        loose["$ref"] += "Difference"
    if "properties" in loose:
        loose["properties"] = {key: {"anyOf": [value, {"type": "null"}]} for key, value in loose["properties"].items()}
    for entries in ("additionalProperties", "patternProperties"):  # of mappings by name, such as heads and stages
        if isinstance(loose.get(entries), dict) and loose[entries]:
            loose[entries] = _nullable(entries, loose[entries])
    return loose


def _nullable(entries: str, schema: dict[str, Any]) -> dict[str, Any]:
    if entries == "patternProperties":
        return {pattern: {"anyOf": [value, {"type": "null"}]} for pattern, value in schema.items()}
    return {"anyOf": [schema, {"type": "null"}]}


class _Faults:
    """Collects faults in the order found, each once, with the key path where the user wrote the value."""

    def __init__(self, demo: dict[str, Any]) -> None:
        self.demo = demo
        self.found: dict[str, list[str]] = {}

    def say(self, path: tuple[Any, ...], message: str) -> None:
        """Add a fault at a path of keys of the merged file."""
        if path and _leads_on(self.demo, path):
            path = ("demo", *path)
        where = ".".join(str(part) for part in path if not _is_union_branch(part))
        if message not in self.found.setdefault(where, []):
            self.found[where].append(message)

    def lines(self) -> list[str]:
        """One line a key path; the branches of a union that all failed are joined."""
        return [f"{where}: {', or '.join(said)}".removeprefix(": ") for where, said in self.found.items()]

    def add(
        self, error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...] = (), difference: Any = None
    ) -> None:
        """Add the faults of a validation; those of an arm that its difference doesn't touch are the recipe's."""
        for fault in error.errors():
            loc = fault["loc"]
            inherited = bool(prefix) and not _leads_on(difference, loc)
            self.say((*(("recipe",) if inherited else prefix), *loc), _words(fault, model))


def _leads_on(tree: Any, path: tuple[Any, ...]) -> bool:
    """Whether a nested mapping has each key of a path, as far as it is mappings."""
    for part in path:
        if not isinstance(tree, dict):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return True


def _is_union_branch(part: Any) -> bool:
    """Pydantic puts the branch of a union into an error's path, such as `literal['last']` or `Best`."""
    return isinstance(part, str) and (part in ("Best", "FromBlock", "constrained-float") or "[" in part)


def _words(fault: Any, model: type[BaseModel]) -> str:
    """One fault of pydantic in words."""
    if fault["type"] == "extra_forbidden":
        return f"unknown key{catalogue.suggest(fault['loc'][-1], _fields_at(model, fault['loc'][:-1]))}"
    if fault["type"] == "missing":
        return "missing; add this key"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    return f"{fault['msg'][0].lower()}{fault['msg'][1:]}, not {fault['input']!r}"


def _fields_at(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The field names of the model that a path of keys leads to."""
    for part in loc:
        if part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation such as `dict[str, Stage]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in typing.get_args(annotation) if (found := _model_in(part))), None)
