"""What the page shows of an autoencoder: which samples it has learned from, and its reconstructions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rescan.reporting.page.picture import Picture, picture
from rescan.results.history_files import read_history
from rescan.study import AutoencoderRun, Study

FIGURES = {
    "reconstructions_figure": "Validation samples and what the autoencoder makes of them, equally brightened.",
    "curves": "Mean squared error of the normalized samples over the epochs.",
}


@dataclass(frozen=True)
class AutoencoderView:
    """An autoencoder that arms start from, by its first run.

    Attributes:
        name: Its name.
        arms: The arms that start from it.
        leaks: Whether it is trained on all samples.
        fold: The run's.
        seed: The run's.
        epochs: How many it was trained for; 0 if it has not run.
        best_epoch: The one that is kept, from 1.
        best_loss: Its validation loss; None without a validation part.
        figures: Those that are there.
    """

    name: str
    arms: Sequence[str]
    leaks: bool
    fold: int
    seed: int
    epochs: int
    best_epoch: int | None
    best_loss: float | None
    figures: Sequence[Picture]


def autoencoder_views(study: Study) -> list[AutoencoderView]:
    """The autoencoders that arms start from."""
    users: dict[str, list[str]] = {}
    for arm in study.arms:
        if name := study.autoencoder(arm):
            users.setdefault(name, []).append(arm)
    return [_view(study, name, arms) for name, arms in users.items()]


def _view(study: Study, name: str, arms: list[str]) -> AutoencoderView:
    fold, seed = study.runs(arms[0])[0].fold_and_seed
    run = AutoencoderRun(study, name, fold, seed).folder
    history = read_history(run.history) if Path(run.history).is_file() else None
    epoch, loss = math.nan, math.nan
    if history is not None and (history["kept"] == 1).any():
        epoch, loss = history.loc[history["kept"] == 1, ["epoch", "validation_loss"]].to_numpy(float)[-1]
    pictures = [picture(getattr(run, file), "pretrain", f"{name}: {text}", text) for file, text in FIGURES.items()]
    return AutoencoderView(
        name=name,
        arms=arms,
        leaks=study.autoencoders[name].samples == "all",
        fold=fold,
        seed=seed,
        epochs=0 if history is None else len(history),
        best_epoch=None if math.isnan(epoch) else int(epoch) + 1,
        best_loss=None if math.isnan(loss) else float(loss),
        figures=[figure for figure in pictures if figure],
    )
