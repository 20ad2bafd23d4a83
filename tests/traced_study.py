"""A small study, made by the commands of its steps as the workflow calls them."""

from __future__ import annotations

import os
from pathlib import Path

from typer.testing import CliRunner

from rescan.cli import app
from rescan.log import logger

NAME = "tiny"
STUDY = """
title: A tiny study
data:
  source: {path: raw}
  layout: class_folders
  classes: [glioma, meningioma, notumor, pituitary]
split: {test: published, validation: 0.3}
preparations:
  small: {channels: gray, steps: [{name: resize, size: [32, 32]}]}
recipe:
  preparation: small
  network: {encoder: cnn5, weights: none, neck: avg}
  stages: {main: {epochs: 1, batch_size: 16, optimizer: {name: sgd, lr: 0.01}}}
arms:
  plain: {}
demo:
  data: {phantom: {name: brain_mri, samples: 80}}
"""
RESULTS = f"results/demo/{NAME}"
STEPS = (
    *(("download",), ("index",), ("audit",), ("split",), ("preprocess", "--preparation", "small")),
    ("train", "--arm", "plain", "--device", "cpu", "--threads", "1", "--log", "logs/train.log"),
    ("infer", "--arm", "plain", "--device", "cpu", "--threads", "1"),
    *(("posttrain", "--arm", "plain"), ("evaluate", "--arm", "plain"), ("compare",), ("report",)),
)


def run(*words: str) -> None:
    """Run a command of Rescan in this process."""
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output


def step(name: str, *options: str) -> None:
    """Run a step of the tiny study."""
    run(name, f"{RESULTS}/study.json", *options)


def make(folder: Path) -> None:
    """Run the study in a folder."""
    folder.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        Path(f"{NAME}.yaml").write_text(STUDY)
        run("resolve", f"{NAME}.yaml", "--out", f"{RESULTS}/study.json", "--scale", "demo")
        for words in STEPS:
            step(*words)
    finally:
        os.chdir(before)
        logger.handlers.clear()  # the stream of the last command is closed
