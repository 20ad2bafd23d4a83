"""What a configuration changes in a study."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SCALES = ("demo", "small", "full")
BLOCKS = SCALES[:-1]  # of differences in a study file; it is written for `full`


@dataclass(frozen=True)
class Settings:
    """The part of a configuration (config.yaml, or options of `rescan resolve`) that changes a study.

    Attributes:
        scale: A name of SCALES.
        weights: Replaces every arm's `network.weights`, except an autoencoder's.
        seeds: Replaces `split.seeds`.
        folds: Replaces `split.folds` and the recipe's `folds`.
        arms: Replaces `run`.
        source: A local folder or archive that replaces `data.source` and the phantom. At `demo`, arms that need extra
            data without a local source are then left out: they would train on phantoms beside real images.
        extra_sources: Local folders or archives that replace the sources and phantoms of `data.extra` and
            `data.external`, by name.
        task: One of the file's `tasks`: its difference is merged in, and its name follows the study's, after a hyphen.
        changes: Values by dotted key paths of the merged file, which are merged in as differences.
    """

    scale: str
    weights: str | None = None
    seeds: list[int] | None = None
    folds: int | None = None
    arms: list[str] | None = None
    source: str | None = None
    extra_sources: dict[str, str] = field(default_factory=dict)
    task: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
