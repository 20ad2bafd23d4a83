"""Steps that are killed, and two of a step at once: a short version of `python -m tests.kill`."""

from __future__ import annotations

import random
import signal

import kill_steps
import pandas as pd
import pytest
from kill_steps import P, kill_step, measure, run_twice
from sample_files import write_groups


@pytest.fixture(autouse=True, scope="module")
def _no_signal_is_ignored():
    """A shell's `&` would have the steps ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A tree with some steps' results, and how long each took."""
    whole = tmp_path_factory.mktemp("kill") / "steps-whole"
    seconds = measure(whole, ["download", "index", "weights"])
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(whole)
        write_groups(P, pd.read_csv(P.manifest, dtype=str, keep_default_na=False)[["sample"]])
    return whole, {**seconds, **kill_steps.run_steps(whole, ["preprocess"])}


@pytest.mark.parametrize(("name", "seed"), [("download", 0), ("weights", 0), ("preprocess", 0)])
def test_what_is_killed_is_done_by_the_next_run(undisturbed, name, seed):
    whole, seconds = undisturbed
    how, faults = kill_step(random.Random(f"{name} {seed}"), name, whole, seconds[name])
    assert faults == [], how


@pytest.mark.parametrize("name", ["download", "preprocess"])
def test_of_two_at_once_one_works_and_one_waits(undisturbed, name):
    whole, seconds = undisturbed
    how, faults = run_twice(random.Random(name), name, whole, seconds[name])
    assert faults == [], how
