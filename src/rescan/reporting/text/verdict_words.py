"""All verdicts, and what each says: the page, the tables and the glossary use these words and no other."""

from __future__ import annotations

OF_NUMBERS = ("reproduced", "lower", "higher", "inconclusive", "not comparable", "not run")  # in the order of sentences
OF_CLAIMS = ("supported", "contradicted", "not shown", "not run")
VERDICTS = tuple(dict.fromkeys((*OF_NUMBERS, *OF_CLAIMS)))
