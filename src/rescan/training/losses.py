"""Losses by name (names.LOSSES): each the mean over the items of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from rescan import names


def total(
    losses: Mapping[Any, dict[str, Any]], outputs: dict[str, torch.Tensor], targets: torch.Tensor
) -> torch.Tensor:
    """Add up the losses of the heads.

    Args:
        losses: Name and options by head, as in a stage.
        outputs: (B, K) float by head.
        targets: (B,) int64.

    Returns:
        A scalar.
    """
    value = torch.zeros((), device=targets.device)
    for head, loss in losses.items():
        options = {key: option for key, option in loss.items() if key != "name"}
        value = value + names.resolve("loss", loss["name"])(outputs[head], targets, **options)
    return value


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy of softmax probabilities, averaged over the batch.

    Args:
        logits: (B, K) float.
        targets: (B,) int64 in [0, K).
        label_smoothing: Share of the target's probability that is spread evenly over all K classes, in [0, 1].

    Returns:
        A scalar in nats.
    """
    return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="mean")
