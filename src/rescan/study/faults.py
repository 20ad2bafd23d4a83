"""Faults of a study file, one line each: the key path where the user wrote the value, and what is wrong with it."""

from __future__ import annotations

import reprlib
import typing
from typing import Any

from pydantic import BaseModel, ValidationError

from rescan import catalogue
from rescan.errors import shown
from rescan.study.strict import NAME, NAME_IN_WORDS

LONGEST_LINE = 1000
_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = _REPR.maxlong = 100
_REPR.maxlevel = 3  # aliases of YAML may make more values than there are atoms


class Faults:
    """Collects faults in the order of their discovery, each once."""

    def __init__(self, blocks: dict[str, dict[str, Any]]) -> None:
        """Start without faults.

        Args:
            blocks: The file's blocks of differences that were merged in, by name; what one sets is reported under it.
        """
        self.blocks = blocks
        self.messages: dict[str, list[str]] = {}  # by key path

    def add(self, path: tuple[Any, ...], message: str) -> None:
        """Add a fault at a path of keys of the merged file."""
        block = next((name for name, differences in self.blocks.items() if path and _leads_on(differences, path)), None)
        path = (block, *path) if block else path
        where = ".".join(str(part) for part in path if not _is_union_branch(part))
        if message not in self.messages.setdefault(where, []):
            self.messages[where].append(message)

    def add_all(
        self, error: ValidationError, model: type[BaseModel], prefix: tuple[str, ...] = (), difference: Any = None
    ) -> None:
        """Add the faults of a validation.

        Args:
            error: The error of pydantic.
            model: The model that was validated.
            prefix: The key path of an arm, if an arm's recipe was validated.
            difference: The arm's difference from the recipe; a fault that it does not touch is the recipe's.
        """
        faults = error.errors()
        of_others = {
            fault["loc"][:depth] for fault in faults if not _is_word(fault) for depth in range(len(fault["loc"]))
        }
        for fault in faults:
            path = fault["loc"]
            if _is_word(fault) and isinstance(fault["input"], dict) and path[:-1] in of_others:
                continue  # a mapping is meant for another branch of the union, whose faults say more
            inherited = bool(prefix) and not _leads_on(difference, path)
            self.add((*(("recipe",) if inherited else prefix), *path), describe(fault, model))

    def lines(self) -> list[str]:
        """One line per key path; the branches of a union that all failed are joined."""
        lines = [f"{where}: {', or '.join(messages)}".removeprefix(": ") for where, messages in self.messages.items()]
        return [shown(line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE]}…") for line in lines]


def brief(value: Any) -> str:
    """A value in a message, however large or deep it is."""
    text = _REPR.repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


def describe(fault: Any, model: type[BaseModel]) -> str:
    """One fault of pydantic in words, with the nearest name of the model's for an unknown key."""
    if fault["type"] == "extra_forbidden":
        return f"unknown key{catalogue.suggest(fault['loc'][-1], _fields_at(model, fault['loc'][:-1]))}"
    if fault["type"] == "missing":
        return "missing; add this key"
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    if fault["type"] == "string_pattern_mismatch" and NAME in fault["ctx"]["pattern"]:
        return f"{NAME_IN_WORDS}, not {brief(fault['input'])}"
    if fault["type"] == "string_type" and isinstance(fault["input"], (bool, int, float)):
        return f"needs text, not {brief(fault['input'])}; if it is meant so, write it in quotes"
    needed = "Input should be a mapping" if fault["type"] in ("model_type", "dict_type") else fault["msg"]
    return f"{needed[0].lower()}{needed[1:]}, not {brief(fault['input'])}"


def _is_word(fault: Any) -> bool:
    """Whether a fault is of the branch of a union that takes some words."""
    return bool(fault["loc"]) and str(fault["loc"][-1]).startswith("literal[")


def _leads_on(tree: Any, path: tuple[Any, ...]) -> bool:
    """Whether a nested mapping has each key of a path, as far as it is mappings."""
    for part in path:
        if _is_union_branch(part):
            continue
        if not isinstance(tree, dict):
            return True
        if part not in tree:
            return False
        tree = tree[part]
    return True


def _is_union_branch(part: Any) -> bool:
    """Pydantic puts the branch of a union into an error's path, such as `literal['last']` or `Best`."""
    return isinstance(part, str) and (part in ("Best", "FromBlock", "constrained-float") or "[" in part)


def _fields_at(model: type[BaseModel], path: tuple[Any, ...]) -> list[str]:
    """The field names of the model that a path of keys leads to."""
    for part in path:
        if part in model.model_fields:
            model = _model_in(model.model_fields[part].annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model inside an annotation such as `dict[str, Stage]` or `X | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in typing.get_args(annotation) if (model := _model_in(part))), None)
