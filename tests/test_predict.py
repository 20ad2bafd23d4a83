"""Prediction on new images, with nothing but an arm's folder."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sample_files import model_header
from scipy.special import softmax

from rescan import predict as module
from rescan.errors import RescanError
from rescan.models.model_files import save
from rescan.models.networks import build
from rescan.models.normalization import normalize
from rescan.predict import predict
from rescan.preparation.sample import prepare_image
from rescan.study import Inference, Preparation, Recipe
from rescan.training.forward_pass import Versions, predict_outputs

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
        header = model_header(RECIPE, CLASSES, (3, 32, 32), preparation=PREPARATION)
        save(folder / f"fold0_seed{seed}/model.safetensors", build(RECIPE, 3, (3, 32, 32)), header)
    (folder / "posttraining.json").write_text(
        json.dumps(
            {
                "head": "classification",
                "classes": 3,
                "fit_on": "crossfit",
                "n": 0,
                "runs": [],
                "temperatures": {"classification": {"whole": 2.0, "crossfit": [1.0] * 5}},
                "models": [
                    {"file": f"fold0_seed{seed}/model.safetensors", "inference": Inference().model_dump()}
                    for seed in (0, 1)
                ],
                "ensemble": False,
                "trim": 0.0,
            }
        )
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


def test_the_runs_mean_is_read_with_the_temperature(arm, images, tmp_path):
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
        expected.append(logits.softmax(dim=1)[0].numpy())
    mean = softmax(np.log(np.mean(expected, axis=0)) / 2)
    np.testing.assert_allclose(table.loc[0, CLASSES].astype(float), mean, atol=2e-5)
    assert table["predicted"][0] == CLASSES[int(mean.argmax())]


def test_grades_are_read_with_the_cut_points_and_have_maps(tmp_path, images):
    heads = {"classification": {}, "regression": {}}
    stage = {"epochs": 1, "optimizer": "adam", "losses": {"classification": "focal", "regression": "mse"}}
    network = {"encoder": "resnet18", "weights": "none", "heads": heads}
    recipe = Recipe.model_validate({"preparation": "p", "network": network, "stages": {"main": stage}})
    torch.manual_seed(0)
    network_of_grades = build(recipe, 3, (3, 32, 32))
    header = model_header(recipe, CLASSES, (3, 32, 32), preparation=PREPARATION)
    save(tmp_path / "other/model.safetensors", network_of_grades, header)
    (tmp_path / "arm").mkdir()
    inference = Inference.model_validate({"copies": 2, "augmentation": {"rotation": 90}}).model_dump()
    fitted = {
        "head": "linear",
        "classes": 3,
        "fit_on": "train",
        "n": 0,
        "runs": [],
        "temperatures": {},
        "linear": {"whole": [0.0, 1.0, 5.0], "crossfit": [[0.0, 1.0, 5.0]] * 5},  # the regression and 5
        "cuts": {"whole": [-90.0, 90.0], "crossfit": [[-90.0, 90.0]] * 5},
        "models": [{"file": "../other/model.safetensors", "inference": inference}],
        "ensemble": False,
        "trim": 0.0,
    }
    (tmp_path / "arm/posttraining.json").write_text(json.dumps(fitted))
    predict(tmp_path / "arm", [images], tmp_path / "out.csv", tmp_path / "maps", "cpu")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(table) == ["image", "predicted", "grade", "problem"]
    assert set(table["predicted"]) == {"dog"}
    batch = torch.from_numpy(np.stack([prepare_image(path, PREPARATION)[0] for path in sorted(images.glob("*.*"))]))
    versions = Versions(Inference.model_validate(inference))
    outputs = predict_outputs(network_of_grades, batch.numpy(), "imagenet", "cpu", versions=versions)
    assert table["grade"][:2].tolist() == pytest.approx((outputs["regression"][:, 0] + 5).tolist(), abs=0.05)
    assert len(list((tmp_path / "maps").iterdir())) == 3


def test_unreadable_images_stay_in_the_table_and_chunks_change_nothing(arm, images, tmp_path, monkeypatch):
    (images / "bad.jpg").write_text("no image")
    Image.new("RGB", (40, 50)).save(images / "black.png")
    predict(arm, [images], tmp_path / "one.csv", tmp_path / "maps", "cpu")
    monkeypatch.setattr(module, "CHUNK", 1)
    predict(arm, [images], tmp_path / "many.csv", tmp_path / "maps in chunks", "cpu")
    one, many = (pd.read_csv(tmp_path / name, keep_default_na=False) for name in ("one.csv", "many.csv"))
    assert one["problem"].tolist() == ["", "", "not an image", "constant image", ""]
    assert one["predicted"][2] == ""
    assert one.drop(columns=CLASSES).equals(many.drop(columns=CLASSES))
    pictures = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("maps", "maps in chunks")]
    assert pictures[0] == pictures[1] == ["00000_a.png", "00001_b ü.png", "00004_c.png"]


@pytest.mark.parametrize(
    ("folder", "image", "message"),
    [
        ("nowhere", "a.png", "no posttraining.json in it"),
        ("arm", "nowhere.png", "no such file or folder"),
        ("arm", "empty", "no images in it"),
        ("arm", "bad.jpg", "bad.jpg: not an image"),
    ],
)
def test_mistakes_give_one_line(arm, images, tmp_path, folder, image, message):
    (images / "empty").mkdir()
    (images / "bad.jpg").write_text("no image")
    with pytest.raises(RescanError) as caught:
        predict(arm.parent / folder, [images / image], tmp_path / "out.csv", None, "cpu")
    assert message in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert not (tmp_path / "out.csv").exists()


def test_patients_are_read_by_majority_and_by_the_mean_probability(arm, tmp_path):
    """By hand, from the images' own rows."""
    tree = tmp_path / "new"
    random = np.random.default_rng(1)
    for place in ("XR_HAND/Patient7/study1/1.png", "XR_HAND/Patient7/study1/2.png", "XR_HAND/Patient7/study2/1.png"):
        (tree / place).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 255, (40, 50, 3), np.uint8)).save(tree / place)
    (tree / "XR_HAND/Patient8").mkdir()
    (tree / "XR_HAND/Patient8/broken.png").write_bytes(b"x")
    Image.fromarray(random.integers(0, 255, (40, 50, 3), np.uint8)).save(tree / "alone.png")
    predict(arm, [tree], tmp_path / "out.csv", None, "cpu")
    table = pd.read_csv(tmp_path / "out.csv")
    patients = pd.read_csv(tmp_path / "out_patients.csv")
    assert (patients["patient"].tolist(), patients["images"].tolist()) == (["Patient7"], [3])
    own = table[table["image"].str.contains("Patient7")]
    assert patients.loc[0, CLASSES].tolist() == pytest.approx(own[CLASSES].mean().tolist(), abs=1e-5)
    assert patients["by_mean_probability"][0] == own[CLASSES].mean().idxmax()
    votes = own["predicted"].value_counts()
    assert patients["predicted"][0] in votes[votes == votes.max()].index
    (tmp_path / "out_patients.csv").unlink()
    predict(arm, [tree], tmp_path / "out.csv", None, "cpu", patient="case.*")
    assert not (tmp_path / "out_patients.csv").exists()
    with pytest.raises(RescanError, match="--patient: '\\(' is not a regular expression"):
        predict(arm, [tree], tmp_path / "out.csv", None, "cpu", patient="(")
