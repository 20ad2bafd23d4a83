"""Steps on a full disk, in short: files may not grow beyond a size. `python -m tests.full_disk` tries all at length."""

from __future__ import annotations

import io
import re
import resource
import tarfile
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from full_disk import files

from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.sources.download import download
from rescan.data.split import split
from rescan.errors import RescanError, in_words
from rescan.preparation.preprocess import preprocess
from rescan.study import Settings
from rescan.study.file import load

STEPS = {
    "download": download,
    "index": index,
    "audit": lambda study: audit(study, 1),
    "split": split,
    "preprocess": lambda study: preprocess(study, "small", 1),
}


@contextmanager
def no_file_above(size):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


STUDY = """
title: Noise
data: {source: {path: noise.tar}, layout: class_folders, classes: [no, yes]}
split: {test: 0.25, validation: 0.25}
preparations: {small: {steps: [{name: resize, size: [40, 40]}]}}
recipe:
  preparation: small
  network: {encoder: cnn5, weights: none}
  stages: {main: {epochs: 1, optimizer: adam}}
arms: {plain: {}}
"""


@pytest.fixture
def study(tmp_path, monkeypatch):
    """The study of an archive of noise."""
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    with tarfile.open("noise.tar", "w") as archive:
        for number in range(24):
            png = cv2.imencode(".png", random.integers(0, 255, (40, 40), np.uint8))[1].tobytes()
            member = tarfile.TarInfo(f"{('no', 'yes')[number % 2]}/{number}.png")
            member.size = len(png)
            archive.addfile(member, io.BytesIO(png))
    (tmp_path / "noise.yaml").write_text(STUDY)
    return load("noise.yaml", Settings("full"))


def test_a_step_on_a_full_disk_says_so_in_a_line_and_leaves_its_old_results_and_nothing_else(study, tmp_path):
    for step in STEPS.values():
        step(study)
    whole = {name: path.read_bytes() for name, path in files(tmp_path).items()}
    made = "data/full/noise/raw/.made_from"
    tried = dict.fromkeys(STEPS, 0)
    for name, step in STEPS.items():
        size = 64
        while True:
            if name == "download":
                (tmp_path / made).write_text("an older version")
            before = {file: path.read_bytes() for file, path in files(tmp_path).items()}
            try:
                with no_file_above(size):
                    step(study)
                break
            except (OSError, RescanError) as error:
                line = in_words(error) if isinstance(error, OSError) else str(error)
                assert re.search("larger than a file may be here|no space left", line)
                assert "\n" not in line
                assert re.match(r"noise: .*noise\.tar: |(data|results)/full/noise/", line)
            now = {file: path.read_bytes() for file, path in files(tmp_path).items()}
            if name == "download" and now[made] != before[made]:
                now[made] = before[made]  # the archive was unpacked anew, whole, before what tells of it had no room
            assert now == before
            tried[name] += 1
            size *= 3
        after = {file: path.read_bytes() for file, path in files(tmp_path).items()}
        assert {file for file in whole if after.get(file) != whole[file]} <= {"data/full/noise/small/preparation.json"}
        assert after.keys() == whole.keys()
    assert min(tried.values()) >= 2, tried
