"""Messages and progress: the same lines go to the log file and to stderr; a bar is drawn on a terminal only."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from rescan.errors import in_words

Item = TypeVar("Item")
logger = logging.getLogger("rescan")


class _LogFile(logging.FileHandler):
    """A log file; where it cannot be written, as on a full disk, stderr says so once, and the work goes on."""

    def handleError(self, _: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Leave the file."""
        logger.removeHandler(self)
        with suppress(OSError):
            self.close()
        error = sys.exc_info()[1]
        reason = in_words(error) if isinstance(error, OSError) else error
        logger.warning("%s: messages are no longer written there: %s", self.baseFilename, reason)


def start(log: Path | None) -> None:
    """Send messages to stderr and, if given, also to the file `log`, which is replaced."""
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(_LogFile(log, mode="w", encoding="utf-8", errors="backslashreplace"))
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", datefmt="%H:%M:%S"))
    logger.handlers[:] = handlers
    logger.setLevel(logging.INFO)
    logger.propagate = False


def progress(items: Iterable[Item], total: int, name: str) -> Iterator[Item]:
    """Yield `items` and show the progress: a bar on a terminal, else a line every 15 seconds and one at the end.

    Programs that call Rescan, and have not called `start`, get no bar.
    """
    if logger.handlers and sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=name, leave=False)
        return
    began = last_line = time.monotonic()
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last_line > 15:
            logger.info("%s: %d of %d after %.0f s", name, count, total, now - began)
            last_line = now
    logger.info("%s: %d done in %.1f s", name, total, time.monotonic() - began)
