"""The diagnosis of a network: collapsed or not, what its batch norm's statistics do."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from rescan.evaluation.diagnosis import _modes
from rescan.models import networks, norms
from rescan.results.diagnosis_file import Diagnosis
from rescan.study import Run
from rescan.training.collapse import diagnose


def diagnosis(study, network, images, predicted) -> Diagnosis:
    """Of images in their order: the first half are for validation, the rest for training; three classes in turn."""
    half = len(images) // 2
    parts = ["validation"] * half + ["train"] * (len(images) - half)
    items = pd.DataFrame({"item": range(len(images)), "part": parts, "target": np.arange(len(images)) % 3})
    return diagnose(Run(study, "plain", 0, 0), network, images, items, predicted, torch.device("cpu"))


@pytest.mark.parametrize(("norm", "measured"), [("batch", True), ("instance", False), ("group", False)])
def test_batch_norm_is_looked_at_where_there_is_some(make_study, norm, measured):
    study = make_study()
    network = networks.build(study.arms["plain"], 3, (1, 64, 64))
    norms.replace(network, norm)
    found = diagnosis(study, network, np.zeros((6, 64, 64, 1), np.uint8), np.zeros(6, int))
    assert found.collapsed
    assert (found.label, found.share) == (study.data.classes[0], 1.0)
    assert found.eval_mode_accuracy == pytest.approx(1 / 3)
    assert (found.train_mode_accuracy is not None) == (found.recalibrated_accuracy is not None) == measured
    assert ("batch norm" in _modes(found)) == measured
    sound = diagnosis(study, network, np.zeros((6, 64, 64, 1), np.uint8), np.arange(6) % 3)
    assert not sound.collapsed
    assert (sound.accuracies is not None) == measured  # of a network that did not collapse, too


class ByBrightness(nn.Module):
    """Tells three gray levels apart by their place beside the mean, as a batch norm gives it."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(1)

    def vectors(self, images):
        return self.norm(images).mean((2, 3))

    def read(self, vectors):
        return {"classification": torch.cat([-vectors - 0.6, vectors * 0, vectors - 0.6], dim=1)}


@pytest.mark.parametrize(("mean", "used"), [(0.5, 1.0), (5.0, 1 / 3)])
def test_outdated_statistics_are_told_by_three_accuracies(make_study, mean, used):
    images = np.tile(np.array([0, 128, 255], np.uint8), 32)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    network = ByBrightness().eval()
    network.norm.running_mean.fill_(mean)
    network.norm.running_var.fill_(1 / 6)
    study = make_study()
    scaled = {"plain": study.arms["plain"].model_copy(update={"normalization": "unit"})}
    found = diagnosis(study.model_copy(update={"arms": scaled}), network, images, np.arange(96) % 3)
    assert found.accuracies == pytest.approx((1.0, used, 1.0))
    assert found.is_stale == (used < 1)
    assert network.norm.running_mean == mean  # the network stays as it is


def test_one_image_has_no_statistics(make_study):
    study = make_study()
    network = networks.build(study.arms["plain"], 3, (1, 64, 64)).eval()
    assert diagnosis(study, network, np.zeros((3, 64, 64, 1), np.uint8), np.zeros(3, int)).accuracies is None
