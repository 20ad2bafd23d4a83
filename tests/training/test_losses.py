from __future__ import annotations

import math

import pytest
import torch

from rescan.training.losses import cross_entropy, total

LOGITS = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]))


def test_cross_entropy_by_hand():
    expected = -(math.log(0.7) + math.log(0.25)) / 2
    assert cross_entropy(LOGITS, torch.tensor([0, 1])).item() == pytest.approx(expected, abs=1e-6)


def test_label_smoothing_by_hand():
    # Smoothing .3 leaves .7 + .1 on the target and .1 on each other class.
    expected = -(0.8 * math.log(0.7) + 0.1 * math.log(0.2) + 0.1 * math.log(0.1))
    assert cross_entropy(LOGITS[:1], torch.tensor([0]), label_smoothing=0.3).item() == pytest.approx(expected, abs=1e-6)


def test_total_adds_up_heads():
    losses = {head: {"name": "cross_entropy", "label_smoothing": 0.0} for head in ("one", "two")}
    targets = torch.tensor([0, 1])
    both = total(losses, {"one": LOGITS, "two": LOGITS}, targets)
    assert both.item() == pytest.approx(2 * cross_entropy(LOGITS, targets).item())
