"""The page of a study of volumes: levels, subgroups, what the field of view says alone, claims, autoencoders."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_files import write_audit, write_history, write_manifest, write_source

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
from rescan.results.metrics_file import Estimate, Metrics
from rescan.study import Settings, Study
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


def _run(study: Study, arm: str, fold: int, seed: int, table: pd.DataFrame) -> None:
    pair = np.arange(SAMPLES) // 2
    part = np.where(pair % 4 == 0, "test", np.where(pair % 2 == fold, "validation", "train"))
    rows = table[["sample", "patient", "eye", "group"]].assign(study="", part=part, fold=fold, seed=seed)
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
    write_history(folder / "history.csv", 3, train_loss=losses, validation_loss=losses, kept=[1, 1, 0])
    volumes = np.random.default_rng(0).integers(0, 255, (3, 2, 8, 8, 8, 1)).astype(np.uint8)
    np.save(folder / "reconstructions.npy", volumes)
    reconstructions(folder / "reconstructions.npy", folder / "reconstructions.png")


def tree(folder: Path) -> Study:
    (folder / "octa.yaml").write_text(OCTA, "utf-8")
    study = load(folder / "octa.yaml", Settings("demo"))
    paths, table = Paths("demo", study.name), samples()
    write_source(paths, kind="phantom", files=9)
    write_manifest(paths, table)
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
            "kind": "volumes",
            "shown": "the predicted class",
            "scored": "the map of the predicted class",
            "n": 0,
            "empty": 0,
            "energies": {},
            "rule": "By rank.",
            "cells": [2, 2, 2],
            "chosen": [],
        },
    )
    compare(study, list(SKILL))
    comparison(study, list(SKILL))
    report(study)
    return study


@pytest.fixture(scope="module")
def octa(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Study]:
    folder = tmp_path_factory.mktemp("octa")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, tree(folder)


@pytest.fixture(scope="module")
def page(octa: tuple[Path, Study]) -> str:
    return (octa[0] / "results/demo/octa/index.html").read_text("utf-8")


@pytest.fixture(scope="module")
def text(page: str) -> str:
    """The page's words, a blank between elements."""
    visible = re.sub(r"<(script|style)\b.*?</\1>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", visible)).split())


def of_arm(octa: tuple[Path, Study], arm: str) -> Metrics:
    return Metrics.read(octa[0] / Paths("demo", "octa").arm(arm).metrics)


def text_of(estimate: Estimate) -> str:
    return f"{estimate.value:.3f} ({estimate.low:.3f}–{estimate.high:.3f})"


def test_claims_are_judged_in_a_sentence_and_a_table(octa: tuple[Path, Study], text: str) -> None:
    table = pd.read_csv(octa[0] / Paths("demo", "octa").comparison).query("kind == 'claim'").set_index("part")
    test, pooled = table.loc["test"].iloc[0], table.loc["out_of_fold"]
    numbers = [f"{test[f'difference{end}']:.2f}" for end in ("", "_low", "_high")]
    rest = [f"{pooled[f'difference{end}']:.2f}" for end in ("", "_low", "_high")]
    assert (
        "The published claim that deep scores better than flat, judged here on phantoms: paired difference of balanced "
        f"accuracy +{numbers[0]} ({numbers[1]} to {numbers[2]}): supported; out of fold +{rest[0]} ({rest[1]} to "
        f"{rest[2]}): supported."
    ) in text
    assert "better than deep, judged here on phantoms: not run (no test result of seen)." in text
    assert "deep better than flat the text balanced accuracy test" in text
    assert "supported demo: phantoms and a small recipe; 2 seeds: their spread is known only roughly" in text
    assert "changes test balanced accuracy" not in text  # a claim is no choice


def test_what_the_field_of_view_says_alone_stands_beside_the_arms(octa: tuple[Path, Study], text: str) -> None:
    fov = of_arm(octa, "deep").baselines["fov"]
    value = fov["test"].metrics["accuracy"]
    arms = {name: of_arm(octa, name).parts["test"]["image"].metrics["accuracy"] for name in SKILL}
    unshown = [name for name, accuracy in arms.items() if accuracy.low <= value.value]
    assert "flat" in unshown
    assert (
        f"The field of view alone reaches {100 * value.value:.1f} %; not shown to be better: {', '.join(unshown)}."
        in text
    )
    assert f"Field of view alone the class that is the most frequent with it in training {text_of(value)}" in text
    pooled = fov["out_of_fold"].metrics["accuracy"]
    assert (
        f"Field of view alone, out of fold the class that is the most frequent with it in training {text_of(pooled)}"
        in text
    )


def test_levels_of_patches(octa: tuple[Path, Study], text: str) -> None:
    test = of_arm(octa, "patched").parts["test"]
    assert list(test) == ["patch", "image", "patient"]
    section = text[text.index("Arm: patched Test accuracy") :]
    for level, name, n in (
        ("patch", "patch", 160),
        ("image", "sample", 40),
        ("patient", "patient, by mean probability", 8),
    ):
        assert f"{name} test {n} {text_of(test[level].metrics['accuracy'])}" in section
    assert f"Test accuracy {text_of(test['image'].metrics['accuracy'])} on 40 samples." in section


def test_subgroups_by_field_of_view_are_open_and_the_others_folded(
    octa: tuple[Path, Study], page: str, text: str
) -> None:
    subgroups = of_arm(octa, "flat").subgroups
    assert "<h4>By field of view, test</h4>" in page
    assert "<details><summary>By sex, age and eye, test</summary>" in page
    assert "<details><summary>By sex, age and eye, out of fold</summary>" in page
    for value in ("3mm", "6mm"):
        scores = subgroups["fov"][value]
        accuracy, balanced = (text_of(scores.metrics[name]) for name in ("accuracy", "balanced_accuracy"))
        assert f"{value} {scores.n} {accuracy} {balanced}" in text


def test_dropped_labels_and_classes_by_field_of_view(text: str) -> None:
    assert "Labels of the source that the study drops: CNV (5 samples), OTHERS (96 samples)." in text
    counts = pd.crosstab(samples()["fov"], samples()["label"])
    for fov in ("3mm", "6mm"):
        normal, abnormal = counts.loc[fov, "normal"], counts.loc[fov, "abnormal"]
        assert f"{fov} {normal} {abnormal} {normal + abnormal}" in text
    assert "Samples of each class by sex" in text
    assert "Identical volumes 0 pairs." in text


def test_autoencoders_and_what_they_have_seen(page: str, text: str) -> None:
    section = text[text.index("Autoencoders own used by started") : text.index("Arm: deep Test accuracy")]
    own, leaky = section.split("leaky used by seen")
    assert "It has seen training samples only" in own
    assert "Fold 0, seed 0: validation mean squared error 0.0125 at epoch 2 of 3, of normalized images." in own
    assert "leak" not in own
    assert "It has seen the test part, without its labels: a leak" in leaky
    assert "the validation part was trained on" in leaky
    assert page.count('alt="own: Validation samples and what the autoencoder makes of them, equally brightened."') == 1


def test_a_browser_of_slices_brings_its_script_and_nothing_from_outside(page: str) -> None:
    assert page.count("<canvas") == 1
    assert page.count("<script>") == 1
    data = re.findall(r'<script type="application/json">(.*?)</script>', page, flags=re.DOTALL)
    assert [json.loads(one)["title"] for one in data] == ["s0 </script>"]
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_an_autoencoder_that_has_not_run(
    octa: tuple[Path, Study], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report(octa[1])
    page = Path("results/demo/octa/index.html").read_text("utf-8")
    assert page.count("<p>Not run.</p>") >= 2
    assert "judged here on phantoms: not run (not compared yet)." in page
