"""The forward pass over images of a store, or over new ones: the heads' outputs, and what the heads take."""

from __future__ import annotations

import numpy as np
import torch

from rescan.heads import outputs as heads
from rescan.models.networks import Network
from rescan.models.normalization import normalize
from rescan.study import Inference
from rescan.training import loader
from rescan.training.augment import augment
from rescan.training.randomness import seed_of

Outputs = dict[str, np.ndarray]  # per head (n, width) float32
IMAGES_AT_ONCE = 64  # of 256 × 256 pixels


def batch_size_for(images: np.ndarray, most: int = IMAGES_AT_ONCE) -> int:
    """How many of (N, *spatial, C) images go through a network at once: no more voxels than 64 of 256 × 256."""
    return max(1, min(most, IMAGES_AT_ONCE * 256 * 256 // int(np.prod(images.shape[1:-1]))))


class Versions:
    """The versions of images whose outputs are averaged: the images themselves and augmented copies of them."""

    def __init__(self, inference: Inference | None = None, background: int = 0) -> None:
        """Take what a recipe says of inference (by default the images alone), and the preparation's background."""
        self.inference = inference or Inference()
        self.background = background

    def of(self, batch: torch.Tensor, number: int) -> list[torch.Tensor]:
        """The versions of batch `number`, each (B, C, *spatial); the copies' draws depend on this number alone."""
        copies = [
            augment(batch, self.inference.augmentation, seed_of(0, "inference", "", copy, number), self.background)
            for copy in range(self.inference.copies)
        ]
        return [batch, *copies] if self.inference.original else copies


def forward_pass(
    network: Network,
    images: np.ndarray,
    rows: np.ndarray,
    normalization: str,
    device: torch.device | str,
    *,
    batch_size: int | None = None,
    versions: Versions | None = None,
    with_vector: np.ndarray | None = None,
) -> tuple[Outputs, np.ndarray]:
    """Compute outputs with each layer in the mode that it is in.

    Args:
        network: On `device`.
        images: (N, *spatial, C) uint8 or uint16, in memory or memory-mapped.
        rows: (n,) which images, in which order.
        normalization: A name of catalogue.NORMALIZATIONS.
        device: Where the network is.
        batch_size: Images at a time; by default as many as `batch_size_for` says.
        versions: Which versions of the images; the images alone by default.
        with_vector: (n,) bool, the rows whose vectors are returned; none by default.

    Returns:
        The outputs, and of the rows `with_vector` what the heads take, (m, D) float32, of the first version.
    """
    versions = versions or Versions()
    with_vector = np.zeros(len(rows), bool) if with_vector is None else with_vector
    outputs: list[list[dict[str, torch.Tensor]]] = []  # on the device: reading one would wait for it
    vectors: list[np.ndarray] = []
    start, batches = 0, loader.cut(rows, batch_size or batch_size_for(images))
    with torch.no_grad(), loader.loading(images, batches, device=device) as loaded_batches:
        for number, batch in enumerate(loaded_batches):
            pooled = [network.vectors(normalize(version, normalization)) for version in versions.of(batch, number)]
            outputs.append([network.read(version) for version in pooled])
            wanted = with_vector[start : start + len(batch)]
            if wanted.any() or not vectors:
                vectors.append(pooled[0].float().cpu().numpy()[wanted])
            start += len(batch)
    of_batches = [_average([_to_numpy(version) for version in of_versions]) for of_versions in outputs]
    whole = {name: np.concatenate(values).astype(np.float32) for name, values in _by_head(of_batches).items()}
    return whole, np.concatenate(vectors)


def predict_outputs(
    network: Network,
    images: np.ndarray,
    normalization: str,
    device: torch.device | str,
    batch_size: int | None = None,
    *,
    rows: np.ndarray | None = None,
    versions: Versions | None = None,
) -> Outputs:
    """Compute outputs in eval mode; the network's own mode is restored.

    Args:
        network: As for `forward_pass`.
        images: As for `forward_pass`.
        normalization: As for `forward_pass`.
        device: As for `forward_pass`.
        batch_size: As for `forward_pass`.
        rows: As for `forward_pass`; all by default.
        versions: As for `forward_pass`.
    """
    was_training = network.training
    network.eval()
    rows = np.arange(len(images)) if rows is None else rows
    outputs, _ = forward_pass(network, images, rows, normalization, device, batch_size=batch_size, versions=versions)
    network.train(was_training)
    return outputs


def _to_numpy(outputs: dict[str, torch.Tensor]) -> Outputs:
    return {name: output.float().cpu().numpy() for name, output in outputs.items()}


def _average(of_versions: list[Outputs]) -> Outputs:
    return of_versions[0] if len(of_versions) == 1 else heads.average(_by_head(of_versions))


def _by_head(outputs: list[Outputs]) -> dict[str, list[np.ndarray]]:
    return {name: [each[name] for each in outputs] for name in outputs[0]}
