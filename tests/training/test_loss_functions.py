from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from rescan.models.head_layers import log_odds
from rescan.training.loss_functions import (
    binary_cross_entropy,
    binary_focal,
    cross_entropy,
    focal,
    mae,
    mse,
    one_hot_cross_entropy,
    threshold_targets,
    total,
)

LOGITS = torch.log(torch.tensor([[0.7, 0.2, 0.1], [0.25, 0.25, 0.5]]))
TARGETS = torch.tensor([0, 1])
THRESHOLDS = torch.logit(torch.tensor([[0.9, 0.2], [0.6, 0.5]]))  # probabilities of "grade > 0" and "grade > 1"


def test_cross_entropy_by_hand():
    assert cross_entropy(LOGITS, TARGETS).tolist() == pytest.approx([-math.log(0.7), -math.log(0.25)], abs=1e-6)


def test_label_smoothing_by_hand():
    # Smoothing .3 leaves .7 + .1 on the target and .1 on each other class.
    expected = -(0.8 * math.log(0.7) + 0.1 * math.log(0.2) + 0.1 * math.log(0.1))
    assert cross_entropy(LOGITS[:1], TARGETS[:1], label_smoothing=0.3).item() == pytest.approx(expected, abs=1e-6)
    assert focal(LOGITS[:1], TARGETS[:1], gamma=0.0, alpha=1.0, label_smoothing=0.3).item() == pytest.approx(
        expected, abs=1e-6
    )


def test_focal_by_hand():
    expected = [-0.25 * 0.3**2 * math.log(0.7), -0.25 * 0.75**2 * math.log(0.25)]
    assert focal(LOGITS, TARGETS).tolist() == pytest.approx(expected, abs=1e-6)


def test_a_softmax_against_the_one_hot_target_by_hand():
    first = -(math.log(0.7) + math.log(0.8) + math.log(0.9)) / 3
    second = -(math.log(0.75) + math.log(0.25) + math.log(0.5)) / 3
    assert one_hot_cross_entropy(LOGITS, TARGETS).tolist() == pytest.approx([first, second], abs=1e-6)


def test_log_odds_are_those_of_the_softmax_even_where_it_saturates():
    torch.testing.assert_close(torch.sigmoid(log_odds(LOGITS)), LOGITS.exp())
    far = log_odds(torch.tensor([[0.0, 200.0, 0.0]]))
    torch.testing.assert_close(far, torch.tensor([[-200.0, 200.0 - math.log(2), -200.0]]))


def test_thresholds_that_grades_pass():
    grades = torch.tensor([0, 1, 2])
    assert threshold_targets(grades, 2, 1).tolist() == [[0, 0], [1, 0], [1, 1]]
    assert threshold_targets(grades, 3, 0).tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]  # [1] * (k + 1), as published


def test_ordinal_losses_by_hand():
    wanted = threshold_targets(torch.tensor([1, 2]), 2, 1)
    first = -(math.log(0.9) + math.log(0.8)) / 2
    second = -(math.log(0.6) + math.log(0.5)) / 2
    assert binary_cross_entropy(THRESHOLDS, wanted).tolist() == pytest.approx([first, second], abs=1e-6)
    # .2 of smoothing: .9 of yes, .1 of no.
    smoothed = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1) + 0.1 * math.log(0.2) + 0.9 * math.log(0.8)) / 2
    assert binary_cross_entropy(THRESHOLDS, wanted, label_smoothing=0.2)[0].item() == pytest.approx(smoothed, abs=1e-6)
    first = -(0.25 * 0.1**2 * math.log(0.9) + 0.75 * 0.2**2 * math.log(0.8)) / 2
    second = -(0.25 * 0.4**2 * math.log(0.6) + 0.25 * 0.5**2 * math.log(0.5)) / 2
    assert binary_focal(THRESHOLDS, wanted).tolist() == pytest.approx([first, second], abs=1e-6)
    expected = functional.binary_cross_entropy(torch.sigmoid(THRESHOLDS), wanted, reduction="none").mean(1)
    torch.testing.assert_close(2 * binary_focal(THRESHOLDS, wanted, gamma=0.0, alpha=0.5), expected)


def test_regression_losses_by_hand():
    outputs = torch.tensor([[1.5], [-1.0]])
    assert mae(outputs, torch.tensor([1, 2])).tolist() == [0.5, 3.0]
    assert mse(outputs, torch.tensor([1, 2])).tolist() == [0.25, 9.0]


def test_total_adds_up_heads_by_their_weights():
    losses = {
        "classification": {"name": "cross_entropy", "weight": 2.0},
        "regression": {"name": "mse", "weight": 1.0},
        "ordinal": {"name": "binary_cross_entropy", "weight": 0.5},
    }
    outputs = {"classification": LOGITS, "regression": torch.tensor([[1.0], [3.0]]), "ordinal": THRESHOLDS}
    items = 2 * cross_entropy(LOGITS, TARGETS) + torch.tensor([1.0, 4.0])
    items += 0.5 * binary_cross_entropy(THRESHOLDS, threshold_targets(TARGETS, 2, 1))
    assert total(losses, outputs, TARGETS, 3).item() == pytest.approx(items.mean().item())
    weighted = total(losses, outputs, TARGETS, 3, torch.tensor([0.5, 1.5]))
    assert weighted.item() == pytest.approx((0.5 * items[0] + 1.5 * items[1]).item() / 2)


def test_labels_are_weighted_as_by_positive_weights():
    """As torch does it: an image without a label weighs 1 in it, one that has it as many times more as lack it."""
    logits, targets = torch.tensor([[1.0, -2.0], [0.5, 0.3], [-1.0, 0.0]]), torch.tensor([1, 3, 0])
    expected = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    positive = torch.tensor([0.5, 2.0])  # 1 of 3 images lacks the first label, 2 of 3 the second
    weights = torch.where(expected.bool(), positive, torch.ones(()))
    losses = {"multilabel": {"name": "binary_cross_entropy", "label_smoothing": 0.0, "weight": 1.0}}
    own = total(losses, {"multilabel": logits}, targets, 2, weights)
    theirs = functional.binary_cross_entropy_with_logits(logits, expected, pos_weight=positive)
    assert own.item() == pytest.approx(theirs.item(), abs=1e-6)
    plain = total(losses, {"multilabel": logits}, targets, 2)
    assert plain.item() == pytest.approx(functional.binary_cross_entropy_with_logits(logits, expected).item(), abs=1e-6)
    losses = {"multilabel": {"name": "binary_focal", "gamma": 0.0, "alpha": 0.5, "label_smoothing": 0.0, "weight": 2.0}}
    assert total(losses, {"multilabel": logits}, targets, 2, weights).item() == pytest.approx(theirs.item(), abs=1e-6)
