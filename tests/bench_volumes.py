"""What volumes cost, as ratios to what they cannot do without, measured in one run (called by `make bench`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from captum.attr import LayerGradCam
from torch import nn
from torch.nn import functional

from rescan.data.readers import volumes
from rescan.explanation.cam import gradcam
from rescan.models.networks import Network, build
from rescan.models.normalization import normalize
from rescan.study import Recipe
from rescan.training import loader
from rescan.training.augment import augment

Seconds = Callable[..., float]
Say = Callable[[str, str], None]
RECIPE = {
    "preparation": "volume",
    "network": {"encoder": "resnet18_3d", "weights": "none"},
    "normalization": "unit",
    "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
}
AUGMENTATION = {
    "rotation": 15,
    "tilt": 5,
    "scale": [0.9, 1.1],
    "flip_horizontal": 0.5,
    "noise": 0.02,
    "gamma": [0.8, 1.25],
}


def measure(folder: Path, seconds: Seconds, say: Say) -> None:
    """Measure reading, augmentation, training and Grad-CAM of volumes."""
    _reading(folder / "stack", seconds, say)
    volume = torch.randint(0, 256, (4, 1, 48, 48, 48), dtype=torch.uint8)
    network = build(Recipe.model_validate(RECIPE), 2, (1, 48, 48, 48))
    targets = torch.tensor([0, 1, 0, 1])
    fed = normalize(volume, "unit")
    optimizer = torch.optim.Adam(network.parameters(), 1e-4)

    def step(fed: torch.Tensor = fed) -> None:
        optimizer.zero_grad(set_to_none=True)
        functional.cross_entropy(network(fed)["classification"], targets).backward()
        optimizer.step()

    network.train()
    seconds(step, 2)
    one_step = seconds(step, 5)
    augmenting = seconds(lambda: augment(volume, AUGMENTATION, 0, 0), 5)
    say("3D augmentation, share of a ResNet18 step at 48³", f"{augmenting / one_step:.3f}")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (40, 48, 48, 48, 1), np.uint8))
    stored = np.load(folder / "images.npy", mmap_mode="r")

    def epoch() -> None:
        with loader.loading(stored, list(np.random.default_rng(0).permutation(40).reshape(-1, 4))) as batches:
            for batch in batches:
                step(normalize(augment(batch, AUGMENTATION, 0, 0), "unit"))

    say("3D training with reading and augmentation, beside a fixed batch", f"{10 * one_step / seconds(epoch, 3):.2f} x")
    _explaining(network.eval(), fed, targets, seconds, say)


def _reading(folder: Path, seconds: Seconds, say: Say) -> None:
    """A stack of 400 B-scans of 640 × 400 pixels."""
    folder.mkdir()
    scan = np.random.default_rng(0).integers(0, 256, (640, 400), np.uint8)
    files = [folder / f"{number}.bmp" for number in range(1, 401)]
    for file in files:
        cv2.imwrite(str(file), scan)
    decoding = [cv2.imread, lambda file, _: cv2.imdecode(np.fromfile(file, np.uint8), cv2.IMREAD_UNCHANGED)]

    def decode(read: Callable[..., object]) -> None:
        for file in files:  # nothing is kept
            read(str(file), cv2.IMREAD_GRAYSCALE)

    works = [lambda read=read: decode(read) for read in decoding]
    works.append(lambda: volumes.read(folder))
    times = np.median([[seconds(work) for work in works] for _ in range(5)], axis=0)
    say("reading a stack of B-scans, beside decoding its files", f"{times[2] / min(times[:2]):.2f} x")


class _Classification(nn.Module):
    """What captum explains: the one head's output."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.network(images)["classification"]


def _explaining(network: Network, fed: torch.Tensor, targets: torch.Tensor, seconds: Seconds, say: Say) -> None:
    theirs = LayerGradCam(_Classification(network), network.target_layer)
    works = [
        lambda: network(fed)["classification"].gather(1, targets[:, None]).sum().backward(),
        lambda: gradcam(network, fed, targets),
        lambda: theirs.attribute(fed, targets),
    ]
    passes, ours, captum = np.median([[seconds(work) for work in works] for _ in range(9)], axis=0)
    say(
        "Grad-CAM of 4 volumes, beside a forward and backward pass",
        f"{ours / passes:.2f} x (captum {captum / passes:.2f} x)",
    )
