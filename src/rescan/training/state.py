"""The state of a training: a folder outside the declared outputs, from which the trainer goes on or is done at once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from rescan import touched
from rescan.catalogue import KNOWN_COLUMNS
from rescan.errors import RescanError
from rescan.files import copy_file, fingerprint, sha256, write_tensors, writing
from rescan.log import logger
from rescan.paths import StateFolder
from rescan.results.damage import damaged
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
    if start is not None:
        touched.read(start)
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
    """Whether the folder holds the outputs of a finished training with this key, as they were written."""
    state = _read(folder)
    if state is None or not state.finished or state.key != key:
        return False
    outputs = Path(StateFolder(folder).outputs)
    changed = _changed(outputs, state.checksums) if state.checksums else [outputs]  # of an older version
    if changed:
        logger.warning("%s: is not as the training left it: training starts anew", changed[0])
    return not changed


def load(folder: Path, key: TrainingKey) -> tuple[Progress, dict[str, Any]] | None:
    """Read an unfinished training with this key: its progress and what was saved with it (see `save`).

    Returns:
        None if there is none: then the folder is emptied.
    """
    state = _read(folder, say=True)
    if state is not None and state.key != key:
        differences = " and ".join(key.differences(state.key))
        logger.info("an earlier training of this run had another %s: training starts anew", differences)
    elif state is not None and not state.finished:  # of a finished one, `finished` says what is wrong
        changed = _changed(folder, {file: state.checksums.get(file) for file in state.files.values()})
        if not changed and state.progress is not None and {"network", "optimizer"} <= set(state.files):
            tensors = {name: load_file(folder / file) for name, file in state.files.items()}
            return state.progress, {**tensors, "optimizer options": state.optimizer}
        logger.warning("%s: is not as the training left it: training starts anew", [*changed, folder][0])
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    return None


def _read(folder: Path, *, say: bool = False) -> TrainingState | None:
    """The state in a folder; None if there is none that is whole."""
    file = StateFolder(folder).state
    try:
        state = TrainingState.read_if_there(file)
        if state is None or state.is_whole:
            return state
        raise damaged(file, TrainingState.step, "its fingerprint does not fit")
    except RescanError as error:
        if say:
            logger.warning("%s: training starts anew", error)
    return None


def _changed(folder: Path, checksums: Mapping[str, str | None]) -> list[Path]:
    """The files of a folder that are missing, or not as their checksums say."""
    files = {folder / name: digest for name, digest in checksums.items()}
    return [file for file, digest in files.items() if not file.is_file() or sha256(file) != digest]


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
    before = _read(folder)
    checksums = {
        files["network"]: _write(folder / files["network"], network.state_dict()),
        files["optimizer"]: _write(folder / files["optimizer"], tensors),
    }
    epochs = {"best": progress.best_epoch, "finite": progress.finite_epoch}
    for name, weights in kept.items():
        if weights is not None:
            files[name] = file = f"{name}-{progress.stage}-{epochs[name]}.safetensors"
            known = None if before is None or not (folder / file).exists() else before.checksums.get(file)
            checksums[file] = known or _write(folder / file, weights)
    TrainingState(
        key=key, finished=False, progress=progress, files=files, optimizer=options, checksums=checksums
    ).write(StateFolder(folder).state)
    _remove_tensors(folder, except_for=set(files.values()))


def finish(folder: Path, key: TrainingKey) -> None:
    """Mark the training as finished; its outputs lie in the folder's `outputs`."""
    checksums = {output.name: sha256(output) for output in _outputs(folder)}
    TrainingState(key=key, finished=True, checksums=checksums).write(StateFolder(folder).state)
    _remove_tensors(folder, except_for=set())


def publish(folder: Path, run: Path) -> None:
    """Copy the outputs of a finished training into the run's folder, so that who edits them leaves the state whole.

    Where the file system can share the bytes of copies until one is edited, they take no room.
    """
    for output in _outputs(folder):
        with writing(run / output.name) as temporary:
            copy_file(output, temporary)


def _outputs(folder: Path) -> list[Path]:
    return sorted(Path(StateFolder(folder).outputs).glob("[!.]*"))


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


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> str:
    """Write tensors; returns the file's checksum."""
    write_tensors(path, save_file, {name: value.detach().cpu().contiguous() for name, value in tensors.items()})
    return sha256(path)


def _remove_tensors(folder: Path, except_for: set[str]) -> None:
    for path in folder.glob("*.safetensors"):
        if path.name not in except_for:
            path.unlink()
