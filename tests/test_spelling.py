"""Values that differ only in how they are written."""

from __future__ import annotations

from unicodedata import normalize

import pytest

from rescan.spelling import alike, named


@pytest.mark.parametrize(
    "written",
    [
        ["müller1", "Müller1", normalize("NFD", "müller1"), "MÜLLER01"],
        ["7", "007", " 7", "\u200b7", "\uff17"],
        ["P 7", "p7", "P\u00a0007"],
        ["New York", "NewYork", "new  york "],
        ["straße", "STRASSE"],
        ["2020-01-05", "2020-1-5"],
    ],
)
def test_values_that_are_alike(written):
    assert alike(written) == [sorted(set(written))]


def test_values_that_are_not_alike():
    assert alike(["1 1", "11", "p1", "p10", "q1", "1.05", "1.5", "a-1", "a_1", "0", "00a", ""]) == []


def test_some_are_named():
    assert named(alike(["b", "B", "a", "A"])) == "'A' and 'a', 'B' and 'b'"
    many = alike(f"{letter}{case}" for letter in "abcdef" for case in "xX")
    assert named(many).endswith("'cX' and 'cx', and 3 more such")
