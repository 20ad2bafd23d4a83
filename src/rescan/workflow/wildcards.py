"""The wildcards of the rules, as Snakemake gives them to input functions and parameters."""

from __future__ import annotations

from typing import Protocol


class Wildcards(Protocol):
    """The wildcards of a job; a rule has only those that its outputs name."""

    study: str
    arm: str
    ensemble: str
    autoencoder: str
    preparation: str
    encoder: str
    fold: str
    seed: str
