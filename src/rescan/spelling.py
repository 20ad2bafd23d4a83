"""Values that differ only in how they are written, such as `Kyoto` and `kyoto`, `P7` and `P007`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from unicodedata import normalize

UNSEEN = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")
BLANKS = re.compile(r"(?<!\d)\s+|\s+(?!\d)")  # but those between two numbers
ZEROS = re.compile(r"(?<![\d.,])0+(?=\d)")  # before a number
ONLY_WRITTEN = "differ only in case, blanks, the form of letters or zeros before a number"
NAMED = 3  # in a message


def plain(text: str) -> str:
    """A value as it is compared: without case, blanks, forms of the same letter (NFKC), zeros before a number."""
    return ZEROS.sub("", BLANKS.sub("", normalize("NFKC", UNSEEN.sub("", text)).casefold().strip()))


def alike(values: Iterable[str]) -> list[list[str]]:
    """Those of some values that differ only in how they are written, by value; each list holds two or more."""
    spellings: dict[str, set[str]] = {}
    for value in values:
        spellings.setdefault(plain(value), set()).add(value)
    return sorted(sorted(written) for written in spellings.values() if len(written) > 1)


def named(groups: list[list[str]]) -> str:
    """The first of some values that are alike, in words: `'Kyoto' and 'kyoto'`."""
    more = f", and {len(groups) - NAMED} more such" if len(groups) > NAMED else ""
    return ", ".join(" and ".join(map(repr, group)) for group in groups[:NAMED]) + more
