"""What a stage trains on, with which weights, and what it takes over from the stage before."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from sample_files import read_table, write_known, write_manifest, write_store

from rescan import catalogue
from rescan.errors import RescanError
from rescan.files import write_table
from rescan.models import model_files
from rescan.models.normalization import normalize
from rescan.paths import Paths
from rescan.results.training_range import read_range
from rescan.study import Run
from rescan.training import classification, state, trainer
from rescan.training.forward_pass import Versions, predict_outputs
from rescan.training.infer import infer
from rescan.training.lease import Machine
from rescan.training.loader import read_items
from rescan.training.train import train

CPU = Machine("cpu")
RUN = Path("results/demo/toy/plain/fold0_seed0")
SPLITS = "results/demo/toy/splits.csv"
OTHERS = {"others": {"source": {"path": "y"}, "layout": "class_folders"}}
GRADES = {"ordered": True}
HEADS = {"classification": {}, "regression": {"hidden": [8]}, "ordinal": {}}
LOSSES = {"classification": "cross_entropy", "regression": "mse", "ordinal": "binary_cross_entropy"}


def stage(**more):
    return {"epochs": 1, "batch_size": 6, "optimizer": {"name": "sgd", "lr": 0.05}, **more}


def with_extra(splits):
    """Turn the last training image of each class into an extra one."""
    last = splits[splits["part"] == "train"].drop_duplicates("label", keep="last").index
    splits.loc[last, ["part", "origin"]] = ["extra", "others"]
    write_table(SPLITS, splits)
    write_known(Paths("demo", "toy"), splits)
    return splits.loc[last, "sample"].tolist()


def unlabel(splits, rows):
    """Take samples out of the training part."""
    splits = splits.copy()
    splits.loc[rows, ["part", "label"]] = ["unlabeled", ""]
    write_table(SPLITS, splits)
    write_known(Paths("demo", "toy"), splits)


def seen_items(monkeypatch):
    """Collect which items each epoch of each stage trains on."""
    seen: list[tuple[str, list[int]]] = []
    order = classification.Classification.order

    def noted(self, stage, epoch):
        rows = order(self, stage, epoch)
        seen.append((stage, rows.tolist()))
        return rows

    monkeypatch.setattr(classification.Classification, "order", noted)
    return seen


def train_plain(study, **options):
    train(Run(study, "plain", 0, 0), CPU, **options)


def test_extra_images_belong_to_the_range_of_the_training_and_are_not_predicted(make_study, make_store):
    study = make_study(data={"extra": OTHERS}, stages={"main": stage(samples=["own", "others"])})
    splits = make_store(study)
    extra = with_extra(splits)
    train_plain(study)
    infer(Run(study, "plain", 0, 0), CPU)
    predicted = pd.read_csv(RUN / "predictions.csv")
    header = read_range(RUN / "training_range.safetensors").header
    assert header.images == (predicted["part"] == "train").sum() + len(extra)
    assert header.held_out == (predicted["part"] == "validation").sum()
    assert not set(extra) & set(predicted["sample"])
    assert len(predicted) == len(splits) - len(extra)


def test_a_stage_trains_on_the_sources_that_it_names(make_study, make_store, monkeypatch):
    stages = {"first": stage(samples=["others"]), "second": stage(samples=["own", "others"]), "third": stage()}
    study = make_study(data={"extra": OTHERS}, stages=stages)
    extra = with_extra(make_store(study))
    seen = seen_items(monkeypatch)
    train_plain(study)
    _, items = read_items(Run(study, "plain", 0, 0))
    of = {part: set(rows) for part, rows in items.groupby("part")["item"]}
    assert set(items.loc[items["part"] == "extra", "sample"]) == set(extra)
    assert [(name, set(rows)) for name, rows in seen] == [
        ("first", of["extra"]),
        ("second", of["extra"] | of["train"]),
        ("third", of["train"]),
    ]
    infer(Run(study, "plain", 0, 0), CPU)
    assert not set(read_table(RUN / "predictions.csv")["sample"]) & set(extra)


def test_extra_samples_that_no_stage_names_are_not_read(make_study, make_store):
    study = make_study(data={"extra": OTHERS}, stages={"main": stage()})
    with_extra(make_store(study))
    assert set(read_items(Run(study, "plain", 0, 0))[1]["part"]) == {"train", "validation", "test"}


def test_only_the_encoder_goes_on(make_study, make_store):
    """Learning rates of 0 leave what each stage began with."""
    still = {"optimizer": {"name": "sgd", "lr": 0.0}}
    network = {"encoder": "tiny", "weights": "none", "hidden": [8], "neck": {"name": "avg", "batch_norm": True}}
    models = {}
    for carry in ("all", "encoder"):
        study = make_study(network=network, stages={"first": stage(epochs=3), "second": stage(**still, carry=carry)})
        make_store(study)
        train_plain(study)
        models[carry] = load_file(RUN / "model.safetensors")
    before = make_study(network=network, stages={"first": stage(epochs=3)})
    train_plain(before)
    first = load_file(RUN / "model.safetensors")
    learned = [key for key in first if "running" not in key and "num_batches" not in key]
    same = {carry: {key for key in learned if torch.equal(first[key], model[key])} for carry, model in models.items()}
    assert same["all"] == set(learned)
    encoder = {key for key in learned if key.startswith("encoder.")}
    assert encoder <= same["encoder"]
    assert not any("heads" in key or "hidden" in key for key in same["encoder"])


def test_only_what_is_learned_makes_another_training(make_study, make_store):
    """New unlabelled, extra or test images leave a finished training as it is; a new training image does not."""
    study = make_study(data={"extra": OTHERS}, stages={"main": stage()})
    splits = make_store(study)

    def key():
        _, items = read_items(Run(study, "plain", 0, 0))
        return state.key_of(Run(study, "plain", 0, 0), items, device="cpu", threads=1)

    before = key()
    items, store = read_table("data/demo/toy/small/items.csv")[["sample"]], "data/demo/toy/small"
    of = {part: rows["sample"].iloc[0] for part, rows in splits.groupby("part")}
    stored = np.load(f"{store}/images.npy")

    def change(sample):
        other = (items["sample"] == sample).to_numpy()[:, None, None, None]
        write_store(store, np.where(other, stored ^ 1, stored), items)

    first = items.iloc[:1].assign(sample="others/000")  # before all others: their numbers change
    write_store(store, np.concatenate([stored[:1], stored]), pd.concat([first, items], ignore_index=True))
    assert key() == before
    change(of["test"])
    assert key() == before
    for part in ("train", "validation"):
        change(of[part])
        assert key().images != before.images


def test_epochs_of_other_losses_do_not_compare(make_study, make_store):
    first, second = stage(epochs=3, losses={"classification": "focal"}), stage(epochs=2)
    study = make_study(stages={"first": first, "second": second}, keep={"best": "loss"})
    make_store(study)
    train_plain(study)
    history = pd.read_csv(RUN / "history.csv")
    assert history["validation_loss"].idxmin() < 3  # focal losses are a quarter as large
    later = history[history["stage"] == "second"]
    assert history["kept"].idxmax() == later["validation_loss"].idxmin()


def test_balanced_sampling_draws_every_class_as_often(make_study, make_store, monkeypatch):
    study = make_study(stages={"main": stage(epochs=40, sampling="balanced")})
    splits = make_store(study, per_class=(12, 2, 2))
    unlabel(splits, splits[(splits["part"] == "train") & (splits["label"] == "a")].index[2:])
    seen = seen_items(monkeypatch)
    train_plain(study)
    _, items = read_items(Run(study, "plain", 0, 0))
    targets = dict(zip(items["item"], items["target"]))
    drawn = np.bincount([targets[item] for _, rows in seen for item in rows])
    assert len(seen[0][1]) == 26
    assert drawn / drawn.sum() == pytest.approx([1 / 3] * 3, abs=0.05)  # 1,040 draws: SD .015


def test_class_weights_are_inverse_to_the_counts(make_study, make_store, monkeypatch):
    found = []

    def spy(_, outputs, __, ___, weights=None):
        found.append(weights)
        return outputs["classification"].sum() * 0

    monkeypatch.setattr(classification, "total", spy)
    study = make_study(stages={"main": stage(class_weights="balanced", batch_size=50)})
    splits = make_store(study, per_class=(12, 2, 2))
    unlabel(splits, splits[(splits["part"] == "train") & (splits["label"] == "a")].index[4:])
    train_plain(study)
    assert sorted(found[0].tolist()) == pytest.approx(sorted([28 / 12] * 4 + [28 / 36] * 24))
    assert found[0].mean().item() == pytest.approx(1)


def test_class_weights_within_a_column_are_the_shares_of_the_other_classes(make_study, make_store, monkeypatch):
    found = []

    def spy(_, outputs, targets, __, weights=None):
        if weights is not None:
            found.extend(zip(targets.tolist(), np.round(weights.tolist(), 6)))
        return outputs["classification"].sum() * 0

    monkeypatch.setattr(classification, "total", spy)
    study = make_study(stages={"main": stage(class_weights={"within": "body_part"}, batch_size=50)})
    splits = make_store(study, per_class=(12, 2, 2))
    hand = splits["sample"].isin(splits.loc[(splits["label"] == "a") & (splits["part"] == "train"), "sample"][:8])
    hand |= splits["sample"].isin(splits.loc[(splits["label"] == "b") & (splits["part"] == "train"), "sample"][:2])
    parts = splits["part"].where(splits["part"] == "test", "")
    manifest = splits.drop(columns="part").assign(published_part=parts, body_part=np.where(hand, "hand", "wrist"))
    write_manifest(Paths("demo", "toy"), manifest)
    train_plain(study)
    # Of the hand 8 a and 2 b, of the wrist 4 a, 10 b and 12 c: one less each class's share of its part.
    expected = {(0, 0.2), (1, 0.8), (0, round(22 / 26, 6)), (1, round(16 / 26, 6)), (2, round(14 / 26, 6))}
    assert set(found) == expected
    write_manifest(Paths("demo", "toy"), manifest.assign(body_part=""))
    with pytest.raises(RescanError, match="class_weights: not every sample has a 'body_part'; known of all: none"):
        train_plain(study)


def test_a_budget_of_steps_cuts_the_last_epoch_short(make_study, make_store, monkeypatch):
    moments = []
    real = trainer.Moment
    monkeypatch.setattr(trainer, "Moment", lambda *given: moments.append(real(*given)) or moments[-1])
    study = make_study(stages={"main": {**stage(batch_size=10), "epochs": None, "steps": 8}}, watch=["train", "test"])
    make_store(study, per_class=(10, 2, 2))  # 30 items: 3 steps an epoch
    train_plain(study)
    history = pd.read_csv("results/demo/toy/plain/fold0_seed0/history.csv")
    assert history["step"].tolist() == [3, 6, 8]
    assert [(moment.step, moment.steps, moment.per_epoch) for moment in moments] == [(n, 8, 3) for n in range(8)]
    losses = pd.read_csv("results/demo/toy/plain/fold0_seed0/losses.csv")
    assert losses["step"].tolist() == list(range(1, 9))
    assert {"train_loss", "train_accuracy", "test_loss", "test_accuracy"} <= set(history)


def test_watched_parts_are_scored_as_the_model_is_and_change_nothing(make_study, make_store):
    study = make_study(stages={"main": stage(epochs=2)}, watch=["train", "test"])
    make_store(study)
    train_plain(study)
    folder = Path("results/demo/toy/plain/fold0_seed0")
    watched, last = (folder / "model.safetensors"), pd.read_csv(folder / "history.csv").iloc[-1]
    network, _ = model_files.load(watched)
    images, items = read_items(Run(study, "plain", 0, 0))
    for part in ("train", "validation", "test"):
        own = items[items["part"] == part]
        outputs = predict_outputs(network, images, "imagenet", "cpu", rows=own["item"].to_numpy())
        right = (outputs["classification"].argmax(1) == own["target"]).mean()
        assert last[f"{part}_accuracy"] == pytest.approx(right)
    weights = network.state_dict()
    plain = make_study(stages={"main": stage(epochs=2)})
    train_plain(plain)
    again, _ = model_files.load(watched)
    assert all(torch.equal(weights[key], value) for key, value in again.state_dict().items())


def test_a_stage_without_a_sample_of_some_class_is_refused(make_study, make_store):
    study = make_study(data={"extra": OTHERS}, stages={"first": stage(samples=["others"])})
    make_store(study)
    with pytest.raises(RescanError, match="arm plain, stage first: a class has no training sample in others"):
        train_plain(study)


def test_all_heads_learn(make_study, make_store):
    stages = {"main": stage(epochs=25, optimizer={"name": "adam", "lr": 0.03}, losses=LOSSES)}
    study = make_study(
        data=GRADES,
        network={"encoder": "tiny", "weights": "none", "heads": HEADS},
        stages=stages,
        keep={"best": "quadratic_kappa"},
        posttrain={"head": "regression"},
    )
    make_store(study, per_class=(12, 4, 4))
    train_plain(study)
    history = pd.read_csv(RUN / "history.csv")
    kept = history[history["kept"] == 1].iloc[0]
    assert kept["validation_quadratic_kappa"] == history["validation_quadratic_kappa"].max() > 0.9
    infer(Run(study, "plain", 0, 0), CPU)
    table = read_table(RUN / "predictions.csv")
    test = table[table["part"] == "test"]
    assert [name for name in table if name.startswith(("ordinal", "regression"))] == [
        "regression",
        "ordinal_0",
        "ordinal_1",
    ]
    assert np.corrcoef(test["regression"], test["target"])[0, 1] > 0.9
    assert (test["ordinal_1"] > 0).tolist() == (test["target"] == 2).tolist()
    vectors = np.load(RUN / "vectors.npy")
    assert vectors.shape == (table["part"].isin(["validation", "test"]).sum(), 8)
    assert vectors.dtype == np.float16


def test_validating_on_the_test_part_trains_on_the_rest(make_study, make_store, monkeypatch):
    study = make_study(validation="test", stages={"main": stage()})
    splits = make_store(study)
    seen = seen_items(monkeypatch)
    scored = []
    score = classification.score
    monkeypatch.setattr(classification, "score", lambda *given: scored.append(len(given[2])) or score(*given))
    train_plain(study)
    assert len(seen[0][1]) == (splits["part"] != "test").sum()
    assert scored == [(splits["part"] == "test").sum()]
    infer(Run(study, "plain", 0, 0), CPU)
    assert set(read_table(RUN / "predictions.csv")["part"]) == {"train", "test"}


@pytest.mark.parametrize("name", sorted(catalogue.OPTIMIZERS))
def test_every_optimizer_goes_on_bit_for_bit(make_study, make_store, monkeypatch, name):
    study = make_study(stages={"main": stage(epochs=2, optimizer={"name": name})})
    make_store(study)
    train_plain(study)
    whole = (RUN / "model.safetensors").read_bytes()
    (RUN / "model.safetensors").unlink()
    Path("results/demo/.state").rename("elsewhere")
    update, count = trainer.Trainer._update, [0]

    def stopping(self, *given, **more):
        update(self, *given, **more)
        count[0] += 1
        if count[0] == 4:
            self.stop_reason = lambda: "stopped on purpose"

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Trainer, "_update", stopping)
        with pytest.raises(RescanError, match="stopped on purpose"):
            train_plain(study)
    train_plain(study)
    assert (RUN / "model.safetensors").read_bytes() == whole


def test_copies_of_an_image_are_averaged_and_drawn_alike_each_time(make_study, make_store):
    study = make_study(
        data=GRADES,
        network={"encoder": "tiny", "weights": "none", "heads": HEADS},
        stages={"main": stage(losses=LOSSES)},
        inference={"copies": 3, "augmentation": {"rotation": 90, "noise": 0.1}},
    )
    make_store(study)
    train_plain(study)
    infer(Run(study, "plain", 0, 0), CPU)
    once = (RUN / "predictions.csv").read_bytes()
    infer(Run(study, "plain", 0, 0), CPU)
    assert (RUN / "predictions.csv").read_bytes() == once
    from rescan.models import model_files

    network, _ = model_files.load(RUN / "model.safetensors")
    images = np.load("data/demo/toy/small/images.npy")
    versions = Versions(study.arms["plain"].inference, 0)
    batch = torch.from_numpy(images[:4]).permute(0, 3, 1, 2)
    with torch.no_grad():
        each = [network(normalize(version, "imagenet")) for version in versions.of(batch, 0)]
    assert len(each) == 4
    found = predict_outputs(network, images[:4], "imagenet", "cpu", versions=versions)
    expected = torch.stack([one["classification"].softmax(1) for one in each]).mean(0)
    np.testing.assert_allclose(torch.from_numpy(found["classification"]).softmax(1), expected, atol=1e-5)
    expected = torch.stack([one["regression"] for one in each]).mean(0)
    np.testing.assert_allclose(found["regression"], expected, atol=1e-5)
