"""Maps of a store's items, in batches that fit the memory: images or volumes, of 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from rescan import catalogue
from rescan.data.gray_levels import of_store
from rescan.explanation.cam import cells, gradcam
from rescan.explanation.drawing import short
from rescan.heads.outputs import HEADS
from rescan.log import progress
from rescan.models.networks import Network
from rescan.models.normalization import normalize
from rescan.results.map_files import is_too_coarse
from rescan.results.trained_model import ModelHeader
from rescan.study import Explanation
from rescan.training import loader

Images = NDArray[Any]  # of a store: (N, *spatial, C) uint8, or uint16 in 257 times finer steps
Maps = NDArray[np.float32]
BATCH = 16
VOXELS = BATCH * 256**2  # of a batch of volumes, at most (but for one larger volume)
DIRECTIONS = {1: "higher grade", -1: "lower grade"}  # the two targets of a head of grades


class Explained(NamedTuple):
    """What is explained: a network's head.

    Attributes:
        network: In eval mode, on the device to use.
        normalization: A name of catalogue.NORMALIZATIONS.
        head: Whose output the score is.
        method: A name of catalogue.CAM_METHODS.
        layer: The block of the encoder that is mapped, by name.
        path: The block's module inside the encoder's body; None: the encoder's target.
    """

    network: Network
    normalization: str
    head: str = "classification"
    method: str = "gradcam"
    layer: str = ""
    path: Optional[str] = None

    @property
    def module(self) -> nn.Module:
        """The module whose output is mapped."""
        return self.network.target_layer if self.path is None else self.network.encoder.body.get_submodule(self.path)

    def cells(self, spatial: Sequence[int]) -> tuple[int, ...]:
        """How many cells a map has along each spatial dimension, of inputs of a size."""
        weight = next(self.network.parameters())
        return cells(self.network.encoder, weight.new_zeros(1, self.network.encoder.inputs, *spatial), self.module)

    def note(self, spatial: Sequence[int]) -> str:
        """What stands below the pictures: how their maps were made, and whether they are too coarse to read."""
        grid = self.cells(spatial)
        of_layer = f" of {self.layer}" if self.layer else ""
        coarse = ": too coarse to read" if is_too_coarse(grid) else ""
        return f"{catalogue.CAM_METHODS[self.method].sentence}{of_layer}, {' × '.join(map(str, grid))} cells{coarse}"


def explained_by(network: Network, header: ModelHeader, gradcam: Explanation, head: str | None = None) -> Explained:
    """What a study, or its section `gradcam` alone, explains of a network.

    Args:
        network: In eval mode, on the device to use.
        header: Of the network's file.
        gradcam: The section.
        head: The head to explain, where the network has it; None: that of the section.

    Raises:
        ValueError: The network's encoder lacks the section's block.
    """
    settings = header.recipe.network
    layer = gradcam.layer_of(settings)
    head = head_of(network.heads, head or gradcam.head)
    return Explained(network, header.recipe.normalization, head, gradcam.method, layer, settings.layers[layer])


def head_of(heads: Iterable[str], preferred: str | None = None) -> str:
    """The head to explain: the preferred one if the network has it, else the classification, else the first."""
    heads = list(heads)
    return next(head for head in (preferred, "classification", heads[0]) if head in heads)


def targets_of(head: str, predicted: NDArray[np.integer], other: NDArray[np.integer]) -> NDArray[np.integer]:
    """The two targets of each image, (N, 2), for `gradcam`."""
    if HEADS[head].of_classes:
        return np.stack([predicted, other], axis=1)
    return np.tile(list(DIRECTIONS), (len(predicted), 1))


def targets_of_rows(head: str, rows: pd.DataFrame) -> NDArray[np.integer]:
    """The two targets of each row of `selection.test_rows`, (N, 2): of several labels, the row's own label first."""
    own, predicted, other = (rows[name].to_numpy() for name in ("target", "predicted", "other"))
    if catalogue.HEADS[head].of_several:
        predicted, other = own, np.where(predicted == own, other, predicted)
    return targets_of(head, predicted, other)


def target_name(head: str, target: int, classes: Sequence[str], probabilities: NDArray[np.floating]) -> str:
    """What a map is evidence for: a class, with its probability where there is one, or a higher or lower grade."""
    if not HEADS[head].of_classes:
        return DIRECTIONS[target]
    share = f" {100 * probabilities[target]:.0f} %" if probabilities.size else ""
    return f"{short(classes[target])}{share}"


def gray_levels(images: Images) -> Images:
    """A store's values as uint8, for the eye."""
    return of_store(images).round().astype(np.uint8)


def batch_size(shape: Sequence[int]) -> int:
    """How many items go through the network at once: of volumes (D, H, W), as many as have VOXELS, 16 at most."""
    return BATCH if len(shape) == 2 else max(1, min(BATCH, VOXELS // int(np.prod(shape))))


def in_batches(
    explained: Explained, images: Images, items: Sequence[int] | NDArray[np.integer], targets: NDArray[np.integer]
) -> Iterator[tuple[slice, Maps, Maps]]:
    """Compute several targets' maps of each item; no more than a batch is held in memory.

    Args:
        explained: The network and its head.
        images: A store's images, which may be memory-mapped.
        items: (N,) which of them.
        targets: (N, M) class indices, or 1 and −1 for a head of grades (see `gradcam`).

    Yields:
        Which of the N items, and their raw and scaled maps, each (n, M, *spatial) float32 (see `gradcam`).
    """
    network, normalization = explained.network, explained.normalization
    device, size = next(network.parameters()).device, batch_size(images.shape[1:-1])
    starts = range(0, len(items), size)
    for start in progress(starts, len(starts), "Grad-CAM (batches)"):
        here = slice(start, start + size)
        batch = np.stack([images[item] for item in items[here]])
        inputs = normalize(loader.gray_levels(batch).movedim(-1, 1).contiguous().to(device), normalization)
        maps = np.empty((2, len(batch), targets.shape[1], *batch.shape[1:-1]), np.float32)
        for place in range(targets.shape[1]):
            target = torch.from_numpy(targets[here, place].astype(np.int64)).to(device)
            for which, batch_maps in enumerate(
                gradcam(network, inputs, target, explained.head, explained.module, explained.method)
            ):
                maps[which, :, place] = batch_maps.cpu().numpy()
        yield here, maps[0], maps[1]


def compute_maps(explained: Explained, images: Images, targets: NDArray[np.integer]) -> tuple[Maps, Maps]:
    """Compute several targets' maps of all images: raw and scaled, each (N, M, *spatial) float32 (see `in_batches`)."""
    batches = list(in_batches(explained, images, range(len(images)), targets))
    return np.concatenate([raw for _, raw, _ in batches]), np.concatenate([scaled for _, _, scaled in batches])
