"""What surrounds the work of every step: its lock, and what a killed one left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rescan.files import remove_temporaries
from rescan.locks import locked
from rescan.paths import Paths

if TYPE_CHECKING:
    from rescan.study import AnyRun, Study


@contextmanager
def running(
    step: str,
    *outputs: str,
    study: Study | None = None,  # noqa: ARG001 - it and the next three say which run this is
    name: str | None = None,  # noqa: ARG001
    fold: int | None = None,  # noqa: ARG001
    seed: int | None = None,  # noqa: ARG001
    stop_waiting: Callable[[], str | None] = lambda: None,
    must: bool = False,
) -> Iterator[None]:
    """Do a step's work in this block: of two at once, one works, the other waits, and then does its own.

    Args:
        step: The step's name.
        outputs: What it writes: files, and folders that are all its own. The first one's lock is held.
        study: The study; None of a step that serves all.
        name: Of the arm, the preparation, the autoencoder or the encoder, where the step is of one.
        fold: The fold, where the step is of one.
        seed: The seed, where the step is of one.
        stop_waiting: Gives the reason to stop waiting for another process, or None.
        must: Whether the step refuses a file system without locks.

    Raises:
        RescanError: As `locked` does.
    """
    with locked(outputs[0], step, stop_waiting, must=must):
        for output in outputs:
            remove_temporaries(Path(output))
        yield


def running_run(
    step: str, run: AnyRun, *outputs: str, stop_waiting: Callable[[], str | None] = lambda: None, must: bool = False
) -> AbstractContextManager[None]:
    """The same of a step of one run."""
    return running(
        step,
        *outputs,
        study=run.study,
        name=run.name,
        fold=run.fold,
        seed=run.seed,
        stop_waiting=stop_waiting,
        must=must,
    )


def paths_of(study: Study) -> Paths:
    """Where a study's files lie."""
    return Paths(study.scale, study.name)
