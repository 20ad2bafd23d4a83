"""The step `pretrain`: an autoencoder's training, once."""

from __future__ import annotations

from rescan.study import AutoencoderRun
from rescan.training.job import Clock, Draw, no_drawing, train_once
from rescan.training.lease import Machine
from rescan.training.reconstruction import Reconstruction


def pretrain(run: AutoencoderRun, machine: Machine, clock: Clock | None = None, draw: Draw = no_drawing) -> None:
    """Train an autoencoder once; write its encoder, history, losses and some reconstructions.

    Args:
        run: The run.
        machine: As for `train_once`.
        clock: As for `train_once`.
        draw: As for `train_once`.

    Raises:
        RescanError: As `train_once` does.
    """
    train_once(Reconstruction, run, machine, clock or Clock(), draw)
