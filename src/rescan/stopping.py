"""What SIGINT and SIGTERM do to a command: it ends in one line, with the exit code that shells expect, 130 or 143.

Any step may be killed at any time without harm; so this is only to leave less behind, and to say it in words.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE_SECONDS = 10.0
LINE = "stopped by %s; the same command goes on, or begins again"
_received: list[signal.Signals] = []
_holding: list[bool] = []  # per block of `held`, whether a signal came in it


class Stopped(BaseException):
    """A signal asks this process to stop."""


def stoppable() -> None:
    """Let SIGINT and SIGTERM raise `Stopped` in the main thread.

    While something is imported they end the process at once: nothing is under way then, and code that is being loaded
    may not pass exceptions on. So does a second signal, and the first one if ten seconds later the process is there.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) != signal.SIG_IGN:  # as `nohup` and a shell's `&` want it
            signal.signal(number, _receive)


@contextmanager
def held() -> Iterator[None]:
    """Let a signal that comes in the block raise `Stopped` behind it: a process that is half started cannot be ended.

    Only in the main thread, where signals raise anything.

    Raises:
        Stopped: A signal came.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _holding.append(False)
    try:
        yield
    finally:
        came = _holding.pop()
    if came:
        raise Stopped


@contextmanager
def noted() -> Iterator[threading.Event]:
    """Let SIGINT and SIGTERM only be noted while the block runs, in the main thread; yield what is set by the first.

    Who waits for the event wakes up by it; what is under way is ended by whoever looks at it. A second signal ends the
    process at once.
    """
    asked = threading.Event()

    def note(number: int, _: FrameType | None) -> None:
        receive(number)
        if asked.is_set():
            _end()
        asked.set()

    numbers = [number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def receive(number: int) -> signal.Signals:
    """Note a signal, and give it back; `exit_code` is that of the first."""
    _received.append(signal.Signals(number))
    return _received[-1]


def exit_code() -> int | None:
    """What a process ends with that was asked to stop; None if it was not."""
    return 128 + _received[0] if _received else None


def first() -> str:
    """The name of the first signal that was received."""
    return _received[0].name


def line() -> str:
    """What is said of the signal that was received."""
    return LINE % first()


def _receive(number: int, frame: FrameType | None) -> None:
    again = bool(_received)
    receive(number)
    if again or _imports(frame):
        _end()
    patience = threading.Timer(PATIENCE_SECONDS, _end)
    patience.daemon = True
    patience.start()
    if not _holding:
        raise Stopped
    _holding[0] = True


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _end() -> None:
    print(line(), file=sys.stderr, flush=True)  # noqa: T201 - logging may be what was interrupted
    os._exit(exit_code() or 1)
