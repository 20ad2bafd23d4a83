"""Inference: a trained run's outputs for all its items, and the diagnosis of a collapsed model."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from rescan.evaluation.diagnosis import COLLAPSED
from rescan.files import write_json, write_table
from rescan.log import logger
from rescan.models import network as networks
from rescan.paths import Paths
from rescan.study import Study
from rescan.training import lease, loader
from rescan.training.randomness import seed_of


def infer(
    study: Study, arm: str, fold: int, seed: int, *, device: str = "auto", threads: int = 1, jobs_per_gpu: int = 1
) -> None:
    """Write a run's `predictions.csv` (logits of every item, all parts) and `diagnosis.json`.

    Args:
        study: The resolved study.
        arm: Its arm.
        fold: The fold.
        seed: The seed.
        device: `auto`, `cpu` or `cuda`.
        threads: Torch's threads.
        jobs_per_gpu: How many jobs may share a GPU.

    Raises:
        RescanError: The model or the data are missing, or not what they should be; or there is no such device.
    """
    paths = Paths(study.scale, study.name)
    run = Path(paths.run(arm, fold, seed))
    images, items = loader.read_items(study, arm, fold, seed)
    with lease.held(device, jobs_per_gpu) as held:
        torch.set_num_threads(threads)
        network, header = networks.load(run / "model.safetensors")
        network.to(held)
        normalization = header["recipe"]["normalization"]
        logits = predict_logits(network, images, normalization, held, rows=items["item"].to_numpy())
        diagnosis = diagnose(network, images, items, logits, normalization=normalization, device=held, seed=seed)
    if diagnosis["collapsed"]:
        diagnosis["class"] = study.data.classes[diagnosis["class"]]
        logger.warning(
            "%s: collapsed: %.0f %% of validation is called %s", run, 100 * diagnosis["share"], diagnosis["class"]
        )
    outputs = pd.DataFrame(logits, columns=[f"classification_{k}" for k in range(logits.shape[1])])
    columns = ["part", "item", "sample", "group", "patient", "fold", "seed", "target"]
    write_table(run / "predictions.csv", pd.concat([items.assign(fold=fold, seed=seed)[columns], outputs], axis=1))
    write_json(run / "diagnosis.json", diagnosis)


def predict_logits(
    network: nn.Module,
    images: np.ndarray,
    normalization: str,
    device: torch.device | str,
    batch_size: int = 64,
    *,
    rows: np.ndarray | None = None,
) -> np.ndarray:
    """Compute the classification logits of images in eval mode; the network's own mode is restored.

    Args:
        network: On `device`.
        images: (N, H, W, C) uint8, in memory or memory-mapped.
        normalization: A name of names.NORMALIZATIONS.
        device: Where the network is.
        batch_size: Images at a time.
        rows: (n,) which images, in which order; all by default.

    Returns:
        (n, K) float32.
    """
    was_training = network.training
    network.eval()
    rows = np.arange(len(images)) if rows is None else rows
    logits = _forward(network, images, rows, normalization, device, batch_size=batch_size)
    network.train(was_training)
    return logits


def diagnose(
    network: nn.Module,
    images: np.ndarray,
    items: pd.DataFrame,
    logits: np.ndarray,
    *,
    normalization: str,
    device: torch.device,
    seed: int,
) -> dict[str, Any]:
    """Tell whether nearly all validation images get one class and, if so, whether batch norm's statistics may be why.

    Args:
        network: On `device`.
        images: (N, H, W, C) uint8.
        items: The run's items (`loader.read_items`).
        logits: (n, K), by row of `items`.
        normalization: A name of names.NORMALIZATIONS.
        device: Where the network is.
        seed: Mixes the images of the batches whose statistics are used.

    Returns:
        `collapsed`; if true also `class` (index), `share` and the validation accuracy in eval mode, with each batch's
        own statistics (batch norm alone in train mode), and with statistics estimated again over the training images.
    """
    validation = (items["part"] == "validation").to_numpy()
    counts = np.bincount(logits[validation].argmax(axis=1), minlength=logits.shape[1])
    share = float(counts.max() / counts.sum())
    if share < COLLAPSED:
        return {"collapsed": False}
    targets = dict(zip(items["item"], items["target"]))
    generator = np.random.default_rng(seed_of(seed, "diagnosis"))
    mixed = {part: generator.permutation(rows.to_numpy()) for part, rows in items.groupby("part")["item"]}

    def accuracy(outputs: np.ndarray) -> float:
        return float(np.mean(outputs.argmax(axis=1) == [targets[item] for item in mixed["validation"]]))

    def outputs(model: nn.Module, part: str) -> np.ndarray:
        return _forward(model, images, mixed[part], normalization, device, batch_size=32)

    batchwise = copy.deepcopy(network).eval()
    recalibrated = copy.deepcopy(network).eval()
    for layer in [*batchwise.modules(), *recalibrated.modules()]:
        if isinstance(layer, _BatchNorm):
            layer.train()
            layer.reset_running_stats()
            layer.momentum = None  # the mean over all batches
    outputs(recalibrated, "train")
    return {
        "collapsed": True,
        "class": int(counts.argmax()),
        "share": share,
        "train_mode_accuracy": accuracy(outputs(batchwise, "validation")),
        "eval_mode_accuracy": accuracy(outputs(network.eval(), "validation")),
        "recalibrated_accuracy": accuracy(outputs(recalibrated.eval(), "validation")),
    }


def _forward(
    network: nn.Module,
    images: np.ndarray,
    rows: np.ndarray,
    normalization: str,
    device: torch.device | str,
    *,
    batch_size: int,
) -> np.ndarray:
    """Compute logits (n, K) float32 in the mode that the network's layers are in."""
    pin = torch.device(device).type == "cuda"
    logits = []
    with torch.no_grad(), loader.loading(images, loader.cut(rows, batch_size), pin=pin) as batches:
        for batch in batches:
            fed = networks.normalize(batch.to(device, non_blocking=True), normalization)
            logits.append(network(fed)["classification"].cpu().numpy())
    return np.concatenate(logits)
