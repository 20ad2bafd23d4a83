"""Study files to change, and a way to load what became of them."""

from pathlib import Path

import pytest

from rescan.study import Settings
from rescan.study import file as study_file

FOLDER = Path(__file__).parent


@pytest.fixture
def minimal() -> str:
    """A study file with no more keys than it needs."""
    return (FOLDER / "minimal.yaml").read_text()


@pytest.fixture
def graded() -> str:
    """Ordered classes, extra data, arms that read other arms' models."""
    return (FOLDER / "graded.yaml").read_text()


@pytest.fixture
def volumes() -> str:
    """Volumes, projections, autoencoders, a task."""
    return (FOLDER / "volumes.yaml").read_text()


@pytest.fixture
def ablations(minimal) -> str:
    """The minimal file with three ablations."""
    text = minimal.replace("epochs: 5", "steps: 50").replace("none}", "none, neck: {name: flatten}, hidden: [9]}")
    return (
        text
        + """
ablations:
  deeper:
    question: another encoder
    of: other
    arms: {two: {network: {encoder: resnet34}}}
  batch_size: {question: another batch size, vary: stages.main.batch_size, values: [8, 64]}
  dropout: {question: dropout, vary: [network.dropout, network.neck.dropout], values: [0.5]}
"""
    )


@pytest.fixture
def path(tmp_path) -> Path:
    """Where `write` and `load` write."""
    return tmp_path / "mine.yaml"


@pytest.fixture
def write(path):
    """Write a study file."""

    def write(text: str) -> Path:
        path.write_text(text)
        return path

    return write


@pytest.fixture
def load(write):
    """Write a study file and resolve it."""

    def load(text: str, scale: str, **settings):
        return study_file.load(write(text), Settings(scale, **settings))

    return load


@pytest.fixture
def several() -> str:
    """Several labels of each image."""
    return """
title: Findings
data: {source: {path: raw}, layout: table, classes: [mass, fluid], multilabel: true}
split: {test: 0.2}
preparations: {image: {channels: gray, steps: [{name: resize, size: [32, 32]}]}}
recipe:
  preparation: image
  network: {encoder: cnn5, weights: none, heads: {multilabel: {}}}
  stages:
    main: {epochs: 1, optimizer: adam, losses: {multilabel: binary_cross_entropy}, class_weights: balanced}
  keep: last
arms: {one: {}, two: {network: {encoder: resnet18}}}
claims: [{better: one, than: two, metric: auroc, who: them}]
published: [{arm: one, metric: auprc, value: 0.8, who: them}]
"""
