"""The folder in which a workflow runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rescan.errors import RescanError
from rescan.workflow.environment import check_folder


@pytest.mark.parametrize("closed", [".", ".snakemake"])
def test_a_folder_that_cannot_be_written_to_is_said_before_snakemake_fails_at_it(tmp_path, monkeypatch, closed):
    monkeypatch.chdir(tmp_path)
    check_folder()
    Path(".snakemake").mkdir()
    check_folder()
    monkeypatch.setattr(os, "access", lambda path, _: Path(path) != Path(closed))  # for root may write everywhere
    with pytest.raises(RescanError, match=f"{(tmp_path / closed).resolve()}: nothing can be written in it; run this"):
        check_folder()
