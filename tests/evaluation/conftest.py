"""Small studies and predictions of them, in a folder of the test's own."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from sample_predictions import make_graded, make_study, make_table, write_arm, write_run


@pytest.fixture
def cases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The functions of `sample_predictions`, in a folder of the test's own, to which a study's paths are relative."""
    monkeypatch.chdir(tmp_path)
    return SimpleNamespace(
        make_study=make_study,
        make_graded=make_graded,
        make_table=make_table,
        write_run=write_run,
        write_arm=write_arm,
    )
