"""Randomness as a function of place, not of history: what makes a resumed training equal an uninterrupted one."""

from __future__ import annotations

import hashlib
import json


def seed_of(seed: int, stream: str, stage: str = "", epoch: int = 0, step: int = 0) -> int:
    """Return the seed of one random draw of a training.

    Streams are separate, so that a change to one (an added augmentation, say) leaves the others' draws as they were and
    arms of one seed stay paired.

    Args:
        seed: The run's seed.
        stream: `order`, `augmentation`, `dropout`, `initialization` or `inference`.
        stage: The stage's name.
        epoch: The epoch within the stage.
        step: The batch within the epoch.

    Returns:
        An integer in [0, 2**63): blake2b of the arguments.
    """
    place = json.dumps([seed, stream, stage, epoch, step]).encode()
    return int.from_bytes(hashlib.blake2b(place, digest_size=8).digest(), "big") >> 1
