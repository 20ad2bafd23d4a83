"""The diagnosis of a collapse speaks of batch norm only where the network has it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from rescan.evaluation.diagnosis import _modes
from rescan.models import networks, norms
from rescan.study import Run
from rescan.training.collapse import diagnose


@pytest.mark.parametrize(("norm", "measured"), [("batch", True), ("instance", False), ("group", False)])
def test_batch_norm_is_looked_at_where_there_is_some(make_study, norm, measured):
    study = make_study()
    network = networks.build(study.arms["plain"], 3, (1, 64, 64))
    norms.replace(network, norm)
    items = pd.DataFrame({"item": range(6), "part": ["validation"] * 3 + ["train"] * 3, "target": [0, 1, 2] * 2})
    images = np.zeros((6, 64, 64, 1), np.uint8)
    found = diagnose(Run(study, "plain", 0, 0), network, images, items, np.zeros(6, int), torch.device("cpu"))
    assert found.collapsed
    assert found.eval_mode_accuracy == pytest.approx(1 / 3)
    assert (found.train_mode_accuracy is not None) == (found.recalibrated_accuracy is not None) == measured
    assert ("batch norm" in _modes(found)) == measured
