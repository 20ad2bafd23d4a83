"""Removing the states of trainings."""

from __future__ import annotations

import shutil
from pathlib import Path

from rescan.errors import RescanError
from rescan.locks import locked
from rescan.log import logger
from rescan.paths import RUN, STATES


def remove_states(results: Path) -> None:
    """Remove the trainers' state folders (`<results>/<scale>/.state/…`); finished results stay.

    Raises:
        RescanError: There is no such folder of results, or a training is under way.
    """
    if not results.is_dir():
        raise RescanError(f"{results}: no such folder; run this where results/ is, or name the folder")
    runs = RUN.format(fold="*", seed="*")
    states = [folder for folder in results.glob(f"*/{STATES}/**/{runs}") if folder.is_dir()]
    count = size = 0
    for state in states:
        with locked(state, "training", lambda: "wait for it or stop it"):
            if state.is_dir():  # another `clean` may have been first
                size += sum(file.stat().st_size for file in state.rglob("*") if file.is_file())
                shutil.rmtree(state)
                count += 1
    logger.info("removed the states of %d trainings, %.1f MB", count, size / 1e6)
