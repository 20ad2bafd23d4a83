"""Keys that a run sets without editing the study file, as by `--config 'set={recipe.network.encoder: resnet18}'`."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterator
from typing import Any

from rescan import catalogue
from rescan.errors import RescanError, shown
from rescan.study.faults import brief
from rescan.study.merge import expand_ablations, mapping, merge, merge_file, whole_recipe
from rescan.study.schema import schema
from rescan.study.settings import BLOCKS, Settings
from rescan.study.yaml_text import parsed

Place = tuple[str, ...]  # a key path, part by part: names of arms may hold dots
Node = dict[str, Any]  # of the JSON Schema


def with_changes(whole: dict[str, Any], settings: Settings) -> tuple[dict[str, Any], dict[str, Any], list[str]]:
    """A study file with the keys that a run sets.

    Returns:
        The file, all that was set as one difference from it, and a line for each key that cannot be set.
    """
    difference: dict[str, Any] = {}
    faults = []
    if settings.changes:
        form = _Form(schema(), whole)
        for key, value in settings.changes.items():
            try:
                place = form.place(key, value)
                for one, new in _leaves(place, value):
                    _check_own_settings(one, new, settings)
                change = value
                for part in reversed(place):
                    change = {part: change}
                difference = merge(difference, change, base_is_difference=True)
            except ValueError as error:
                faults.append(f"set.{key}: {error}")
    return merge_file(whole, difference), difference, faults


class _Form:
    """What keys a study file may have: those of its schema, with the names that this file gives."""

    def __init__(self, schema: Node, whole: dict[str, Any]) -> None:
        sections = {key: node for key, node in schema["properties"].items() if key not in BLOCKS}
        self.schema = {**schema, "properties": sections}
        self.tree = copy.deepcopy(whole)
        expand_ablations(self.tree)
        arms = {arm: whole_recipe(self.tree, arm) for arm in mapping(self.tree, "arms")}
        self.tree["arms"] = arms
        for name, question in mapping(self.tree, "ablations").items():
            of_question = mapping(question, "arms") if isinstance(question, dict) else {}
            of_question.update({label: arms[arm] for label in of_question if (arm := f"{name}_{label}") in arms})

    def place(self, key: str, value: Any) -> Place:
        """The key path that a dotted text means; what it leads through is there.

        Raises:
            ValueError: It leads nowhere, or the value is none that it could have.
        """
        place: Place = ()
        tree: Any = self.tree
        parts, node = key.split("."), self.schema
        while parts:
            keys, is_open = self._keys(node, tree, place)
            count = next((n for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in keys), 0)
            if not count and is_open and value is not None and (len(parts) == 1 or not keys):
                count = len(parts)
            if not count:
                raise ValueError(self._unknown(place, parts, keys, is_open=is_open))
            part = ".".join(parts[:count])
            place, parts, node = (*place, part), parts[count:], keys.get(part, {})
            tree = tree.get(part) if isinstance(tree, dict) else None
        self._check(place, node, tree, value)
        return place

    def _check(self, place: Place, node: Node, tree: Any, value: Any) -> None:
        """Refuse values that would change nothing, and look at each key of a mapping."""
        if value is None and tree is None:
            raise ValueError(f"null removes a key, but {'.'.join(place)} is not there")
        if value == {}:
            raise ValueError("an empty mapping changes nothing; null removes what is there")
        if not isinstance(value, dict) or not isinstance(tree, dict) or not tree:
            return
        if "name" in value and value["name"] != tree.get("name", value["name"]):
            return  # another loss or layout, with options of its own
        keys, is_open = self._keys(node, tree, place)
        for key, inner in value.items():
            if key in keys:
                self._check((*place, key), keys[key], tree.get(key), inner)
            elif inner is None or (keys and not is_open):
                raise ValueError(self._unknown(place, [key], keys, is_open=is_open))

    def _keys(self, node: Node, tree: Any, place: Place) -> tuple[dict[str, Node], bool]:
        """The keys that may follow a place, with their schemas; and whether another may be added.

        Raises:
            ValueError: No key follows it in this file.
        """
        if isinstance(tree, list):
            raise ValueError(f"{'.'.join(place)} is a list, which is set whole")
        if tree is not None and not isinstance(tree, dict):
            has_options = isinstance(tree, str) and any(
                "name" in form.get("properties", {}) for form in self._forms(node)
            )
            example = f", as in {{name: {tree}, …}}" if has_options else ""
            raise ValueError(f"{'.'.join(place)} is {brief(tree)}, with no keys; set it whole{example}")
        if not node:  # what the schema leaves open: the difference of an ablation's arm
            return {key: {} for key in tree or ()}, True
        keys: dict[str, Node] = {}
        is_open = False
        for form in self._forms(node):
            keys.update(form.get("properties", {}))
            others = [form.get("additionalProperties"), *form.get("patternProperties", {}).values()]
            for other in others:
                if isinstance(other, dict) or other is True:
                    is_open = True
                    names = tree if isinstance(tree, dict) else {}
                    keys.update({name: other if isinstance(other, dict) else {} for name in names if name not in keys})
        return keys, is_open

    def _forms(self, node: Node) -> Iterator[Node]:
        """A schema without its references and alternatives."""
        if "$ref" in node:
            yield from self._forms(self.schema["$defs"][node["$ref"].rpartition("/")[2]])
        for part in (*node.get("anyOf", ()), *node.get("oneOf", ()), *node.get("allOf", ())):
            yield from self._forms(part)
        if "properties" in node or "additionalProperties" in node or "patternProperties" in node:
            yield node

    def _unknown(self, place: Place, parts: list[str], keys: dict[str, Node], *, is_open: bool) -> str:
        """Why a part of a key path is none, and the nearest key path."""
        if not place and parts[0] in BLOCKS:
            return f"what {parts[0]} says is merged already; leave out {parts[0]!r}"
        if not keys and place and not is_open:
            return f"{'.'.join(place)} has no keys"
        if is_open:
            return f"no {parts[0]!r} in {'.'.join(place)}{catalogue.suggest(parts[0], keys)}"
        near = [".".join((*place, key, *parts[1:])) for key in difflib.get_close_matches(parts[0], keys, n=1)]
        if not place or not near:  # a key that is known elsewhere
            alike = [path for path in self._paths() if path.rpartition(".")[2] == parts[-1]]
            near = difflib.get_close_matches(".".join((*place, *parts)), alike, n=1, cutoff=0.0) or near
        tail = f"; did you mean {near[0]!r}?" if near else catalogue.suggest(parts[0], keys)
        return f"no key {parts[0]!r}{' in ' + '.'.join(place) if place else ''}{tail}"

    def _paths(self) -> Iterator[str]:
        """All key paths of a file, but for its arms: theirs are those of the recipe."""
        places: list[tuple[Place, Node, Any]] = [((), self.schema, self.tree)]
        while places:
            place, node, tree = places.pop(0)
            try:
                keys, _ = self._keys(node, tree, place)
            except ValueError:
                continue
            for key, inner in keys.items():
                if (*place, key)[0] in ("arms", "ablations", "tasks", *BLOCKS) or len(place) > 7:
                    continue
                yield ".".join((*place, key))
                places.append(((*place, key), inner, tree.get(key) if isinstance(tree, dict) else None))


def _leaves(place: Place, value: Any) -> Iterator[tuple[Place, Any]]:
    """The key paths that a value sets, with what it sets them to."""
    yield place, value
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from _leaves((*place, key), inner)


def _check_own_settings(place: Place, value: Any, settings: Settings) -> None:
    """Refuse what a setting of its own says, or would take back.

    Raises:
        ValueError: Which setting that is.
    """
    given = {
        "arms": settings.arms is not None and place == ("run",),
        "seeds": settings.seeds is not None and place == ("split", "seeds"),
        "folds": settings.folds is not None and place in (("split", "folds"), ("recipe", "folds")),
        "weights": settings.weights is not None and place[-2:] == ("network", "weights"),
    }
    if both := [name for name, holds in given.items() if holds]:
        raise ValueError(f"{both[0]}= is given, too; leave one of them out")
    of_data = place[:1] == ("data",) and (place[1:2] if place[1:2] not in (("extra",), ("external",)) else place[3:4])
    if of_data == ("source",):
        raise ValueError("data are given by sources={STUDY: PATH}")
    if of_data == ("phantom",) and value is not None and (settings.scale != "demo" or settings.source is not None):
        raise ValueError("phantoms are drawn at scale=demo, without a source")
    if place[:1] == ("tasks",):
        raise ValueError("a task is merged already, or is not run; set the keys themselves")


def parsed_changes(words: list[str]) -> dict[str, Any]:
    """The changes of `--set`: a key path, =, and a value in YAML.

    Raises:
        RescanError: A word is none.
    """
    changes = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise RescanError(f"--set {shown(word)}: give key.path=value, such as recipe.network.encoder=resnet18")
        if key in changes:
            raise RescanError(f"--set {shown(key)}: given twice; leave one out")
        try:
            changes[key] = parsed(value)
        except ValueError as error:
            raise RescanError(f"--set {shown(key)}: {value!r:.100}: {error}") from None
    return changes
