"""What a training keeps count of: the sums of an epoch, the history, the best epoch, when a stage stops early."""

from __future__ import annotations

import math
import time
from typing import Any, Literal, Optional, Union, cast

import torch

from rescan.results.training_state import Progress
from rescan.study import Best, EarlyStopping
from rescan.training.scores import Scores, better

MOST_LOSSES = 4000  # losses of single steps; if there are more, each two neighbors become their mean


class Bookkeeping:
    """Keeps a training's progress up to date.

    Attributes:
        progress: Where the training stands.
        images: Of this epoch so far.
    """

    def __init__(self, progress: Progress, device: torch.device) -> None:
        self.progress = progress
        losses, self._hits, self.images = progress.sums
        self._losses = torch.tensor(losses, dtype=torch.float64, device=device)  # their sum over this epoch's images
        self._clock = time.monotonic()

    def add(self, loss: torch.Tensor, images: int) -> None:
        """Add the mean loss of some images, without waiting for a GPU."""
        self._losses += loss.detach().double() * images
        self.images += images

    def read(self, hits: int) -> bool:
        """Take the epoch's sums and time, and the loss since the last call, into the progress.

        Args:
            hits: Right predictions since the last call.

        Returns:
            Whether the loss is finite.
        """
        progress = self.progress
        self._hits += hits
        before, progress.sums = progress.sums, [float(self._losses), self._hits, self.images]
        if progress.sums[2] > before[2]:
            loss = (progress.sums[0] - before[0]) / (progress.sums[2] - before[2])
            progress.losses.append([progress.updates, loss])
            if len(progress.losses) > MOST_LOSSES:
                pairs = zip(progress.losses[::2], progress.losses[1::2])
                progress.losses = [[step, (one + other) / 2] for (_, one), (step, other) in pairs]
        now = time.monotonic()
        progress.seconds, self._clock = progress.seconds + now - self._clock, now
        return math.isfinite(progress.sums[0])

    def add_row(self, stage: str, lr: float, scores: Scores, watched: Scores) -> dict[str, Any]:
        """Add the epoch's row to the history.

        Args:
            stage: The stage.
            lr: The learning rate of the last step.
            scores: Of the validation part.
            watched: Of other parts, under the names of their columns.
        """
        progress = self.progress
        loss, hits, images = progress.sums
        row = {
            "stage": stage,
            "epoch": len(progress.history),
            "step": progress.updates,
            "lr": lr,
            "train_loss": loss / images if images and math.isfinite(loss) else None,
            **({"train_accuracy": hits / images if images else None} if "accuracy" in scores else {}),
            **{f"validation_{metric}": value for metric, value in scores.items()},
            **watched,
            "seconds": round(progress.seconds, 3),
            "images_per_second": round(images / progress.seconds, 1) if images else 0.0,
        }
        progress.history.append(row)
        return row

    def validation_losses(self, stage: str) -> list[float | None]:
        """The validation loss of each epoch of a stage so far."""
        rows = [row for row in self.progress.history if row["stage"] == stage]
        return [cast(Optional[float], row["validation_loss"]) for row in rows]

    def is_best(self, keep: Union[Literal["last"], Best], scores: Scores) -> bool:
        """Whether the last epoch of the history is the one to keep, by its scores; then it is noted as such."""
        progress = self.progress
        if keep == "last" or scores["loss"] is None or not better(keep.best, scores, progress.best):
            return False
        progress.best, progress.best_epoch = scores[keep.best], len(progress.history) - 1
        return True

    def forget_best(self) -> None:
        """Choose among the epochs from here on only."""
        self.progress.best, self.progress.best_epoch = None, None

    def end_epoch(self) -> None:
        """Begin the next epoch's sums and time."""
        progress = self.progress
        progress.epoch, progress.step, progress.seconds = progress.epoch + 1, 0, 0.0
        self._losses.zero_()
        self._hits = self.images = 0.0
        progress.sums = [0.0, 0.0, 0.0]
        self._clock = time.monotonic()

    def stops(self, rule: EarlyStopping, scores: Scores) -> bool:
        """Whether the stage has gone on for too long without a better score."""
        progress = self.progress
        if better(rule.metric, scores, progress.stage_best):
            progress.waited, progress.stage_best = 0, scores[rule.metric]
        else:
            progress.waited += 1
        return progress.waited >= rule.patience

    def start_stage(self, number: int) -> None:
        """Begin the stage of this number."""
        progress = self.progress
        progress.stage, progress.epoch, progress.waited, progress.stage_best = number, 0, 0, None
        progress.before = progress.updates
