"""Prediction on new images, with nothing but an arm's folder."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from rescan import predict as module
from rescan.errors import RescanError
from rescan.models.network import build, normalize, save
from rescan.predict import predict
from rescan.preparation.build import prepare_image
from rescan.study import Preparation, Recipe

CLASSES = ["cat", "dog", "NA"]
PREPARATION = Preparation.model_validate({"steps": [{"name": "resize", "size": [32, 32]}]})
RECIPE = Recipe.model_validate(
    {
        "preparation": "p",
        "network": {"encoder": "resnet18", "weights": "none"},
        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
    }
)


@pytest.fixture
def arm(tmp_path):
    """An arm of two runs, with temperature 2."""
    folder = tmp_path / "arm"
    for seed in (0, 1):
        torch.manual_seed(seed)
        header = {
            "recipe": RECIPE.model_dump(mode="json"),
            "preparation": PREPARATION.model_dump(mode="json"),
            "classes": CLASSES,
            "input": [3, 32, 32],
        }
        save(folder / f"fold0_seed{seed}/model.safetensors", build(RECIPE, 3, (3, 32, 32)), header)
    (folder / "posttraining.json").write_text(
        json.dumps({"temperature": 2.0, "runs": [{"fold": 0, "seed": seed} for seed in (0, 1)]})
    )
    return folder


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "new images (1)"
    (folder / "sub").mkdir(parents=True)
    random = np.random.default_rng(0)
    for number, name in enumerate(["a.png", "b ü.jpg", "sub/c.PNG"]):
        pixels = random.integers(0, 255, (40 + number, 50, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def test_probabilities_are_the_runs_mean_after_temperature(arm, images, tmp_path):
    predict(arm, [images], tmp_path / "out.csv", None, "cpu")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert [name.rsplit("/", 1)[1] for name in table["image"]] == ["a.png", "b ü.jpg", "c.PNG"]
    one = torch.from_numpy(prepare_image(images / "a.png", PREPARATION)[0]).permute(2, 0, 1)[None]
    expected = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        network = build(RECIPE, 3, (3, 32, 32)).eval()
        with torch.no_grad():
            logits = network(normalize(one, "imagenet"))["classification"]
        expected.append((logits / 2).softmax(dim=1)[0].numpy())
    np.testing.assert_allclose(table.loc[0, CLASSES].astype(float), np.mean(expected, axis=0), atol=2e-5)
    assert table["predicted"][0] == CLASSES[int(np.mean(expected, axis=0).argmax())]


def test_unreadable_images_stay_in_the_table_and_chunks_change_nothing(arm, images, tmp_path, monkeypatch):
    (images / "bad.jpg").write_text("no image")
    predict(arm, [images], tmp_path / "one.csv", tmp_path / "maps", "cpu")
    monkeypatch.setattr(module, "CHUNK", 1)
    predict(arm, [images], tmp_path / "many.csv", tmp_path / "maps in chunks", "cpu")
    one, many = (pd.read_csv(tmp_path / name, keep_default_na=False) for name in ("one.csv", "many.csv"))
    assert one["problem"].tolist() == ["", "", "not an image", ""]
    assert one["predicted"][2] == ""
    assert one.drop(columns=CLASSES).equals(many.drop(columns=CLASSES))
    drawn = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("maps", "maps in chunks")]
    assert drawn[0] == drawn[1] == ["00000_a.png", "00001_b ü.png", "00003_c.png"]


@pytest.mark.parametrize(
    ("folder", "image", "said"),
    [
        ("nowhere", "a.png", "no posttraining.json in it"),
        ("arm", "nowhere.png", "no such file or folder"),
        ("arm", "empty", "no images in it"),
        ("arm", "bad.jpg", "bad.jpg: not an image"),
    ],
)
def test_mistakes_are_said_in_one_line(arm, images, tmp_path, folder, image, said):
    (images / "empty").mkdir()
    (images / "bad.jpg").write_text("no image")
    with pytest.raises(RescanError) as caught:
        predict(arm.parent / folder, [images / image], tmp_path / "out.csv", None, "cpu")
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()
