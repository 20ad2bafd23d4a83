"""Whether a workflow makes a study's results now, or how the last one ended: `.progress` in the study's folder.

The workflow holds a lock on the file, which ends with it, however it ends. The file says how it ended, if it could.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from rescan.paths import Paths

RUNNING, FAILED, DONE = "running", "failed", "done"
STOPPED = "stopped"  # what a file that says `running` without a lock means


class Progress:
    """A workflow's mark on the studies that it makes results of."""

    def __init__(self, studies: Iterable[Paths]) -> None:
        """Mark the studies as running."""
        self._files = []
        for paths in studies:
            Path(paths.results).mkdir(parents=True, exist_ok=True)
            file = os.open(paths.progress, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(file, fcntl.LOCK_SH)  # shared: several workflows may have jobs for a study
            self._files.append(file)
        self._say(RUNNING)

    def end(self, how: str) -> None:
        """Say how the workflow ended, and take the marks away."""
        self._say(how)
        for file in self._files:
            os.close(file)
        self._files = []

    def _say(self, word: str) -> None:
        for file in self._files:
            os.ftruncate(file, 0)
            os.pwrite(file, word.encode(), 0)


def progress_of(path: str | Path) -> tuple[str, float]:
    """How a study stands, by its `.progress`, and since when (seconds since the epoch).

    Returns:
        RUNNING, FAILED, STOPPED or DONE; DONE where there is no such file.
    """
    try:
        with Path(path).open("rb") as file:
            since = os.fstat(file.fileno()).st_mtime
            word = file.read().decode()
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return RUNNING, since
    except OSError:
        return DONE, 0.0
    return (STOPPED if word == RUNNING else word), since
