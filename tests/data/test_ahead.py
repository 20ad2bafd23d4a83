"""What a thread makes ahead comes in order, and no more of it than is wanted."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from rescan.data.ahead import ahead
from rescan.stopping import Stopped


def test_entries_come_in_order_and_while_one_is_used_the_next_are_made():
    made = []

    def entries():
        for number in range(6):
            made.append((number, threading.current_thread().name))
            yield number

    with closing(ahead(entries(), 2, "maker")) as received:
        assert next(received) == 0
        until = time.monotonic() + 30
        while len(made) < 4 and time.monotonic() < until:  # the one in use, two that wait, one that does not fit
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [(number, "maker") for number in range(4)]
        assert list(received) == [1, 2, 3, 4, 5]
    assert list(ahead(iter([]), 1, "maker")) == []


@pytest.mark.parametrize("fault", [ValueError, Stopped])
def test_a_fault_comes_behind_what_was_made_before_it(fault):
    """So does a signal that came while the thread started a process."""

    def entries():
        yield 1
        raise fault("bad")

    received = ahead(entries(), 3, "maker")
    assert next(received) == 1
    with pytest.raises(fault, match="bad"):
        next(received)


def test_who_takes_no_more_ends_the_thread():
    def endless():
        while True:
            yield 0

    with closing(ahead(endless(), 1, "endless maker")) as received:
        next(received)
    assert "endless maker" not in {thread.name for thread in threading.enumerate()}
