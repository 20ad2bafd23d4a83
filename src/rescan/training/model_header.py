"""The header of model files: what is needed to build and use the network, and where it comes from."""

from __future__ import annotations

from typing import Any

import torch

from rescan import __version__
from rescan.study import TRAINING_VERSION, AnyRun, Run


def header_of(run: AnyRun, input_shape: tuple[int, ...]) -> dict[str, Any]:
    """Describe a run's network, which takes inputs of (C, *spatial)."""
    kind, settings = ("arm", "recipe") if isinstance(run, Run) else ("autoencoder", "settings")
    return {
        "version": __version__,
        "study": run.study.name,
        "scale": run.study.scale,
        kind: run.name,
        "fold": run.fold,
        "seed": run.seed,
        settings: run.settings.model_dump(mode="json"),
        "classes": run.study.data.classes,
        "preparation": run.preparation.model_dump(mode="json"),
        "input": list(input_shape),
        "torch": str(torch.__version__),
        "training_version": TRAINING_VERSION,
    }
