"""A limit of time for what may hang."""

from __future__ import annotations

import faulthandler
import signal
from collections.abc import Iterator
from contextlib import contextmanager

WAITING = 60  # seconds that it may take in all, on a machine that has other things to do


class TooLong(BaseException):
    """It takes longer than it may; no `except Exception` catches it."""


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Raise `TooLong` after so many seconds of computing, or after WAITING; end the process where no signal helps."""

    def stop(*_: object) -> None:
        raise TooLong

    timers = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, WAITING)}
    before = {number: signal.signal(number, stop) for number in timers}
    for timer, limit in timers.values():
        signal.setitimer(timer, limit)
    faulthandler.dump_traceback_later(2 * WAITING, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        for number, (timer, _) in timers.items():
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])
