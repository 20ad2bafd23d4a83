"""The glossary at the page's end: docs/glossary.md, which the package ships (glossary.md is a link to it)."""

from __future__ import annotations

import re
from importlib.resources import files


def glossary() -> list[tuple[str, str]]:
    """Terms and their texts, in which names of files and the like stand between backticks."""
    text = files("rescan.reporting.page").joinpath("glossary.md").read_text("utf-8")
    entries = (re.match(r"\*\*(.+)\.\*\* ", paragraph) for paragraph in text.split("\n\n"))
    return [(entry[1], " ".join(entry.string[entry.end() :].split())) for entry in entries if entry]
