"""Folders that are made once for all processes that run tests side by side."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rescan.locks import locked


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder that the first process to ask for it made; it is to be read or copied, never written to."""
    base = factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = root / f"once_{name}", root / f"once_{name}.done"
    with locked(done, "making"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder
