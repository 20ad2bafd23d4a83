from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sample_files import write_known
from scipy.spatial.distance import mahalanobis

from rescan.data.gray_statistics import as_vectors, gray_statistics
from rescan.files import write_table
from rescan.models import model_files, networks
from rescan.models.normalization import normalize
from rescan.paths import Paths
from rescan.results.audit_report import GROUPS
from rescan.results.manifest import MANIFEST
from rescan.results.splits import SPLITS
from rescan.results.training_range import LEVELS, read_range
from rescan.study import Run
from rescan.training import range_of_run
from rescan.training.forward_pass import predict_outputs
from rescan.training.infer import infer
from rescan.training.lease import Machine
from rescan.training.precision import place
from rescan.training.range_of_run import chosen_items
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
    diagnosis = json.loads((RUN / "diagnosis.json").read_text())
    assert not diagnosis.pop("collapsed")
    assert diagnosis.pop("eval_mode_accuracy") == accuracy
    assert diagnosis.pop("part") == "validation"
    assert diagnosis.pop("images") == np.count_nonzero(table["part"] == "validation")
    assert all(value > 0.9 for value in diagnosis.values())
    assert set(diagnosis) == {"train_mode_accuracy", "recalibrated_accuracy"}


def test_logits_are_written_in_full(trained):
    study, _ = trained
    infer(Run(study, "plain", 0, 0), CPU)
    table = pd.read_csv(RUN / "predictions.csv")
    network, _ = model_files.load(RUN / "model.safetensors")
    place(network, torch.device("cpu"), 2)  # another memory format changes last digits
    images = np.load("data/demo/toy/small/images.npy", mmap_mode="r")
    logits = predict_outputs(network, images, "imagenet", "cpu", rows=table["item"].to_numpy())
    written = table[[f"classification_{k}" for k in range(3)]].to_numpy().astype(np.float32)
    np.testing.assert_array_equal(written, logits["classification"])


def test_the_range_is_that_of_the_training_images(trained):
    """By hand: means and covariance of the network's vectors, gray levels, and sizes; equal bytes each time."""
    study, splits = trained
    infer(Run(study, "plain", 0, 0), CPU)
    content = (RUN / "training_range.safetensors").read_bytes()
    header, gaussians, _ = read_range(RUN / "training_range.safetensors")
    network, _ = model_files.load(RUN / "model.safetensors")
    images = np.load("data/demo/toy/small/images.npy")
    with torch.no_grad():
        vectors = network.vectors(normalize(torch.from_numpy(images).permute(0, 3, 1, 2), "imagenet")).double().numpy()
    assert network.size == vectors.shape[1]
    table = pd.read_csv(RUN / "predictions.csv")
    sides = {part: table.loc[table["part"] == part, "item"].to_numpy() for part in ("train", "validation")}
    training = vectors[sides["train"]]
    covariance = np.cov(training.T) + header.features.noise * np.eye(network.size)
    inverse = np.linalg.inv(covariance)
    far = {name: [mahalanobis(vectors[i], training.mean(0), inverse) for i in own] for name, own in sides.items()}
    np.testing.assert_allclose(header.features.training, np.quantile(far["train"], LEVELS), rtol=1e-3)
    np.testing.assert_allclose(header.features.held_out, np.quantile(far["validation"], LEVELS), rtol=1e-3)
    assert max(far["validation"]) <= header.features.limit * 1.001
    means = images[sides["train"]].reshape(36, -1).mean(axis=1)
    np.testing.assert_allclose(header.gray["mean"].training, np.quantile(means, LEVELS), rtol=1e-5)
    pictures = as_vectors(gray_statistics(images)).astype(float)
    inverse = np.linalg.inv(np.cov(pictures[sides["train"]].T) + header.picture.noise * np.eye(6))
    center = pictures[sides["train"]].mean(0)
    far = [mahalanobis(pictures[i], center, inverse) for i in sides["validation"]]
    np.testing.assert_allclose(header.picture.held_out, np.quantile(far, LEVELS), rtol=1e-3)
    assert (header.images, header.held_out, header.devices) == (36, 12, [])
    assert gaussians["features"].center == pytest.approx(training.mean(0), rel=1e-3, abs=1e-5)
    assert not any(sample.encode() in content for sample in splits["sample"])
    infer(Run(study, "plain", 0, 0), CPU)
    assert (RUN / "training_range.safetensors").read_bytes() == content


def test_the_range_holds_sizes_and_the_names_of_common_devices(trained):
    study, _ = trained
    paths = Paths("demo", "toy")
    manifest, groups = MANIFEST.read(paths.manifest), GROUPS.read(paths.groups)
    training = SPLITS.read(paths.splits).query("part == 'train'")["sample"]
    devices = dict(zip(training, ["Acme"] * 5 + ["Rare"] * 4 + [""] * 27))
    MANIFEST.write(paths.manifest, manifest.assign(device=manifest["sample"].map(devices).fillna("Of the others")))
    sizes = dict(zip(training, range(100, 136)))
    width = groups["sample"].map(sizes).fillna(9).astype(int)
    GROUPS.write(paths.groups, groups.assign(height=50, width=width, depth=0))
    infer(Run(study, "plain", 0, 0), CPU)
    header = read_range(RUN / "training_range.safetensors").header
    assert (header.devices, header.other_devices) == (["Acme"], 4)
    assert header.sizes == {"height": (50, 50), "width": (100, 135)}
    assert b"Rare" not in (RUN / "training_range.safetensors").read_bytes()


def test_of_many_images_some_are_looked_at_and_all_patches_of_each(trained, monkeypatch):
    study, _ = trained
    run = Run(study, "plain", 0, 0)
    items = pd.DataFrame(
        {"part": ["train"] * 40 + ["test"] * 6 + ["unlabeled"], "sample": [f"s{n // 2}" for n in range(47)]}
    )
    monkeypatch.setattr(range_of_run, "MOST_IMAGES", 120)
    assert len(chosen_items(run, items, 8)) == 46
    monkeypatch.setattr(range_of_run, "MOST_IMAGES", 10)
    monkeypatch.setattr(range_of_run, "FEWEST", 10)
    chosen = chosen_items(run, items, 8)
    assert chosen.groupby("held_out")["sample"].nunique().to_dict() == {False: 5, True: 3}
    assert (chosen.groupby("sample").size() == 2).all()
    assert chosen["row"].is_monotonic_increasing
    assert chosen.equals(chosen_items(run, items, 8))
    assert (items["sample"].to_numpy()[chosen["row"]] == chosen["sample"]).all()
    monkeypatch.setattr(range_of_run, "MOST_IMAGES", 5000)
    assert len(chosen_items(run, items, 1 << 22)) == 10 + 6


@pytest.mark.parametrize("mean", [-3e38, -1e20])
def test_vectors_of_endless_numbers_have_no_distance(trained, mean):
    study, _ = trained
    rewrite_model(lambda network: network.encoder.body.norm.running_mean.fill_(mean))
    infer(Run(study, "plain", 0, 0), CPU)
    header, gaussians, _ = read_range(RUN / "training_range.safetensors")
    assert header.features is None
    assert list(gaussians) == ["picture"]


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
    assert not Path("results/demo/toy/external/h2/plain/fold0_seed0/training_range.safetensors").exists()
    images = np.load("data/demo/toy/external/h2/small/images.npy")
    logits = predict_outputs(network, images, "imagenet", "cpu", rows=table["item"].to_numpy())
    columns = [f"classification_{k}" for k in range(3)]
    np.testing.assert_allclose(table[columns].to_numpy(), logits["classification"], rtol=1e-5)
