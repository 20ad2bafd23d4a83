"""A training as a job: it can be stopped at any time, goes on where it was, and is done at once if it is finished."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from rescan import stopping
from rescan.files import together
from rescan.log import logger
from rescan.paths import RunFolder
from rescan.results.history_files import HISTORY, LOSSES
from rescan.results.training_state import Progress
from rescan.study import AnyRun
from rescan.training import loader, state
from rescan.training.lease import Machine
from rescan.training.precision import Precision
from rescan.training.task import Task
from rescan.training.trainer import Trainer


@dataclass(frozen=True)
class Clock:
    """How much time a job has.

    Attributes:
        minutes: When it will be killed, from when it began: it stops itself two minutes earlier. None: never.
        began: When it began, by `time.monotonic`.
    """

    minutes: float | None = None
    began: float = field(default_factory=time.monotonic)

    def time_is_up(self) -> str | None:
        """The reason to stop, from two minutes before the time is over (or half of it, if that is later)."""
        if self.minutes is None or time.monotonic() - self.began < 60 * max(self.minutes - 2, self.minutes / 2):
            return None
        return f"stopped before its {self.minutes:g} minutes are over"


Draw = Callable[[str], None]  # draws what a folder of outputs holds, as of its history


def no_drawing(outputs: str) -> None:
    """Draw nothing."""


def train_once(task_class: type[Task], run: AnyRun, machine: Machine, clock: Clock, draw: Draw) -> None:
    """Train what is to be trained once, or go on where an earlier call was stopped; write its outputs.

    On a CPU, a training that was stopped and resumed gives the same model, bit for bit, as one that was not. Only one
    process at a time may be at a run: the commands hold its lock (`rescan.locks`).

    Args:
        task_class: The task.
        run: What is trained.
        machine: What the job may use. On a CPU another number of threads changes results, so it starts anew.
        clock: How much time the job has.
        draw: Draws the figures of the outputs; what it writes takes its place together with them.

    Raises:
        RescanError: The data do not allow the training; the loss is not finite; the GPU's memory is too small; or the
            training was stopped (then another call goes on).
    """
    folder = Path(run.state_folder)
    folder.mkdir(parents=True, exist_ok=True)
    images, items = loader.read_items(run)
    keys = {kind: state.key_of(run, items, device=kind, threads=machine.threads) for kind in ("cpu", "cuda")}
    if any(state.finished(folder, key) for kind, key in keys.items() if machine.device in ("auto", kind)):
        logger.info("%s: trained already with these settings and data", run.folder)
    else:
        with machine.lease() as device, stop_requests(clock) as stop_reason:
            task = task_class(run, images, items, Precision(device))
            trainer = Trainer(task, keys[device.type], stop_reason)
            trainer.train()
            write_outputs(task, trainer.progress)
            state.finish(folder, keys[device.type])
    with together():
        state.publish(folder, Path(run.folder))
        draw(run.state_folder.outputs)


def write_outputs(task: Task, progress: Progress) -> None:
    """Write what the task makes of its network, the history and the losses into the state folder."""
    outputs = RunFolder(task.run.state_folder.outputs)
    task.write(outputs)
    history = pd.DataFrame(progress.history)
    best = len(history) - 1 if progress.best_epoch is None else progress.best_epoch
    if progress.best_epoch is None and task.run.settings.keep != "last":
        logger.warning("%s: no epoch has a score to be kept by; the last one is kept", task.run.label)
    HISTORY.write(outputs.history, history.assign(kept=(history["epoch"] == best).astype(int)))
    losses = pd.DataFrame([row for row in progress.losses if math.isfinite(row[1])], columns=["step", "loss"])
    LOSSES.write(outputs.losses, losses.astype({"step": int}))


@contextmanager
def stop_requests(clock: Clock) -> Iterator[Callable[[], str | None]]:
    """Yield a function that says why to stop, or None: after SIGTERM or SIGINT, or when the job's time is nearly up."""
    with stopping.noted() as asked:
        yield lambda: f"stopped by {stopping.first()}" if asked.is_set() else clock.time_is_up()
