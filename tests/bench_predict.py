"""What predicting new images costs beside what the networks need, measured in one run (called by `make bench`)."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from tests.sample_files import model_header

from rescan.arm_models import Arm, in_chunks, load_arm
from rescan.data.index import Files
from rescan.explanation.maps import explained_by, in_batches
from rescan.models.model_files import save
from rescan.models.networks import build
from rescan.models.normalization import normalize
from rescan.study import Explanation, Inference, Preparation, Recipe
from rescan.training.forward_pass import predict_outputs

Seconds = Callable[..., float]
Say = Callable[[str, str], None]
IMAGES, SIDE = 1000, 224
FILES = 10_000


def measure(folder: Path, seconds: Seconds, say: Say) -> None:
    """Measure the path of `rescan predict` on prepared images, its maps, and its memory."""
    arm = _arm(folder / "arm", "resnet18", SIDE)
    files = _images(folder / "images", IMAGES, SIDE)
    images = np.stack([cv2.imread(str(own.path))[..., ::-1] for own in files])
    network, device = arm.models[0].network, torch.device("cpu")
    alone, whole = [], []
    for _ in range(3):  # they take turns, since other processes share the cores
        alone.append(seconds(lambda: predict_outputs(network, images, "imagenet", device)))
        whole.append(seconds(lambda: sum(len(chunk.rows) for chunk in in_chunks(arm, files, "cpu"))))
    say(f"predicting {IMAGES} images of {SIDE} px, ResNet18 alone", f"{IMAGES / np.median(alone):.0f} images/s")
    say("the same from PNG files to rows, beside it", f"{np.median(alone) / np.median(whole):.2f} x images/s")
    _maps(arm, images[:16], seconds, say)
    small = _arm(folder / "small", "cnn5", 32)
    many = _images(folder / "many", FILES, 32)
    used = [_resident() for chunk in in_chunks(small, many, "cpu") for _ in chunk.rows[-1:]]
    say(f"memory from a tenth to the end of {FILES} files", f"{(used[-1] - used[len(used) // 10]) / 1e6:+.1f} MB")


def _resident() -> int:
    """Bytes of memory that this process holds."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * resource.getpagesize()


def _maps(arm: Arm, images: np.ndarray, seconds: Seconds, say: Say) -> None:
    model = arm.models[0]
    explained = explained_by(model.network, model.header, Explanation())
    fed = normalize(torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(), "imagenet")
    targets = np.tile([0, 1], (len(images), 1))
    for number in (1, 2):
        both, maps = [], []
        for _ in range(5):
            both.append(seconds(lambda: model.network(fed)["classification"].sum().backward()))
            maps.append(seconds(lambda: list(in_batches(explained, images, range(len(images)), targets[:, :number]))))  # noqa: B023
        what = f"{number} map{'s' * (number > 1)} of each image"
        say(f"{what}, beside a forward and backward pass", f"{np.median(maps) / np.median(both):.2f} x")


def _arm(folder: Path, encoder: str, side: int) -> Arm:
    """An arm of one untrained network."""
    recipe = Recipe.model_validate(
        {
            "preparation": "p",
            "network": {"encoder": encoder, "weights": "none"},
            "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
        }
    )
    preparation = Preparation.model_validate({"steps": [{"name": "resize", "size": [side, side]}]})
    header = model_header(recipe, ["a", "b"], (3, side, side), preparation=preparation)
    save(folder / "fold0_seed0/model.safetensors", build(recipe, 2, (3, side, side)), header)
    fitted = {
        "head": "classification",
        "classes": 2,
        "fit_on": "crossfit",
        "n": 0,
        "runs": [],
        "temperatures": {"classification": {"whole": 1.0, "crossfit": [1.0] * 5}},
        "models": [{"file": "fold0_seed0/model.safetensors", "inference": Inference().model_dump()}],
        "ensemble": False,
        "trim": 0.0,
    }
    (folder / "posttraining.json").write_text(json.dumps(fitted))
    return load_arm(folder)


def _images(folder: Path, count: int, side: int) -> list[Files]:
    """Clouds with some noise, of the size that the network takes."""
    folder.mkdir()
    random = np.random.default_rng(0)
    paths = [folder / f"{number:05}.png" for number in range(count)]
    for path in paths:
        clouds = cv2.resize(random.uniform(0, 255, (side // 8, side // 8, 3)).astype(np.float32), (side, side))
        cv2.imwrite(str(path), (clouds + random.normal(0, 6, clouds.shape)).clip(0, 255).astype(np.uint8))
    return [Files(path) for path in paths]
