"""Names of the catalogue inside a study file: checked, with their options' defaults filled in."""

from __future__ import annotations

from typing import Any

from pydantic import (
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function, no_info_before_validator_function

from rescan import names


class _Name:
    """Marks a string as a name of a kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(lambda name: names.check(self.kind, name), handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"enum": list(names.TABLES[self.kind])}


class _Named:
    """Marks a mapping `{name: …, option: …}`, or the name alone: checks the options and fills in their defaults."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _validate(self, value: Any) -> dict[str, Any]:
        value = {"name": value} if isinstance(value, str) else value
        if not isinstance(value, dict) or "name" not in value:
            raise ValueError(f"needs a {self.kind}'s name, or a mapping with one under 'name'")
        name = names.check(self.kind, value["name"])
        options = names.TABLES[self.kind][name].options
        checked = {"name": name, **options}
        for option, given in value.items():
            if option == "name":
                continue
            if option not in options:
                raise ValueError(f"{self.kind} {name!r} has no option {option!r}{names.suggest(option, options)}")
            checked[option] = _as_type_of(options[option], given, option)
        return checked

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        known = {"enum": list(names.TABLES[self.kind])}
        options: dict[str, Any] = {option: {} for entry in names.TABLES[self.kind].values() for option in entry.options}
        mapping = {"type": "object", "properties": {"name": known, **options}, "additionalProperties": False}
        return {"anyOf": [known, mapping]}


def _as_type_of(default: Any, given: Any, option: str) -> Any:
    kind = type(default)
    if kind is float and type(given) is int:
        given = float(given)
    if kind is list and isinstance(given, list) and isinstance(default[0], float):
        given = [float(value) if type(value) is int else value for value in given]
    if type(given) is not kind or (kind is list and [type(v) for v in given] != [type(v) for v in default]):
        raise ValueError(f"{option} must be like {default!r}, not {given!r}")
    if option in names.CHOICES and given not in names.CHOICES[option]:
        raise ValueError(f"{option} must be one of {', '.join(names.CHOICES[option])}, not {given!r}")
    if kind is list and (min(given) < 0 or (0 not in default and min(given) == 0)):
        raise ValueError(f"{option} must be positive, but is {given!r}")
    if kind in (int, float) and default >= 0 and option not in names.SIGNED:
        _check_bounds(option, given)
    return given


def _check_bounds(name: str, given: float) -> None:
    if given < 0:
        raise ValueError(f"{name} must not be negative, but is {given!r}")
    if name in names.BELOW and given >= names.BELOW[name]:
        raise ValueError(f"{name} must be below {names.BELOW[name]}, but is {given!r}")
    if name in names.ABOVE and given <= names.ABOVE[name]:
        raise ValueError(f"{name} must be above {names.ABOVE[name]}, but is {given!r}")


def _augmentation(value: Any) -> dict[str, Any]:
    """Check each augmentation's name and the form of its value (names.AUGMENTATIONS)."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("needs a mapping such as {shear: 0.2, flip_horizontal: 0.5}")
    for name, given in value.items():
        form = names.AUGMENTATIONS[names.check("augmentation", name)].options["value"]
        numbers = given if isinstance(given, list) else [given]
        good = all(isinstance(n, (int, float)) and not isinstance(n, bool) and n >= 0 for n in numbers)
        if form == "range":
            good = good and isinstance(given, list) and len(given) == 2 and given[0] <= given[1]
        else:
            good = good and not isinstance(given, list) and (form == "amount" or given <= 1)
        if not good:
            wants = {"range": "two numbers [low, high]", "amount": "a number ≥ 0", "probability": "a number in [0, 1]"}
            raise ValueError(f"{name} needs {wants[form]}, not {given!r}")
        for number in numbers:
            _check_bounds(name, number)
    return dict(value)
