from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit

from rescan.heads.multilabel_head import present, targets
from rescan.heads.outputs import HEADS, average

HEAD = HEADS["multilabel"]


def test_by_hand():
    output = np.array([[2.0, -1.0, 0.5], [-0.1, -3.0, -2.0]])
    assert HEAD.columns(HEAD.width(3)) == ["multilabel_0", "multilabel_1", "multilabel_2"]
    assert HEAD.decide(output, 3).tolist() == [0b101, 0]
    assert np.exp(HEAD.log_probabilities(output, 3)) == pytest.approx(expit(output))
    assert HEAD.grade(output, 3) == pytest.approx(expit(output).sum(1))
    assert expit(average({"multilabel": [output, -output]})["multilabel"]) == pytest.approx(np.full((2, 3), 0.5))


def test_targets_hold_62_labels():
    labels = np.random.default_rng(0).random((50, 62)) < 0.5
    assert (present(targets(labels), 62) == labels).all()
    assert targets(np.eye(62, dtype=bool)).tolist() == [2**number for number in range(62)]
