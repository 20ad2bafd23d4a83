"""The state of the machine that people look at and clean up: versions, programs, disk; states of trainings."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rescan.data.sources.remote import has_kaggle_token
from rescan.errors import RescanError
from rescan.log import logger
from rescan.paths import STATES


def findings() -> Iterator[tuple[str, str]]:
    """Yield what this machine has, as (name, description); nothing is changed."""
    yield "python", platform.python_version()
    for package in (
        "rescan",
        "snakemake",
        "torch",
        "torchvision",
        "numpy",
        "pandas",
        "scikit-learn",
        "pydantic",
        "kaggle",
    ):
        try:
            yield package, version(package)
        except PackageNotFoundError:
            yield package, "not installed"
    yield "GPU", _gpu()
    for program in ("apptainer", "singularity", "docker"):
        yield program, shutil.which(program) or "not found"
    yield "cores", str(os.cpu_count())
    yield "disk", f"{shutil.disk_usage('.').free / 1e9:.0f} GB free here"
    yield "Kaggle token", "found" if has_kaggle_token() else "none: needed only to download Kaggle data sets"


def _gpu() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "none found (no nvidia-smi): trainings run on the CPU"
    command = [program, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    query = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
    return " · ".join(query.stdout.split("\n")).strip(" ·") or f"nvidia-smi failed: {query.stderr.strip()}"


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
