"""An arm of one network that was never trained, and what could be read off images with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sample_files import model_header

from rescan.data.index import Files
from rescan.explanation.new_maps import NewMaps
from rescan.files import write_json
from rescan.models.model_files import save
from rescan.models.networks import build
from rescan.preparation.sample import Prepared
from rescan.readouts.readout import Readout
from rescan.study import Inference, Preparation, Recipe

HOSTILE = "<script>alert(1)</script>"
CLASSES = ["cat", f"dog & {HOSTILE}", "été"]
RECIPE = Recipe.model_validate(
    {
        "preparation": "p",
        "network": {"encoder": "resnet18", "weights": "none"},
        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
    }
)
PREPARATION = Preparation.model_validate(
    {"steps": [{"name": "clip_percentiles", "low": 0.5, "high": 99.5}, {"name": "resize", "size": [32, 32]}]}
)
POINT = {
    "name": "sensitivity_95",
    "of": "cat",
    "kind": "class",
    "number": 0,
    "scale": "probability",
    "threshold": {"whole": 0.25, "crossfit": [0.25] * 5},
    "resampled": [],
    "having": 9,
    "lacking": 9,
}


def write_arm(folder: Path) -> Path:
    """Write an arm of a network with three classes and an operating point."""
    torch.manual_seed(0)
    header = model_header(RECIPE, CLASSES, (3, 32, 32), preparation=PREPARATION)
    save(folder / "fold0_seed0/model.safetensors", build(RECIPE, 3, (3, 32, 32)), header)
    fitted = {
        "head": "classification",
        "classes": 3,
        "fit_on": "crossfit",
        "n": 0,
        "runs": [],
        "temperatures": {"classification": {"whole": 1.0, "crossfit": [1.0] * 5}},
        "points": [POINT],
        "models": [{"file": "fold0_seed0/model.safetensors", "inference": Inference().model_dump()}],
        "ensemble": False,
        "trim": 0.0,
    }
    write_json(folder / "posttraining.json", fitted)
    return folder


def readout(number: int, name: str, **row: Any) -> Readout:
    """An image of noise under the maps of two classes; with a problem, one that could not be read."""
    values = {"predicted": CLASSES[0], "problem": "", **dict(zip(CLASSES, (0.7, 0.2, 0.1))), **row}
    if values["problem"]:
        return Readout(number, name, name, Files(Path(name)), {"problem": values["problem"]}, None, None)
    image = np.random.default_rng(number).integers(0, 256, (32, 48, 3), np.uint8)
    scaled = np.stack([np.tile(np.linspace(0, 1, 48, dtype=np.float32), (32, 1)), np.zeros((32, 48), np.float32)])
    shares = np.array([0.7, 0.2, 0.1])
    maps = NewMaps("classification", np.array([0, 1]), ["prediction", "runner-up"], scaled, 0, shares, "made by hand")
    return Readout(number, name, name, Files(Path(name)), values, Prepared([image], None, None, None, None), maps)
