from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sample_files import write_known

from rescan.files import write_table
from rescan.models import model_files, networks
from rescan.models.normalization import normalize
from rescan.paths import Paths
from rescan.study import Run
from rescan.training.forward_pass import predict_outputs
from rescan.training.infer import infer
from rescan.training.lease import Machine
from rescan.training.train import train

CPU = Machine("cpu")
RUN = Path("results/demo/toy/plain/fold0_seed0")


def rewrite_model(change):
    """Change the trained weights in place."""
    network, header = model_files.load(RUN / "model.safetensors")
    change(network)
    model_files.save(RUN / "model.safetensors", network, header)


@pytest.fixture
def trained(make_study, make_store):
    stages = {"main": {"epochs": 12, "batch_size": 6, "optimizer": {"name": "adam", "lr": 0.03}}}
    study = make_study(stages=stages, augmentation={"noise": 0.1}, network={"encoder": "tiny", "weights": "none"})
    splits = make_store(study, per_class=(12, 4, 2))
    train(Run(study, "plain", 0, 0), CPU)
    return study, splits


def test_predictions_of_every_item(trained):
    study, splits = trained
    infer(Run(study, "plain", 0, 0), CPU)
    table = pd.read_csv(RUN / "predictions.csv", dtype={"patient": str})
    logits = [f"classification_{k}" for k in range(3)]
    keys = ["part", "item", "sample", "group", "patient", "eye", "study", "fold", "seed", "target"]
    assert list(table) == [*keys, *logits]
    assert table["part"].value_counts().to_dict() == {"train": 36, "validation": 12, "test": 6}
    assert dict(zip(table["sample"], table["part"])) == dict(zip(splits["sample"], splits["part"]))

    # By hand: each image alone through the network, in eval mode, without augmentation.
    network, _ = model_files.load(RUN / "model.safetensors")
    images = torch.from_numpy(np.load("data/demo/toy/small/images.npy")).permute(0, 3, 1, 2)
    with torch.no_grad():
        fed = normalize(images[table["item"]], "imagenet")
        expected = torch.cat([network(image[None])["classification"] for image in fed]).numpy()
    np.testing.assert_allclose(table[logits].to_numpy(), expected, atol=1e-4)
    history = pd.read_csv(RUN / "history.csv")
    validation = table[table["part"] == "validation"]
    accuracy = (validation[logits].to_numpy().argmax(axis=1) == validation["target"]).mean()
    assert accuracy == history.loc[history["kept"] == 1, "validation_accuracy"].item()
    assert json.loads((RUN / "diagnosis.json").read_text()) == {"collapsed": False}


def test_logits_are_written_in_full(trained):
    study, _ = trained
    infer(Run(study, "plain", 0, 0), CPU)
    table = pd.read_csv(RUN / "predictions.csv")
    network, _ = model_files.load(RUN / "model.safetensors")
    images = np.load("data/demo/toy/small/images.npy", mmap_mode="r")
    logits = predict_outputs(network, images, "imagenet", "cpu", rows=table["item"].to_numpy())
    written = table[[f"classification_{k}" for k in range(3)]].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(written, logits["classification"])


def test_a_model_with_stale_statistics_is_named_and_recalibrated(trained, caplog):
    study, _ = trained

    def spoil(network):
        network.encoder.body.norm.running_mean += 1000

    rewrite_model(spoil)
    before = load_file(RUN / "model.safetensors")
    infer(Run(study, "plain", 0, 0), CPU)
    diagnosis = json.loads((RUN / "diagnosis.json").read_text())
    assert diagnosis["collapsed"]
    assert diagnosis["class"] in study.data.classes
    assert diagnosis["share"] == 1
    assert diagnosis["eval_mode_accuracy"] == pytest.approx(1 / 3)
    assert diagnosis["recalibrated_accuracy"] > 0.9
    assert diagnosis["train_mode_accuracy"] > 0.6
    assert "collapsed" in caplog.text
    assert all(torch.equal(value, before[key]) for key, value in load_file(RUN / "model.safetensors").items())


def test_a_collapsed_head_is_not_mended_by_recalibration(trained):
    study, _ = trained
    rewrite_model(lambda network: network.heads["classification"][-1].bias.data.copy_(torch.tensor([0.0, 1e6, 0.0])))
    infer(Run(study, "plain", 0, 0), CPU)
    diagnosis = json.loads((RUN / "diagnosis.json").read_text())
    assert diagnosis["class"] == "b"
    for mode in ("train_mode", "eval_mode", "recalibrated"):
        assert diagnosis[f"{mode}_accuracy"] == pytest.approx(1 / 3)


def test_prediction_restores_the_networks_mode(make_study):
    network = networks.build(make_study().arms["plain"], 3, (1, 64, 64))
    images = np.zeros((5, 64, 64, 1), np.uint8)
    network.train()
    logits = predict_outputs(network, images, "imagenet", "cpu", 2)["classification"]
    assert network.training
    again = predict_outputs(network.eval(), images, "imagenet", "cpu", 2)["classification"]
    np.testing.assert_array_equal(logits, again)
    assert logits.shape == (5, 3)
    assert logits.dtype == np.float32


def test_external_data_are_predicted_by_the_model_of_home(make_study, make_store):
    study = make_study(network={"encoder": "tiny", "weights": "none"}, folds=1, training_samples="size_matched")
    make_store(study)
    train(Run(study, "plain", 0, 0), CPU)
    data = {**study.data.model_dump(), "external": {"h2": {"source": {"path": "y"}, "layout": "table"}}}
    apart = type(study).model_validate({**study.model_dump(), "data": data}).external("h2")
    splits = make_store(apart, per_class=(0, 0, 5))
    parts = ["left_out", *["external"] * 13, "unlabeled"]
    labels = [*splits["label"][:-1], ""]
    splits = splits.assign(part=parts, label=labels)
    write_table("results/demo/toy/external/h2/splits.csv", splits)
    write_known(Paths("demo", "toy/external/h2"), splits)
    infer(Run(apart, "plain", 0, 0), CPU)
    table = pd.read_csv("results/demo/toy/external/h2/plain/fold0_seed0/predictions.csv")
    assert table["part"].tolist() == parts[1:]
    assert table["target"].tolist() == [0] * 4 + [1] * 5 + [2] * 4 + [-1]
    network, _ = model_files.load(RUN / "model.safetensors")
    images = np.load("data/demo/toy/external/h2/small/images.npy")
    logits = predict_outputs(network, images, "imagenet", "cpu", rows=table["item"].to_numpy())
    columns = [f"classification_{k}" for k in range(3)]
    np.testing.assert_allclose(table[columns].to_numpy(), logits["classification"], rtol=1e-5)
