"""`history.csv` and `losses.csv` of a training, of an arm's network or an autoencoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rescan.paths import AUTOENCODERS
from rescan.results.csv_table import Column, Table
from rescan.results.damage import damaged

if TYPE_CHECKING:
    import pandas as pd

# One row per epoch. The scores of a part are those that its task has.
HISTORY = Table(
    "train",
    (
        Column("stage"),
        Column("epoch", "integer", low=0),
        Column("step", "integer", low=0),  # of the optimizer, at the end of the epoch
        Column("lr", "number"),
        Column("train_loss", "number", empty=True),  # of a watched training part: may be undefined
        Column("validation_loss", "number", empty=True),
        *(Column(f"{part}_*", "number", empty=True, optional=True) for part in ("train", "validation", "test")),
        Column("seconds", "number"),
        Column("images_per_second", "number"),
        Column("kept", "integer", low=0, high=1),  # 1: the epoch whose weights are kept
    ),
    key=("epoch",),
)

ACCURACIES = ("train_accuracy", "validation_accuracy")  # an arm has these, an autoencoder does not


def of_labels(history: pd.DataFrame) -> bool:
    """Whether a history is of an arm of several labels, which has the mean AUROC in place of accuracies."""
    return "validation_auroc" in history and not any(name in history for name in ACCURACIES)


# The mean loss since the row before, of each step of the optimizer or of as many as are looked at together.
LOSSES = Table("train", (Column("step", "integer", low=1), Column("loss", "number", empty=True)), key=("step",))


def read_history(path: str | Path) -> pd.DataFrame:
    """Read history.csv.

    Raises:
        RescanError: It is missing or damaged, lacks an epoch before the last, or not exactly one epoch is kept.
    """
    table = replace(HISTORY, step=_maker(path))
    history = table.read(path)
    if history.empty or history["epoch"].tolist() != list(range(len(history))):
        raise damaged(path, table.step, "its epochs are not 0, 1, 2 …")
    if (kept := int(history["kept"].sum())) != 1:
        raise damaged(path, table.step, f"{kept} of its epochs are marked as kept, not 1")
    for name in ACCURACIES if table.step == HISTORY.step and not of_labels(history) else ():
        if name not in history:
            raise damaged(path, table.step, f"the column {name!r} is missing")
    return history


def read_losses(path: str | Path) -> pd.DataFrame:
    """Read losses.csv.

    Raises:
        RescanError: It is missing or damaged, or its steps do not rise.
    """
    table = replace(LOSSES, step=_maker(path))
    losses = table.read(path)
    if not losses["step"].is_monotonic_increasing:
        raise damaged(path, table.step, "its steps do not rise")
    return losses


def _maker(path: str | Path) -> str:
    """The step that trains what lies at a path."""
    return "pretrain" if AUTOENCODERS in Path(path).parts else "train"
