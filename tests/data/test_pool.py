from __future__ import annotations

import math
import os

import pytest

from rescan.data.pool import pooled
from rescan.errors import RescanError


@pytest.mark.parametrize("processes", [1, 3])
def test_results_come_in_order(processes):
    assert list(pooled(math.sqrt, [i * i for i in range(200)], processes, "roots")) == list(range(200))


def test_a_killed_worker_is_said():
    with pytest.raises(RescanError, match="work: a worker process was killed"):
        list(pooled(os._exit, [1], 2, "work"))


def test_an_error_of_the_function_reaches_the_caller():
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        list(pooled(math.sqrt, [1.0, -1.0], 2, "roots"))
