from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from rescan import checkout
from rescan.errors import RescanError
from rescan.files import writing
from rescan.models import model_files, networks
from rescan.results.trained_model import read_trained_model
from rescan.study import Run
from rescan.training import classification, job, state, trainer
from rescan.training.infer import infer
from rescan.training.lease import Machine
from rescan.training.train import train

CPU = Machine("cpu")
RUN = Path("results/demo/toy/plain/fold0_seed0")
STATE = Path("results/demo/.state/toy/plain/fold0_seed0")
EVERYTHING = {
    "augmentation": {
        "rotation": 20,
        "zoom": [0.9, 1.1],
        "flip_horizontal": 0.5,
        "brightness": [0.8, 1.2],
        "noise": 0.02,
    },
    "keep": {"best": "auprc"},
    "stages": {
        "warm": {
            "epochs": 1,
            "batch_size": 4,
            "trainable": "head",
            "optimizer": {"name": "sgd", "lr": 0.05, "momentum": 0.9, "nesterov": True},
        },
        "main": {
            "epochs": 2,
            "batch_size": 4,
            "accumulate": 2,
            "optimizer": {"name": "adam", "lr": 1e-3},
            "schedule": {"name": "cosine", "warmup": 0.3},
            "clip_norm": 0.5,
        },
    },
}


def train_cpu(study, **options):
    train(Run(study, "plain", 0, 0), CPU, **options)


def interrupt(monkeypatch, at, action):
    """Call `action` after the `at`-th step of the optimizer."""
    update, count = trainer.Trainer._update, [0]

    def counted(self, *args, **kwargs):
        update(self, *args, **kwargs)
        count[0] += 1
        if count[0] == at:
            action()

    monkeypatch.setattr(trainer.Trainer, "_update", counted)


def fail():
    raise ZeroDivisionError


def end_outputs():
    """What must not depend on interruptions: the model's file, byte for byte, and the history but for the times."""
    history = pd.read_csv(RUN / "history.csv").drop(columns=["seconds", "images_per_second"])
    return (RUN / "model.safetensors").read_bytes(), history.to_csv()


def test_outputs_of_a_training(make_study, make_store):
    study = make_study(**EVERYTHING)
    make_store(study)
    train_cpu(study)
    history = pd.read_csv(RUN / "history.csv")
    scores = [
        f"validation_{metric}" for metric in ("loss", "accuracy", "balanced_accuracy", "macro_f1", "quadratic_kappa")
    ]
    expected = ["stage", "epoch", "step", "lr", "train_loss", "train_accuracy", *scores]
    expected += ["validation_auprc", "seconds", "images_per_second", "kept"]
    assert list(history) == expected
    assert history["stage"].tolist() == ["warm", "main", "main"]
    assert history["epoch"].tolist() == [0, 1, 2]
    best = history["validation_auprc"].idxmax()  # the first of equal ones
    assert history["kept"].tolist() == [int(epoch == best) for epoch in range(3)]
    # Three steps an epoch (4 + 4, 4 + 4, 2 images): the warm-up is round(.3 · 6) = 2 steps, the last step is number 5.
    assert history["lr"][2] == pytest.approx(1e-3 * 0.5 * (1 + np.cos(np.pi * 3 / 4)))
    with safe_open(RUN / "model.safetensors", "pt") as stored:
        header = json.loads(stored.metadata()["rescan"])
    assert {key: header[key] for key in ("study", "arm", "fold", "seed", "classes", "input")} == {
        "study": "toy",
        "arm": "plain",
        "fold": 0,
        "seed": 0,
        "classes": ["a", "b", "c"],
        "input": [1, 64, 64],
    }
    network, _ = model_files.load(RUN / "model.safetensors")
    sizes = json.loads((RUN / "network.json").read_text())
    assert sizes["total"] == sum(weight.numel() for weight in network.parameters())
    assert {"layer", "output", "parameters"} <= set(sizes["layers"][0])
    assert list((RUN / "tensorboard").glob("events*"))


def test_it_learns(make_study, make_store):
    stages = {"main": {"epochs": 20, "batch_size": 6, "optimizer": {"name": "adam", "lr": 0.03}}}
    study = make_study(stages=stages, network={"encoder": "tiny", "weights": "none"})
    make_store(study, per_class=(12, 4, 2))
    train_cpu(study)
    assert pd.read_csv(RUN / "history.csv")["validation_accuracy"].max() == 1


# Within the first stage, after the first step of the second, within its last epoch.
@pytest.mark.parametrize(("encoder", "at"), [("tiny", 2), ("resnet18", 6), ("tiny", 10)])
def test_a_stopped_training_goes_on_bit_for_bit(make_study, make_store, monkeypatch, encoder, at):
    network = {"encoder": encoder, "weights": "none", "hidden": [16], "dropout": 0.5}
    study = make_study(**EVERYTHING, network=network)
    make_store(study)
    train_cpu(study)
    uninterrupted = end_outputs()
    shutil.rmtree("results/demo/.state")
    shutil.rmtree(RUN)

    with monkeypatch.context() as patch:
        interrupt(patch, at, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(
            RescanError,
            match=r"stopped by SIGTERM at stage \w+, epoch \d, step \d, where an epoch takes \d+ s; run the same again",
        ):
            train_cpu(study)
    assert not (RUN / "model.safetensors").exists()
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    torch.manual_seed(99)
    train_cpu(study)
    assert end_outputs() == uninterrupted


def test_a_killed_training_goes_on_from_its_last_checkpoint(make_study, make_store, monkeypatch):
    study = make_study(**EVERYTHING)
    make_store(study)
    train_cpu(study)
    uninterrupted = end_outputs()
    shutil.rmtree("results/demo/.state")

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "SAVE_IN_EPOCH_SECONDS", 0)
        interrupt(patch, 7, fail)
        with pytest.raises(ZeroDivisionError):
            train_cpu(study)
    steps = []
    interrupt(monkeypatch, 0, fail)
    update = trainer.Trainer._update
    monkeypatch.setattr(trainer.Trainer, "_update", lambda self, *a, **k: steps.append(1) or update(self, *a, **k))
    train_cpu(study)
    assert len(steps) == 5 + 2 * 3 - 6  # of 11, 6 were saved
    assert end_outputs() == uninterrupted


def test_a_model_names_all_code_that_trained_it(make_study, make_store, monkeypatch):
    study = make_study(**EVERYTHING)
    make_store(study)
    codes = [checkout.Code(letter * 40, "none", letter * 16) for letter in "abc"]
    with monkeypatch.context() as patch:
        patch.setattr(checkout, "code", lambda: codes[0])
        interrupt(patch, 7, lambda: os.kill(os.getpid(), signal.SIGTERM))
        with pytest.raises(RescanError, match="SIGTERM"):
            train_cpu(study)
    for last in (1, 2):  # the third has nothing to do
        monkeypatch.setattr(checkout, "code", lambda last=last: codes[last])
        train_cpu(study)
        model = read_trained_model(RUN / "model.safetensors")
        assert [tuple(code.model_dump().values()) for code in model.code] == codes[:2]


def test_the_best_weights_survive_an_interruption(make_study, make_store, monkeypatch):
    study = make_study(**EVERYTHING)
    make_store(study)
    fixed = {"loss": 1.0, "accuracy": 0.5, "balanced_accuracy": 0.5, "macro_f1": 0.5}
    values = iter([None, 0.8, 0.5] * 2)  # of two trainings of three epochs; at first there is no positive image
    monkeypatch.setattr(classification, "score", lambda *_: {**fixed, "auprc": next(values)})
    train_cpu(study)
    uninterrupted = end_outputs()
    shutil.rmtree("results/demo/.state")
    with monkeypatch.context() as patch:
        interrupt(patch, 10, lambda: os.kill(os.getpid(), signal.SIGTERM))  # in the last epoch
        with pytest.raises(RescanError, match="SIGTERM"):
            train_cpu(study)
    train_cpu(study)
    assert end_outputs() == uninterrupted
    assert pd.read_csv(RUN / "history.csv")["kept"].tolist() == [0, 1, 0]


@pytest.mark.parametrize("damage", ["cut", "flip", "gone"])
def test_who_edits_a_result_leaves_the_state_whole_and_a_damaged_state_is_trained_anew(
    make_study, make_store, damage, caplog
):
    study = make_study()
    make_store(study)
    train_cpu(study)
    first = end_outputs()
    for file in RUN.iterdir():
        if file.is_file():
            os.truncate(file, 10)
    with caplog.at_level("INFO", "rescan"):
        train_cpu(study)
        assert "trained already" in caplog.text
        assert end_outputs() == first
        model = STATE / "outputs/model.safetensors"
        content = bytearray(model.read_bytes())
        content[-2] ^= 1
        model.unlink()
        if damage != "gone":
            model.write_bytes(content if damage == "flip" else content[:-100])
        caplog.clear()
        train_cpu(study)
    assert caplog.messages[0] == f"{model}: is not as the training left it: training starts anew"
    assert "anew" not in "".join(caplog.messages[1:])
    assert end_outputs() == first


def test_a_finished_training_is_put_back(make_study, make_store):
    study = make_study()
    make_store(study)
    train_cpu(study)
    first = end_outputs()
    shutil.rmtree(RUN)
    os.utime(STATE / "outputs" / "model.safetensors", (0, 0))
    began = time.time()
    train(Run(study, "plain", 0, 0), Machine("auto"))
    assert time.time() - began < 1
    assert end_outputs() == first
    assert (RUN / "model.safetensors").stat().st_mtime >= began - 1


def test_results_and_their_figures_take_their_places_together(make_study, make_store):
    study = make_study()
    make_store(study)
    for path in (RUN / "model.safetensors", RUN / "curves.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("old")
    before = {path.name: path.read_bytes() for path in RUN.iterdir()}

    def fail_to_draw(outputs):
        assert Path(outputs, "history.csv").is_file()
        with writing(RUN / "curves.png") as temporary:
            temporary.write_text("new")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        train_cpu(study, draw=fail_to_draw)
    assert {path.name: path.read_bytes() for path in RUN.iterdir() if path.is_file()} == before
    train_cpu(study)
    assert load_file(RUN / "model.safetensors")


def test_other_threads_start_anew(make_study, make_store, monkeypatch, caplog):
    study = make_study()
    make_store(study)
    with monkeypatch.context() as patch:
        interrupt(patch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(RescanError, match="SIGINT"):
            train_cpu(study)
    interrupt(monkeypatch, 1, fail)
    with caplog.at_level("INFO", "rescan"), pytest.raises(ZeroDivisionError):
        train(Run(study, "plain", 0, 0), Machine("cpu", 2))
    torch.set_num_threads(1)
    assert "another threads" in caplog.text


def test_it_stops_itself_before_its_time_is_over(make_study, make_store):
    study = make_study()
    make_store(study)
    with pytest.raises(RescanError, match=r"stopped before its 1e-09 minutes are over.*epoch takes \d+ s"):
        train_cpu(study, clock=job.Clock(1e-9))
    assert (STATE / "state.json").exists()
    train_cpu(study, clock=job.Clock(60))


def test_head_only_leaves_the_encoder_and_its_statistics(make_study, make_store):
    stage = {"epochs": 1, "batch_size": 4, "trainable": "head", "optimizer": {"name": "sgd", "lr": 0.1}}
    study = make_study(stages={"main": stage})
    make_store(study)
    train_cpu(study)
    torch.manual_seed(trainer.seed_of(0, "initialization"))
    initial = networks.build(study.arms["plain"], 3, (1, 64, 64)).state_dict()
    trained = load_file(RUN / "model.safetensors")
    changed = {key for key in trained if not torch.equal(trained[key], initial[key])}
    assert changed == {
        "hidden.0.weight",
        "hidden.0.bias",
        "heads.classification.0.weight",
        "heads.classification.0.bias",
    }


def test_accumulated_batches_equal_one_batch(make_study, make_store):
    # Without batch norm's coupling (head only: the encoder is in eval mode) 2 × 4 images weigh as 8 at once.
    network = {"encoder": "tiny", "weights": "none"}
    models = []
    for size, accumulate in ((8, 1), (4, 2)):
        optimizer = {"name": "sgd", "lr": 0.1}
        stage = {"epochs": 1, "batch_size": size, "accumulate": accumulate, "trainable": "head", "optimizer": optimizer}
        study = make_study(network=network, stages={"main": stage})
        make_store(study, per_class=(5, 2, 2))
        train_cpu(study)
        models.append(load_file(RUN / "model.safetensors")["heads.classification.0.weight"])
    assert torch.allclose(*models, atol=1e-6)


def test_gradients_are_scaled_down_to_the_norm(make_study, make_store):
    """The step of plain SGD is as long as the rate times the norm of the gradients, and points where it did."""
    steps = {}
    for clip_norm in (None, 100.0, 0.01):
        stage = {"batch_size": 64, "optimizer": {"name": "sgd", "lr": 0.1}, "clip_norm": clip_norm}
        weights = {}
        for count in (0, 1):
            stage = {**stage, "steps": 1, "optimizer": {"name": "sgd", "lr": 0.1 * count}}
            study = make_study(stages={"main": stage})
            make_store(study)
            train_cpu(study)
            learned = load_file(RUN / "model.safetensors")
            weights[count] = np.concatenate(
                [learned[key].ravel() for key in sorted(learned) if "running" not in key and "num_batches" not in key]
            )
        steps[clip_norm] = weights[1] - weights[0]
    free, loose, clipped = steps.values()
    np.testing.assert_array_equal(loose, free)
    assert 0.1 * 0.01 < np.linalg.norm(free) < 0.1 * 100
    assert np.linalg.norm(clipped) == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert clipped @ free == pytest.approx(np.linalg.norm(clipped) * np.linalg.norm(free), rel=1e-3)


def test_early_stopping_ends_a_stage(make_study, make_store, monkeypatch):
    stages = {
        "one": {"epochs": 50, "batch_size": 8, "trainable": "head", "optimizer": {"name": "sgd", "lr": 1e-3}},
        "two": {"epochs": 1, "batch_size": 8, "trainable": "head", "optimizer": {"name": "sgd", "lr": 1e-3}},
    }
    study = make_study(stages=stages, early_stopping={"metric": "accuracy", "patience": 2}, keep={"best": "accuracy"})
    make_store(study, per_class=(3, 2, 1))
    values = iter([0.5, 0.6, 0.6, 0.55, 0.9])
    fixed = {"loss": 1.0, "balanced_accuracy": 0.5, "macro_f1": 0.5}
    monkeypatch.setattr(classification, "score", lambda *_: {**fixed, "accuracy": next(values)})
    train_cpu(study)
    history = pd.read_csv(RUN / "history.csv")
    assert history["stage"].tolist() == ["one"] * 4 + ["two"]
    assert history["kept"].tolist() == [0, 0, 0, 0, 1]


def diverge(monkeypatch, at):
    """Make the loss of the `at`-th batch, and of all after it, no number."""
    loss, count = classification.Classification.loss, [0]

    def diverging(task, inputs, rows):
        count[0] += 1
        return loss(task, inputs, rows) * (float("nan") if count[0] >= at else 1)

    monkeypatch.setattr(classification.Classification, "loss", diverging)


def header_of(path):
    with safe_open(path, framework="pt") as stored:
        return json.loads(stored.metadata()["rescan"])


@pytest.mark.parametrize("keep", ["last", {"best": "loss"}])
def test_a_diverged_training_keeps_what_it_had(make_study, make_store, monkeypatch, caplog, keep):
    stage = {"batch_size": 4, "optimizer": {"name": "sgd", "lr": 0.01}}
    study = make_study(stages={"main": {**stage, "epochs": 2}}, keep=keep)
    make_store(study)  # three batches per epoch
    train_cpu(study)
    weights, history = load_file(RUN / "model.safetensors"), pd.read_csv(RUN / "history.csv")
    shutil.rmtree("results/demo/.state")
    study = make_study(stages={"main": {**stage, "epochs": 9}}, keep=keep)
    with monkeypatch.context() as patch:
        diverge(patch, len(pd.read_csv(RUN / "losses.csv")) + 1)
        train_cpu(study)
    place = "stage main, epoch 2, step 1"
    assert f"{place}: the loss is not finite: the training ends here, diverged; lower the learning rate" in caplog.text
    assert header_of(RUN / "model.safetensors")["diverged"] == place
    kept = pd.read_csv(RUN / "history.csv")
    assert kept["kept"].tolist() == history["kept"].tolist()
    assert kept["validation_loss"].tolist() == history["validation_loss"].tolist()
    assert np.isfinite(pd.read_csv(RUN / "losses.csv")["loss"]).all()
    for name, value in load_file(RUN / "model.safetensors").items():
        assert torch.equal(value, weights[name]), name


def test_a_training_that_diverges_at_once_keeps_the_untrained_network(make_study, make_store, monkeypatch):
    stage = {"epochs": 3, "batch_size": 4, "optimizer": {"name": "sgd", "lr": 1000}}
    study = make_study(stages={"main": stage})
    make_store(study)
    with monkeypatch.context() as patch:
        diverge(patch, 3)
        train_cpu(study)
    assert header_of(RUN / "model.safetensors")["diverged"].startswith("stage main, epoch 0, step ")
    history = pd.read_csv(RUN / "history.csv")
    assert history["kept"].tolist() == [1]
    assert np.isfinite(history["validation_loss"]).all()
    assert all(value.isfinite().all() for value in load_file(RUN / "model.safetensors").values())
    infer(Run(study, "plain", 0, 0), CPU)
    diagnosis = json.loads((RUN / "diagnosis.json").read_text())
    assert diagnosis["diverged"].startswith("stage main, epoch 0, step ")
    assert len(pd.read_csv(RUN / "predictions.csv")) > 0


def test_weights_that_only_the_last_step_spoiled_are_not_kept(make_study, make_store, monkeypatch):
    study = make_study(stages={"main": {"epochs": 2, "batch_size": 4, "optimizer": {"name": "sgd", "lr": 0.01}}})
    make_store(study)
    end_epoch = trainer.Trainer._end_epoch

    def spoil(self, scores):
        end_epoch(self, scores)
        if self.progress.epoch == 2:
            next(self.task.network.parameters()).data.fill_(float("inf"))

    monkeypatch.setattr(trainer.Trainer, "_end_epoch", spoil)
    train_cpu(study)
    assert pd.read_csv(RUN / "history.csv")["kept"].tolist() == [1, 0]
    assert header_of(RUN / "model.safetensors")["diverged"] == "stage main, epoch 2, step 0"


@pytest.mark.parametrize("epochs", [1, 3])
def test_weights_that_the_first_epoch_spoiled_leave_the_untrained_network(make_study, make_store, monkeypatch, epochs):
    stage = {"batch_size": 100, "optimizer": {"name": "sgd", "lr": 0.01}}  # one step per epoch
    study = make_study(stages={"main": {**stage, "epochs": epochs}})
    make_store(study)
    update = trainer.Trainer._update

    def spoil(self, number):
        update(self, number)
        next(self.task.network.parameters()).data.fill_(float("nan"))

    monkeypatch.setattr(trainer.Trainer, "_update", spoil)
    train_cpu(study)
    history = pd.read_csv(RUN / "history.csv")
    assert history["kept"].sum() == 1
    assert np.isfinite(history.loc[history["kept"] == 1, "validation_loss"]).all()
    assert all(value.isfinite().all() for value in load_file(RUN / "model.safetensors").values())


def test_a_stopped_training_diverges_as_an_uninterrupted_one_does(make_study, make_store, monkeypatch):
    study = make_study(stages={"main": {"epochs": 3, "batch_size": 4, "optimizer": {"name": "sgd", "lr": 0.01}}})
    make_store(study)
    train_cpu(study)
    batches = len(pd.read_csv(RUN / "losses.csv")) // 3
    shutil.rmtree("results/demo/.state")
    with monkeypatch.context() as patch:
        diverge(patch, 2 * batches)
        train_cpu(study)
    uninterrupted = end_outputs()
    shutil.rmtree("results/demo/.state")
    with monkeypatch.context() as patch:
        interrupt(patch, batches + 1, lambda: os.kill(os.getpid(), signal.SIGTERM))  # within the second epoch
        with pytest.raises(RescanError, match="stopped by SIGTERM"):
            train_cpu(study)
    diverge(monkeypatch, batches - 1)
    train_cpu(study)
    assert end_outputs() == uninterrupted


def test_out_of_memory_is_one_line(make_study, make_store, monkeypatch):
    study = make_study()
    make_store(study)

    def allocate(*_):
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")

    monkeypatch.setattr(trainer, "normalize", allocate)
    with pytest.raises(RescanError, match="batch_size 4; divide batch_size and multiply accumulate"):
        train_cpu(study)


def test_arms_that_differ_in_augmentation_stay_paired(make_study, make_store, monkeypatch):
    orders = []
    loading = trainer.loader.loading
    monkeypatch.setattr(
        trainer.loader,
        "loading",
        lambda images, rows, **k: orders.append(np.concatenate(rows)) or loading(images, rows, **k),
    )
    stages = {"main": {"epochs": 1, "batch_size": 4, "trainable": "head", "optimizer": "sgd"}}
    for augmentation in ({}, {"noise": 0.1}):
        study = make_study(augmentation=augmentation, stages=stages)
        make_store(study)
        train_cpu(study)
    (one, _, two, _) = orders  # training and validation of each
    assert one.tolist() == two.tolist()
    assert one.tolist() != sorted(one.tolist())


def test_stop_requests_restore_handlers():
    before = signal.getsignal(signal.SIGTERM)
    with job.stop_requests(job.Clock(60, time.monotonic() - 59 * 60)) as reason:
        assert reason() == "stopped before its 60 minutes are over"
    with job.stop_requests(job.Clock(60, time.monotonic() - 57 * 60)) as reason:
        assert reason() is None
    assert signal.getsignal(signal.SIGTERM) == before


def test_the_version_of_the_trainer_is_part_of_the_key(make_study, make_store, monkeypatch, caplog):
    study = make_study()
    make_store(study)
    train_cpu(study)
    monkeypatch.setattr(state, "TRAINING_VERSION", state.TRAINING_VERSION + 1)
    interrupt(monkeypatch, 1, fail)
    with caplog.at_level("INFO", "rescan"), pytest.raises(ZeroDivisionError):
        train_cpu(study)
    assert "version of the trainer" in caplog.text
