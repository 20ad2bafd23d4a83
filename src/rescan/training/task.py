"""What is learned: a network, its samples, loss, scores and outputs. The loop (`Trainer`) knows none of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from torch import nn

from rescan import __version__
from rescan.study import TRAINING_VERSION, AnyRun
from rescan.training.precision import Precision
from rescan.training.randomness import seed_of
from rescan.training.scores import Scores


class Task(ABC):
    """A task on the items of a run.

    Attributes:
        run: What is trained.
        images: (N, *spatial, C) uint8 or uint16, memory-mapped.
        items: The run's items (`loader.read_items`).
        precision: The device, and how numbers are computed on it.
        input: (C, *spatial) of what the network takes.
        rows: Per part the rows of `images`.
        network: With an `encoder`.
        samples: The stage's training items, by row of `images`.
        may_diverge: Whether a training whose loss is not finite has a result: what it was before.
        diverged: Where the loss stopped being finite; None if it did not.
        code: What trains it (`Progress.code`).
    """

    samples: np.ndarray
    may_diverge: ClassVar[bool] = False
    diverged: str | None = None
    code: Sequence[dict[str, str]] = ()

    def __init__(self, run: AnyRun, images: np.ndarray, items: pd.DataFrame, precision: Precision) -> None:
        """Build the network with random weights."""
        self.run, self.images, self.items, self.precision = run, images, items, precision
        self.input = (images.shape[-1], *images.shape[1:-1])
        self.rows = {part: rows.to_numpy() for part, rows in items.groupby("part")["item"]}
        torch.manual_seed(seed_of(run.seed, "initialization"))
        self.network = self.build()

    @abstractmethod
    def build(self) -> nn.Module:
        """Build the network, with weights drawn from torch's global generator."""

    @abstractmethod
    def start_stage(self, name: str, before: str | None) -> None:
        """Choose the stage's samples; `before` is the stage that has just ended, None where a training goes on.

        Raises:
            RescanError: The samples do not allow the stage.
        """

    def compares(self, name: str, before: str) -> bool:  # noqa: ARG002 - for tasks of several stages
        """Whether epochs of a stage can be compared with those of the stage before it."""
        return True

    def order(self, stage: str, epoch: int) -> np.ndarray:
        """The epoch's items in the order of training."""
        return self.generator(stage, epoch).permutation(self.samples)

    def generator(self, stage: str, epoch: int) -> np.random.Generator:
        """The generator of the epoch's order."""
        return np.random.default_rng(seed_of(self.run.seed, "order", stage, epoch))

    @abstractmethod
    def loss(self, inputs: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """The mean loss of a batch.

        Args:
            inputs: (B, C, *spatial) float32 on the device, normalized.
            rows: (B,) int64 on the device, rows of `images`.
        """

    def hits(self) -> int:
        """How many predictions of the batches since the last call were right; 0 for a task without classes."""
        return 0

    @abstractmethod
    def score(self, part: str) -> Scores:
        """Score the network on a part: `loss`, and other metrics by name; None where undefined."""

    @property
    def origin(self) -> dict[str, Any]:
        """The fields that headers of models and of encoders share."""
        return {
            "version": __version__,
            "study": self.run.study.name,
            "scale": self.run.study.scale,
            "fold": self.run.fold,
            "seed": self.run.seed,
            "preparation": self.run.preparation,
            "input": list(self.input),
            "torch": str(torch.__version__),
            "training_version": TRAINING_VERSION,
            "diverged": self.diverged,
            "code": self.code,
        }

    @abstractmethod
    def write(self, folder: str) -> None:
        """Write what the task makes of the trained network into a folder."""
