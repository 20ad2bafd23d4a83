"""A small study, run once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from traced_study import make

from rescan.locks import locked


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the study was run in: one for all processes that run tests side by side."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = root / "traced", root / "traced.done"
    with locked(done, "making"):
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture
def tree(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which the test works in and may damage."""
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder
