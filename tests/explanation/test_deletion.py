"""Deletion and insertion, on a network whose evidence is a known region: by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import trapezoid
from scipy.special import expit, softmax
from torch import nn

from rescan.explanation import deletion
from rescan.explanation.deletion import block_grid, block_means, blurred, curves, explained_scores, order_of
from rescan.explanation.maps import Explained

SIZE = {2: (64, 64), 3: (32, 32, 32)}


class Region(nn.Module):
    """A network whose two heads read nothing but the contrast of the first `wide` pixels along each axis."""

    def __init__(self, wide, weight):
        super().__init__()
        self.wide, self.weight = wide, nn.Parameter(torch.tensor(weight))

    def forward(self, images):
        seen = images[(..., *[slice(self.wide)] * (images.ndim - 2))].flatten(1)
        contrast = ((seen - seen.mean(1, keepdim=True)) ** 2).mean(1, keepdim=True).sqrt() * self.weight
        return {"classification": torch.cat([-contrast, contrast], 1), "regression": 2 * torch.tanh(contrast)}


def checkerboards(dimensions, count=3):
    """Images of single pixels, black and white, whose blurred copy is gray everywhere."""
    places = np.indices(SIZE[dimensions]).sum(0)
    return np.repeat((255 * (places % 2)).astype(np.uint8)[None, ..., None], count, 0)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_a_map_of_what_is_read_beats_random_order_and_its_inverse_loses(dimensions):
    """The evidence fills one block of 4 along each axis: without it the probability is a half, by hand."""
    size, images = SIZE[dimensions], checkerboards(dimensions)
    grid, blocks = (4,) * dimensions, 4**dimensions
    explained = Explained(Region(size[0] // 4, 1.0).eval(), "unit")
    right = np.zeros((3, blocks))
    right[:, 0] = 1
    items, targets = np.arange(3), np.ones(3, np.int64)
    found = curves(explained, images, items, targets, right, grid, 2)
    full = expit(2 * 0.5)  # pixels of 0 and 1: a contrast of a half; classes ±contrast
    np.testing.assert_allclose(found.shares, np.arange(9) / 8)
    np.testing.assert_allclose(found.deletion[:, 0], full, rtol=1e-5)
    np.testing.assert_allclose(found.deletion[:, 1:], 0.5, atol=0.03)
    np.testing.assert_allclose(found.insertion[:, 0], 0.5, atol=0.03)
    np.testing.assert_allclose(found.insertion[:, 1:], full, rtol=1e-5)
    # Areas: of the first of eight steps half is lost; the random order is between the two.
    by_deletion, by_insertion = found.gains
    lost = full - 0.5
    random = trapezoid(found.random, found.shares, axis=1)
    np.testing.assert_allclose(by_deletion, random - (0.5 + lost / 16), atol=0.03)
    np.testing.assert_allclose(by_insertion, 0.5 + lost * 15 / 16 - random, atol=0.03)
    assert (by_deletion > 0).all()
    wrong = curves(explained, images, items, targets, -right, grid, 2)
    np.testing.assert_allclose(wrong.deletion[:, :-1], full, rtol=1e-5)
    assert (wrong.gains[0] < 0).all()
    assert (wrong.gains[1] < 0).all()


def test_an_empty_map_is_random_order_and_all_is_the_same_twice():
    images, items, targets = checkerboards(2, 60), np.arange(60), np.ones(60, np.int64)
    explained = Explained(Region(16, 1.0).eval(), "unit")
    empty = np.zeros((60, 16))
    first = curves(explained, images, items, targets, empty, (4, 4), 2)
    for gains in first.gains:
        assert abs(gains.mean()) < 4 * gains.std() / np.sqrt(60)
        assert gains.std() > 0
    again = curves(explained, images, items, targets, empty, (4, 4), 2)
    for one, other in zip(first, again):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(100, 60), (50, 40, 30)])
def test_a_blurred_point_is_a_gaussian_of_a_tenth_of_each_axis(shape):
    point = np.zeros((*shape, 1), np.float32)
    point[(*[size // 2 for size in shape], 0)] = 1
    faded = blurred(point)[..., 0]
    assert faded.sum() == pytest.approx(1, abs=1e-3)
    for axis, size in enumerate(shape):
        line = faded.sum(tuple(other for other in range(len(shape)) if other != axis))
        place = np.arange(size)
        spread = np.sqrt((line * (place - (line * place).sum()) ** 2).sum())
        assert spread == pytest.approx(0.1 * size, rel=0.05)


def test_a_head_of_grades_is_read_as_a_share_of_the_highest_grade():
    images, items = checkerboards(2, 1), np.arange(1)
    explained = Explained(Region(64, 2.0).eval(), "unit", "regression")
    found = curves(explained, images, items, np.ones(1, np.int64), np.arange(4.0)[None], (2, 2), 5)
    assert found.deletion[0, 0] == pytest.approx(2 * np.tanh(1) / 4, rel=1e-5)
    assert len(found.shares) == 5  # no more steps than blocks


def test_scores_of_all_heads_by_hand():
    output = np.array([[0.3, -1.0, 2.0], [0.0, 0.0, 0.0]])
    np.testing.assert_allclose(explained_scores("classification", output, 2, 3), softmax(output, axis=1)[:, 2])
    np.testing.assert_allclose(explained_scores("multilabel", output, 1, 3), expit(output[:, 1]))
    np.testing.assert_allclose(explained_scores("binary", output[:, :1], 1, 2), expit(output[:, 0]))
    np.testing.assert_allclose(explained_scores("binary", output[:, :1], 0, 2), 1 - expit(output[:, 0]))
    np.testing.assert_allclose(explained_scores("regression", output[:, 2:], 1, 5), [0.5, 0])
    falling = np.array([[2.0, 0.0, -2.0]])
    np.testing.assert_allclose(explained_scores("ordinal", falling, 1, 4), expit(falling).sum() / 3)
    # With one softmax of as many thresholds as classes, more weight on the higher ones is a higher grade.
    low, high = (explained_scores("ordinal", np.log([odds]), 1, 3)[0] for odds in ([4, 0.1, 0.1], [0.5, 0.5, 0.5]))
    assert low < high


def test_block_means_by_hand_and_for_sizes_that_do_not_divide():
    maps = np.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_allclose(block_means(maps, (1, 2)), [[4.5, 6.5], [16.5, 18.5]])
    line = np.arange(10.0)[None]
    blocks = np.arange(10) * 4 // 10
    np.testing.assert_allclose(block_means(line, (4,)), [[line[0, blocks == block].mean() for block in range(4)]])
    assert block_grid((2, 7, 64)) == (2, 7, deletion.FINEST)


@given(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=9), st.integers(0, 99))
def test_an_order_has_every_block_once_and_falls(values, seed):
    order = order_of(np.array(values), np.random.default_rng(seed))
    assert sorted(order) == list(range(len(values)))
    assert (np.diff(np.array(values)[order]) <= 0).all()


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_areas_and_gains_are_bounded(seed, blocks_a_side):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (2, 12, 12, 1)).astype(np.uint8)
    values = rng.random((2, blocks_a_side**2))
    explained = Explained(Region(6, float(rng.normal() * 9)).eval(), "unit")
    found = curves(explained, images, np.arange(2), rng.integers(0, 2, 2), values, (blocks_a_side,) * 2, 2)
    for scores in (found.deletion, found.insertion, found.random):
        assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_allclose(found.deletion[:, 0], found.insertion[:, -1])
    np.testing.assert_allclose(found.deletion[:, -1], found.insertion[:, 0])
    for gains in found.gains:
        assert (np.abs(gains) <= 1).all()
