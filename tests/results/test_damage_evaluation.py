"""A damaged file after the training gives one line with the file and the step that makes it, or a right result."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from damages import faults, of_bytes, of_csv, of_json, of_npy
from sample_files import write_history, write_store
from sample_predictions import make_graded, write_arm

from rescan.evaluation.compare import compare
from rescan.evaluation.ensemble import ensemble
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.paths import StoreFolder
from rescan.preparation.store import open_store
from rescan.reporting.figures import evaluation_figures, training_figures
from rescan.results.diagnosis_file import Diagnosis
from rescan.results.history_files import LOSSES
from rescan.results.trained_model import read_trained_model
from rescan.study import Study

FOLDER = Path("results/full/heads")
RUN = FOLDER / "one/fold0_seed1"
PREDICTIONS = RUN / "predictions.csv"
WRONG = [("part", "holdout"), ("target", 9), ("target", -1), ("fold", 7), ("seed", 7), ("classification_1", "inf")]


def graded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a regression head, too, and a sample without a label."""
    noise = np.random.default_rng(int(table["seed"].iloc[0])).normal(scale=0.4, size=len(table))
    unlabeled = table.iloc[:1].assign(part="unlabeled", target=-1, sample="u0", group="u0", item=len(table))
    table = table.assign(regression=table["target"] + noise)
    return pd.concat([table, unlabeled.assign(regression=0.3)], ignore_index=True)


def header(content: dict[str, dict[str, str]]) -> bytes:
    """The header of a safetensors file, with no tensor behind it."""
    text = json.dumps(content).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """A finished study of grades: two arms with two heads and two seeds, their ensemble, and a collapsed run."""
    heads = {"classification": {}, "regression": {}}
    losses = {"classification": "cross_entropy", "regression": "mse"}
    recipe = {
        "network": {"encoder": "resnet18", "heads": heads},
        "stages": {"main": {"epochs": 1, "optimizer": {"name": "adam"}, "losses": losses}},
        "posttrain": {"head": "linear", "cuts": "optimized"},
    }
    arms = {"one": recipe, "two": {**recipe, "normalization": "unit"}}
    study = make_graded(arms={**arms, "both": {**recipe, "ensemble": {"members": ["one", "two"]}}}, seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("damaged"))
        for luck, arm in enumerate(("one", "two")):
            for seed in (0, 1):
                Diagnosis(collapsed=False).write(FOLDER / f"{arm}/fold0_seed{seed}/diagnosis.json")
            write_arm(study, arm, graded, luck=luck, sizes={"train": 40, "validation": 40, "test": 40})
        checked = {"train_mode_accuracy": 0.9, "eval_mode_accuracy": 0.2, "recalibrated_accuracy": 0.9}
        Diagnosis(collapsed=True, label="a", share=1.0, **checked).write(RUN / "diagnosis.json")
        write_history(RUN / "history.csv", 5, validation_accuracy=[0.2, 0.9, 0.1, 0.9, 0.9], kept=[0, 0, 0, 0, 1])
        LOSSES.write(RUN / "losses.csv", pd.DataFrame({"step": [1, 2, 3], "loss": [0.5, 0.25, 0.3]}))
        vectors = np.random.default_rng(0).normal(size=(80, 4))
        np.save(FOLDER / "one/fold0_seed0/vectors.npy", vectors.astype(np.float16))
        (RUN / "model.safetensors").write_bytes(header({"__metadata__": {"rescan": '{"version": "1", "torch": "2"}'}}))
        for seed in (0, 1):
            ensemble(study, "both", seed)
        posttrain(study, "both")
        for arm in study.arms:
            evaluate(study, arm)
        compare(study)
        yield study


def test_predictions(study: Study) -> None:
    damages = list(of_csv(PREDICTIONS.read_bytes(), WRONG))
    bad = []
    for step, result in (
        (posttrain, "one/posttraining.json"),
        (evaluate, "one/metrics.json"),
        (lambda study, _: compare(study), "comparison.csv"),
    ):
        bad += faults(PREDICTIONS, damages, lambda step=step: step(study, "one"), [FOLDER / result], "infer")
    # An ensemble reads one seed: with nothing to compare its rows with, it does not miss one.
    damages = [(name, content) for name, content in damages if not name.startswith("without line")]
    result = FOLDER / "both/fold0_seed1/predictions.csv"
    bad += faults(PREDICTIONS, damages, lambda: ensemble(study, "both", 1), [result], "infer")
    assert "\n".join(bad) == ""


def test_posttraining(study: Study) -> None:
    file = FOLDER / "one/posttraining.json"
    damages = list(of_json(file.read_bytes()))
    content = json.loads(file.read_bytes())
    for key, value in (
        ("head", "classification"),
        ("classes", 5),
        ("fit_on", "train"),
        ("temperatures", {}),
        ("temperatures", {"classification": {"whole": 1.0, "crossfit": [1.0] * 4}}),
        ("linear", {"whole": [1.0], "crossfit": [[1.0]] * 5}),
        ("cuts", {"whole": [1.0, 2.0, 3.0], "crossfit": [[1.0, 2.0]] * 5}),
        ("models", []),
    ):
        damages.append((f"{key} {value}", json.dumps({**content, key: value}).encode()))
    results = [FOLDER / "one/metrics.json"]
    bad = faults(file, damages, lambda: evaluate(study, "one"), results, "posttrain")
    bad += faults(file, damages, lambda: compare(study), [FOLDER / "comparison.csv"], "posttrain")
    assert "\n".join(bad) == ""


def test_metrics(study: Study) -> None:
    file = FOLDER / "one/metrics.json"
    damages = list(of_json(file.read_bytes()))
    content = json.loads(file.read_bytes())
    for key, value in (("study", "another"), ("arm", "two"), ("classes", ["a"]), ("interval_units", "eye")):
        damages.append((f"{key} {value}", json.dumps({**content, key: value}).encode()))
    bad = faults(file, damages, lambda: compare(study, list(study.arms)), [FOLDER / "comparison.csv"], "evaluate")
    assert "\n".join(bad) == ""


def test_diagnosis(study: Study) -> None:
    file = RUN / "diagnosis.json"
    damages = [damage for damage in of_json(file.read_bytes()) if damage[0] != "missing"]  # older runs have none
    bad = faults(file, damages, lambda: evaluate(study, "one"), [FOLDER / "one/metrics.json"], "infer")
    assert "\n".join(bad) == ""


def test_history(study: Study) -> None:
    file = RUN / "history.csv"
    damages = [damage for damage in of_csv(file.read_bytes()) if damage[0] != "missing"]  # of an ensemble there is none
    last = [name for name, _ in damages if name.startswith("without line")][-1]
    damages = [damage for damage in damages if damage[0] != last]  # a stage may end early
    bad = faults(file, damages, lambda: evaluate(study, "one"), [FOLDER / "one/metrics.json"], "train")
    assert "\n".join(bad) == ""


@pytest.mark.usefixtures("study")
def test_losses() -> None:
    file = RUN / "losses.csv"
    damages = list(of_csv(file.read_bytes()))
    assert faults(file, damages, lambda: training_figures.losses([file], "losses.png"), [], "train") == []


def test_vectors(study: Study) -> None:
    file = FOLDER / "one/fold0_seed0/vectors.npy"
    step = lambda: evaluation_figures.features(study, "one", "features.png")  # noqa: E731
    damages = [damage for damage in of_npy(file.read_bytes()) if damage[0] != "missing"]  # of an ensemble there is none
    assert faults(file, damages, step, [], "infer") == []


@pytest.mark.usefixtures("study")
def test_model_header() -> None:
    file = RUN / "model.safetensors"
    damages = list(of_bytes(file.read_bytes())) + [
        (name, header({"__metadata__": metadata}))
        for name, metadata in (
            ("no header", {}),
            ("half a header", {"rescan": '{"version": "0.1.0"'}),
            ("without torch", {"rescan": '{"version": "0.1.0"}'}),
            ("a version of a wrong type", {"rescan": '{"version": 1, "torch": "2"}'}),
            ("a list", {"rescan": "[]"}),
        )
    ]
    assert faults(file, damages, lambda: read_trained_model(file), [], "train") == []


@pytest.mark.usefixtures("study")
def test_store() -> None:
    folder = StoreFolder("store")
    images = np.zeros((6, 8, 8, 1), np.uint8)
    Path(folder).mkdir()
    write_store(folder, images, pd.DataFrame({"sample": list("abcdef"), "low": 0.5, "high": 2.0}))
    bad = []
    for path, of in ((folder.images, of_npy), (folder.items, of_csv), (folder.preparation, of_json)):
        damages = list(of(Path(path).read_bytes()))
        bad += faults(Path(path), damages, lambda: open_store(folder), [], "preprocess")
    assert "\n".join(bad) == ""
