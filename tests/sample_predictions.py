"""Small studies and predictions of them, made here: no training is needed to test what follows one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sample_files import write_groups, write_manifest, write_splits

from rescan.evaluation.posttrain import posttrain
from rescan.files import write_table
from rescan.paths import Paths
from rescan.results.manifest import MANIFEST
from rescan.results.parts import EXTERNAL, LEFT_OUT, UNLABELED
from rescan.results.splits import SPLITS
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
    """Write the predictions of a run, and splits, groups and manifest that they agree with; no store."""
    paths = Paths(study.scale, study.name)
    write_table(paths.run(arm, fold, seed).predictions, table)
    write_splits_of(study, fold, table)


def write_splits_of(study: Study, fold: int, table: pd.DataFrame) -> None:
    """Write splits in which a fold has the parts of some predictions; other folds leave new samples out.

    What else is there already stays: samples, and columns of the manifest.
    """
    paths = Paths(study.scale, study.name)
    own = table[["sample", "group", "patient", "eye", "study", "part", "target"]].drop_duplicates("sample").fillna("")
    label = own["target"].map(study.data.outcome.label).mask(own["part"] == UNLABELED, "")
    rows = own.drop(columns="target").assign(label=label, fold=fold)
    before = SPLITS.read_if_there(paths.splits)
    if before is not None:
        before = before[before["label"].isin(["", *label]) | before["label"].map(study.data.outcome.is_label)]
        rows = pd.concat([rows, before.loc[:, list(rows)]]).drop_duplicates(["sample", "fold"])
    every = rows.drop_duplicates("sample")
    for other in range(study.split.fold_count):
        absent = every[~every["sample"].isin(rows.loc[rows["fold"] == other, "sample"])]
        part = absent["part"].where(absent["part"].isin(["test", EXTERNAL, UNLABELED]), LEFT_OUT)
        rows = pd.concat([rows, absent.assign(fold=other, part=part)])
    tested = rows["part"] == "test"
    linked = ~tested & rows["group"].isin(rows.loc[tested, "group"]) & (rows["part"] != UNLABELED)
    published = every["part"].where(every["part"].isin(["test", UNLABELED]), "")
    write_splits(paths, rows.assign(linked=linked.astype(int)))
    manifest = every.assign(published_part=published)
    known = MANIFEST.read_if_there(paths.manifest)
    if known is not None:
        more = known[["sample", *(name for name in known if name not in manifest)]]
        manifest = manifest.merge(more, how="left").fillna("")
        manifest["path"] = manifest["path"].where(manifest["path"] != "", manifest["sample"])
    write_manifest(paths, manifest)
    write_groups(paths, every)


def write_arm(study: Study, arm: str, change: Any = None, **options: Any) -> None:
    """Write all runs of an arm, each table passed through `change`, and fit the post-training."""
    for run in study.runs(arm):
        table = make_table(run.fold, run.seed, classes=len(study.data.classes), **options)
        write_run(study, arm, run.fold, run.seed, change(table) if change else table)
    posttrain(study, arm)
