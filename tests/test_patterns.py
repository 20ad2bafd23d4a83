"""Patterns that a person gives end, or are refused in one line that names the key."""

import time

import pytest

from rescan import patterns
from rescan.data.layouts.finding import patients_by_pattern
from rescan.errors import RescanError
from rescan.patterns import compiled, matched

NEVER = "(a+)+b"
PATH = "a" * 40


def test_a_pattern_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(patterns, "SECONDS", 0.2)
    began = time.monotonic()
    with pytest.raises(RescanError) as caught:
        matched(compiled(NEVER).search, ["b", f"{PATH}\n"], f"--patient: {NEVER!r}")
    assert str(caught.value) == (
        rf"--patient: '(a+)+b': takes too long on {PATH}\n; take out the repeat inside a repeat, as in (a+)+"
    )
    with pytest.raises(RescanError, match=r"^patient: '\(\(a\+\)\+b\)': takes too long on x/a"):
        patients_by_pattern(["sub-1", f"x/{PATH}.png"], f"({NEVER})")
    assert time.monotonic() - began < 3


def test_what_a_pattern_finds_comes_in_order():
    assert matched(compiled("b").search, [], "x") == []
    assert [bool(found) for found in matched(compiled(NEVER).search, ["b", "aab", "c"], "x")] == [False, True, False]


@pytest.mark.parametrize("pattern", ["(", "a{99999999999999999999}", "(" * 5000, "(?P<x", "\\"])
def test_what_is_no_pattern_is_refused(pattern):
    with pytest.raises(ValueError, match="is not a regular expression"):
        compiled(pattern)
