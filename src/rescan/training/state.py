"""The state of a training: a folder outside the declared outputs, from which the trainer goes on or is done at once."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from rescan.catalogue import KNOWN_COLUMNS
from rescan.errors import RescanError
from rescan.files import fingerprint, sha256, write_json, writing
from rescan.log import logger
from rescan.paths import StateFolder
from rescan.study import TRAINING_VERSION, AnyRun


@dataclasses.dataclass
class Progress:
    """Where a training stands. JSON keeps all of it exactly."""

    stage: int = 0  # number of the stage
    epoch: int = 0  # within the stage
    step: int = 0  # batches of this epoch that are done
    sums: list[float] = dataclasses.field(default_factory=lambda: [0.0] * 3)  # of this epoch: loss, correct, images
    updates: int = 0  # steps of the optimizer, in all
    before: int = 0  # those of the stages before
    seconds: float = 0.0  # spent on this epoch
    waited: int = 0  # epochs since the stage's best, for early stopping
    stage_best: float | None = None
    best: float | None = None
    best_epoch: int | None = None  # row of the history whose weights are kept
    history: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    losses: list[list[float]] = dataclasses.field(default_factory=list)  # of the optimizer's steps: number, loss
    scaler: dict[str, Any] = dataclasses.field(default_factory=dict)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder's exclusive lock.

    Raises:
        RescanError: Another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with Path(StateFolder(folder).lock).open("a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            holder = stream.read() or "unknown"
            raise RescanError(
                f"{folder}: another training of this run is under way (pid {holder}); wait for it or stop it"
            ) from None
        stream.truncate(0)
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def key_of(run: AnyRun, items: pd.DataFrame, *, device: str, threads: int | None) -> dict[str, Any]:
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
    learned = items[~items["part"].isin(["unlabeled"] if run.sees_test else ["unlabeled", "test"])]
    described = ["sample", "target", "part", "origin", *(name for name in KNOWN_COLUMNS if name in items)]
    return {
        "recipe": run.key,
        "images": fingerprint(learned["digest"].tolist()),
        "split": fingerprint(learned[described].to_numpy().tolist()),
        "fold": run.fold,
        "seed": run.seed,
        "pretrained weights": sha256(Path(start)) if start else "",
        "version of the trainer": TRAINING_VERSION,
        "device": device,
        "threads": threads if device == "cpu" else 0,
    }


def finished(folder: Path, key: dict[str, Any]) -> bool:
    """Whether the folder holds the outputs of a finished training with this key."""
    saved = _read(folder)
    return saved.get("key") == key and saved.get("finished", False) and Path(StateFolder(folder).outputs).is_dir()


def load(folder: Path, key: dict[str, Any]) -> tuple[Progress, dict[str, Any]] | None:
    """Read an unfinished training with this key: its progress and what was saved with it (see `save`).

    Returns:
        None if there is none: then the folder is emptied.
    """
    saved = _read(folder)
    if saved.get("key") == key:
        try:
            tensors = {name: load_file(folder / file) for name, file in saved["files"].items()}
            return Progress(**saved["progress"]), {**tensors, "optimizer options": saved["optimizer"]}
        except (OSError, SafetensorError, KeyError, TypeError):
            logger.warning("%s: cannot be read: training starts anew", folder)
    elif saved:
        other = [name for name in key if saved.get("key", {}).get(name) != key[name]]
        logger.info("an earlier training of this run had another %s: training starts anew", " and ".join(other))
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path != Path(StateFolder(folder).lock):
            path.unlink()
    return None


def save(
    folder: Path,
    key: dict[str, Any],
    progress: Progress,
    network: torch.nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    best: dict[str, torch.Tensor] | None,
) -> None:
    """Save an unfinished training. If this is cut short, the folder holds the earlier state or this one, whole."""
    tensors, options = pack(optimizer)
    place = f"{progress.stage}-{progress.epoch}-{progress.step}"
    files = {"network": f"network-{place}.safetensors", "optimizer": f"optimizer-{place}.safetensors"}
    _write(folder / files["network"], network.state_dict())
    _write(folder / files["optimizer"], tensors)
    if best is not None:
        files["best"] = f"best-{progress.best_epoch}.safetensors"
        if not (folder / files["best"]).exists():
            _write(folder / files["best"], best)
    content = {"key": key, "finished": False, "progress": dataclasses.asdict(progress)}
    write_json(Path(StateFolder(folder).state), {**content, "files": files, "optimizer": options})
    _remove_tensors(folder, except_for=set(files.values()))


def finish(folder: Path, key: dict[str, Any]) -> None:
    """Mark the training as finished; its outputs lie in the folder's `outputs`."""
    write_json(Path(StateFolder(folder).state), {"key": key, "finished": True})
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


def _read(folder: Path) -> dict[str, Any]:
    path = Path(StateFolder(folder).state)
    try:
        return json.loads(path.read_text("utf-8")) if path.exists() else {}
    except ValueError:
        return {}


def _write(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    with writing(path) as temporary:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary)


def _remove_tensors(folder: Path, except_for: set[str]) -> None:
    for path in folder.glob("*.safetensors"):
        if path.name not in except_for:
            path.unlink()
