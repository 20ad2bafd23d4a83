"""A complete results tree: the evaluation is real, what would need images of patients or a network is made by hand."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rescan.evaluation.compare import compare
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.files import write_json, write_table
from rescan.paths import Paths
from rescan.reporting.figures import evaluation
from rescan.study import Study
from rescan.study_file import load

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("glioma", "menin & gioma", HOSTILE, "pituitary")
STUDY = """
title: "Four classes <b>of</b> slices"
cite: "Someone et al. 2024"
data:
  source: {path: raw}
  layout: class_folders
  classes: [glioma, "menin & gioma", "<script>alert(1)</script>", pituitary]
  expected: {train: {glioma: 99}}
split: {test: published, seeds: [0, 1]}
preparations:
  small: {steps: [{name: crop_brain}, {name: resize, size: [48, 48]}], channels: gray}
recipe:
  preparation: small
  network: {encoder: resnet18, weights: none}
  augmentation: {shear: 0.2, zoom: [0.8, 1.2], flip_horizontal: 0.5}
  stages:
    head: {epochs: 2, trainable: head, optimizer: {name: adam, lr: 1.0e-3}}
    main: {epochs: 6, batch_size: 16, optimizer: {name: adam, lr: 1.0e-4}}
  keep: {best: loss}
arms:
  resnet18: {}
  vgg19: {network: {encoder: vgg19, neck: flatten, hidden: [100]}}
  absent: {normalization: unit}
published:
  - {arm: resnet18, metric: accuracy, value: 0.8125, n: 80, who: the paper}
  - {arm: vgg19, metric: accuracy, value: 0.25, who: a replication}
  - {arm: absent, metric: accuracy, value: 0.5, n: 80, who: the paper}
"""
STRENGTH = {"resnet18": 2.2, "vgg19": 0.0}
A_CLASS = {"train": 30, "validation": 8, "test": 20}


def samples() -> pd.DataFrame:
    """The samples of the tree; three groups have several, two mixed labels, one lies on both sides of the split."""
    rows = [
        {"sample": f"{part}/class{CLASSES.index(label)}/{i:03d}.png", "label": label, "part": part}
        for part, count in A_CLASS.items()
        for label in CLASSES
        for i in range(count)
    ]
    table = pd.DataFrame(rows)
    table["group"] = [f"g{number:04d}" for number in range(len(table))]
    table.loc[[0, 1, 2], "group"] = "g0000"
    table.loc[[5, 40], "group"] = "g0005"
    table.loc[[7, len(table) - 1], "group"] = "g0007"
    return table


def image(label: str, seed: int, size: int = 64) -> np.ndarray:
    """A disc with a bright spot whose corner tells the class: (size, size) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    number = CLASSES.index(label)
    spot = np.hypot(x - (0.4 if number % 2 else -0.4), y - (0.4 if number > 1 else -0.4)) < 0.2
    return np.clip(90 * (np.hypot(x, y) < 0.9) + 90 * spot + random.normal(0, 12, (size, size)), 0, 255).astype(
        np.uint8
    )


def tree(folder: Path, scale: str, source_kind: str = "path") -> Study:
    """Write the whole tree of a study with two arms that ran and one that did not, in the current folder."""
    (folder / "tumors.yaml").write_text(STUDY, "utf-8")
    study = load(folder / "tumors.yaml", scale)
    paths = Paths(scale, study.name)
    write_json(paths.resolved, study.model_dump(mode="json"))
    table = samples()
    _data(paths, table, source_kind)
    for arm, strength in STRENGTH.items():
        for fold, seed in study.runs():
            _run(paths, arm, fold, seed, table, strength)
        posttrain(study, arm)
        evaluate(study, arm)
        evaluation(study, arm)
    _gradcam(Path(paths.arm("resnet18"), "gradcam"))
    compare(study, list(STRENGTH))
    return study


def _data(paths: Paths, table: pd.DataFrame, source_kind: str) -> None:
    raw, store = Path(paths.raw), Path(paths.store("small"))
    prepared = np.empty((len(table), 48, 48, 1), np.uint8)
    for number, (sample, label) in enumerate(zip(table["sample"], table["label"])):
        picture = Image.fromarray(image(label, number))
        (raw / sample).parent.mkdir(parents=True, exist_ok=True)
        picture.save(raw / sample)
        prepared[number, ..., 0] = np.asarray(picture.resize((48, 48)))
    store.mkdir(parents=True)
    np.save(store / "images.npy", prepared)
    write_json(store / "preparation.json", {"shape": list(prepared.shape), "items": len(prepared), "left_out": []})
    write_table(store / "items.csv", pd.DataFrame({"item": range(len(table)), "sample": table["sample"], "mask": 0}))
    source = {
        "kind": source_kind,
        "from": "raw",
        "root": str(raw),
        "classes": {},
        "files": len(table),
        "bytes": 1234567,
    }
    differs = [f"train/{HOSTILE}: 38 files, 99 expected"]
    write_json(paths.source, {**source, "checksum": "0123456789abcdef" * 4, "differs": differs})
    published = table["part"].replace("validation", "train")
    write_table(
        paths.manifest,
        table[["sample", "label"]].assign(
            path=table["sample"], patient="", eye="", study="", published_part=published, mask=""
        ),
    )
    write_table(
        paths.groups,
        table[["sample", "group"]].assign(problem="", width=64, height=64, mode="L", bytes=4000, sha256="", conflict=0),
    )
    write_table(paths.splits, table.assign(patient="", fold=0, linked=0, conflict=0))
    write_json(
        paths.audit,
        {
            "samples": len(table) + 1,
            "unreadable": [{"sample": "train/glioma/broken.jpg", "problem": "truncated"}],
            "classes": {},
            "identical": {"byte_pairs": 2, "pairs": 3, "conflicting_pairs": 1, "label_agreement": 2 / 3},
            "near_duplicates": {"pairs": 5, "mirrored_pairs": 2, "groups": 3},
            "largest_group": {"group": "g0000", "size": 3, "samples": table["sample"][:3].tolist()},
            "mixed_label_groups": [table["sample"][[5, 40]].tolist()],
            "linked_test": {"n": 80, "same_orientation": 0.0, "any_orientation": 0.0125, "classes": {}},
            "patients_known": False,
            "confounds": {
                "balanced_accuracy": 0.31,
                "low": 0.25,
                "high": 0.37,
                "chance": 0.25,
                "features": {"bytes": 0.3},
                "warnings": [],
            },
            "warnings": ["1 samples cannot be read and are left out"],
        },
    )


def _gradcam(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.fromarray(np.tile(image(CLASSES[0], 0), (3, 8))).save(folder / "sheet.png", dpi=(150, 150))
    values = {"area_share": 0.1, "gaussian": 0.2, "randomized": 0.3, "energy_inside": 0.4}
    energies = {name: {"value": value, "low": value - 0.05, "high": value + 0.05} for name, value in values.items()}
    summary = {
        "run": {"fold": 0, "seed": 0},
        "n": 42,
        "empty": 3,
        "energies": energies,
        "rule": "By rank.",
        "cells": [2, 2],
        "chosen": [],
    }
    write_json(folder / "summary.json", summary)


def _run(paths: Paths, arm: str, fold: int, seed: int, table: pd.DataFrame, strength: float) -> None:
    folder = Path(paths.run(arm, fold, seed))
    random = np.random.default_rng(seed)
    target = table["label"].map(CLASSES.index).to_numpy()
    logits = random.normal(size=(len(table), len(CLASSES)))
    logits[np.arange(len(table)), target] += strength
    if not strength:
        logits[:, 1] += 20  # collapsed: one class for all
    scores = pd.DataFrame(logits, columns=[f"classification_{number}" for number in range(len(CLASSES))])
    rows = table[["part", "sample", "group"]].assign(
        patient="", fold=fold, seed=seed, item=range(len(table)), target=target
    )
    write_table(folder / "predictions.csv", pd.concat([rows, scores], axis=1))
    epochs = np.arange(8)
    falling = np.exp(-epochs / 3) * (1 + 0.05 * random.normal(size=8))
    write_table(
        folder / "history.csv",
        pd.DataFrame(
            {
                "stage": ["head"] * 2 + ["main"] * 6,
                "epoch": epochs,
                "lr": 1e-3,
                "train_loss": 0.2 + falling,
                "train_accuracy": 0.95 - 0.6 * falling,
                "validation_loss": 0.45 + falling,
                "validation_accuracy": 0.85 - 0.5 * falling,
                "validation_balanced_accuracy": 0.8,
                "validation_macro_f1": 0.8,
                "seconds": 1.0,
                "images_per_second": 100.0,
                "kept": (epochs == 6).astype(int),
            }
        ),
    )
    layers = [{"layer": "conv1", "type": "Conv2d", "output": [64, 24, 24], "parameters": 3136, "trainable": 3136}]
    write_json(folder / "network.json", {"total": 11171266, "trainable": 11171266, "layers": layers})
    header = json.dumps(
        {"__metadata__": {"rescan": json.dumps({"version": "0.1.0", "torch": "1.12.1", "arm": arm})}}
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


@pytest.fixture(scope="module")
def full_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """The folder and study of a tree at full scale."""
    folder = tmp_path_factory.mktemp("full")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, tree(folder, "full")


@pytest.fixture
def make_tree() -> Callable[[Path, str, str], Study]:
    """The function that writes a tree: folder, scale, kind of source."""
    return tree
