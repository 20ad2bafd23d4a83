"""Small studies and predictions of them, made here: no training is needed to test what follows one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from rescan.evaluation.posttrain import posttrain
from rescan.files import write_table
from rescan.paths import Paths
from rescan.study import Study

RECIPE = {
    "preparation": "plain",
    "network": {"encoder": "resnet18"},
    "stages": {"main": {"epochs": 1, "optimizer": {"name": "adam"}}},
}


def make_study(
    scale: str = "full", arms: dict[str, Any] | None = None, seeds: int = 3, classes: int = 4, **more: Any
) -> Study:
    split = {"seeds": list(range(seeds)), **more.pop("split", {})}
    data = {"source": {"path": "raw"}, "layout": "class_folders", "classes": list("abcdefgh"[:classes])}
    return Study.model_validate(
        {
            "name": "heads",
            "scale": scale,
            "title": "Heads",
            "data": more.pop("data", data),
            "split": split,
            "preparations": {"plain": {"steps": ["resize"]}},
            "arms": {arm: {**RECIPE, **(difference or {})} for arm, difference in (arms or {"one": {}}).items()},
            **more,
        }
    )


def make_graded(**more: Any) -> Study:
    """A study whose four classes are grades, with two endpoints."""
    endpoints = {"any_disease": "b", "referable": "c"}
    data = {"source": {"path": "raw"}, "layout": "class_folders", "classes": list("abcd")}
    return make_study(data={**data, "ordered": True, "endpoints": endpoints}, **more)


def make_table(
    fold: int,
    seed: int,
    *,
    classes: int = 4,
    skill: float = 2.0,
    patients: bool = False,
    sizes: Any = None,
    luck: int = 0,
) -> pd.DataFrame:
    """Predictions of one run: two items a group, every group in one part; the samples are the same in all runs."""
    sizes = sizes or {"train": 120, "validation": 60, "test": 80}
    parts = np.repeat(list(sizes), list(sizes.values()))
    number = np.arange(len(parts))
    target = number // 2 % classes
    generator = np.random.default_rng([fold, seed, luck, 7])
    logits = generator.normal(size=(len(parts), classes))
    logits[number, target] += skill
    table = pd.DataFrame(
        {
            "part": parts,
            "item": number,
            "sample": [f"s{i}" for i in number],
            "group": [f"g{i // 2}" for i in number],
            "patient": [f"p{i // 2}" if patients else "" for i in number],
            "eye": "",
            "study": "",
            "fold": fold,
            "seed": seed,
            "target": target,
        }
    )
    return table.assign(**{f"classification_{k}": logits[:, k] for k in range(classes)})


def write_run(study: Study, arm: str, fold: int, seed: int, table: pd.DataFrame) -> None:
    write_table(Paths(study.scale, study.name).run(arm, fold, seed).predictions, table)


def write_arm(study: Study, arm: str, change: Any = None, **options: Any) -> None:
    """Write all runs of an arm, each table passed through `change`, and fit the post-training."""
    for run in study.runs(arm):
        table = make_table(run.fold, run.seed, classes=len(study.data.classes), **options)
        write_run(study, arm, run.fold, run.seed, change(table) if change else table)
    posttrain(study, arm)
