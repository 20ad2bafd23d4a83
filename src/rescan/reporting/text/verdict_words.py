"""All verdicts: the page, the tables and the glossary use these words and no other."""

from __future__ import annotations

VERDICTS = (
    "reproduced",
    "lower",
    "higher",
    "inconclusive",
    "not comparable",
    "not run",
)  # on published numbers, in order
OF_CLAIMS = ("supported", "contradicted", "not shown", "not run")
