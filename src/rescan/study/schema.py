"""The JSON Schema of a study file."""

from __future__ import annotations

from typing import Any

from rescan.study.recipe import Recipe
from rescan.study.settings import BLOCKS
from rescan.study.study_file import StudyFile


def schema() -> dict[str, Any]:
    """The JSON Schema of a study file, for editors. Differences (`recipe`, `arms`, `small`, …) may lack any key."""
    whole = StudyFile.model_json_schema()
    recipe = Recipe.model_json_schema()
    definitions = {**whole.pop("$defs"), **recipe.pop("$defs"), "Recipe": recipe}
    for name in list(definitions):
        definitions[f"{name}Difference"] = _difference(definitions[name])
    arm = {"anyOf": [{"$ref": "#/$defs/RecipeDifference"}, {"type": "null"}]}
    whole["properties"]["recipe"] = {"$ref": "#/$defs/RecipeDifference"}
    whole["properties"]["arms"] = {"type": "object", "additionalProperties": arm}
    block = {**_difference(whole), "type": ["object", "null"]}
    block["properties"] = {key: value for key, value in block["properties"].items() if key != "tasks"}
    blocks = dict.fromkeys(BLOCKS, block)
    task = {**block, "properties": {**block["properties"], **blocks}}
    whole["properties"]["tasks"] = {"type": "object", "additionalProperties": task}
    whole["properties"].update(blocks)
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
    for key in ("properties", "patternProperties"):
        if key in loose:
            loose[key] = {name: _nullable(value) for name, value in loose[key].items()}
    if isinstance(entries := loose.get("additionalProperties"), dict) and entries:  # by name, as heads and stages
        loose["additionalProperties"] = _nullable(entries)
    return loose


def _nullable(node: Any) -> dict[str, Any]:
    return {"anyOf": [node, {"type": "null"}]}
