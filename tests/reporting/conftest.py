"""Complete results trees: the evaluation is real, what would need images of patients or a network is synthetic."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import volume_tree
from made_once import made_once
from PIL import Image
from sample_files import (
    LOCATED,
    MAP_CHECKS,
    write_audit,
    write_groups,
    write_manifest,
    write_source,
    write_splits,
    write_store,
)

from rescan.evaluation.compare import compare
from rescan.evaluation.ensemble import ensemble
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.files import write_json, write_table
from rescan.paths import Paths
from rescan.reporting.figures import style
from rescan.reporting.figures.comparison_figures import comparison
from rescan.reporting.figures.evaluation_figures import evaluation
from rescan.study import Settings, Study
from rescan.study.file import load

HOSTILE = "<script>alert(1)</script>"
CLASSES = ("glioma", "menin & gioma", HOSTILE, "pituitary")
TUMORS = """
small: {}
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
GRADES = ("no DR", "mild", "moderate", "severe", "proliferative")
RETINA = """
title: Grades of eyes
data:
  source: {path: raw}
  layout: aptos
  classes: [no DR, mild, moderate, severe, proliferative]
  ordered: true
  endpoints: {any_disease: mild, referable: moderate}
  extra: {more_eyes: {source: {path: raw_extra}, layout: eyepacs}}
split: {test: 0.25, folds: 2, seeds: [0, 1]}
preparations:
  small:
    steps:
      - {name: resize, size: [64, 64]}
      - {name: crop_gray}
      - {name: resize, size: [48, 48]}
      - {name: enhance, sigma: 4}
      - {name: circle_mask, radius: 0.95, fill: 128}
    background: 128
recipe:
  preparation: small
  network:
    encoder: resnet18
    weights: none
    neck: {name: avg+max, batch_norm: true}
    heads: {regression: {hidden: [64], dropout: 0.5}, classification: {}, ordinal: {}}
  augmentation: {rotation: 180, brightness: [0.5, 1.5], flip_horizontal: 0.5}
  stages:
    pretraining:
      epochs: 3
      samples: [more_eyes]
      optimizer: {name: sgd, lr: 0.01}
      losses: {regression: mae, classification: cross_entropy, ordinal: binary_cross_entropy}
    all:
      epochs: 5
      carry: encoder
      optimizer: {name: adam, lr: 1e-3}
      losses: {regression: mse, classification: focal, ordinal: binary_focal}
  posttrain: {head: linear, fit_on: train}
arms:
  multitask: {}
  lr_bug: {stages: {all: {schedule: {name: cosine, ends_after: 5}}}}
  cuts: {models: multitask, posttrain: {fit_on: crossfit, cuts: optimized}}
  tested: {validation: test, posttrain: {head: regression, fit_on: train}, network: {heads: {ordinal: {link: softmax}}}}
  simple: {network: {heads: {regression: null, ordinal: null}}, stages: {pretraining: {losses: {regression: null,
    ordinal: null}}, all: {losses: {regression: null, ordinal: null}}}, posttrain: {head: null, fit_on: crossfit},
    folds: 1}
  ensemble: {ensemble: {members: [multitask, lr_bug], combine: trimmed_mean}, posttrain: {fit_on: crossfit}}
  absent: {normalization: unit, against: lr_bug}
published:
  - {arm: multitask, metric: quadratic_kappa, value: 0.704, n: 733, who: article}
  - {arm: multitask, endpoint: referable, metric: accuracy, value: 0.9, n: 733, who: article}
"""
STRENGTH = {"resnet18": 2.2, "vgg19": 0.0, "multitask": 0.7, "lr_bug": 0.15, "tested": 0.4, "simple": 0.5}
A_CLASS = {"train": 30, "validation": 8, "test": 20}


def samples(classes: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    """The samples of a tree; three groups have several, two mixed labels, one lies on both sides of the split."""
    rows = [
        {"sample": f"{part}/class{classes.index(label)}/{i:03d}.png", "label": label, "part": part}
        for part, count in A_CLASS.items()
        for label in classes
        for i in range(count)
    ]
    table = pd.DataFrame(rows)
    table["group"] = [f"g{number:04d}" for number in range(len(table))]
    table.loc[[0, 1, 2], "group"] = "g0000"
    table.loc[[5, 40], "group"] = "g0005"
    if classes == CLASSES:
        table.loc[[7, len(table) - 1], "group"] = "g0007"
        return table.assign(patient="", eye="", study="", origin="", fold=0)
    test = table["part"] == "test"
    further = [("u", 6, "", "unlabeled", ""), ("more_eyes/", 10, "mild", "extra", "more_eyes")]
    more = [
        {"sample": f"{name}{i}.png", "label": label, "part": part, "group": f"h{name}{i}", "origin": origin}
        for name, count, label, part, origin in further
        for i in range(count)
    ]
    folds = []
    for fold in (0, 1):
        number = table.groupby("label").cumcount()
        part = pd.Series(np.where(number % 2 == fold, "validation", "train"), table.index).mask(test, "test")
        part = part.mask(table["group"].isin(["g0000", "g0005"]), "train")
        folds.append(pd.concat([table.assign(part=part), pd.DataFrame(more)]).assign(fold=fold))
    whole = pd.concat(folds, ignore_index=True)
    return whole.assign(patient="", eye="", study="", origin=whole["origin"].fillna(""))


def image(number: int, seed: int, size: int = 64) -> np.ndarray:
    """A disc with a bright spot whose place tells the class: (size, size) uint8."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    places = ((-0.4, -0.4), (0.4, -0.4), (-0.4, 0.4), (0.4, 0.4), (0, 0))
    spot = np.hypot(x - places[number][0], y - places[number][1]) < 0.2
    disc = 90 * (np.hypot(x, y) < 0.9) + 90 * spot
    return np.clip(disc + random.normal(0, 12, (size, size)), 0, 255).astype(np.uint8)


def tree(folder: Path, scale: str) -> Study:
    """Write the whole tree of a study with two arms that ran and one that did not, in the current folder."""
    (folder / "tumors.yaml").write_text(TUMORS, "utf-8")
    study = load(folder / "tumors.yaml", Settings(scale))
    paths = Paths(scale, study.name)
    write_json(paths.resolved, study.model_dump(mode="json"))
    table = samples()
    _data(study, table)
    for arm in ("resnet18", "vgg19"):
        _arm(study, arm, table)
    _gradcam(Path(paths.arm("resnet18"), "gradcam"))
    compare(study, ["resnet18", "vgg19"])
    comparison(study, ["resnet18", "vgg19"])
    return study


def graded_tree(folder: Path, scale: str) -> Study:
    """The same of grades: two folds, three heads, an arm of other models, an ensemble, unlabeled and extra samples."""
    (folder / "retina.yaml").write_text(RETINA, "utf-8")
    study = load(folder / "retina.yaml", Settings(scale))
    write_json(Paths(scale, study.name).resolved, study.model_dump(mode="json"))
    table = samples(GRADES)
    _data(study, table)
    ran = [arm for arm in study.arms if arm != "absent"]
    for arm in ran:
        _arm(study, arm, table)
    compare(study, ran)
    comparison(study, ran)
    return study


def _arm(study: Study, arm: str, table: pd.DataFrame) -> None:
    recipe = study.arms[arm]
    if recipe.ensemble:
        for run in study.runs(arm):
            ensemble(study, arm, run.seed)
    for run in () if recipe.ensemble else study.runs(arm):
        _run(study, arm, run.fold, run.seed, table[(table["fold"] == run.fold) & (table["part"] != "extra")])
    posttrain(study, arm)
    evaluate(study, arm)
    evaluation(study, arm)


def _data(study: Study, table: pd.DataFrame) -> None:
    paths, classes = Paths(study.scale, study.name), study.data.classes
    one = table.drop_duplicates("sample").reset_index(drop=True)
    raw, store, channels = Path(paths.raw), Path(paths.store("small")), 3 if study.data.ordered else 1
    prepared = np.empty((len(one), 48, 48, channels), np.uint8)
    for number, (sample, label) in enumerate(zip(one["sample"], one["label"])):
        picture = Image.fromarray(image(classes.index(label) if label else 0, number))
        (raw / sample).parent.mkdir(parents=True, exist_ok=True)
        picture.save(raw / sample)
        prepared[number] = np.asarray(picture.resize((48, 48)))[..., None]
    write_store(store, prepared, one[["sample"]])
    content = {"files": len(one), "bytes": 1234567, "checksum": "0123456789abcdef" * 4}
    differs = [f"train/{HOSTILE}: 38 files, 99 expected"] if study.data.expected else []
    write_source(paths, str(raw), extra=dict.fromkeys(study.data.extra, str(raw)), differs=differs, **content)
    published = one["part"].replace("validation", "train")
    if study.data.ordered:
        published = one["part"].where(one["part"].isin(["unlabeled", "extra"]), "")
    manifest = one[["sample", "label", "patient", "eye", "origin"]]
    write_manifest(paths, manifest.assign(published_part=published))
    write_groups(paths, one[["sample", "group"]])
    tested = table["part"] == "test"
    linked = table["part"].isin(["train", "validation"]) & table["group"].isin(table.loc[tested, "group"])
    write_splits(paths, table.assign(linked=linked.astype(int)))
    write_audit(paths, **_audit(study, one))


def _audit(study: Study, one: pd.DataFrame) -> dict[str, Any]:
    kappa = {"quadratic_kappa": 0.78} if study.data.ordered else {}
    alone = {"quadratic_kappa": {"value": 0.41, "low": 0.3, "high": 0.5}} if study.data.ordered else {}
    further = {"copies": {"quadratic_kappa": 0.7}, "linked_extra": {"more_eyes": 2}} if study.data.ordered else {}
    mixed = [[5, 40]] if study.data.ordered else [[5, 40], [7, len(one) - 1]]
    return {
        "samples": len(one) + 1,
        "unreadable": [{"sample": "train/glioma/broken.jpg", "problem": "truncated"}],
        "identical": {"byte_pairs": 2, "pairs": 3, "conflicting_pairs": 1, "label_agreement": 2 / 3, **kappa},
        "near_duplicates": {"pairs": 5, "mirrored_pairs": 2, "groups": 3},
        "largest_group": {"group": "g0000", "size": 3, "samples": one["sample"][:3].tolist()},
        "mixed_label_groups": [one["sample"][rows].tolist() for rows in mixed],
        "several_patient_groups": [],
        "linked_test": {"n": 80, "same_orientation": 0.0, "any_orientation": 0.0125, "classes": {}},
        "patients_known": False,
        "confounds": {
            "balanced_accuracy": 0.31,
            "low": 0.25,
            "high": 0.37,
            "chance": 0.25,
            "features": {"bytes": 0.3},
            "warnings": [],
            **alone,
        },
        "warnings": ["1 samples cannot be read and are left out"],
        **further,
    }


def _gradcam(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.fromarray(np.tile(image(0, 0), (3, 8))).save(folder / "sheet.png", dpi=(150, 150))
    values = {"area_share": 0.1, "gaussian": 0.2, "randomized": 0.3, "energy_inside": 0.4}
    energies = {name: {"value": value, "low": value - 0.05, "high": value + 0.05} for name, value in values.items()}
    summary = {
        "run": {"arm": "resnet18", "fold": 0, "seed": 0},
        "head": "classification",
        "method": "gradcam",
        "layer": "layer4",
        "kind": "images",
        "shown": "the predicted class and of the true class",
        "scored": "the map of the predicted class",
        "n": 42,
        "empty": 3,
        "energies": energies,
        "located": LOCATED,
        "checks": MAP_CHECKS,
        "rule": "By rank.",
        "cells": [2, 2],
        "chosen": [],
    }
    write_json(folder / "summary.json", summary)


def _outputs(study: Study, arm: str, target: np.ndarray, random: np.random.Generator) -> pd.DataFrame:
    """Outputs of every head of an arm; of unlabeled rows (target −1) they say nothing."""
    recipe, classes = study.arms[arm], len(study.data.classes)
    strength = STRENGTH[recipe.models or arm]
    truth = np.maximum(target, 0)
    logits = random.normal(size=(len(target), classes))
    logits -= 0.5 * strength * np.abs(np.arange(classes) - truth[:, None]) if study.data.ordered else 0
    logits[np.arange(len(target)), truth] += strength
    if not strength:
        logits[:, 1] += 20  # collapsed: one class for all
    columns = {f"classification_{k}": logits[:, k] for k in range(classes)}
    if "ordinal" in recipe.network.heads:
        first = 1 if recipe.network.heads["ordinal"].link == "sigmoid" else 0
        for k in range(first, classes):
            columns[f"ordinal_{k - first}"] = 1.5 * strength * (truth - k + 0.5) + random.normal(size=len(target))
    if "regression" in recipe.network.heads:
        columns["regression"] = truth + random.normal(0, 1 / (0.4 + strength), len(target))
    return pd.DataFrame(columns)


def _run(study: Study, arm: str, fold: int, seed: int, table: pd.DataFrame) -> None:
    paths, recipe = Paths(study.scale, study.name), study.arms[arm]
    folder = Path(paths.run(arm, fold, seed))
    random = np.random.default_rng([seed, fold])
    table = table.reset_index(drop=True)
    if recipe.validation == "test":
        table["part"] = table["part"].replace("validation", "train")
    number = {label: k for k, label in enumerate(study.data.classes)}
    target = table["label"].map(number).fillna(-1).astype(int).to_numpy()
    scores = _outputs(study, arm, target, random)
    rows = table[["part", "sample", "group", "patient", "eye", "study"]].assign(
        fold=fold, seed=seed, item=range(len(table)), target=target
    )
    write_table(folder / "predictions.csv", pd.concat([rows, scores], axis=1))
    held_out = rows["part"].isin(["validation", "test"]).to_numpy()
    directions = np.eye(len(study.data.classes), 16)[target[held_out]]
    vectors = directions * (0.2 + 3 * STRENGTH[recipe.models or arm]) + random.normal(0, 1, (held_out.sum(), 16))
    np.save(folder / "vectors.npy", vectors.astype(np.float16))
    if not recipe.models:
        _trained(folder, arm, random, [name for name, stage in recipe.stages.items() for _ in range(stage.epochs)])


def _trained(folder: Path, arm: str, random: np.random.Generator, stages: list[str]) -> None:
    epochs = np.arange(len(stages))
    falling = np.exp(-epochs / 3) * (1 + 0.05 * random.normal(size=len(stages)))
    history = {
        "stage": stages,
        "epoch": epochs,
        "step": 10 * (epochs + 1),
        "lr": 1e-3,
        "train_loss": 0.2 + falling,
        "train_accuracy": 0.95 - 0.6 * falling,
        "validation_loss": 0.45 + falling,
        "validation_accuracy": 0.85 - 0.5 * falling,
        "validation_balanced_accuracy": 0.8,
        "validation_macro_f1": 0.8,
        "validation_quadratic_kappa": 0.8 - 0.7 * falling,
        "seconds": 1.0,
        "images_per_second": 100.0,
        "kept": (epochs == 6).astype(int),
    }
    write_table(folder / "history.csv", pd.DataFrame(history))
    layers = [{"layer": "conv1", "type": "Conv2d", "output": [64, 24, 24], "parameters": 3136, "trainable": 3136}]
    write_json(folder / "network.json", {"total": 11171266, "trainable": 11171266, "layers": layers})
    about = json.dumps({"version": "0.1.0", "torch": "1.12.1", "arm": arm})
    header = json.dumps({"__metadata__": {"rescan": about}}).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)


def _copied(
    factory: pytest.TempPathFactory, make: Callable[[Path, str], Study], file: str, scale: str
) -> tuple[Path, Study]:
    """A copy of a tree that is made once, and its study: the tests that ask for it may write to it."""

    def made(folder: Path) -> None:
        folder.mkdir()
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(folder)
            make(folder, scale)

    name = f"{Path(file).stem}_{scale}"
    folder = factory.mktemp(name)
    shutil.copytree(made_once(factory, name, made), folder, dirs_exist_ok=True)
    study = load(folder / file, Settings(scale))
    write_json(folder / Paths(scale, study.name).resolved, study.model_dump(mode="json"))
    return folder, study


@pytest.fixture(scope="module")
def full_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """The folder and study of a tree at full scale."""
    return _copied(tmp_path_factory, tree, "tumors.yaml", "full")


@pytest.fixture(scope="module")
def demo_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """The same at demo scale."""
    return _copied(tmp_path_factory, tree, "tumors.yaml", "demo")


@pytest.fixture(scope="module")
def small_tree(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """The same at small scale."""
    return _copied(tmp_path_factory, tree, "tumors.yaml", "small")


@pytest.fixture(scope="session")
def graded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """The folder and study of a tree of grades at full scale."""
    return _copied(tmp_path_factory, graded_tree, "retina.yaml", "full")


@pytest.fixture(scope="session")
def octa(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    """The folder and study of a tree of volumes at demo scale."""
    return _copied(tmp_path_factory, lambda folder, _scale: volume_tree.tree(folder), "octa.yaml", "demo")


@pytest.fixture
def canvases(monkeypatch):
    """The figures in the order in which they are drawn."""
    canvases = []

    def figure(*args, **kwargs):
        canvases.append(original(*args, **kwargs))
        return canvases[-1]

    original = style.Figure
    monkeypatch.setattr(style, "Figure", figure)
    return canvases
