"""The pictures and scores of an arm, on a study whose network and images the test makes."""

from __future__ import annotations

import errno
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sample_files import model_header, read_json, write_items, write_store
from sample_predictions import write_run, write_splits_of
from scipy.stats import spearmanr

from rescan.errors import RescanError
from rescan.explanation import gradcam as overlays
from rescan.explanation import map_checks, new_maps, selection
from rescan.explanation.cam import gradcam
from rescan.explanation.drawing import Tile, draw, overlay
from rescan.explanation.maps import Explained, compute_maps, explained_by, head_of
from rescan.explanation.new_maps import draw_image, maps_of
from rescan.explanation.selection import choose, one_per_sample
from rescan.files import write_json
from rescan.heads.outputs import HEADS
from rescan.models.model_files import load, save
from rescan.models.networks import build
from rescan.models.normalization import normalize
from rescan.results.map_checks_file import HITS, OVERLAPS
from rescan.results.map_files import SHARES
from rescan.study import Study
from rescan.study.recipe import Ensemble
from rescan.training.lease import Machine

CLASSES = ["a/b", "$x$ with quite a long name of many words", "ü"]
STORE = "data/demo/made_up/p"
ARM = Path("results/demo/made_up/small")
ARMS = ("small", "graded")
SIZE = 64
FITTED = {
    "fit_on": "crossfit",
    "n": 0,
    "classes": 3,
    "runs": [],
    "models": [{"file": "fold0_seed4/model.safetensors", "inference": {}}],
    "ensemble": False,
    "trim": 0.0,
}


@pytest.fixture(scope="module", autouse=True)
def few():
    """Fewer items are checked, in less time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(map_checks, "CHECKED", 8)
        patch.setattr(map_checks, "RANDOMIZED", 2)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A made-up study in a folder of its own: 24 gray images, 18 of them test, masks on two of three classes.

    Arm `small` classifies; `graded` has two heads of grades, and is read from its regression.
    """
    folder = tmp_path_factory.mktemp("made_up")
    network = {"encoder": "mobilenet_v3_large", "weights": "none"}
    stage = {"epochs": 1, "optimizer": "adam"}
    graded = {
        "preparation": "p",
        "network": {**network, "heads": {"regression": {}, "ordinal": {}}},
        "stages": {"main": {**stage, "losses": {"regression": "mse", "ordinal": "binary_cross_entropy"}}},
    }
    study = Study.model_validate(
        {
            "name": "made_up",
            "scale": "demo",
            "title": "Made up",
            "data": {"source": {"path": "x"}, "layout": "class_folders", "classes": CLASSES, "ordered": True},
            "split": {"seeds": [4, 5]},
            "preparations": {"p": {"steps": [{"name": "resize", "size": [SIZE, SIZE]}], "channels": "gray"}},
            "arms": {"small": {"preparation": "p", "network": network, "stages": {"main": stage}}, "graded": graded},
            "gradcam": {"images_a_class": 1},
        }
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, SIZE, SIZE, 1), np.uint8)
    masks = np.zeros((24, SIZE, SIZE), np.uint8)
    target = np.arange(24) % 3
    masks[target != 2, 10:30, 20:40] = 255
    logits = rng.normal(size=(24, 3))
    logits[target == 1, 1] += 10  # class 1 is never wrong
    grade = (target + np.where(target == 1, 0.2, rng.choice([-0.9, 0.1, 0.3], 24)))[:, None]
    outputs = {
        "small": {"classification": logits},
        "graded": {"regression": grade, "ordinal": rng.normal(size=(24, 2))},
    }
    rows = pd.DataFrame(
        {"part": ["train"] * 6 + ["test"] * 18, "item": range(24), "sample": [f"{i}.png" for i in range(24)]}
    )
    rows = rows.assign(
        group=[f"g{i}" for i in range(24)],
        patient=[f"p{i // 2}" for i in range(24)],
        eye="",
        study="",
        fold=0,
        target=target,
    )
    for arm, heads in outputs.items():
        for seed in (4, 5):  # of the second run, only the maps are compared
            torch.manual_seed(seed)
            header = model_header(study.arms[arm], CLASSES, (1, SIZE, SIZE), arm=arm, seed=seed)
            model = folder / ARM / f"../{arm}/fold0_seed{seed}/model.safetensors"
            save(model, build(study.arms[arm], 3, (1, SIZE, SIZE)), header)
        for head, output in heads.items():
            rows[HEADS[head].columns(output.shape[1])] = output
        for seed in (4, 5):
            run = folder / ARM / f"../{arm}/fold0_seed{seed}"
            run.mkdir(exist_ok=True)
            rows.assign(seed=seed).to_csv(run / "predictions.csv", index=False)
        fits = {"whole": 2.0, "crossfit": [2.0] * 5}
        fitted = {**FITTED, "head": study.arms[arm].head}
        write_json(
            folder / ARM / f"../{arm}/posttraining.json",
            {**fitted, "temperatures": {k: fits for k in heads if k != "regression"}},
        )
    write_store(folder / "data/demo/made_up/p", images, rows[["item", "sample"]].assign(mask=1), masks=masks)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_splits_of(study, 0, rows)
        for arm in outputs:
            overlays.gradcam(study, arm, Machine("cpu"))
    return study, folder


@pytest.fixture
def study(finished, tmp_path, monkeypatch):
    """The study, explained, in a copy of its folder as the current one."""
    shutil.copytree(finished[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return finished[0]


@pytest.mark.usefixtures("study")
def test_make_writes_what_it_says():
    folder = ARM / "gradcam"
    summary = json.loads((folder / "summary.json").read_text())
    chosen, scores = pd.read_csv(folder / "chosen.csv"), pd.read_csv(folder / "scores.csv")
    assert summary["run"] == {"arm": "small", "fold": 0, "seed": 4}
    assert summary["head"] == "classification"
    assert chosen["sample"].tolist() == [entry["sample"] for entry in summary["chosen"]]
    assert sorted(chosen["picture"]) == sorted(f"images/{path.name}" for path in (folder / "images").iterdir())
    assert not chosen["sample"].duplicated().any()
    assert chosen.groupby("true").size().max() <= 2
    assert (chosen.loc[chosen["true"] == CLASSES[1], "predicted"] == CLASSES[1]).all()
    wrong = chosen["true"] != chosen["predicted"]
    assert wrong.any()
    assert (chosen.loc[wrong, "other"] == chosen.loc[wrong, "true"]).all()
    assert (chosen["other"] != chosen["predicted"]).all()

    # The map of a chosen image is that of its predicted class, computed by itself.
    network, _ = load(ARM / "fold0_seed4/model.safetensors")
    images = np.load("data/demo/made_up/p/images.npy")
    raw = np.load(folder / "maps.npy", allow_pickle=False)
    assert raw.shape == (len(chosen), 2, SIZE, SIZE)
    item = int(chosen["sample"][0].partition(".")[0])
    fed = normalize(torch.from_numpy(images[item].transpose(2, 0, 1)[None].copy()), "imagenet")
    for place, column in enumerate(("predicted", "other")):
        alone = gradcam(network, fed, torch.tensor([CLASSES.index(chosen[column][0])]))[0][0].numpy()
        np.testing.assert_allclose(raw[0, place], alone, rtol=1e-4, atol=1e-6)

    # All 12 test images with a mask are scored, and the references are what they are by hand.
    assert len(scores) == 12
    assert set(scores["target"]) == {0, 1}
    np.testing.assert_allclose(scores["area_share"], 400 / SIZE**2)
    assert scores["energy_inside"].dropna().between(0, 1).all()
    assert summary["n"] + summary["empty"] == 12
    for name, entry in summary["energies"].items():
        assert entry["value"] == pytest.approx(scores.dropna(subset=list(SHARES))[name].mean())
        assert entry["low"] <= entry["value"] + 1e-12
        assert entry["high"] >= entry["value"] - 1e-12
    assert summary["located"]["n"] == 12
    assert summary["located"]["tolerance"] == [2, 2]
    for names in (HITS, OVERLAPS):
        for name, entry in summary["located"][names[0] + "s"].items():
            assert name in names
            assert scores[name].between(0, 1).all()
            assert entry["low"] <= scores[name].mean() <= entry["high"]
    np.testing.assert_allclose(scores["hit_by_chance"], 24 * 24 / SIZE**2)  # 20 × 20 and 2 pixels on each side
    with Image.open(folder / "sheet.png") as sheet, Image.open(folder / chosen["picture"][0]) as picture:
        assert sheet.height > picture.height
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 500


def test_old_maps_stay_until_new_ones_are_whole(study, monkeypatch):
    def tree():
        return {path: path.read_bytes() for path in ARM.rglob("*") if path.is_file()}

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    (ARM / "gradcam/images/stale.png").touch()
    before = tree()
    monkeypatch.setattr(overlays, "score", full)  # behind all pictures
    with pytest.raises(OSError, match="No space left") as caught:
        overlays.gradcam(study, "small", Machine("cpu"))
    assert caught.value.filename == str(ARM / "gradcam")
    assert tree() == before
    assert [path for path in ARM.iterdir() if path.name.startswith(".")] == []


@pytest.mark.usefixtures("study")
@pytest.mark.parametrize("arm", ["small", "graded"])
def test_the_maps_are_checked_and_the_agreement_is_that_of_both_seeds(arm):
    """Between the runs' own maps of the same class (or of a higher grade), averaged over the blocks by hand."""
    folder = ARM.with_name(arm)
    summary = json.loads((folder / "gradcam/summary.json").read_text())["checks"]
    table = pd.read_csv(folder / "gradcam/checks.csv")
    assert summary["n"] == len(table) == 8
    assert summary["units"] == table["patient"].nunique()
    assert summary["score"] == ("grade" if arm == "graded" else "probability")
    head = "regression" if arm == "graded" else "classification"
    items = [int(name.partition(".")[0]) for name in table["sample"]]
    fed = np.load("data/demo/made_up/p/images.npy")[items].transpose(0, 3, 1, 2)
    fed = normalize(torch.from_numpy(fed.copy()), "imagenet")
    targets = torch.ones(8, dtype=torch.int64) if arm == "graded" else torch.tensor(table["predicted"].tolist())
    means = []
    for seed in (4, 5):
        network, _ = load(folder / f"fold0_seed{seed}/model.safetensors")
        maps = gradcam(network, fed, targets, head)[0].numpy()
        assert summary["blocks"] == [2, 2]
        means.append(maps.reshape(8, 2, SIZE // 2, 2, SIZE // 2).mean((2, 4)).reshape(8, 4))
    rounded = [(maps / maps.max(1, keepdims=True).clip(1e-30)).round(5) for maps in means]
    for row, first, second in zip(table["seeds"], *rounded):
        flat = np.ptp(first) == 0 or np.ptp(second) == 0
        assert np.isnan(row) if flat else row == pytest.approx(spearmanr(first, second)[0])
    assert summary["seeds"]["networks"] == 1
    assert summary["seeds"]["n"] == table["seeds"].notna().sum()
    assert summary["seeds"]["value"] == pytest.approx(table["seeds"].mean())
    assert summary["empty"] == sum(first.max() == 0 for first in means[0])
    for name in ("deletion", "insertion"):
        assert summary[name]["value"] == pytest.approx(table[name].mean())
        assert summary[name]["low"] < summary[name]["value"] < summary[name]["high"]
    assert len(summary["curves"]["shares"]) == 5
    assert summary["curves"]["deletion"][0] == pytest.approx(summary["curves"]["random"][0])


def test_maps_are_compared_with_the_same_fold_of_the_same_arm_only(study):
    arms = {**study.arms, "both": study.arms["small"].model_copy(update={"ensemble": Ensemble(members=list(ARMS))})}
    split = study.split.model_copy(update={"folds": 2, "seeds": [4, 5, 6, 7, 8, 9]})
    larger = study.model_copy(update={"arms": arms, "split": split})
    for arm in ("small", "both"):
        others = [(run.name, run.fold, run.seed) for run in overlays._other_seeds(larger, arm)]
        assert others == [("small", 0, seed) for seed in (5, 6, 7, 8)]


@pytest.mark.usefixtures("study")
def test_probabilities_are_scaled_by_the_temperature():
    chosen = pd.read_csv(ARM / "gradcam/chosen.csv")
    rows = pd.read_csv(ARM / "fold0_seed4/predictions.csv").set_index("sample")
    logits = rows.loc[chosen["sample"], [f"classification_{k}" for k in range(3)]].to_numpy() / 2.0
    expected = np.exp(logits.max(1)) / np.exp(logits).sum(1)
    np.testing.assert_allclose(chosen["probability"], expected, atol=1e-4)


def test_a_head_of_grades_is_explained_by_what_speaks_for_a_higher_and_for_a_lower_grade(study):
    folder = ARM.with_name("graded") / "gradcam"
    summary, chosen = json.loads((folder / "summary.json").read_text()), pd.read_csv(folder / "chosen.csv")
    assert summary["head"] == "regression"
    assert "higher grade" in summary["scored"]
    assert "whole number" in summary["rule"]
    assert [entry["sample"] for entry in summary["chosen"]] == chosen["sample"].tolist()
    assert all(entry["probability"] is None and entry["other"] == "" for entry in summary["chosen"])
    rows = pd.read_csv(ARM.with_name("graded") / "fold0_seed4/predictions.csv").set_index("sample")
    nearest = rows.loc[chosen["sample"], "regression"].round().clip(0, 2).astype(int)
    assert chosen["predicted"].tolist() == [CLASSES[k] for k in nearest]
    assert (chosen["predicted"] != chosen["true"]).any()

    # The first map is that of a higher grade, the second that of a lower one, each computed by itself.
    network, _ = load(ARM.with_name("graded") / "fold0_seed4/model.safetensors")
    images, raw = np.load("data/demo/made_up/p/images.npy"), np.load(folder / "maps.npy")
    items = [int(name.partition(".")[0]) for name in chosen["sample"]]
    fed = normalize(torch.from_numpy(images[items].transpose(0, 3, 1, 2).copy()), "imagenet")
    for place, sign in enumerate((1, -1)):
        alone, _ = gradcam(network, fed, torch.full((len(items),), sign), "regression")
        np.testing.assert_allclose(raw[:, place], alone.numpy(), rtol=1e-4, atol=1e-6)
    assert raw.max() > 0

    # The energies are of the map of a higher grade.
    scores, masks = pd.read_csv(folder / "scores.csv"), np.load("data/demo/made_up/p/masks.npy")
    items = [int(name.partition(".")[0]) for name in scores["sample"]]
    fed = normalize(torch.from_numpy(images[items].transpose(0, 3, 1, 2).copy()), "imagenet")
    maps = gradcam(network, fed, torch.ones(len(items), dtype=torch.int64), "regression")[0].numpy()
    inside = (maps * (masks[items] > 0)).sum((1, 2)) / maps.sum((1, 2)).clip(1e-30)
    np.testing.assert_allclose(scores["energy_inside"].fillna(0), inside, rtol=1e-3, atol=1e-4)

    other_head = study.model_copy(update={"gradcam": study.gradcam.model_copy(update={"head": "ordinal"})})
    overlays.gradcam(other_head, "graded", Machine("cpu"))
    assert json.loads((folder / "summary.json").read_text())["head"] == "ordinal"
    assert np.abs(np.load(folder / "maps.npy") - raw).max() > 0


def test_the_head_is_the_preferred_one_or_the_classification_or_the_first():
    heads = ["regression", "classification", "ordinal"]
    assert head_of(heads, "ordinal") == "ordinal"
    assert head_of(heads) == "classification"
    assert head_of(["regression", "ordinal"], "classification") == "regression"


@pytest.mark.usefixtures("study")
def test_an_arm_read_from_a_neuron_shows_its_own_reading_and_the_classification_heads_runner_up(study):
    """Predicted is what the neuron says; the other class is the most probable of the rest, or the true one."""
    heads = {"classification": {}, "regression": {}}
    arm = study.arms["graded"].model_dump(exclude_unset=True)
    arm["network"]["heads"] = heads
    arm["stages"]["main"]["losses"] = {"classification": "cross_entropy", "regression": "mse"}
    arm["posttrain"] = {"head": "linear"}
    neuron = study.model_copy(update={"arms": {"neuron": type(study.arms["graded"]).model_validate(arm)}})
    folder = ARM.with_name("neuron")
    grades = pd.read_csv(ARM.with_name("graded") / "fold0_seed4/predictions.csv")
    logits = pd.read_csv(ARM / "fold0_seed4/predictions.csv")
    for seed in (4, 5):
        table = grades.drop(columns=["ordinal_0", "ordinal_1"], errors="ignore").assign(seed=seed)
        names = HEADS["classification"].columns(3)
        table[names] = logits[names].to_numpy()
        (folder / f"fold0_seed{seed}").mkdir(parents=True)
        table.to_csv(folder / f"fold0_seed{seed}/predictions.csv", index=False)
    fits = {"whole": [0.0, 1.0, 0.0], "crossfit": [[0.0, 1.0, 0.0]] * 5}  # the regression alone
    fitted = {**FITTED, "head": "linear", "linear": fits}
    temperatures = {"classification": {"whole": 1.0, "crossfit": [1.0] * 5}}
    write_json(folder / "posttraining.json", {**fitted, "temperatures": temperatures})
    rows = selection.test_rows(neuron, "neuron")
    test = table[table["part"] == "test"].sort_values("item", ignore_index=True)
    assert rows["predicted"].tolist() == test["regression"].round().clip(0, 2).astype(int).tolist()
    np.testing.assert_allclose(rows["confidence"], -(test["regression"] - rows["predicted"]).abs())
    assert "probability_0" not in rows
    for place, row in rows.iterrows():
        best = [k for k in test.loc[place, names].to_numpy(float).argsort()[::-1] if k != row["predicted"]]
        assert row["other"] == (best[0] if row["predicted"] == row["target"] else row["target"])


def test_the_same_twice_and_nothing_stale_or_global_stays(study):
    folder = ARM / "gradcam"
    first = {
        name: (folder / name).read_bytes()
        for name in ("chosen.csv", "scores.csv", "checks.csv", "summary.json", "maps.npy")
    }
    (folder / "images/stale.png").write_bytes(b"")
    overlays.gradcam(study, "small", Machine("cpu"))
    assert {name: (folder / name).read_bytes() for name in first} == first
    assert not (folder / "images/stale.png").exists()
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_the_maps_are_of_the_block_that_the_study_names(study):
    finer, counted = (
        study.model_copy(update={"gradcam": study.gradcam.model_copy(update={"layer": layer, "method": "layercam"})})
        for layer in ("features.6", -3)
    )
    written = []
    for of_block in (finer, counted):
        overlays.gradcam(of_block, "small", Machine("cpu"))
        summary = json.loads((ARM / "gradcam/summary.json").read_text())
        assert (summary["method"], summary["layer"], summary["cells"]) == ("layercam", "features.6", [8, 8])
        written.append(np.load(ARM / "gradcam/maps.npy"))
    np.testing.assert_array_equal(*written)
    network, _ = load(ARM / "fold0_seed4/model.safetensors")
    chosen = pd.read_csv(ARM / "gradcam/chosen.csv")
    images = np.load("data/demo/made_up/p/images.npy")[[int(name.partition(".")[0]) for name in chosen["sample"]]]
    fed = normalize(torch.from_numpy(images.transpose(0, 3, 1, 2).copy()), "imagenet")
    targets = torch.tensor([CLASSES.index(name) for name in chosen["predicted"]])
    block = network.encoder.body.features[6]
    alone = gradcam(network, fed, targets, layer=block, method="layercam")[0].numpy()
    np.testing.assert_allclose(written[0][:, 0], alone, rtol=1e-4, atol=1e-6)
    assert np.abs(alone - gradcam(network, fed, targets, layer=block)[0].numpy()).max() > 0
    header = model_header(study.arms["small"], CLASSES, (1, SIZE, SIZE))
    explained = explained_by(network, header, finer.gradcam)
    assert explained.note((SIZE, SIZE)) == "LayerCAM of features.6, 8 × 8 cells"
    last = explained_by(network, header, study.gradcam)
    assert last.note((SIZE, SIZE)) == "Grad-CAM of features.16, 2 × 2 cells: too coarse to read"


def test_without_masks_there_are_pictures_and_an_empty_table(study):
    Path(f"{STORE}/masks.npy").unlink()
    write_items(STORE, pd.read_csv(f"{STORE}/items.csv").assign(mask=0))
    overlays.gradcam(study, "small", Machine("cpu"))
    assert pd.read_csv(ARM / "gradcam/scores.csv").empty
    summary = json.loads((ARM / "gradcam/summary.json").read_text())
    assert summary["energies"] == {}
    assert summary["n"] == 0
    assert summary["chosen"]


def test_a_missing_file_is_named(study):
    table = pd.read_csv(ARM / "fold0_seed4/predictions.csv", keep_default_na=False)
    Path("data/demo/made_up/p/preparation.json").rename("away")
    with pytest.raises(RescanError, match=r"preparation\.json: no such file"):
        overlays.gradcam(study, "small", Machine("cpu"))
    Path("results/demo/made_up/splits.csv").unlink()
    for seed in (4, 5):
        write_run(study, "small", 0, seed, table.assign(part="train", seed=seed))
    with pytest.raises(RescanError, match="no test images"):
        overlays.gradcam(study, "small", Machine("cpu"))


def test_the_choice_is_spread_over_confidence_and_does_not_depend_on_order():
    rng = np.random.default_rng(0)
    target, predicted, confidence = rng.integers(3, size=200), rng.integers(3, size=200), rng.random(200)
    chosen = choose(target, predicted, confidence, 2)
    assert len(chosen) == len(set(chosen)) == 12
    right = np.flatnonzero((target == 0) & (predicted == 0))
    ranks = sorted((confidence[right] > confidence[position]).mean() for position in chosen[:2])
    np.testing.assert_allclose(ranks, [0.25, 0.75], atol=0.06)
    order = rng.permutation(200)
    again = choose(target[order], predicted[order], confidence[order], 2)
    assert [order[position] for position in again] == chosen
    assert choose(target[:1], target[:1], confidence[:1], 3) == [0]


@pytest.mark.usefixtures("study")
def test_new_images_have_maps_of_the_prediction_and_of_the_runner_up():
    explained = Explained(load(ARM / "fold0_seed4/model.safetensors")[0], "imagenet")
    images = np.load("data/demo/made_up/p/images.npy")[:2]
    probabilities = np.array([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    found = list(maps_of(explained, images, np.array([1, 2]), probabilities))
    assert [(own.targets.tolist(), own.roles) for own in found] == [
        ([1, 0], ["prediction", "runner-up"]),
        ([2, 1], ["prediction", "runner-up"]),
    ]
    expected = compute_maps(explained, images, np.array([[1, 0], [2, 1]]))[1]
    np.testing.assert_allclose(np.stack([own.scaled for own in found]), expected, atol=1e-6)
    assert found[1].labels(CLASSES) == ["ü 70 %", "$x$ with quite a … 20 %"]
    assert found[1].evidence(CLASSES) == [CLASSES[2], CLASSES[1]]
    draw_image(Path("out/two.png"), images[1], found[1], CLASSES)
    assert [path.name for path in Path("out").iterdir()] == ["two.png"]


@pytest.mark.usefixtures("study")
def test_new_images_without_probabilities_have_maps_of_a_head_of_grades():
    explained = Explained(load(ARM.with_name("graded") / "fold0_seed4/model.safetensors")[0], "imagenet")
    images = np.load("data/demo/made_up/p/images.npy")[:1]
    pictures = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(new_maps, "draw", lambda path, rows, _: pictures.append((path, rows)))
        (found,) = maps_of(explained, images, np.array([2]), None)
        draw_image(Path("out/one.png"), images[0], found, CLASSES)
    ((path, [(_, [tile])]),) = pictures
    assert path == Path("out/one.png")
    assert tile.title == "prepared image\nread: ü"
    assert [title.replace(" (empty map)", "") for title, _ in tile.maps] == [
        "evidence for a\nhigher grade",
        "evidence for a\nlower grade",
    ]


def test_overlay_by_hand():
    image = np.full((2, 2, 1), 100, np.uint8)
    blended = overlay(image, np.array([[0.0, 0.0], [1.0, 0.0]]))
    np.testing.assert_allclose(blended[0, 0], 100 / 255)
    assert blended.shape == (2, 2, 3)
    assert abs(blended[1, 0] - 100 / 255).max() > 0.1
    assert blended.min() >= 0
    assert blended.max() <= 1


def test_draw_takes_rows_without_tiles_and_other_shapes(tmp_path):
    tile = Tile("an image", np.zeros((20, 50, 3), np.uint8), [("a map", np.zeros((20, 50), np.float32))] * 2)
    draw(tmp_path / "a.png", [("full", [tile]), ("nothing here", [])], "Grad-CAM, 2 × 2 cells")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 100


def test_of_patches_one_per_sample_is_shown_each_in_turn():
    rows = pd.DataFrame({"sample": [f"s{number // 4}" for number in range(20)], "item": range(20), "target": 0})
    assert one_per_sample(rows).tolist() == [0, 5, 10, 15, 16]
    alone = pd.DataFrame({"sample": ["b", "a", "c"], "item": [3, 5, 7], "target": 0})
    assert one_per_sample(alone).tolist() == [0, 1, 2]


def test_patches_are_shown_one_per_sample_and_said_so(study):
    for seed in (4, 5):
        table = pd.read_csv(ARM / f"fold0_seed{seed}/predictions.csv", keep_default_na=False)
        table["sample"] = [f"{item // 6}.png" for item in table["item"]]  # six patches each, of every class
        table["group"] = table["patient"] = table["sample"]
        table["target"] = table["item"] // 6 % 3
        Path("results/demo/made_up/splits.csv").unlink()
        write_run(study, "small", 0, seed, table)
    write_items(STORE, pd.read_csv(f"{STORE}/items.csv").assign(sample=table["sample"], patch=table["item"] % 6))
    write_json(f"{STORE}/preparation.json", {**read_json(f"{STORE}/preparation.json"), "patches": 6})
    overlays.gradcam(study, "small", Machine("cpu"))
    chosen, summary = pd.read_csv(ARM / "gradcam/chosen.csv"), json.loads((ARM / "gradcam/summary.json").read_text())
    assert not chosen["sample"].duplicated().any()
    assert "sample's 6 patches" in summary["rule"]
    assert len(pd.read_csv(ARM / "gradcam/scores.csv")) == 12
