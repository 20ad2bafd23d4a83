"""Names of the catalogue inside a study file: their records check them and fill in their options' defaults."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BeforeValidator, GetCoreSchemaHandler, GetJsonSchemaHandler, WithJsonSchema
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function, no_info_before_validator_function

from rescan import catalogue
from rescan.catalogue import timm_encoders


class NameOf:
    """Marks a string as a name of a kind."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_after_validator_function(lambda name: catalogue.check(self.kind, name), handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        listed = {"enum": list(catalogue.records(self.kind))}
        return {"anyOf": [listed, {"pattern": timm_encoders.PATTERN}]} if self.kind == "encoder" else listed


class Named:
    """Marks a mapping `{name: …, option: …}`, or the name alone."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def _validate(self, entry: Any) -> dict[str, Any]:
        entry = {"name": entry} if isinstance(entry, str) else entry
        if not isinstance(entry, dict) or "name" not in entry:
            raise ValueError(f"needs a {self.kind}'s name, or a mapping with one under 'name'")
        record = catalogue.records(self.kind)[catalogue.check(self.kind, entry["name"])]
        return record.fill({option: value for option, value in entry.items() if option != "name"})

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(self._validate, handler(source))

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        records = catalogue.records(self.kind)
        return {"anyOf": [{"enum": list(records)}, *(record.schema() for record in records.values())]}


def _check_augmentation(value: Any) -> dict[str, Any]:
    """Check each augmentation's name and strength."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("needs a mapping such as {shear: 0.2, flip_horizontal: 0.5}")
    for name, strength in value.items():
        catalogue.AUGMENTATIONS[catalogue.check("augmentation", name)].check(strength)
    return dict(value)


_SCHEMA = {
    "type": "object",
    "properties": {name: record.schema() for name, record in catalogue.AUGMENTATIONS.items()},
    "additionalProperties": False,
}
Augmentation = Annotated[dict[str, Any], BeforeValidator(_check_augmentation), WithJsonSchema(_SCHEMA)]
