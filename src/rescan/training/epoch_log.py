"""The log of a training's epochs: a line for people, and TensorBoard."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

from rescan.log import logger


class EpochLog:
    """TensorBoard's log in a folder, and lines of the job's log."""

    def __init__(self, folder: Path, epoch: int) -> None:
        """Open it; it begins again if `epoch` is 0."""
        from torch.utils.tensorboard import SummaryWriter  # not for a training that is finished already

        if epoch == 0:
            shutil.rmtree(folder, ignore_errors=True)
        self._writer = SummaryWriter(str(folder), purge_step=epoch)  # type: ignore[no-untyped-call]

    def add(self, row: dict[str, Any]) -> None:
        """Write a row of the history."""
        numbers = {key: math.nan if value is None else value for key, value in row.items()}
        accuracies = [numbers.get(f"{part}_accuracy") for part in ("train", "validation")]
        train, validation = ("" if value is None else f", accuracy {value:.3f}" for value in accuracies)
        losses = f"loss %(train_loss).4f{train}; validation loss %(validation_loss).4f{validation}"
        logger.info(f"stage %(stage)s, epoch %(epoch)d: {losses}; %(images_per_second).3g images/s", numbers)
        for key, value in numbers.items():
            if key not in {"stage", "epoch", "step"}:
                self._writer.add_scalar(key.replace("_", "/", 1), value, row["epoch"])  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()  # type: ignore[no-untyped-call]
