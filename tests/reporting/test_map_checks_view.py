"""What the page says of the checks of maps, and the figure of deletion and insertion."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from sample_files import LOCATED, MAP_CHECKS

from rescan.files import write_json
from rescan.paths import ArmFolder
from rescan.reporting.figures.map_check_figures import deletion_and_insertion
from rescan.reporting.page.map_checks_view import map_checks_view
from rescan.results.map_checks_file import MapChecks

SUMMARY = {
    "run": {"arm": "a", "fold": 0, "seed": 0},
    "head": "classification",
    "method": "gradcam",
    "layer": "layer4",
    "kind": "images",
    "shown": "",
    "scored": "",
    "cells": [2, 2],
    "n": 0,
    "empty": 0,
    "energies": {},
    "located": LOCATED,
    "checks": MAP_CHECKS,
    "rule": "",
    "chosen": [],
}


def texts(folder, **changes):
    """By title, the sentence of each check."""
    write_json(f"{folder}/gradcam/summary.json", {**SUMMARY, "checks": {**MAP_CHECKS, **changes}})
    view = map_checks_view(ArmFolder(folder), "a")
    return {check.title: check.text for check in view.checks}


def mean(low, high, **further):
    return {"value": (low + high) / 2, "low": low, "high": high, **further}


def test_without_maps_there_is_nothing(tmp_path):
    assert map_checks_view(ArmFolder(tmp_path), "a") is None


@pytest.mark.parametrize(
    ("low", "high", "text"), [(0.01, 0.2, "faster"), (-0.2, -0.01, "more slowly"), (-0.1, 0.1, "not demonstrably")]
)
def test_a_sentence_says_what_the_interval_shows(tmp_path, low, high, text):
    said = texts(tmp_path, deletion=mean(low, high), insertion=mean(low, high))
    assert text in said["Deletion: area below random order"]
    assert text in said["Insertion: area above random order"]


@pytest.mark.parametrize(
    ("low", "high", "random", "seeds"),
    [
        (0.6, 0.9, "not what was learned", "agree:"),
        (-0.2, 0.3, "differ from", "agree little"),
        (0.3, 0.7, "cannot be told", "cannot be told"),
    ],
)
def test_alike_to_random_networks_is_bad_and_to_other_seeds_good(tmp_path, low, high, random, seeds):
    similar = mean(low, high, n=9, networks=3)
    said = texts(tmp_path, randomized=similar, seeds=similar)
    assert random in said["Random weights: rank correlation"]
    assert seeds in said["Other seeds: rank correlation"]
    assert "3 networks with random weights" in said["Random weights: rank correlation"]
    assert "4 seeds" in said["Other seeds: rank correlation"]


def test_one_seed_is_said_and_lesions_have_their_references(tmp_path):
    said = texts(tmp_path)
    assert said["Other seeds: rank correlation"].startswith("Not measured")
    assert "more than each reference (0.100 by chance" in said["Pointing game: hits"]
    assert "not demonstrably more" in said["Overlap with the lesion"]
    write_json(f"{tmp_path}/gradcam/summary.json", {**SUMMARY, "located": {**LOCATED, "n": 0}})
    view = map_checks_view(ArmFolder(tmp_path), "a")
    assert len(view.checks) == 4
    assert "24 test images" in view.caption
    assert "2 of them with an empty map" in view.caption


def test_the_figure_draws_both_orders(tmp_path):
    deletion_and_insertion(MapChecks.model_validate(MAP_CHECKS), tmp_path / "checks.png")
    with Image.open(tmp_path / "checks.png") as picture:
        colors = np.unique(np.array(picture.convert("RGB")).reshape(-1, 3), axis=0)
    for wanted in ((0, 0x72, 0xB2), (0xD5, 0x5E, 0)):
        assert (np.abs(colors.astype(int) - wanted).max(1) < 12).any()
