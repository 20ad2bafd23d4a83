"""A training as a job: it can be stopped at any time, goes on where it was, and is done at once if it is finished."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from rescan import __version__
from rescan.files import write_table
from rescan.log import logger
from rescan.paths import RunFolder
from rescan.study import TRAINING_VERSION, AnyRun
from rescan.training import loader, state
from rescan.training.lease import Machine
from rescan.training.trainer import Trainer


def train_once(trainer_class: type[Trainer], run: AnyRun, machine: Machine, runtime_minutes: float | None) -> None:
    """Train what is to be trained once, or go on where an earlier call was stopped; write its outputs.

    On a CPU, a training that was stopped and resumed gives the same model, bit for bit, as one that was not.

    Args:
        trainer_class: `Trainer`, or one for another network.
        run: What is trained.
        machine: What the job may use. On a CPU another number of threads changes results, so it starts anew.
        runtime_minutes: When the job will be killed, from now: it stops itself two minutes earlier.

    Raises:
        RescanError: The data do not allow the training; the loss is not finite; the GPU's memory is too small; another
            process trains this run; or the training was stopped (then another call goes on).
    """
    began, folder = time.monotonic(), Path(run.state_folder)
    with state.locked(folder):
        images, items = loader.read_items(run)
        keys = {kind: state.key_of(run, items, device=kind, threads=machine.threads) for kind in ("cpu", "cuda")}
        if any(state.finished(folder, key) for kind, key in keys.items() if machine.device in ("auto", kind)):
            logger.info("%s: trained already with these settings and data", run.folder)
        else:
            with machine.lease() as device, stop_requests(began, runtime_minutes) as stop_reason:
                trainer = trainer_class(
                    run, device=device, images=images, items=items, key=keys[device.type], stop_reason=stop_reason
                )
                with closing(trainer.tensorboard):
                    trainer.run_stages()
                write_outputs(trainer)
        state.publish(folder, Path(run.folder))


def write_outputs(trainer: Trainer) -> None:
    """Write model, history, losses and the network's summary into the state folder, which is finished then."""
    run = trainer.run
    outputs = RunFolder(run.state_folder.outputs)
    if trainer.best is not None:
        trainer.network.load_state_dict(trainer.best)
    header = {
        "version": __version__,
        "study": run.study.name,
        "scale": run.study.scale,
        "arm": run.name,
        "fold": run.fold,
        "seed": run.seed,
        "recipe": run.settings.model_dump(mode="json"),
        "classes": run.study.data.classes,
        "preparation": run.preparation.model_dump(mode="json"),
        "input": list(trainer.input),
        "torch": str(torch.__version__),
        "training_version": TRAINING_VERSION,
    }
    trainer.write(Path(outputs), header)
    history = pd.DataFrame(trainer.progress.history)
    kept = len(history) - 1 if trainer.progress.best_epoch is None else trainer.progress.best_epoch
    write_table(outputs.history, history.assign(kept=(history["epoch"] == kept).astype(int)))
    losses = pd.DataFrame(trainer.progress.losses, columns=["step", "loss"])
    write_table(outputs.losses, losses.astype({"step": int}))
    state.finish(trainer.folder, trainer.key)


@contextmanager
def stop_requests(began: float, runtime_minutes: float | None) -> Iterator[Callable[[], str | None]]:
    """Yield a function that says why to stop, or None: after SIGTERM or SIGINT, or when the job's time is nearly up.

    Args:
        began: When the job began, by `time.monotonic`.
        runtime_minutes: The job's time: two minutes before it is over (or at half of it, if that is later) there is a
            reason to stop.
    """
    received: list[str] = []

    def receive(number: int, _: Any) -> None:
        received.append(signal.Signals(number).name)

    def reason() -> str | None:
        if received:
            return f"by {received[0]}"
        if runtime_minutes is None or time.monotonic() - began < 60 * max(runtime_minutes - 2, runtime_minutes / 2):
            return None
        return f"before its {runtime_minutes:g} minutes are over"

    before = {number: signal.signal(number, receive) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield reason
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
