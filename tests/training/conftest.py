from __future__ import annotations

import sys
import types
from collections import OrderedDict
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from sample_files import write_known, write_store
from torch import nn

from rescan.catalogue import encoders
from rescan.files import write_table
from rescan.log import logger
from rescan.models.encoder import Encoder
from rescan.paths import Paths
from rescan.study import Study
from rescan.training import warps

LEVELS = (50, 120, 200)  # mean gray level of each class: easy to learn


def _tiny():
    """An encoder of one convolution, for quick tests."""
    layers = [("conv", nn.Conv2d(3, 8, 5, stride=3)), ("norm", nn.BatchNorm2d(8)), ("relu", nn.ReLU())]
    return Encoder(nn.Sequential(OrderedDict(layers)), 8, target="relu")


def _study(data=None, **recipe):
    """A study of three classes at 64 × 64 pixels; `recipe` replaces parts of its arm's recipe, `data` of its data."""
    stage = {"epochs": 2, "batch_size": 4, "optimizer": {"name": "adam", "lr": 1e-3}}
    default = {
        "preparation": "small",
        "network": {"encoder": "tiny", "weights": "none", "hidden": [16], "dropout": 0.5},
        "stages": {"main": stage},
    }
    return Study.model_validate(
        {
            "name": "toy",
            "scale": "demo",
            "title": "Toy",
            "data": {"source": {"path": "x"}, "layout": "class_folders", "classes": ["a", "b", "c"], **(data or {})},
            "preparations": {"small": {"steps": [{"name": "resize", "size": [64, 64]}], "channels": "gray"}},
            "arms": {"plain": {**default, **recipe}},
        }
    )


def _store(study, per_class=(6, 3, 2)):
    """Write splits and store of a study into the current folder: training, validation and test images of each class."""
    rng = np.random.default_rng(0)
    rows, images = [], []
    for target, label in enumerate(study.data.classes):
        for part, count in zip(("train", "validation", "test"), per_class):
            for number in range(count):
                sample = f"{part}/{label}/{number:03}.png"
                rows.append((sample, f"g{len(rows)}", label, f"{len(rows):03}", "", "", 0, part, 0, 0, ""))
                images.append(np.clip(rng.normal(LEVELS[target], 20, (64, 64, 1)), 0, 255))
    columns = ["sample", "group", "label", "patient", "eye", "study", "fold", "part", "linked", "conflict", "origin"]
    splits = pd.DataFrame(rows, columns=columns)
    paths = Paths(study.scale, study.name)
    store = paths.store("small")
    write_table(paths.splits, splits.sort_values("sample"))
    write_known(paths, splits)
    write_store(store, np.stack(images).astype(np.uint8), splits[["sample"]])
    return splits


@pytest.fixture
def make_study(monkeypatch):
    module = types.ModuleType("tiny_encoder")
    module.tiny = _tiny
    monkeypatch.setitem(sys.modules, "tiny_encoder", module)
    monkeypatch.setitem(
        encoders.ENCODERS, "tiny", encoders.Encoder("tiny", "tiny_encoder:tiny", layers={"relu": "relu"})
    )
    return _study


@pytest.fixture
def make_store(tmp_path, monkeypatch):
    """The current folder is empty."""
    monkeypatch.chdir(tmp_path)
    return _store


@pytest.fixture(autouse=True)
def _messages_reach_caplog(monkeypatch):
    monkeypatch.setattr(logger, "propagate", True)


@pytest.fixture
def drawing_in(monkeypatch):
    """Make the next draws of a module's `uniform` these values, in order."""

    def make(module, *values):
        left = list(values)
        monkeypatch.setattr(
            module,
            "uniform",
            lambda _low, _high, count, _: torch.tensor(left.pop(0), dtype=torch.float64).expand(count),
        )

    return make


@pytest.fixture
def drawing(drawing_in):
    """The same of the warps."""
    return partial(drawing_in, warps)
