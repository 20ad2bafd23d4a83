"""Learning-rate schedules by name (names.SCHEDULES): pure functions of the step, so that nothing needs resuming."""

from __future__ import annotations

import math

from rescan.errors import RescanError


def constant(step: int, total_steps: int) -> float:  # noqa: ARG001 - all schedules are called alike
    """Return 1: the learning rate stays as given."""
    return 1.0


def cosine(step: int, total_steps: int, warmup: float = 0.0) -> float:
    """Rise linearly over the warm-up, then fall along half a cosine to 0 (Loshchilov and Hutter 2017, no restarts).

    Args:
        step: The optimizer's step within the stage, from 0 to `total_steps` - 1.
        total_steps: The optimizer's steps in the stage.
        warmup: The warm-up's share of all steps, in [0, 1).

    Returns:
        The factor on the learning rate, in (0, 1]; it is 1 at the end of the warm-up.

    Raises:
        RescanError: `warmup` is not a share.
    """
    if not 0 <= warmup < 1:
        raise RescanError(f"schedule cosine: warmup is a share of the stage's steps, from 0 to below 1, not {warmup}")
    warm = round(warmup * total_steps)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total_steps - warm)))
