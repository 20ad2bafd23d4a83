"""A finished arm, made here: small networks with random weights, and all results of its study around them."""

from __future__ import annotations

from typing import Any

import torch
from sample_files import model_header
from sample_predictions import make_study, write_arm

from rescan.evaluation.evaluate import evaluate
from rescan.models.model_files import save
from rescan.models.networks import build
from rescan.paths import Paths
from rescan.study import Preparation, Study
from rescan.study.resolved import write_resolved

SIZE = 32


def small_study(**more: Any) -> Study:
    """Two classes, two seeds, of whose patients and samples the ids are long enough to be looked for."""
    recipe = {"network": {"encoder": "cnn5", "weights": "none"}}
    options = {"classes": 2, "seeds": 2, "arms": {"one": recipe}, "operating_points": ["youden"], **more}
    return make_study(**options)


def finish(study: Study, steps: list[Any] | None = None, **options: Any) -> str:
    """Write an evaluated arm "one" with networks below the working folder; returns its folder."""
    preparation = Preparation.model_validate({"steps": steps or [{"name": "resize", "size": [SIZE, SIZE]}]})
    write_arm(study, "one", change=_with_ids, **options)
    evaluate(study, "one")
    recipe, classes = study.arms["one"], study.data.classes
    shape = (3, SIZE, SIZE)
    for run in study.runs("one"):
        torch.manual_seed(run.seed + 1)
        own = {"study": study.name, "scale": study.scale, "fold": run.fold, "seed": run.seed}
        header = model_header(recipe, classes, shape, preparation=preparation, **own)
        save(run.folder.model, build(recipe, len(classes), shape), header)
    paths = Paths(study.scale, study.name)
    write_resolved(study, paths.resolved)
    return str(paths.arm("one"))


def _with_ids(table: Any) -> Any:
    number = table["item"].astype(str).str.zfill(4)
    return table.assign(sample="secret_sample_" + number, patient="secret_patient_" + (table["item"] // 2).astype(str))
