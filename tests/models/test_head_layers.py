"""The heads: their layers, widths and outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import expit, softmax

from rescan.heads.outputs import HEADS
from rescan.models.head_layers import build_head, hidden_layers
from rescan.study import Head, Layers


def types(layers):
    """The names of the layers' classes."""
    return [type(layer).__name__ for layer in layers]


@pytest.mark.parametrize("link", ["sigmoid", "softmax"])
@pytest.mark.parametrize("name", HEADS)
def test_each_head_is_as_wide_as_evaluation_expects(name, link):
    head = build_head(name, 6, Head(hidden=[4], link=link), 5)
    assert head(torch.rand(2, 6)).shape == (2, HEADS[name].width(5, link))


def test_hidden_layers_have_relu_and_then_dropout():
    made, size = hidden_layers(6, Layers(hidden=[5, 3], dropout=0.5))
    assert types(made) == ["Linear", "ReLU", "Dropout"] * 2
    assert (made[0].in_features, made[3].in_features, size) == (6, 5, 3)
    assert hidden_layers(6, Layers()) == ([], 6)
    assert types(build_head("regression", 6, Head(hidden=[4]), 5)) == ["Linear", "ReLU", "Linear"]
    assert types(build_head("classification", 6, Head(), 5)) == ["Linear"]


def test_a_limit_keeps_the_grade_between_0_and_itself():
    head = build_head("regression", 1, Head(limit=4.5), 5)
    with torch.no_grad():
        head[0].weight.fill_(1)
        head[0].bias.fill_(0)
        found = head(torch.tensor([[-50.0], [-1.0], [0.0], [2.0], [50.0]])).numpy()[:, 0]
    np.testing.assert_allclose(found, [0, 4.5 / (1 + np.e), 2.25, 4.5 / (1 + np.exp(-2)), 4.5], atol=1e-6)


def test_the_softmax_link_gives_log_odds_of_one_softmax():
    torch.manual_seed(0)
    head = build_head("ordinal", 6, Head(link="softmax"), 5)
    vectors = torch.randn(50, 6) * 5
    with torch.no_grad():
        logits, found = head[0](vectors).numpy(), head(vectors).numpy()
    np.testing.assert_allclose(expit(found), softmax(logits, axis=1), atol=1e-6)
    np.testing.assert_allclose(expit(found).sum(1), 1, atol=1e-6)
    assert np.isfinite(head(vectors * 1e4).detach().numpy()).all()
