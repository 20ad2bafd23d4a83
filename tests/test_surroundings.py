"""Commands among limits, full devices and closed streams: each ends well or in one line, without a traceback."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

RESCAN = f"{sys.executable} -m rescan"
CHECK = f"{RESCAN} check study.yaml"
GOOD = """
title: A study
data: {source: {path: somewhere}, layout: class_folders, classes: [no, yes]}
preparations: {small: {steps: [{name: resize, size: [64, 64]}]}}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none}
  stages: {main: {epochs: 5, optimizer: adam}}
arms: {base: {}}
"""
LOG = "Invalid value for '--log': {}: is a folder, or no regular file"


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        (f"{CHECK} >&- 2>&- <&-", 0, ""),
        (f"{CHECK} 2> /dev/full", 0, None),
        (f"{RESCAN} schema > /dev/full", 1, "no space left; make room there, and run the same again"),
        (f"{RESCAN} resolve study.yaml --out s.json --log pipe", 2, LOG.format("pipe")),
        (f"{RESCAN} resolve study.yaml --out s.json --log /dev/full", 2, LOG.format("/dev/full")),
        (f"{RESCAN} resolve study.yaml --out pipe", 1, "pipe: is a folder, or no regular file; give"),
        (f"ulimit -v 2000000; {RESCAN} resolve study.yaml --out s.json", 0, None),
        (f"ulimit -f 1; {RESCAN} resolve study.yaml --out s.json", 1, "s.json: larger than a file may be here; raise"),
        (f"env -u HOME TMPDIR=/nowhere LC_ALL=C umask=077 {RESCAN} resolve study.yaml --out s.json", 0, None),
    ],
)
def test_a_command_ends_well_or_in_a_line(tmp_path, command, code, said):
    (tmp_path / "study.yaml").write_text(GOOD)
    os.mkfifo(tmp_path / "pipe")
    process = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert process.returncode == code, process.stderr
    assert "Traceback" not in process.stdout + process.stderr
    if said is not None:
        assert said in process.stderr
    if code == 1:
        assert len(process.stderr.splitlines()) == 1
    if code:
        assert not (tmp_path / "s.json").exists()


def test_a_log_that_cannot_grow_costs_no_work(tmp_path):
    (tmp_path / "study.yaml").write_text(GOOD)
    code = (
        "import sys, resource; from pathlib import Path; from rescan import log; log.start(Path('x.log'));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); [log.logger.info('a message') for _ in range(9)]"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    lines = process.stderr.splitlines()
    assert process.returncode == 0
    assert len([line for line in lines if line.endswith("INFO a message")]) == 9
    rest = [line for line in lines if "a message" not in line]
    assert len(rest) == 1
    assert "x.log: messages are no longer written there: larger than a file may be here" in rest[0]
