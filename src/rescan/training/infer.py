"""Inference: a trained run's outputs for all its items, and the diagnosis of a collapsed model."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from rescan.files import writing
from rescan.heads import outputs as heads
from rescan.log import logger
from rescan.models import model_files
from rescan.models.networks import Network
from rescan.models.normalization import normalize
from rescan.results.diagnosis_file import COLLAPSED, Diagnosis
from rescan.results.predictions_file import KEYS, MOST_VECTORS, PREDICTIONS
from rescan.study import Inference, Run
from rescan.training import loader
from rescan.training.augment import augment
from rescan.training.lease import Machine
from rescan.training.randomness import seed_of

Outputs = dict[str, np.ndarray]  # (n, K_head) float32 by head
MOST_IMAGES = 64  # that go through a network at a time, at 256 × 256 pixels


def infer(run: Run, machine: Machine) -> None:
    """Write a run's `predictions.csv` (every head's outputs of every item), `vectors.npy` and `diagnosis.json`.

    `vectors.npy`, (n, D) float16, holds what the heads are fed for up to 5,000 validation and test items, the first of
    predictions.csv in these parts. Extra training data are not predicted.

    Args:
        run: The run; of an arm with `models`, that arm's model is read.
        machine: What the job may use.

    Raises:
        RescanError: The model or the data are missing, or not what they should be; or there is no such device.
    """
    recipe, classes, folder = run.settings, run.study.data.classes, run.folder
    images, items = loader.read_items(run)
    items = items[items["part"] != "extra"].reset_index(drop=True)
    with machine.lease() as device:
        network, _ = model_files.load(run.trained.folder.model)
        network.to(device)
        rows, normalization = items["item"].to_numpy(), recipe.normalization
        shown = Shown(recipe.inference, run.preparation.background)
        held_out = items["part"].isin(["validation", "test"]).to_numpy()
        kept = held_out & (held_out.cumsum() <= MOST_VECTORS)
        outputs, vectors = _forward(network.eval(), images, rows, normalization, device, shown=shown, kept=kept)
        predicted = heads.HEADS[recipe.epoch_head].decide(outputs[recipe.epoch_head], len(classes))
        diagnosis = diagnose(
            network,
            images,
            items,
            predicted,
            head=recipe.epoch_head,
            classes=classes,
            normalization=normalization,
            device=device,
            seed=run.seed,
        )
    if diagnosis.collapsed:
        share = 100 * (diagnosis.share or 0)
        logger.warning("%s: collapsed: %.0f %% of validation is called %s", folder, share, diagnosis.label)
    keys = items.assign(fold=run.fold, seed=run.seed)[KEYS]
    PREDICTIONS.write(folder.predictions, pd.concat([keys, pd.DataFrame(heads.columns(outputs))], axis=1))
    with writing(folder.vectors) as temporary:
        np.save(temporary, vectors, allow_pickle=False)
    diagnosis.write(folder.diagnosis)


def batch_of(images: np.ndarray, most: int = MOST_IMAGES) -> int:
    """How many of (N, *spatial, C) images go through a network at a time: not more voxels than 64 of 256 × 256."""
    return max(1, min(most, MOST_IMAGES * 256 * 256 // int(np.prod(images.shape[1:-1]))))


class Shown:
    """Which versions of a batch a network is shown: the batch itself and augmented copies, as `Inference` says."""

    def __init__(self, inference: Inference | None = None, background: int = 0) -> None:
        self.inference = inference or Inference()
        self.background = background

    def versions(self, batch: torch.Tensor, number: int) -> list[torch.Tensor]:
        """The versions of batch `number`, each (B, C, *spatial); the copies' draws depend on this number alone."""
        copies = [
            augment(batch, self.inference.augmentation, seed_of(0, "inference", "", copy, number), self.background)
            for copy in range(self.inference.copies)
        ]
        return [batch, *copies] if self.inference.original else copies


def predict_outputs(
    network: Network,
    images: np.ndarray,
    normalization: str,
    device: torch.device | str,
    batch_size: int | None = None,
    *,
    rows: np.ndarray | None = None,
    shown: Shown | None = None,
) -> Outputs:
    """Compute the heads' outputs for images in eval mode; the network's own mode is restored.

    Args:
        network: On `device`.
        images: (N, *spatial, C) uint8 or uint16, in memory or memory-mapped.
        normalization: A name of catalogue.NORMALIZATIONS.
        device: Where the network is.
        batch_size: Images at a time; by default as many as `batch_of` says.
        rows: (n,) which images, in which order; all by default.
        shown: Which versions of the images are shown, whose outputs are averaged; the images alone by default.

    Returns:
        For each head (n, K_head) float32.
    """
    was_training = network.training
    network.eval()
    rows = np.arange(len(images)) if rows is None else rows
    outputs, _ = _forward(network, images, rows, normalization, device, batch_size=batch_size, shown=shown)
    network.train(was_training)
    return outputs


def diagnose(
    network: Network,
    images: np.ndarray,
    items: pd.DataFrame,
    predicted: np.ndarray,
    *,
    head: str,
    classes: Sequence[str],
    normalization: str,
    device: torch.device,
    seed: int,
) -> Diagnosis:
    """Tell whether nearly all validation images get one class and, if so, whether batch norm's statistics may be why.

    Args:
        network: On `device`.
        images: (N, *spatial, C) uint8 or uint16.
        items: The run's items (`loader.read_items`). Without a validation part, the test part stands for it.
        predicted: (n,) class indices, by row of `items`.
        head: The head that they were read from.
        classes: K.
        normalization: A name of catalogue.NORMALIZATIONS.
        device: Where the network is.
        seed: Mixes the images of the batches whose statistics are used.

    Returns:
        Of a collapse also its class and share, and the validation accuracy in eval mode, with each batch's own
        statistics (batch norm alone in train mode), and with statistics estimated again over the training images.
    """
    part = "validation" if (items["part"] == "validation").any() else "test"
    counts = np.bincount(predicted[items["part"] == part], minlength=len(classes))
    share = float(counts.max() / counts.sum())
    if share < COLLAPSED:
        return Diagnosis(collapsed=False)
    targets = dict(zip(items["item"], items["target"]))
    generator = np.random.default_rng(seed_of(seed, "diagnosis"))
    mixed = {part: generator.permutation(rows.to_numpy()) for part, rows in items.groupby("part")["item"]}

    def outputs(model: Network, part: str) -> np.ndarray:
        return _forward(model, images, mixed[part], normalization, device, batch_size=batch_of(images, 32))[0][head]

    def accuracy(output: np.ndarray) -> float:
        return float(np.mean(heads.HEADS[head].decide(output, len(classes)) == [targets[item] for item in mixed[part]]))

    batchwise = copy.deepcopy(network).eval()
    recalibrated = copy.deepcopy(network).eval()
    for layer in [*batchwise.modules(), *recalibrated.modules()]:
        if isinstance(layer, _BatchNorm):
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    outputs(recalibrated, "train")
    return Diagnosis(
        collapsed=True,
        label=classes[int(counts.argmax())],
        share=share,
        train_mode_accuracy=accuracy(outputs(batchwise, part)),
        eval_mode_accuracy=accuracy(outputs(network.eval(), part)),
        recalibrated_accuracy=accuracy(outputs(recalibrated.eval(), part)),
    )


def _forward(
    network: Network,
    images: np.ndarray,
    rows: np.ndarray,
    normalization: str,
    device: torch.device | str,
    *,
    batch_size: int | None = None,
    shown: Shown | None = None,
    kept: np.ndarray | None = None,
) -> tuple[Outputs, np.ndarray]:
    """Compute the heads' outputs, and for rows that are `kept` what the heads are fed, in the mode of the layers.

    The second, (n, D) float16, is that of the first version that is shown.
    """
    pin, shown = torch.device(device).type == "cuda", shown or Shown()
    kept = np.zeros(len(rows), bool) if kept is None else kept
    found: list[Outputs] = []
    vectors: list[np.ndarray] = []
    start, cut = 0, loader.cut(rows, batch_size or batch_of(images))
    with torch.no_grad(), loader.loading(images, cut, pin=pin) as batches:
        for number, batch in enumerate(batches):
            versions = shown.versions(batch.to(device, non_blocking=True), number)
            fed = [network.vectors(normalize(version, normalization)) for version in versions]
            read = [{head: output.float().cpu().numpy() for head, output in network.read(one).items()} for one in fed]
            outputs = {head: [one[head] for one in read] for head in read[0]}
            found.append(read[0] if len(read) == 1 else heads.average(outputs))
            vectors.append(fed[0].half().cpu().numpy()[kept[start : start + len(batch)]])
            start += len(batch)
    together = {head: np.concatenate([one[head] for one in found]).astype(np.float32) for head in found[0]}
    return together, np.concatenate(vectors)
