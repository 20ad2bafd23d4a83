"""The state of a training: a folder outside the declared outputs, from which the trainer goes on or is done at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rescan.catalogue import KNOWN_COLUMNS
from rescan.errors import RescanError
from rescan.files import fingerprint, sha256, write_tensors, writing
from rescan.log import logger
from rescan.paths import StateFolder
from rescan.results.training_state import Progress, TrainingKey, TrainingState
from rescan.study import TRAINING_VERSION, AnyRun


def key_of(run: AnyRun, items: pd.DataFrame, *, device: str, threads: int | None) -> TrainingKey:
    """Collect all that a training's result depends on.

    Args:
        run: What is trained.
        items: The run's items (`loader.read_items`).
        device: `cpu` or `cuda`.
        threads: Torch's threads, which change results on a CPU.

    Raises:
        RescanError: The store or the pretrained weights are missing.
    """
    start = run.start_weights
    if start is not None and not Path(start).exists():
        step = "pretrain" if run.study.autoencoder(run.name) else "weights"
        raise RescanError(f"{start}: no such file; run `rescan {step}`, or train from scratch with weights=none")
    relevant = items[~items["part"].isin(["unlabeled"] if run.sees_test else ["unlabeled", "test"])]
    columns = ["sample", "target", "part", "origin", *(name for name in KNOWN_COLUMNS if name in items)]
    return TrainingKey(
        recipe=run.key,
        images=fingerprint(relevant["digest"].tolist()),
        split=fingerprint(relevant[columns].to_numpy().tolist()),
        fold=run.fold,
        seed=run.seed,
        pretrained_weights=sha256(Path(start)) if start else "",
        version_of_the_trainer=TRAINING_VERSION,
        device=device,
        threads=threads if device == "cpu" else 0,
    )


def finished(folder: Path, key: TrainingKey) -> bool:
    """Whether the folder holds the outputs of a finished training with this key."""
    try:
        state = TrainingState.read_if_there(StateFolder(folder).state)
    except RescanError:  # `load` warns of it
        return False
    return state is not None and state.finished and state.key == key and Path(StateFolder(folder).outputs).is_dir()


def load(folder: Path, key: TrainingKey) -> tuple[Progress, dict[str, Any]] | None:
    """Read an unfinished training with this key: its progress and what was saved with it (see `save`).

    Returns:
        None if there is none: then the folder is emptied.
    """
    try:
        state = TrainingState.read_if_there(StateFolder(folder).state)
    except RescanError as error:
        logger.warning("%s: training starts anew", error)
        state = None
    if state is not None and state.key != key:
        differences = " and ".join(key.differences(state.key))
        logger.info("an earlier training of this run had another %s: training starts anew", differences)
    elif state is not None:
        try:
            tensors = {name: load_file(folder / file) for name, file in state.files.items()}
            if state.progress is not None and {"network", "optimizer"} <= set(tensors):
                return state.progress, {**tensors, "optimizer options": state.optimizer}
        except (OSError, SafetensorError):
            pass
        logger.warning("%s: not whole: training starts anew", folder)
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return None


def save(
    folder: Path,
    key: TrainingKey,
    progress: Progress,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    kept: Mapping[str, dict[str, torch.Tensor] | None],
) -> None:
    """Save an unfinished training. If this is cut short, the folder holds the earlier state or this one, whole.

    Args:
        folder: The state's folder.
        key: What the result depends on.
        progress: Where the training stands.
        network: Its network.
        optimizer: Its optimizer.
        kept: Weights of the past: `best` of the best epoch, or `finite`, if there are any.
    """
    tensors, options = pack(optimizer)
    place = f"{progress.stage}-{progress.epoch}-{progress.step}"
    files = {"network": f"network-{place}.safetensors", "optimizer": f"optimizer-{place}.safetensors"}
    _write(folder / files["network"], network.state_dict())
    _write(folder / files["optimizer"], tensors)
    epochs = {"best": progress.best_epoch, "finite": progress.finite_epoch}
    for name, weights in kept.items():
        if weights is not None:
            files[name] = f"{name}-{progress.stage}-{epochs[name]}.safetensors"
            if not (folder / files[name]).exists():
                _write(folder / files[name], weights)
    state = TrainingState(key=key, finished=False, progress=progress, files=files, optimizer=options)
    state.write(StateFolder(folder).state)
    _remove_tensors(folder, except_for=set(files.values()))


def finish(folder: Path, key: TrainingKey) -> None:
    """Mark the training as finished; its outputs lie in the folder's `outputs`."""
    TrainingState(key=key, finished=True).write(StateFolder(folder).state)
    _remove_tensors(folder, except_for=set())


def publish(folder: Path, run: Path) -> None:
    """Link the outputs of a finished training into the run's folder; copy them where links cannot be."""
    for output in sorted(Path(StateFolder(folder).outputs).glob("[!.]*")):
        with writing(run / output.name) as temporary:
            temporary.unlink(missing_ok=True)
            try:
                os.link(output, temporary)
            except OSError:
                shutil.copyfile(output, temporary)
            os.utime(temporary)  # newer than the inputs, or the workflow would run this again and again


def pack(optimizer: torch.optim.Optimizer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Split an optimizer's state into tensors (`<parameter>.<name>`) and what JSON can hold."""
    state = optimizer.state_dict()
    flat = {f"{number}.{name}": value for number, values in state["state"].items() for name, value in values.items()}
    tensors = {name: value for name, value in flat.items() if isinstance(value, torch.Tensor)}
    return tensors, {"scalars": {n: v for n, v in flat.items() if n not in tensors}, "groups": state["param_groups"]}


def unpack(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor], options: dict[str, Any]) -> None:
    """Give an optimizer the state that `pack` took."""
    state: dict[int, dict[str, Any]] = {}
    for name, value in {**options["scalars"], **tensors}.items():
        number, _, entry = name.partition(".")
        state.setdefault(int(number), {})[entry] = value
    optimizer.load_state_dict({"state": state, "param_groups": options["groups"]})


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    write_tensors(path, save_file, {name: value.detach().cpu().contiguous() for name, value in tensors.items()})


def _remove_tensors(folder: Path, except_for: set[str]) -> None:
    for path in folder.glob("*.safetensors"):
        if path.name not in except_for:
            path.unlink()
