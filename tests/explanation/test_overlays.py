"""The pictures and scores of an arm, on a study whose network and images the test makes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from rescan.errors import RescanError
from rescan.explanation import overlays
from rescan.explanation.drawing import Tile, draw, overlay
from rescan.explanation.gradcam import gradcam
from rescan.models.network import build, load, normalize, save
from rescan.study import Study

CLASSES = ["a/b", "$x$ with quite a long name of many words", "ü"]
ARM = Path("results/demo/made_up/small")
SIZE = 64


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A made-up study in a folder of its own: 24 gray images, 18 of them test, masks on two of three classes."""
    folder = tmp_path_factory.mktemp("made_up")
    study = Study.model_validate(
        {
            "name": "made_up",
            "scale": "demo",
            "title": "Made up",
            "data": {"source": {"path": "x"}, "layout": "class_folders", "classes": CLASSES},
            "split": {"seeds": [4, 5]},
            "preparations": {"p": {"steps": [{"name": "resize", "size": [SIZE, SIZE]}], "channels": "gray"}},
            "arms": {
                "small": {
                    "preparation": "p",
                    "network": {"encoder": "mobilenet_v3_large", "weights": "none"},
                    "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
                }
            },
            "gradcam": {"images_a_class": 1},
        }
    )
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (24, SIZE, SIZE, 1), np.uint8)
    masks = np.zeros((24, SIZE, SIZE), np.uint8)
    target = np.arange(24) % 3
    masks[target != 2, 10:30, 20:40] = 255
    torch.manual_seed(0)
    network = build(study.arms["small"], 3, (1, SIZE, SIZE)).eval()
    run = folder / ARM / "fold0_seed4"
    save(
        run / "model.safetensors",
        network,
        {"recipe": study.arms["small"].model_dump(mode="json"), "classes": CLASSES, "input": [1, SIZE, SIZE]},
    )
    logits = rng.normal(size=(24, 3))
    logits[target == 1, 1] += 10  # class 1 is never wrong
    rows = pd.DataFrame(
        {"part": ["train"] * 6 + ["test"] * 18, "item": range(24), "sample": [f"{i}.png" for i in range(24)]}
    )
    rows = rows.assign(group="", patient=[f"p{i // 2}" for i in range(24)], fold=0, seed=4, target=target)
    rows[[f"classification_{k}" for k in range(3)]] = logits
    rows.iloc[::-1].to_csv(run / "predictions.csv", index=False)
    (folder / ARM / "posttraining.json").write_text('{"temperature": 2.0}')
    store = folder / "data/demo/made_up/p"
    store.mkdir(parents=True)
    np.save(store / "images.npy", images)
    np.save(store / "masks.npy", masks)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        overlays.make(study, "small", device="cpu", threads=1)
    return study, folder


@pytest.fixture
def study(made, tmp_path, monkeypatch):
    """The study, explained, in a copy of its folder as the current one."""
    shutil.copytree(made[1], tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return made[0]


@pytest.mark.usefixtures("study")
def test_make_writes_what_it_says():
    folder = ARM / "gradcam"
    summary = json.loads((folder / "summary.json").read_text())
    chosen, scores = pd.read_csv(folder / "chosen.csv"), pd.read_csv(folder / "scores.csv")
    assert summary["run"] == {"fold": 0, "seed": 4}
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
        assert entry["value"] == pytest.approx(scores.dropna(subset=overlays.SCORES)[name].mean())
        assert entry["low"] <= entry["value"] + 1e-12
        assert entry["high"] >= entry["value"] - 1e-12
    with Image.open(folder / "sheet.png") as sheet, Image.open(folder / chosen["picture"][0]) as picture:
        assert sheet.height > picture.height
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 500


@pytest.mark.usefixtures("study")
def test_probabilities_are_scaled_by_the_temperature():
    chosen = pd.read_csv(ARM / "gradcam/chosen.csv")
    rows = pd.read_csv(ARM / "fold0_seed4/predictions.csv").set_index("sample")
    logits = rows.loc[chosen["sample"], [f"classification_{k}" for k in range(3)]].to_numpy() / 2.0
    expected = np.exp(logits.max(1)) / np.exp(logits).sum(1)
    np.testing.assert_allclose(chosen["probability"], expected, atol=1e-4)


def test_the_same_twice_and_nothing_stale_or_global_stays(study):
    folder = ARM / "gradcam"
    first = {name: (folder / name).read_bytes() for name in ("chosen.csv", "scores.csv", "summary.json", "maps.npy")}
    (folder / "images/stale.png").write_bytes(b"")
    overlays.make(study, "small", device="cpu", threads=1)
    assert {name: (folder / name).read_bytes() for name in first} == first
    assert not (folder / "images/stale.png").exists()
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def test_without_masks_there_are_pictures_and_an_empty_table(study):
    Path("data/demo/made_up/p/masks.npy").unlink()
    overlays.make(study, "small", device="cpu", threads=1)
    assert pd.read_csv(ARM / "gradcam/scores.csv").empty
    summary = json.loads((ARM / "gradcam/summary.json").read_text())
    assert summary["energies"] == {}
    assert summary["n"] == 0
    assert summary["chosen"]


def test_what_is_missing_is_said(study):
    table = pd.read_csv(ARM / "fold0_seed4/predictions.csv")
    Path("data/demo/made_up/p/images.npy").rename("away")
    with pytest.raises(RescanError, match="run preprocess first"):
        overlays.make(study, "small", device="cpu", threads=1)
    table[table["part"] == "train"].to_csv(ARM / "fold0_seed4/predictions.csv", index=False)
    with pytest.raises(RescanError, match="no test images"):
        overlays.make(study, "small", device="cpu", threads=1)


def test_the_choice_is_spread_over_confidence_and_does_not_depend_on_order():
    rng = np.random.default_rng(0)
    target, predicted, confidence = rng.integers(3, size=200), rng.integers(3, size=200), rng.random(200)
    chosen = overlays.choose(target, predicted, confidence, 2)
    assert len(chosen) == len(set(chosen)) == 12
    right = np.flatnonzero((target == 0) & (predicted == 0))
    ranks = sorted((confidence[right] > confidence[position]).mean() for position in chosen[:2])
    np.testing.assert_allclose(ranks, [0.25, 0.75], atol=0.06)
    order = rng.permutation(200)
    again = overlays.choose(target[order], predicted[order], confidence[order], 2)
    assert [order[position] for position in again] == chosen
    assert overlays.choose(target[:1], target[:1], confidence[:1], 3) == [0]


@pytest.mark.usefixtures("study")
def test_draw_predictions_names_a_file_for_each_image():
    network, _ = load(ARM / "fold0_seed4/model.safetensors")
    images = np.load("data/demo/made_up/p/images.npy")[:2]
    probabilities = np.array([[0.2, 0.7, 0.1], [0.1, 0.2, 0.7]])
    overlays.draw_predictions(network, images, ["one", "two"], probabilities, CLASSES, "imagenet", Path("out"))
    assert sorted(path.name for path in Path("out").iterdir()) == ["one.png", "two.png"]


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
    draw(tmp_path / "a.png", [("full", [tile]), ("nothing here", [])])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.width > 100
