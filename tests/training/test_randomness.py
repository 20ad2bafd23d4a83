from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from rescan.training.randomness import seed_of

places = st.tuples(
    st.integers(0, 9),
    st.sampled_from(["order", "dropout"]),
    st.sampled_from(["", "main"]),
    st.integers(0, 9),
    st.integers(0, 99),
)


@given(places, places)
def test_seeds_differ_exactly_where_places_do(a, b):
    assert (seed_of(*a) == seed_of(*b)) == (a == b)
    assert 0 <= seed_of(*a) < 2**63


def test_seed_is_the_upper_63_bits_of_blake2b():
    digest = hashlib.blake2b(b'[3, "order", "main", 2, 5]', digest_size=8).hexdigest()
    assert seed_of(3, "order", "main", 2, 5) == int(digest, 16) // 2
