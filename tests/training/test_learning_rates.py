from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rescan import catalogue
from rescan.errors import RescanError
from rescan.training.learning_rates import Moment, constant, cosine, one_cycle, plateau, step


def factors(schedule, steps, epochs=1, **options):
    return [schedule(Moment(number, steps, steps // epochs), **options) for number in range(steps)]


def test_cosine_by_hand():
    assert factors(cosine, 4) == pytest.approx([1, 0.853553, 0.5, 0.146447], abs=1e-6)
    assert factors(cosine, 6, warmup=0.5) == pytest.approx([1 / 3, 2 / 3, 1, 1, 0.75, 0.25])
    assert constant(Moment(3, 4, 4)) == 1


@given(st.sampled_from(sorted(catalogue.SCHEDULES)), st.integers(1, 50), st.integers(1, 20), st.data())
def test_factors_are_in_0_1(name, epochs, updates, data):
    steps = epochs * updates
    at = Moment(data.draw(st.integers(0, steps - 1)), steps, updates, losses=data.draw(st.lists(st.floats(0, 9))))
    assert 0 < catalogue.resolve("schedule", name)(at) <= 1 + 1e-12


def test_the_published_fault_counts_through_the_stages_and_ends_in_0():
    # 10 steps an epoch; the schedule lasts 2 epochs and began 15 steps ago, in an earlier stage.
    found = [cosine(Moment(number, 30, 10, before=15), ends_after=2) for number in range(30)]
    assert found[:5] == pytest.approx([0.5 * (1 + math.cos(math.pi * (15 + n) / 20)) for n in range(5)])
    assert found[5:] == [0] * 25


def test_steps_equal_torch():
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    for epoch in range(10):
        assert step(Moment(7 * epoch + 6, 70, 7), every=3, gamma=0.5) == optimizer.param_groups[0]["lr"]
        optimizer.step()
        theirs.step()


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, 4.0]), max_size=25), st.integers(1, 4))
def test_plateau_equals_a_calculation_by_hand(losses, patience):
    rate, best, waited = 1.0, math.inf, 0
    for loss in losses:
        waited = 0 if loss < best else waited + 1
        best = min(best, loss)
        if waited == patience:
            rate, waited = rate / 2, 0
    assert plateau(Moment(0, 1, 1, losses=losses), patience=patience) == rate


def test_one_cycle_equals_torch():
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1.0, total_steps=40, pct_start=12 / 40, div_factor=25, final_div_factor=400
    )
    for factor in factors(one_cycle, 40, warmup=11 / 39, end=1e-4):
        assert factor == pytest.approx(optimizer.param_groups[0]["lr"], abs=1e-6)
        optimizer.step()
        theirs.step()


def test_warmup_is_a_share():
    for schedule in (cosine, one_cycle):
        with pytest.raises(RescanError, match="share"):
            schedule(Moment(0, 10, 10), warmup=5)
