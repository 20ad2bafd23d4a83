"""Times of files: in the future, and coarse."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from rescan.paths import Paths
from rescan.workflow.clock import set_right

PLAN = SimpleNamespace(studies=["study"], paths=lambda study: Paths("demo", study))


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    places = [
        "data/demo/study/source.json",
        "data/demo/study/raw/a.png",
        "data/weights/resnet18.safetensors",
        "results/demo/study/manifest.csv",
        "results/demo/study/base/gradcam/.snakemake_timestamp",
        "results/demo/other/manifest.csv",
    ]
    for place in map(Path, places):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.touch()
    return [Path(place) for place in places]


def times(files):
    return [file.stat().st_mtime for file in files]


def test_what_is_of_the_future_comes_back_and_all_stays_in_its_order(files, capsys):
    now = time.time()
    ahead = [3000, 5000, 3600, -60, 3300, 5000]  # seconds; of raw data and other studies it does not matter
    for file, seconds in zip(files, ahead):
        os.utime(file, (now + seconds, now + seconds))
    before = times(files)
    set_right(PLAN)
    source, raw, weights, manifest, timestamp, other = times(files)
    assert (raw, other) == (before[1], before[5])
    assert weights == pytest.approx(time.time(), abs=5)
    assert weights - timestamp == pytest.approx(300, abs=1e-3)
    assert weights - source == pytest.approx(600, abs=1e-3)
    assert source - manifest == pytest.approx(3060, abs=1e-3)  # else it would be newer than what it was made of
    assert capsys.readouterr().err.startswith("3 results, such as results/demo/study/base/gradcam/.snake")
    set_right(PLAN)
    assert capsys.readouterr().err == ""


def test_what_is_a_little_ahead_stays(files, capsys):
    for file in files:
        os.utime(file, (time.time() + 30, time.time() + 30))
    before = times(files)
    set_right(PLAN)
    assert times(files) == before
    assert capsys.readouterr().err == ""
