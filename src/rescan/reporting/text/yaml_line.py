"""Texts and values as one line of YAML, as they stand in a command's settings."""

from __future__ import annotations

import json
from typing import Any

from rescan.study.yaml_text import typed

WORDS = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")  # that some YAML reads as something else


def quoted(text: str) -> str:
    """A text as YAML reads it back in a list or mapping."""
    plain = text and all(letter.isalnum() or letter in "_./-" for letter in text) and text[0] not in "-."
    if plain and text[0].isalpha() and text.lower() not in WORDS:
        return text
    return text if text.startswith("/") and plain else "'" + text.replace("'", "''") + "'"


def flow(value: Any) -> str:
    """A value of `set`. A text that would be read as a number or the like stands in two pairs of quotes."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{quoted(str(key))}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, str):
        return quoted(value if typed(value) == value else json.dumps(value, ensure_ascii=False))
    return json.dumps(value)
