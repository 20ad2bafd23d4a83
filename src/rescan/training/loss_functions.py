"""Losses by name (catalogue.LOSSES). Each takes a head's outputs (B, K_head) and gives one loss per item (B,)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from rescan import catalogue
from rescan.heads.outputs import HEADS
from rescan.models.head_layers import log_odds


def total(
    losses: Mapping[Any, dict[str, Any]],
    outputs: Mapping[str, torch.Tensor],
    targets: torch.Tensor,
    classes: int,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Add up the losses of the heads, each times its `weight`, and take the mean over the batch.

    Args:
        losses: Name and options by head, as in a stage.
        outputs: (B, K_head) float by head.
        targets: (B,) int64 in [0, K).
        classes: K.
        weights: (B,) of the items, or (B, K) of each item's labels; 1 for all if not given.

    Returns:
        A scalar.
    """
    items = torch.zeros(len(targets), device=targets.device)
    for head, loss in losses.items():
        options = {key: option for key, option in loss.items() if key not in ("name", "weight")}
        output = outputs[head].float()
        if weights is not None and weights.ndim == 2:
            options["weights"] = weights
        expected = expected_outputs(head, output, targets, classes)
        items = items + loss.get("weight", 1.0) * catalogue.resolve("loss", loss["name"])(output, expected, **options)
    return (items if weights is None or weights.ndim == 2 else items * weights).mean()


def expected_outputs(head: str, output: torch.Tensor, targets: torch.Tensor, classes: int) -> torch.Tensor:
    """What a loss compares a head's outputs (B, width) with: targets (B,), or thresholds or labels (B, width)."""
    if catalogue.HEADS[head].of_several:
        return (targets[:, None] >> torch.arange(classes, device=targets.device) & 1).float()
    first = HEADS[head].first_threshold(output.shape[1], classes)
    return targets if first is None else threshold_targets(targets, output.shape[1], first)


def threshold_targets(targets: torch.Tensor, width: int, first: int) -> torch.Tensor:
    """The thresholds that each grade passes, (B, width) of 0 and 1; the first is passed from the grade `first` on."""
    lowest = torch.arange(width, device=targets.device) + first
    return (targets[:, None] >= lowest).float()


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor, label_smoothing: float = 0.0) -> torch.Tensor:
    """Cross-entropy of softmax probabilities.

    Args:
        logits: (B, K) float.
        targets: (B,) int64 in [0, K).
        label_smoothing: Share of the target's probability that is spread evenly over all K classes, in [0, 1].

    Returns:
        (B,) in nats.
    """
    return functional.cross_entropy(logits, targets, label_smoothing=label_smoothing, reduction="none")


def focal(
    logits: torch.Tensor, targets: torch.Tensor, gamma: float = 2.0, alpha: float = 0.25, label_smoothing: float = 0.0
) -> torch.Tensor:
    """Focal loss of softmax probabilities, α Σ_k y_k (1 − p_k)^γ (−log p_k) (Lin et al. 2017, for K classes).

    Args:
        logits: (B, K) float.
        targets: (B,) int64 in [0, K).
        gamma: How much less an item counts that is right already; 0 leaves the cross-entropy.
        alpha: A factor on all of it.
        label_smoothing: As for `cross_entropy`.

    Returns:
        (B,).
    """
    log_probabilities = functional.log_softmax(logits, dim=1)
    expected = _smoothed(functional.one_hot(targets, logits.shape[1]), label_smoothing, 1 / logits.shape[1])
    return -alpha * (expected * _power(1 - log_probabilities.exp(), gamma) * log_probabilities).sum(1)


def one_hot_cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Binary cross-entropy of the K softmax probabilities against the one-hot target, averaged over them.

    Not a proper choice for exclusive classes, but a published one.

    Args:
        logits: (B, K) float.
        targets: (B,) int64 in [0, K).

    Returns:
        (B,).
    """
    expected = functional.one_hot(targets, logits.shape[1]).float()
    return binary_cross_entropy(log_odds(logits), expected)


def binary_cross_entropy(
    logits: torch.Tensor,
    expected: torch.Tensor,
    label_smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Binary cross-entropy of a binary head, or averaged over an ordinal head's thresholds, or over labels.

    Args:
        logits: (B, T) float, of passing each threshold.
        expected: (B, T) of 0 and 1.
        label_smoothing: Share of each threshold's probability that is spread evenly over yes and no, in [0, 1].
        weights: (B, T) factors.

    Returns:
        (B,).
    """
    expected = _smoothed(expected, label_smoothing, 1 / 2)
    losses = functional.binary_cross_entropy_with_logits(logits, expected, weights, reduction="none")
    return losses.mean(1)


def binary_focal(
    logits: torch.Tensor,
    expected: torch.Tensor,
    gamma: float = 2.0,
    alpha: float = 0.25,
    label_smoothing: float = 0.0,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Focal loss of a binary head, or averaged over thresholds or labels: α for yes, 1 − α for no (Lin et al. 2017).

    Args:
        logits: (B, T) float, of passing each threshold.
        expected: (B, T) of 0 and 1.
        gamma: How much less a threshold counts that is right already.
        alpha: The weight of thresholds that are passed, in [0, 1].
        label_smoothing: As for `binary_cross_entropy`.
        weights: (B, T) factors.

    Returns:
        (B,).
    """
    expected = _smoothed(expected, label_smoothing, 1 / 2)
    log_yes, log_no = functional.logsigmoid(logits), functional.logsigmoid(-logits)
    yes = alpha * expected * _power(log_no.exp(), gamma) * log_yes
    no = (1 - alpha) * (1 - expected) * _power(log_yes.exp(), gamma) * log_no
    return -((yes + no) if weights is None else (yes + no) * weights).mean(1)


def mae(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Distance of the regression (B, 1) from the grade: (B,)."""
    return (outputs[:, 0] - targets).abs()


def mse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Squared distance of the regression (B, 1) from the grade: (B,)."""
    return (outputs[:, 0] - targets) ** 2


def _power(probabilities: torch.Tensor, gamma: float) -> torch.Tensor:
    """p^γ with a finite slope at 0, where a γ below 1 has none."""
    return probabilities.clamp(min=1e-6) ** gamma


def _smoothed(expected: torch.Tensor, label_smoothing: float, evenly: float) -> torch.Tensor:
    return expected.float() * (1 - label_smoothing) + label_smoothing * evenly
