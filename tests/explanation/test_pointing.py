"""The pointing game and the overlap, by hand and as properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import arrays

from rescan.explanation.pointing import hits, hits_by_chance, margins, overlaps, overlaps_by_chance


def test_the_maximum_hits_within_the_tolerance_along_each_axis():
    assert margins((64, 100, 10)) == [2, 3, 0]
    masks = np.zeros((5, 64, 100), np.uint8)
    masks[:, 20:30, 40:50] = 255
    maps = np.zeros((5, 64, 100), np.float32)
    for place, (row, column) in enumerate([(25, 45), (18, 37), (17, 45), (25, 53)]):
        maps[place, row, column] = 1
    np.testing.assert_array_equal(hits(maps, masks), [1, 1, 0, 0, 0])  # the last one is empty
    np.testing.assert_allclose(hits_by_chance(masks), 14 * 16 / 6400)
    maps[0, 0, 0] = 1  # two maxima, one of them inside
    assert hits(maps, masks)[0] == 0.5


def test_a_tolerance_does_not_reach_around_the_edge():
    masks = np.zeros((1, 64, 64), np.uint8)
    masks[0, 63, 63] = 1
    corner = np.zeros((64, 64))
    corner[0, 0] = 1
    assert hits(corner, masks) == [0]
    np.testing.assert_allclose(hits_by_chance(masks), 9 / 64**2)


def test_overlap_by_hand():
    masks = np.zeros((1, 4, 5), bool)
    masks[0, :2, :2] = True  # 4 of 20 pixels
    graded = np.arange(20.0, 0, -1).reshape(4, 5)  # the highest four are the first row's, two of them inside
    np.testing.assert_allclose(overlaps(graded, masks), 2 / 6)
    assert overlaps(masks[0].astype(float), masks) == [1]
    assert overlaps(1.0 - masks[0], masks) == [0]
    assert overlaps(np.zeros((4, 5)), masks) == [0]
    sparse = np.zeros((4, 5))
    sparse[0, 0] = 1  # marks one pixel; where it is zero it marks nothing
    np.testing.assert_allclose(overlaps(sparse, masks), 1 / 4)


@pytest.mark.parametrize("shape", [(8, 9), (5, 6, 7)])
def test_a_flat_map_is_as_good_as_chance(shape):
    masks = np.random.default_rng(0).random((4, *shape)) < 0.3
    np.testing.assert_allclose(overlaps(np.full(shape, 0.2), masks), overlaps_by_chance(masks))
    np.testing.assert_allclose(hits(np.full(shape, 0.2), masks), hits_by_chance(masks))


@given(arrays(np.uint8, (2, 6, 7)), arrays(bool, (2, 6, 7)))
def test_both_are_bounded_and_the_mask_itself_is_perfect(maps, masks):
    masks[:, 3, 3] = True
    for scores in (hits(maps, masks), overlaps(maps, masks)):
        assert ((scores >= 0) & (scores <= 1)).all()
    np.testing.assert_array_equal(hits(masks.astype(float), masks), 1)
    np.testing.assert_array_equal(overlaps(masks.astype(float), masks), 1)
