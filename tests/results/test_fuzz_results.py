"""A few of the random damages of `tests.fuzz_results`; many more on demand: `run(target, count, seed)`."""

from __future__ import annotations

import random

import pandas as pd
import pytest
from tests.fuzz_results import TARGETS, run
from tests.mutations import OF_BYTES, OF_JSON, OF_TABLES, mutate, touched


@pytest.mark.parametrize("target", ["splits", "preparation"])
def test_damaged_files_are_refused_in_one_line_or_make_no_difference(target: str) -> None:
    assert run(target, 12, 0) == []


def test_every_kind_of_mutation_is_drawn() -> None:
    chance, names = random.Random(0), set()
    whole = {"csv": b"a,b\n1,2\n3,4\n", "json": b'{"a": 1, "b": [2]}', "binary": b"0123456789"}
    for kind, content in whole.items():
        names |= {mutate(kind, content, chance)[0] for _ in range(600)}
    assert names == {function.__name__ for function in (*OF_BYTES, *OF_TABLES, *OF_JSON)}
    assert {entry.kind for entry in TARGETS.values()} == set(whole)


def test_what_a_mutation_touched_is_known() -> None:
    table = pd.DataFrame({"a": [1, 3], "b": [2, 4]}).to_csv(index=False).encode()
    assert touched("csv", table, b"a,b\n1,2\n3,5\n") == {"b"}
    assert touched("csv", table, b"b,a\n1,2\n3,4\n") is None
    assert touched("csv", table, b"a,b\n1,2\n") is None
    assert touched("json", b'{"a": 1, "b": 2}', b'{"a": 1, "b": 3}') == {"b"}
    assert touched("json", b'{"a": 1, "b": 2}', b'{"a": 1}') is None
    assert touched("binary", b"\xff1", b"\xff2") is None
