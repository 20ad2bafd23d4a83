"""Every name that a study file may use can be said; numbers and recipes read as intended."""

from __future__ import annotations

import pytest

from rescan import names
from rescan.reporting import words
from rescan.study import Preparation
from rescan.study_file import load

STUDY = """
title: t
data: {source: {path: x}, layout: class_folders, classes: [a, b, c, d]}
split: {seeds: [0, 1, 2]}
preparations:
  brain256: {steps: [{name: crop_brain, threshold: 45}, {name: resize, size: [256, 256]}], channels: rgb}
recipe:
  preparation: brain256
  network: {encoder: densenet169, weights: imagenet, neck: flatten, hidden: [1000]}
  augmentation: {shear: 0.2, zoom: [0.8, 1.2], flip_horizontal: 0.5}
  stages:
    main: {epochs: 50, batch_size: 32, optimizer: {name: adam, lr: 1e-4}, losses: {classification: cross_entropy}}
arms:
  main: {}
  other: {keep: {best: macro_f1}, normalization: unit, training_samples: leak_free, early_stopping: {patience: 3}}
"""


@pytest.fixture
def loaded(tmp_path):
    (tmp_path / "s.yaml").write_text(STUDY)
    return load(tmp_path / "s.yaml", "full")


def test_a_recipe_in_words(loaded):
    assert words.recipe(loaded, "main") == {
        "Preparation": "Crop to the brain (the largest outline of gray above 45, margin 0 pixels), then resize to "
        "256×256 pixels; three channels, 8 bits.",
        "Input scale": "Pixels / 255, less ImageNet's mean, over its standard deviation.",
        "Augmentation": "Shear by up to ±0.2°, zoom by 0.8–1.2 (a larger value shows more, smaller), horizontal "
        "flip with probability 0.5; on training images only.",
        "Network": "From ImageNet weights (V1): densenet169 → flatten → 1,000 ReLU → 4 classes (softmax).",
        "Training": "50 epochs; batches of 32; Adam, learning rate 0.0001, constant schedule; "
        "cross-entropy; all layers are trained.",
        "Kept model": "The last epoch.",
        "Training samples": "All of the training part.",
        "Runs": "Folds: 1; seeds: 0, 1, 2.",
    }


def test_what_an_arm_changes_is_said(loaded):
    base, other = words.recipe(loaded, "main"), words.recipe(loaded, "other")
    changed = {topic: said for topic, said in other.items() if base.get(topic) != said}
    assert changed == {
        "Input scale": "Pixels / 255.",
        "Early stopping": "A stage ends after 3 epochs without a better validation loss.",
        "Kept model": "The epoch with the best validation macro f1.",
        "Training samples": "The training part without what shares a group with a test sample.",
    }


@pytest.mark.parametrize("name", sorted(names.OPERATORS))
def test_every_operator_can_be_said(name):
    said = words.preparation(Preparation(steps=[name]))
    assert "{" not in said


@pytest.mark.parametrize("name", sorted(names.AUGMENTATIONS))
def test_every_augmentation_can_be_said(name, tmp_path):
    value = "[0.5, 2.0]" if names.AUGMENTATIONS[name].options["value"] == "range" else "0.25"
    text = STUDY.replace("{shear: 0.2, zoom: [0.8, 1.2], flip_horizontal: 0.5}", f"{{{name}: {value}}}")
    (tmp_path / "s.yaml").write_text(text)
    said = words.recipe(load(tmp_path / "s.yaml", "full"), "main")["Augmentation"]
    assert "{" not in said
    assert "0.25" in said or ("0.5" in said and "2.0" in said)


@pytest.mark.parametrize("name", sorted(names.NORMALIZATIONS))
def test_every_normalization_has_a_sentence(name):
    assert words.NORMALIZATIONS[name]


def test_names_without_a_sentence_show_their_options():
    assert words._generic({"name": "new_thing", "size": 3, "rate": 0.5, "off": False}) == "new thing (size 3, rate 0.5)"


@pytest.mark.parametrize(("value", "said"), [(None, "–"), (0.8125, "0.812"), (-0.05, "−0.050"), (1.0, "1.000")])
def test_numbers(value, said):
    assert words.number(value) == said


def test_intervals():
    assert words.interval({"low": 0.7, "high": 0.9}) == "(0.700–0.900)"
    assert words.interval({"low": -0.1, "high": 0.2}) == "(−0.100 to 0.200)"
    assert words.interval({"value": 1, "low": None, "high": None}) == words.interval(None) == ""
