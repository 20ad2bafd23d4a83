"""What surrounds the work of every step: its lock, what a killed one left, and its provenance."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rescan.errors import NoRoomError, in_words, is_full
from rescan.files import remove_temporaries
from rescan.locks import locked
from rescan.memory import check_need
from rescan.paths import Paths

if TYPE_CHECKING:
    from rescan.study import AnyRun, Study
    from rescan.workload.work import Work

DRIVER = Path("/proc/driver/nvidia/version")  # where there is one of NVIDIA
HEAVY = {"audit", "preprocess", "pretrain", "train", "infer", "evaluate", "gradcam"}  # whose memory is looked at


@contextmanager
def running(
    step: str,
    *outputs: str,
    study: Study | None = None,
    name: str | None = None,
    fold: int | None = None,
    seed: int | None = None,
    stop_waiting: Callable[[], str | None] = lambda: None,
    must: bool = False,
    processes: int = 1,
    device: str = "cpu",
) -> Iterator[None]:
    """Do a step's work in this block: of two at once, one works, the other waits, and then does its own.

    What it reads and writes is noted, and stands in its provenance when it has succeeded. What it will need of memory,
    and of a disk that turns out to be full, is said.

    Args:
        step: The step's name.
        outputs: What it writes: files, and folders that are all its own. The first one's lock is held.
        study: The study; None of a step that serves all.
        name: Of the arm, the preparation, the autoencoder or the encoder, where the step is of one.
        fold: The fold, where the step is of one.
        seed: The seed, where the step is of one.
        stop_waiting: Gives the reason to stop waiting for another process, or None.
        must: Whether the step refuses a file system without locks.
        processes: How many of a pool it starts.
        device: auto, cpu or cuda.

    Raises:
        RescanError: As `locked` does; or the disk is full.
    """
    from rescan.trace.provenance import traced

    with locked(outputs[0], step, stop_waiting, must=must):
        for output in outputs:
            remove_temporaries(Path(output))
        if step in HEAVY and (work := _work(step, study, name)) is not None:
            gpus = device == "cuda" or (device == "auto" and DRIVER.exists())
            check_need(step if name is None else f"{step} of {name}", work.peak_mb(processes, gpus=gpus) * 1e6)
        try:
            with traced(step, study, name, fold, seed):
                yield
        except OSError as error:
            line = None if not is_full(error) else in_words(error, _space(step, study, name))
            if line is None:
                raise
            raise NoRoomError(line) from None


def _work(step: str, study: Study | None, name: str | None) -> Work | None:
    """What is known of a step's work; None if nothing is."""
    from rescan.workload.jobs import Jobs

    if study is None or not hasattr(Jobs, step):
        return None
    work: Work = getattr(Jobs(study), step)(*([] if name is None else [name]))
    return work


def _space(step: str, study: Study | None, name: str | None) -> str:
    """What a step writes, in words; "" if that is not known."""
    from rescan.workload.estimate_rows import size_of

    work = _work(step, study, name)
    megabytes = 0.0 if work is None else work.disk_mb + work.scratch_mb
    return size_of(megabytes) if megabytes else ""


def running_run(
    step: str,
    run: AnyRun,
    *outputs: str,
    stop_waiting: Callable[[], str | None] = lambda: None,
    must: bool = False,
    device: str = "cpu",
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
        device=device,
    )


def paths_of(study: Study) -> Paths:
    """Where a study's files lie."""
    return Paths(study.scale, study.name)
