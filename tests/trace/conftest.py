"""A small study, run once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from made_once import made_once
from traced_study import make


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the study was run in: one for all processes that run tests side by side."""
    return made_once(tmp_path_factory, "traced", make)


@pytest.fixture
def tree(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which the test works in and may damage."""
    folder = tmp_path / "copy"
    shutil.copytree(made, folder)
    monkeypatch.chdir(folder)
    return folder
