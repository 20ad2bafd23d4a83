"""The diagnosis of a trained network: does it give nearly all images one class, do batch norm's statistics fit it?"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from rescan.heads.outputs import HEADS
from rescan.models.networks import Network
from rescan.results.diagnosis_file import Diagnosis, dominant
from rescan.study import Run
from rescan.training.forward_pass import batch_size_for, forward_pass
from rescan.training.randomness import seed_of

BATCH = 32  # images whose own statistics are taken together
MOST = 64 * BATCH  # images that are looked at: an accuracy is then known within 2 points


def diagnose(
    run: Run, network: Network, images: np.ndarray, items: pd.DataFrame, predicted: np.ndarray, device: torch.device
) -> Diagnosis:
    """Tell whether nearly all validation images get one class, and whether batch norm's statistics may be outdated.

    Args:
        run: Its seed chooses and mixes the images of the batches whose statistics are used.
        network: On `device`.
        images: (N, *spatial, C) uint8 or uint16.
        items: The run's items (`loader.read_items`). Without a validation part, the test part stands for it.
        predicted: (n,) class indices, by row of `items`.
        device: Where the network is.

    Returns:
        Of a collapse its class and share; of a network with batch norm the validation accuracy in eval mode, that with
        each batch's own statistics (batch norm alone in train mode), and that with statistics estimated again over
        training images; each over 2,048 images at most.
    """
    classes = run.study.data.classes
    part = "validation" if (items["part"] == "validation").any() else "test"
    of_part = (items["part"] == part).to_numpy()
    targets, named = items.loc[of_part, "target"].to_numpy(), predicted[of_part]
    top = dominant(named, targets, len(classes))
    found: dict[str, Any] = {"collapsed": top is not None, "part": part}
    if top is not None:
        found |= {"label": classes[top], "share": float(np.mean(named == top))}
    accuracies = _accuracies(run, network, images, items, part, device)
    if accuracies is not None:
        found |= accuracies
    elif top is not None:
        eval_mode = float(np.mean(named == targets))
        found |= {"train_mode_accuracy": None, "eval_mode_accuracy": eval_mode, "recalibrated_accuracy": None}
    return Diagnosis(**found)


def _accuracies(
    run: Run, network: Network, images: np.ndarray, items: pd.DataFrame, part: str, device: torch.device
) -> dict[str, float | int] | None:
    """The three accuracies on a part, and of how many images; None without batch norm, or without a batch of two."""
    if not any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        return None
    classes, head, recipe = len(run.study.data.classes), HEADS[run.settings.epoch_head], run.settings
    targets = dict(zip(items["item"], items["target"]))
    generator = np.random.default_rng(seed_of(run.seed, "diagnosis"))
    mixed = {part: generator.permutation(rows.to_numpy())[:MOST] for part, rows in items.groupby("part")["item"]}
    if min(len(mixed[part]), len(mixed["train"])) < 2:
        return None
    batch_size = max(2, batch_size_for(images, BATCH))  # one value a channel has no statistics

    def outputs(model: Network, part: str) -> np.ndarray:
        out, _ = forward_pass(model, images, mixed[part], recipe.normalization, device, batch_size=batch_size)
        return out[head.name]

    def accuracy(model: Network) -> float:
        return float(np.mean(head.decide(outputs(model, part), classes) == [targets[item] for item in mixed[part]]))

    batchwise = copy.deepcopy(network).eval()
    recalibrated = copy.deepcopy(network).eval()
    for layer in [*batchwise.modules(), *recalibrated.modules()]:
        if isinstance(layer, _BatchNorm):
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    outputs(recalibrated, "train")
    return {
        "train_mode_accuracy": accuracy(batchwise),
        "eval_mode_accuracy": accuracy(network.eval()),
        "recalibrated_accuracy": accuracy(recalibrated.eval()),
        "images": len(mixed[part]),
    }
