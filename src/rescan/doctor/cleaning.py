"""Removing the states of trainings."""

from __future__ import annotations

import shutil
from pathlib import Path

from rescan.errors import RescanError
from rescan.log import logger
from rescan.paths import STATES


def remove_states(results: Path) -> None:
    """Remove the trainers' state folders (`<results>/<scale>/.state/…`); finished results stay.

    Raises:
        RescanError: There is no such folder of results, or a training is under way.
    """
    from rescan.training.state import locked

    if not results.is_dir():
        raise RescanError(f"{results}: no such folder; run this where results/ is, or name the folder")
    states = [lock.parent for lock in results.glob(f"*/{STATES}/**/lock")]
    size = sum(file.stat().st_size for state in states for file in state.rglob("*") if file.is_file())
    for state in states:
        with locked(state):
            shutil.rmtree(state)
    logger.info("removed the states of %d trainings, %.1f MB", len(states), size / 1e6)
