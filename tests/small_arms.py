"""Trained arms as folders: small networks, whose weights are random, and images for them."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel
import numpy as np
import torch
from network_cases import recipe
from PIL import Image
from sample_files import model_header

from rescan.models.model_files import save
from rescan.models.networks import build
from rescan.study import Inference, Preparation

CLASSES = ["cat", "dog", "NA"]
IMAGES = {"steps": [{"name": "resize", "size": [32, 32]}]}
VOLUMES = {
    "reads": "volume",
    "channels": "gray",
    "steps": [{"name": "window", "low": 0, "high": 1000}, {"name": "resize_volume", "size": [32, 32, 32]}],
}


def write_network(file, seed=0, encoder="cnn5", heads=None, preparation=None, **changes):
    """Write a model file of a small network."""
    torch.manual_seed(seed)
    shape = (1, 32, 32, 32) if encoder.endswith("_3d") else (3, 32, 32)
    described = recipe(encoder, heads=heads or {"classification": {}})
    network = build(described, len(CLASSES), shape)
    for weights in network.heads.parameters():
        torch.nn.init.normal_(weights, std=3.0)  # so that probabilities differ
    prepared = Preparation.model_validate(preparation or (VOLUMES if encoder.endswith("_3d") else IMAGES))
    save(file, network, model_header(described, CLASSES, shape, preparation=prepared, seed=seed, **changes))


def write_arm(folder, files=("fold0_seed0", "fold0_seed1"), copies=0, **fitted):
    """Write what was fitted on an arm's predictions, as `posttrain` does."""
    inference = Inference.model_validate({"copies": copies, "augmentation": {"rotation": 9} if copies else {}})
    content = {
        "head": "classification",
        "classes": len(CLASSES),
        "fit_on": "crossfit",
        "n": 0,
        "runs": [],
        "temperatures": {"classification": {"whole": 2.0, "crossfit": [1.0] * 5}},
        "models": [{"file": f"{name}/model.safetensors", "inference": inference.model_dump()} for name in files],
        "ensemble": False,
        "trim": 0.0,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "posttraining.json").write_text(json.dumps({**content, **fitted}))


def small_arm(folder, encoder="cnn5", **of_network):
    """Write an arm of two runs, with temperature 2."""
    for seed in (0, 1):
        write_network(folder / f"fold0_seed{seed}/model.safetensors", seed, encoder, **of_network)
    write_arm(folder)
    return folder


def write_images(folder: Path, count: int = 3) -> Path:
    """Write images of random spots."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        pixels = random.integers(0, 255, (40 + number, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def write_volumes(folder: Path, count: int = 2) -> Path:
    """Write volumes of random voxels, as NIfTI files."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(count):
        voxels = random.integers(0, 1000, (36, 40, 33 + number)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{number}.nii.gz")
    return folder
