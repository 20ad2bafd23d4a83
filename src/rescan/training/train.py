"""The step `train`: an arm's training, once."""

from __future__ import annotations

from rescan.study import Run
from rescan.training.classification import Classification
from rescan.training.job import Clock, Draw, no_drawing, train_once
from rescan.training.lease import Machine


def train(run: Run, machine: Machine, clock: Clock | None = None, draw: Draw = no_drawing) -> None:
    """Train an arm once; write model, history, losses and the network's summary.

    Args:
        run: The run.
        machine: As for `train_once`.
        clock: As for `train_once`.
        draw: As for `train_once`.

    Raises:
        RescanError: As `train_once` does.
    """
    train_once(Classification, run, machine, clock or Clock(), draw)
