"""What `make gpu-check` trains: small studies with stores of made-up images, and the parts of a training by hand."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd
import torch
from tests.sample_files import store_of, write_known

from rescan.files import fingerprint, write_table
from rescan.paths import Paths
from rescan.preparation.store import digest_of
from rescan.results.packed_store import ITEMS
from rescan.study import Run, Study, write_resolved
from rescan.training import loader, state, trainer
from rescan.training.classification import Classification
from rescan.training.precision import Precision, _grad_scaler
from rescan.training.trainer import Trainer

CLASSES = ("a", "b")
AUGMENTATION = {
    2: {"shear": 10, "zoom": [0.8, 1.2], "flip_horizontal": 0.5, "flip_vertical": 0.5, "brightness": [0.8, 1.2]},
    3: {"rotation": 10, "shift": 0.1, "flip_horizontal": 0.5, "brightness": [0.8, 1.2]},
}


class Row(NamedTuple):
    """A line of the table; `ok` is None where there is no goal."""

    what: str
    value: str
    goal: str = ""
    ok: Optional[bool] = None


@dataclass(frozen=True)
class Sizes:
    """How much is computed: on one GPU in eight minutes, or on a CPU in seconds."""

    encoders: tuple[tuple[str, tuple[int, ...], int], ...] = (  # name, size of an image, images at a time
        ("densenet169", (224, 224), 32),
        ("resnet50", (224, 224), 32),
        ("resnet18_3d", (96, 96, 96), 8),
    )
    steps: int = 80  # of an epoch
    small: tuple[str, tuple[int, ...], int] = ("resnet18", (64, 64), 16)
    epochs: int = 12  # of small trainings that share a GPU
    small_steps: int = 150
    volume: tuple[str, tuple[int, ...]] = ("resnet50_3d", (192, 256, 192))
    batch: tuple[int, ...] = (128, 160)  # images that are augmented


TINY = Sizes(
    encoders=(("mobilenet_v3_large", (32, 32), 4), ("resnet10_3d", (16, 16, 16), 2)),
    steps=2,
    small=("mobilenet_v3_large", (32, 32), 4),
    epochs=1,
    small_steps=2,
    volume=("resnet10_3d", (16, 16, 16)),
    batch=(24, 32),
)


@dataclass
class Place:
    """Where the checks run.

    Attributes:
        device: A GPU, or the CPU.
        sizes: How much is computed.
        stores: The stores that are made already.
    """

    device: torch.device
    sizes: Sizes
    stores: set[str] = field(default_factory=set)

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    def wait(self) -> None:
        """Wait until the device has done all that it was given."""
        if self.on_gpu:
            torch.cuda.synchronize()

    def seconds(self, work: Any) -> float:
        """The time of a call, with all that it starts on the device."""
        self.wait()
        began = time.perf_counter()
        work()
        self.wait()
        return time.perf_counter() - began

    def goal(self, text: str, ok: bool) -> tuple[str, Optional[bool]]:
        """A goal that only a GPU has to reach."""
        return (text, ok) if self.on_gpu else (text, None)


def study(place: Place, encoder: str, size: tuple[int, ...], batch: int, steps: int, **recipe: Any) -> Run:
    """A run of an encoder on images of a size; its store is made if it isn't there. Recipes are replaced by key."""
    preparation: dict[str, Any] = {"steps": [{"name": "resize", "size": list(size)}], "channels": "rgb"}
    if len(size) == 3:
        preparation = {"reads": "volume", "steps": [{"name": "pad_volume", "size": list(size)}], "channels": "gray"}
    described = Study.model_validate(
        {
            "name": "-".join([encoder, *map(str, size), str(steps)]),
            "scale": "demo",
            "title": "GPU check",
            "data": {"source": {"path": "x"}, "layout": "class_folders", "classes": list(CLASSES)},
            "preparations": {"small": preparation},
            "arms": {
                "plain": {
                    "preparation": "small",
                    "network": {"encoder": encoder, "weights": "none", "hidden": [64], "dropout": 0.1},
                    "augmentation": AUGMENTATION[len(size)],
                    "stages": {
                        "main": {
                            "epochs": 3,
                            "batch_size": batch,
                            "class_weights": "balanced",
                            "optimizer": {"name": "adam", "lr": 1e-4},
                        }
                    },
                    **recipe,
                }
            },
        }
    )
    run = Run(described, "plain", 0, 0)
    if described.name not in place.stores:
        _write_store(described, size, train=batch * steps, held_out=max(batch, 4))
        place.stores.add(described.name)
    shutil.rmtree(run.state_folder, ignore_errors=True)
    Path(run.state_folder).mkdir(parents=True)
    write_resolved(described, Path(run.paths.resolved))
    return run


def _write_store(described: Study, size: tuple[int, ...], train: int, held_out: int) -> None:
    """Splits and a store of noise that is brighter in one class."""
    paths, channels = Paths(described.scale, described.name), 3 if len(size) == 2 else 1
    parts = ["train"] * train + ["validation"] * held_out + ["test"] * held_out
    labels = [CLASSES[number % 2] for number in range(len(parts))]
    samples = [f"{number:06}" for number in range(len(parts))]
    splits = pd.DataFrame({"sample": samples, "group": samples, "label": labels, "patient": samples, "part": parts})
    splits = splits.assign(eye="", study="", fold=0, linked=0, conflict=0, origin="")
    write_table(paths.splits, splits)
    write_known(paths, splits)
    folder = paths.store("small")
    Path(folder).mkdir(parents=True, exist_ok=True)
    shape = (len(parts), *size, channels)
    images = np.lib.format.open_memmap(folder.images, "w+", np.uint8, shape)
    noise = np.random.default_rng(0).integers(0, 120, shape[1:], dtype=np.uint8)
    for number in range(len(parts)):
        images[number] = np.roll(noise, 7 * number, axis=0) + np.uint8(60 * (number % 2))
    digests = [digest_of(image) for image in images]
    items = pd.DataFrame({"item": range(len(parts)), "sample": samples, "patch": 0, "mask": 0, "digest": digests})
    ITEMS.write(folder.items, items.assign(low=np.nan, high=np.nan))
    store_of(images).model_copy(update={"checksum": fingerprint(digests)}).write(folder.preparation)


def precision(place: Place, half: torch.dtype | None = None) -> Precision:
    """How it is computed; in a half precision of our choice."""
    made = Precision(place.device)
    if half == torch.float32:
        made.autocast = contextlib.nullcontext
    elif half is not None:
        made._half = half
    if half is not None:
        made.scaler = _grad_scaler(enabled=made.on_gpu and half == torch.float16)
    return made


def start(place: Place, run: Run, half: torch.dtype | None = None, stop: Any = lambda: None) -> Trainer:
    """A trainer of a run, from the beginning or from where it was stopped."""
    images, items = loader.read_items(run)
    key = state.key_of(run, items, device=place.device.type, threads=1)
    return Trainer(Classification(run, images, items, precision(place, half)), key, stop)


def steps_on_one_batch(made: Trainer, steps: int) -> None:
    """The same steps as in a training, on a batch that is there already."""
    rows = torch.arange(made.stage.batch_size, device=made.precision.device)
    batch = np.arange(len(rows))
    with loader.loading(
        made.task.images, [batch], device=made.precision.device, prepare=made._preparation(0, 0)
    ) as one:
        (inputs,) = list(one)
    for step in range(steps):
        made._backward(step, inputs, rows, share=1.0)
        made._update(step)
        made.task._outputs.clear()


@contextlib.contextmanager
def without_reads() -> Iterator[None]:
    """Let trainings not look at their losses but at an epoch's begin and end."""
    before = dict(trainer.CHECK_UPDATES)
    trainer.CHECK_UPDATES.update(dict.fromkeys(before, 10**9))
    try:
        yield
    finally:
        trainer.CHECK_UPDATES.update(before)
