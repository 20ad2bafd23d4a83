from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rescan.errors import RescanError
from rescan.training.schedules import constant, cosine


def test_cosine_by_hand():
    assert [cosine(step, 4) for step in range(4)] == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert [cosine(step, 6, warmup=0.5) for step in range(6)] == pytest.approx([1 / 3, 2 / 3, 1, 1, 0.75, 0.25])
    assert constant(3, 4) == 1


@given(st.integers(1, 500), st.floats(0, 0.99), st.data())
def test_factors_are_in_0_1(total, warmup, data):
    assert 0 < cosine(data.draw(st.integers(0, total - 1)), total, warmup) <= 1


def test_warmup_is_a_share():
    with pytest.raises(RescanError, match="share"):
        cosine(0, 10, warmup=5)
