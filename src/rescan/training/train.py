"""Training a run: from the store and the splits to model, history and network summary; stopping and going on."""

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
from rescan.paths import Paths, RunFolder, StateFolder
from rescan.study import TRAINING_VERSION, Study
from rescan.training import lease, loader, state
from rescan.training.pretrainer import Pretrainer
from rescan.training.trainer import Trainer


def train(
    study: Study,
    arm: str,
    fold: int,
    seed: int,
    *,
    device: str = "auto",
    threads: int = 1,
    runtime_minutes: float | None = None,
    jobs_per_gpu: int = 1,
) -> None:
    """Train an arm once, or go on where an earlier call was stopped; write model, history and network summary.

    Of an autoencoder, encoder, history and reconstructions are written.

    On a CPU, a training that was stopped and resumed gives the same model, bit for bit, as one that was not.

    Args:
        study: The resolved study.
        arm: Its arm; or `autoencoders/<name>`, an autoencoder of the study.
        fold: The fold.
        seed: The seed.
        device: `auto`, `cpu` or `cuda`.
        threads: Torch's threads. On a CPU they change results, so another number starts the training anew.
        runtime_minutes: When the job will be killed, from now: it stops itself two minutes earlier.
        jobs_per_gpu: How many jobs may share a GPU.

    Raises:
        RescanError: The data do not allow the training; the loss is not finite; the GPU's memory is too small; another
            process trains this run; or the training was stopped (then another call goes on).
    """
    began = time.monotonic()
    paths = Paths(study.scale, study.name)
    folder, run = Path(paths.state(arm, fold, seed)), Path(paths.run(arm, fold, seed))
    with state.locked(folder):
        images, items = loader.read_items(study, arm, fold, seed)
        keys = {
            kind: state.key_of(study, arm, fold, seed, items, device=kind, threads=threads) for kind in ("cpu", "cuda")
        }
        if any(state.finished(folder, key) for kind, key in keys.items() if device in ("auto", kind)):
            logger.info("%s: trained already with these settings and data", run)
        else:
            with lease.held(device, jobs_per_gpu) as held, stop_requests(began, runtime_minutes) as stop_reason:
                torch.set_num_threads(threads)
                trainer = (Trainer if arm in study.arms else Pretrainer)(
                    study,
                    arm,
                    fold,
                    seed,
                    device=held,
                    images=images,
                    items=items,
                    folder=folder,
                    key=keys[held.type],
                    run=run,
                    stop_reason=stop_reason,
                )
                with closing(trainer.tensorboard):
                    trainer.run_stages()
                write_outputs(trainer, study, fold)
        state.publish(folder, run)


def write_outputs(trainer: Trainer, study: Study, fold: int) -> None:
    """Write model, history, losses and the network's summary into the state folder, which is finished then."""
    outputs = RunFolder(StateFolder(trainer.folder).outputs)
    if trainer.best is not None:
        trainer.network.load_state_dict(trainer.best)
    header = {
        "version": __version__,
        "study": study.name,
        "scale": study.scale,
        "arm": trainer.arm,
        "fold": fold,
        "seed": trainer.seed,
        "recipe": trainer.recipe.model_dump(mode="json"),
        "classes": study.data.classes,
        "preparation": study.preparations[trainer.recipe.preparation].model_dump(mode="json"),
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
