"""The diagnosis of a model that gives nearly all images one class: are batch norm's statistics the reason?"""

from __future__ import annotations

import copy

import numpy as np
import pandas as pd
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from rescan.heads.outputs import HEADS
from rescan.models.networks import Network
from rescan.results.diagnosis_file import COLLAPSED, Diagnosis
from rescan.study import Run
from rescan.training.forward_pass import batch_size_for, forward_pass
from rescan.training.randomness import seed_of


def diagnose(
    run: Run, network: Network, images: np.ndarray, items: pd.DataFrame, predicted: np.ndarray, device: torch.device
) -> Diagnosis:
    """Tell whether nearly all validation images get one class and, if so, whether batch norm's statistics may be why.

    Args:
        run: Its seed mixes the images of the batches whose statistics are used.
        network: On `device`.
        images: (N, *spatial, C) uint8 or uint16.
        items: The run's items (`loader.read_items`). Without a validation part, the test part stands for it.
        predicted: (n,) class indices, by row of `items`.
        device: Where the network is.

    Returns:
        Of a collapse also its class and share, and the validation accuracy in eval mode; of a network with batch norm
        also that with each batch's own statistics (batch norm alone in train mode), and with statistics estimated again
        over the training images.
    """
    classes, head, recipe = run.study.data.classes, HEADS[run.settings.epoch_head], run.settings
    part = "validation" if (items["part"] == "validation").any() else "test"
    counts = np.bincount(predicted[items["part"] == part], minlength=len(classes))
    share = float(counts.max() / counts.sum())
    if share < COLLAPSED:
        return Diagnosis(collapsed=False)
    targets = dict(zip(items["item"], items["target"]))
    generator = np.random.default_rng(seed_of(run.seed, "diagnosis"))
    mixed = {part: generator.permutation(rows.to_numpy()) for part, rows in items.groupby("part")["item"]}

    def outputs(model: Network, part: str) -> np.ndarray:
        size = batch_size_for(images, 32)
        return forward_pass(model, images, mixed[part], recipe.normalization, device, batch_size=size)[0][head.name]

    def accuracy(output: np.ndarray) -> float:
        return float(np.mean(head.decide(output, len(classes)) == [targets[item] for item in mixed[part]]))

    label, own = classes[int(counts.argmax())], accuracy(outputs(network.eval(), part))
    if not any(isinstance(layer, _BatchNorm) for layer in network.modules()):
        return Diagnosis(
            collapsed=True,
            label=label,
            share=share,
            train_mode_accuracy=None,
            eval_mode_accuracy=own,
            recalibrated_accuracy=None,
        )
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
        label=label,
        share=share,
        train_mode_accuracy=accuracy(outputs(batchwise, part)),
        eval_mode_accuracy=own,
        recalibrated_accuracy=accuracy(outputs(recalibrated.eval(), part)),
    )
