from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors import safe_open
from safetensors.torch import load_file
from sample_files import write_store

from rescan.errors import RescanError
from rescan.study import AutoencoderRun, Run, Study
from rescan.training import state, trainer
from rescan.training.lease import Machine
from rescan.training.loader import read_items
from rescan.training.pretrain import pretrain
from rescan.training.train import train

NAME = "small_ae"
CPU = Machine("cpu")
RUN = Path("results/demo/toy/autoencoders/small_ae/fold0_seed0")
STAGE = {"epochs": 2, "batch_size": 4, "optimizer": {"name": "adam", "lr": 1e-3}}


def with_autoencoder(study, **options):
    """The study with an autoencoder that its arm starts from, training its head only."""
    given = {"preparation": "small", "encoder": "tiny", "epochs": 3, "batch_size": 4, **options}
    whole = study.model_dump()
    whole["autoencoders"] = {"small_ae": given}
    whole["arms"]["plain"]["network"]["weights"] = "small_ae"
    whole["arms"]["plain"]["normalization"] = given.get("normalization", "unit")
    return Study.model_validate(whole)


def pretrain_cpu(study):
    pretrain(AutoencoderRun(study, NAME, 0, 0), CPU)


def outputs():
    history = pd.read_csv(RUN / "history.csv").drop(columns=["seconds", "images_per_second"])
    return (RUN / "encoder.safetensors").read_bytes(), history.to_csv(), (RUN / "reconstructions.npy").read_bytes()


def test_outputs_of_a_pretraining(make_study, make_store):
    study = with_autoencoder(make_study(), epochs=8)
    make_store(study)
    pretrain_cpu(study)
    history = pd.read_csv(RUN / "history.csv")
    assert list(history["epoch"]) == list(range(8))
    assert not [name for name in history if "accuracy" in name]
    assert history["validation_loss"].iloc[-1] < history["validation_loss"].iloc[0]
    assert history.loc[history["kept"] == 1, "validation_loss"].item() == history["validation_loss"].min()
    pairs = np.load(RUN / "reconstructions.npy")
    assert pairs.shape == (6, 2, 64, 64, 1)
    assert pairs.dtype == np.uint8
    images, items = read_items(AutoencoderRun(study, NAME, 0, 0))
    validation = images[items.loc[items["part"] == "validation", "item"]]
    assert all(any(np.array_equal(pair[0], image) for image in validation) for pair in pairs)
    with safe_open(RUN / "encoder.safetensors", "pt") as stored:
        header = json.loads(stored.metadata()["rescan"])
    assert (header["autoencoder"], header["fold"], header["seed"]) == (NAME, 0, 0)


def test_an_autoencoder_that_diverges_is_no_result(make_study, make_store):
    study = with_autoencoder(make_study(), optimizer={"name": "sgd", "lr": 1000})
    make_store(study)
    with pytest.raises(RescanError, match=r"small_ae, stage \w+, epoch 0, step \d: the loss is not finite; lower the"):
        pretrain_cpu(study)
    assert not (RUN / "encoder.safetensors").exists()


def test_the_loss_is_the_mean_squared_error_of_the_normalized_images(make_study, make_store):
    study = with_autoencoder(make_study(), epochs=25, optimizer={"name": "adam", "lr": 0.01})
    make_store(study, per_class=(6, 2, 2))  # six for validation: all of them are kept
    pretrain_cpu(study)
    shown = np.load(RUN / "reconstructions.npy").astype(float) / 255
    recorded = pd.read_csv(RUN / "history.csv")["validation_loss"].min()
    # kept ones are rounded to gray levels, and clipped to them
    assert ((shown[:, 0] - shown[:, 1]) ** 2).mean() == pytest.approx(recorded, rel=0.05)


def test_an_arm_starts_from_the_encoder_of_its_own_run(make_study, make_store):
    study = with_autoencoder(make_study(stages={"main": {**STAGE, "trainable": "head"}}))
    make_store(study)
    with pytest.raises(RescanError, match=r"encoder.safetensors: no such file; run `rescan pretrain`"):
        train(Run(study, "plain", 0, 0), CPU)
    pretrain_cpu(study)
    train(Run(study, "plain", 0, 0), CPU)
    given, learned = (
        load_file(RUN / "encoder.safetensors"),
        load_file("results/demo/toy/plain/fold0_seed0/model.safetensors"),
    )
    for name, value in given.items():
        if name.endswith("num_batches_tracked"):  # only cumulative batch norm uses it
            continue
        assert (learned[f"encoder.body.{name}"] == value).all(), name


def test_a_pretraining_goes_on_where_it_was(make_study, make_store, monkeypatch):
    study = with_autoencoder(make_study(), augmentation={"rotation": 20, "noise": 0.02}, accumulate=2)
    make_store(study)
    pretrain_cpu(study)
    whole = outputs()
    state_folder = Path("results/demo/.state/toy/autoencoders/small_ae/fold0_seed0")
    for path in [*state_folder.glob("*.json"), *(state_folder / "outputs").iterdir()]:
        path.unlink()
    update, count = trainer.Trainer._update, [0]

    def counted(self, *args, **kwargs):
        update(self, *args, **kwargs)
        count[0] += 1
        if count[0] == 4:
            self.stop_reason = lambda: "stopped by a test"

    with monkeypatch.context() as patched:
        patched.setattr(trainer.Trainer, "_update", counted)
        with pytest.raises(RescanError, match="stopped by a test"):
            pretrain_cpu(study)
    pretrain_cpu(study)
    assert outputs() == whole


def test_only_a_leaky_one_learns_from_the_test_part(make_study, make_store):
    honest, leaky = (with_autoencoder(make_study(), samples=samples) for samples in ("train", "all"))
    make_store(honest)
    store = Path("data/demo/toy/small/images.npy")

    def encoder(study, change):
        """The encoder that comes out when the test images, and so their digests, are others."""
        images, (_, items) = np.load(store), read_items(AutoencoderRun(study, NAME, 0, 0))
        images[items.loc[items["part"] == "test", "item"]] += np.uint8(change)
        write_store(store.parent, images, pd.read_csv(store.parent / "items.csv")[["sample"]])
        pretrain_cpu(study)
        return (RUN / "encoder.safetensors").read_bytes()

    assert encoder(honest, 0) == encoder(honest, 9)
    assert encoder(leaky, 0) != encoder(leaky, 9)


def test_the_key_of_an_arm_holds_the_encoder_that_it_starts_from(make_study, make_store):
    study = with_autoencoder(make_study())
    make_store(study)
    keys = []
    for epochs in (1, 2):
        pretrain_cpu(with_autoencoder(make_study(), epochs=epochs))
        _, items = read_items(Run(study, "plain", 0, 0))
        keys.append(state.key_of(Run(study, "plain", 0, 0), items, device="cpu", threads=1).pretrained_weights)
    assert keys[0] != keys[1]
