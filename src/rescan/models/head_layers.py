"""The fully connected layers behind the neck: those that all heads share, and each head's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rescan.heads.outputs import HEADS
from rescan.study import Head, Layers


class Limit(nn.Module):
    """Squeezes outputs between 0 and a limit: limit · sigmoid(x)."""

    def __init__(self, limit: float) -> None:
        super().__init__()
        self.limit = limit

    def forward(self, outputs: Tensor) -> Tensor:
        """Map (B, 1) to (B, 1)."""
        return self.limit * outputs.sigmoid()


def log_odds(logits: Tensor) -> Tensor:
    """The log-odds, log p − log(1 − p), of the K softmax probabilities of logits (B, K)."""
    diagonal = torch.eye(logits.shape[1], dtype=torch.bool, device=logits.device)
    others = logits[:, None, :].expand(-1, logits.shape[1], -1).masked_fill(diagonal, float("-inf"))
    return logits - others.logsumexp(2)


class LogOdds(nn.Module):
    """Turns logits into the log-odds of their softmax probabilities: a sigmoid gives these probabilities back."""

    def forward(self, logits: Tensor) -> Tensor:
        """Map (B, K) to (B, K)."""
        return log_odds(logits)


def hidden_layers(inputs: int, layers: Layers) -> tuple[list[nn.Module], int]:
    """Make fully connected layers, each with ReLU and, unless it is 0, dropout.

    Args:
        inputs: Size of the vectors that they take.
        layers: Their sizes and dropout.

    Returns:
        The modules and the size of the vectors that they return.
    """
    modules: list[nn.Module] = []
    for units in layers.hidden:
        modules += [nn.Linear(inputs, units), nn.ReLU(inplace=True)]
        if layers.dropout > 0:
            modules.append(nn.Dropout(layers.dropout))
        inputs = units
    return modules, inputs


def build_head(name: str, inputs: int, head: Head, classes: int) -> nn.Sequential:
    """Make a head.

    Args:
        name: `classification`, `binary`, `regression` or `ordinal`.
        inputs: Size of the vectors that it takes.
        head: Its hidden layers, and `limit` (regression) or `link` (ordinal).
        classes: K.

    Returns:
        From (B, inputs) to `classification`: (B, K) logits; `binary`: (B, 1) logits of the second class;
        `regression`: (B, 1) grades; `ordinal`: (B, K − 1) logits
        of "grade > k" or, with the softmax link, (B, K) log-odds of the probabilities of one softmax.
    """
    layers, size = hidden_layers(inputs, head)
    layers.append(nn.Linear(size, HEADS[name].width(classes, head.link)))
    if name == "regression" and head.limit is not None:
        layers.append(Limit(head.limit))
    if name == "ordinal" and head.link == "softmax":
        layers.append(LogOdds())
    return nn.Sequential(*layers)
