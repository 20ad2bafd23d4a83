"""A complete results tree of a study of volumes: the evaluation is real, what would need a network is synthetic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from sample_files import (
    MAP_CHECKS,
    write_audit,
    write_groups,
    write_history,
    write_manifest,
    write_source,
    write_splits,
)

from rescan.evaluation.compare import compare
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.explanation.browser import browse
from rescan.files import write_json, write_table
from rescan.paths import Paths
from rescan.reporting.figures.autoencoder_figures import reconstructions
from rescan.reporting.figures.comparison_figures import comparison
from rescan.reporting.figures.evaluation_figures import evaluation
from rescan.reporting.page.report import report
from rescan.results.map_files import MapBrowser
from rescan.study import Settings, Study, write_resolved
from rescan.study.file import load

OCTA = """
title: Depth and disease
data: {source: {path: raw}, layout: octa500, phantom: octa, classes: [normal, abnormal]}
split: {test: 0.25, folds: 2, seeds: [0, 1]}
preparations:
  volume: {reads: volume, channels: gray, steps: [{name: resize_volume, size: [8, 8, 8]}]}
  flat: {reads: volume, channels: gray, steps: [project, {name: resize, size: [8, 8]}]}
  patches: {channels: gray, steps: [patches, {name: resize, size: [8, 8]}]}
autoencoders:
  own: {preparation: volume, encoder: cnn5_3d}
  leaky: {preparation: volume, encoder: cnn5_3d, samples: all}
recipe:
  preparation: volume
  network: {encoder: cnn5_3d, weights: none}
  normalization: unit
  stages: {main: {epochs: 2, optimizer: adam}}
arms:
  deep: {}
  flat: {preparation: flat, network: {encoder: cnn5}}
  patched: {preparation: patches, network: {encoder: cnn5}}
  started: {network: {weights: own}}
  seen: {network: {weights: leaky}, against: started}
claims:
  - {better: deep, than: flat, metric: balanced_accuracy, who: the text}
  - {better: seen, than: deep, who: the text}
demo: {}
"""
SKILL = {"deep": 2.5, "flat": 0.6, "patched": 0.6, "started": 2.5}
SAMPLES = 160


def samples() -> pd.DataFrame:
    number, random = np.arange(SAMPLES), np.random.default_rng(0)
    wide = random.random(SAMPLES) < 0.5
    return pd.DataFrame(
        {
            "sample": [f"s{i}" for i in number],
            "label": np.where(random.random(SAMPLES) < np.where(wide, 0.75, 0.25), "abnormal", "normal"),
            "patient": [f"p{i // 2}" for i in number],
            "eye": np.where(number % 2, "left", "right"),
            "group": [f"g{i // 2}" for i in number],
            "origin": "",
            "published_part": "",
            "fov": np.where(wide, "6mm", "3mm"),
            "sex": random.choice(["F", "M"], SAMPLES),
            "age": random.integers(20, 90, SAMPLES),
        }
    )


def _splits(table: pd.DataFrame) -> pd.DataFrame:
    pair = np.arange(SAMPLES) // 2
    folds = [
        table.assign(part=np.where(pair % 4 == 0, "test", np.where(pair % 2 == fold, "validation", "train")), fold=fold)
        for fold in range(2)
    ]
    return pd.concat(folds)[["sample", "group", "label", "patient", "eye", "fold", "part"]]


def _run(study: Study, arm: str, fold: int, seed: int, table: pd.DataFrame) -> None:
    splits = _splits(table).query(f"fold == {fold}")
    rows = splits.drop(columns="label").assign(study="", seed=seed)
    rows["target"] = (table["label"] == "abnormal").astype(int)
    rows = rows.loc[rows.index.repeat(4 if arm == "patched" else 1)].reset_index(drop=True)
    random, target = np.random.default_rng([fold, seed]), rows["target"]
    rows = rows.assign(item=range(len(rows)), classification_0=0.0)
    rows["classification_1"] = SKILL[arm] * (2 * target - 1) + random.normal(0, 1.5, len(rows))
    folder = Paths(study.scale, study.name).run(arm, fold, seed)
    write_table(f"{folder}/predictions.csv", rows)
    curve = np.array([0.9, 0.5])
    accuracies = {"train_accuracy": 1 - curve, "validation_accuracy": 1 - curve}
    write_history(folder.history, 2, train_loss=curve, validation_loss=curve, kept=[0, 1], **accuracies)


def _autoencoder(study: Study, name: str) -> None:
    folder = Path(Paths(study.scale, study.name).autoencoder(name, 0, 0))
    losses = [0.5, 0.0125, 0.02]
    write_history(folder / "history.csv", 3, train_loss=losses, validation_loss=losses, kept=[0, 1, 0])
    volumes = np.random.default_rng(0).integers(0, 255, (3, 2, 8, 8, 8, 1)).astype(np.uint8)
    np.save(folder / "reconstructions.npy", volumes)
    reconstructions(folder / "reconstructions.npy", folder / "reconstructions.png")


def tree(folder: Path) -> Study:
    (folder / "octa.yaml").write_text(OCTA, "utf-8")
    study = load(folder / "octa.yaml", Settings("demo"))
    paths, table = Paths("demo", study.name), samples()
    write_resolved(study, paths.resolved)
    write_source(paths, kind="phantom", files=9)
    write_manifest(paths, table)
    write_groups(paths, table[["sample", "group"]])
    write_splits(paths, _splits(table))
    for arm in SKILL:
        for run in study.runs(arm):
            _run(study, arm, run.fold, run.seed, table)
        posttrain(study, arm)
        evaluate(study, arm)
        evaluation(study, arm)
    for name in study.autoencoders:
        _autoencoder(study, name)
    counts = pd.crosstab(table["fov"], table["label"]).to_dict("index")
    subgroups = {"fov": counts, "sex": {"F": {"normal": 1, "abnormal": 2}, "M": {"normal": 3, "abnormal": 4}}}
    write_audit(paths, volumes=SAMPLES, dropped={"CNV": 5, "OTHERS": 96}, subgroups=subgroups)
    maps = Path(paths.arm("deep"), "gradcam")
    maps.mkdir()
    Image.new("L", (90, 30), 99).save(maps / "sheet.png", dpi=(150, 150))
    values = np.random.default_rng(0).random((4, 8, 8)).astype(np.float32)
    volume = browse("s0 </script>", "abnormal", (255 * values).astype(np.uint8), values, np.eye(4))
    MapBrowser(volumes=[volume]).write(maps / "browser.json")
    write_json(
        maps / "summary.json",
        {
            "run": {"arm": "deep", "fold": 0, "seed": 0},
            "head": "classification",
            "method": "layercam",
            "layer": "layer4",
            "kind": "volumes",
            "shown": "the predicted class",
            "scored": "the map of the predicted class",
            "n": 0,
            "empty": 0,
            "energies": {},
            "rule": "By rank.",
            "cells": [2, 2, 2],
            "located": {"n": 0, "tolerance": [0, 0, 0], "hits": {}, "overlaps": {}},
            "checks": MAP_CHECKS,
            "chosen": [],
        },
    )
    compare(study, list(SKILL))
    comparison(study, list(SKILL))
    report(study)
    return study
