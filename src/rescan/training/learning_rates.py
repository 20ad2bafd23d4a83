"""Learning-rate schedules by name (catalogue.SCHEDULES): pure functions of the moment, so that nothing needs resuming.

Each gives a factor on the stage's learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from rescan.errors import RescanError


class Moment(NamedTuple):
    """When in a training the optimizer takes a step."""

    step: int  # of the optimizer within the stage, from 0
    steps: int  # of the optimizer in the stage
    per_epoch: int  # of the optimizer in an epoch
    before: int = 0  # steps of the stages before
    losses: Sequence[float | None] = ()  # validation loss of the stage's epochs so far


def constant(at: Moment) -> float:  # noqa: ARG001 - all schedules are called alike
    """Return 1: the learning rate stays as given."""
    return 1.0


def cosine(at: Moment, warmup: float = 0.0, ends_after: int = 0) -> float:
    """Rise linearly over the warm-up, then fall along half a cosine to 0 (Loshchilov and Hutter 2017, no restarts).

    Args:
        at: The moment.
        warmup: The warm-up's share of all steps, in [0, 1).
        ends_after: If not 0: a fault of a published code, repeated on purpose. The schedule lasts this many epochs,
            counts through all stages that have it without starting again, and gives 0 from there on.

    Raises:
        RescanError: `warmup` is not a share.
    """
    _check_share("cosine", warmup)
    step, steps = at.step, at.steps
    if ends_after:
        step, steps = at.before + at.step, ends_after * at.per_epoch
    if step >= steps:
        return 0.0
    warm = round(warmup * steps)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def step(at: Moment, every: int = 10, gamma: float = 0.1) -> float:
    """Multiply by `gamma` after every `every` epochs."""
    return gamma ** (at.step // at.per_epoch // max(1, every))


def plateau(at: Moment, factor: float = 0.5, patience: int = 3) -> float:
    """Multiply by `factor` after each `patience` epochs in a row without a lower validation loss, as Keras does."""
    best, waited, cuts = math.inf, 0, 0
    for loss in at.losses:
        if loss is not None and loss < best:
            best, waited = loss, 0
        else:
            waited += 1
        if waited >= max(1, patience):
            cuts, waited = cuts + 1, 0
    return factor**cuts


def one_cycle(at: Moment, warmup: float = 0.3, start: float = 0.04, end: float = 1e-4) -> float:
    """Rise along half a cosine from `start` to 1 over the warm-up, then fall likewise to `end` (Smith and Topin 2018).

    Args:
        at: The moment.
        warmup: The warm-up's share of all steps, in [0, 1).
        start: The first factor.
        end: The last factor.

    Raises:
        RescanError: `warmup` is not a share.
    """
    _check_share("one_cycle", warmup)
    last = max(1, at.steps - 1)
    warm = warmup * last
    if at.step < warm:
        return start + (1 - start) * 0.5 * (1 - math.cos(math.pi * at.step / warm))
    return end + (1 - end) * 0.5 * (1 + math.cos(math.pi * (at.step - warm) / max(1e-9, last - warm)))


def _check_share(name: str, warmup: float) -> None:
    if not 0 <= warmup < 1:
        raise RescanError(f"schedule {name}: warmup is a share of the stage's steps, from 0 to below 1, not {warmup}")
