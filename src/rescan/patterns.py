"""Regular expressions that a person gives: `(a+)+b` takes longer than the universe on thirty letters."""

from __future__ import annotations

import re
import signal
import threading
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Callable, TypeVar

from rescan.errors import RescanError, shown

SECONDS = 10.0  # for all texts, and
SECONDS_EACH = 0.001  # more for each: a good pattern takes a thousandth of it

Found = TypeVar("Found")


def compiled(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """A pattern, compiled.

    Raises:
        ValueError: It is not a regular expression.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what another version of Python would refuse
            return re.compile(pattern, flags)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"{pattern[:100]!r} is not a regular expression ({error})") from None


def matched(match: Callable[[str], Found], texts: Iterable[str], key: str) -> list[Found]:
    """What a pattern finds in each text, as long as it does not take too long.

    The time is watched where signals reach: in the main thread, whose matching Python interrupts for them.

    Args:
        match: Looks for the pattern in a text.
        texts: The texts.
        key: The key or option that gives the pattern, and the pattern, for the message.

    Raises:
        RescanError: It takes too long, as patterns with a repeat inside a repeat do.
    """
    texts = list(texts)
    found: list[Found] = []
    try:
        with _time_limit(SECONDS + SECONDS_EACH * len(texts)):
            found.extend(match(text) for text in texts)
    except _TooLongError:
        remedy = "take out the repeat inside a repeat, as in (a+)+"
        raise RescanError(f"{shown(key)}: takes too long on {shown(texts[len(found)])}; {remedy}") from None
    return found


class _TooLongError(Exception):
    pass


def _stop(*_: object) -> None:
    raise _TooLongError


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
