"""Prediction on new images, with nothing but an arm's folder."""

import errno
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_files import deadly_dicom
from PIL import Image
from sample_files import LOCATED, MAP_CHECKS, make_range, model_header
from scipy.special import softmax

from rescan.errors import RescanError
from rescan.explanation import new_maps
from rescan.files import write_json
from rescan.log import logger
from rescan.models.model_files import load, save
from rescan.models.networks import build
from rescan.models.normalization import normalize
from rescan.predict import files_to_predict, map_names, predict
from rescan.preparation.sample import prepare_image
from rescan.results.trained_model import model_checksum
from rescan.results.training_range import Gaussian, write_range
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
        header = model_header(RECIPE, CLASSES, (3, 32, 32), preparation=PREPARATION, seed=seed)
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


def test_maps_are_made_as_those_of_the_study(arm, images, tmp_path, monkeypatch):
    seen = []
    maps_of = new_maps.maps_of
    monkeypatch.setattr(
        new_maps, "maps_of", lambda explained, *rest: seen.append(explained) or maps_of(explained, *rest)
    )
    predict(arm, [images], tmp_path / "out.csv", tmp_path / "maps", "cpu")
    summary = {
        "run": {"arm": "arm", "fold": 0, "seed": 0},
        "head": "classification",
        "method": "layercam",
        "layer": "layer2",
        "kind": "images",
        "shown": "",
        "scored": "",
        "cells": [4, 4],
        "n": 0,
        "empty": 0,
        "energies": {},
        "located": LOCATED,
        "checks": MAP_CHECKS,
        "rule": "",
        "chosen": [],
    }
    (arm / "gradcam").mkdir()
    write_json(arm / "gradcam/summary.json", summary)
    predict(arm, [images], tmp_path / "out.csv", tmp_path / "maps", "cpu")
    ways = [(explained.method, explained.layer) for explained in seen]
    assert ways == [("gradcam", "layer4"), ("layercam", "layer2")]
    assert seen[1].module is seen[1].network.encoder.body.layer2
    write_json(arm / "gradcam/summary.json", {**summary, "layer": "layer5"})
    with pytest.raises(RescanError, match=r"summary\.json: layer: resnet18 has no block 'layer5'; it has .*gradcam"):
        predict(arm, [images], tmp_path / "out.csv", tmp_path / "maps", "cpu")


def test_what_cannot_be_written_whole_leaves_old_answers_and_maps(arm, images, tmp_path, monkeypatch):
    predict(arm, [images], tmp_path / "out.csv", tmp_path / "maps", "cpu")
    old = {path: path.write_text("old") for path in [tmp_path / "out.csv", *(tmp_path / "maps").iterdir()]}
    draw = new_maps.draw

    def draw_one(path, *rest):
        if path.name != "a.png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        draw(path, *rest)

    monkeypatch.setattr(new_maps, "draw", draw_one)
    with pytest.raises(OSError, match="No space left"):
        predict(arm, [images], tmp_path / "out.csv", tmp_path / "maps", "cpu")
    assert len(old) == 4
    assert [path.read_text() for path in old] == ["old"] * 4
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == sorted(p.name for p in list(old)[1:])


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
    assert list(table) == ["image", "predicted", "grade", "flags", "problem"]
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
    monkeypatch.setattr("rescan.arm_models.CHUNK", 1)
    predict(arm, [images], tmp_path / "many.csv", tmp_path / "maps in chunks", "cpu")
    one, many = (pd.read_csv(tmp_path / name, keep_default_na=False) for name in ("one.csv", "many.csv"))
    assert one["problem"].tolist() == ["", "", "not an image", "constant image", ""]
    assert one["predicted"][2] == ""
    assert one.drop(columns=CLASSES).equals(many.drop(columns=CLASSES))
    pictures = [sorted(path.name for path in (tmp_path / name).iterdir()) for name in ("maps", "maps in chunks")]
    assert pictures[0] == pictures[1] == ["a.png", "b ü.png", "sub_c.png"]


def test_a_file_that_ends_its_decoders_process_stays_in_the_table(arm, images, tmp_path):
    (images / "deadly.dcm").write_bytes(deadly_dicom())
    predict(arm, [images], tmp_path / "out.csv", None, "cpu")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    problems = dict(zip(table["image"].str.rpartition("/")[2], table["problem"]))
    assert problems.pop("deadly.dcm") != ""
    assert set(problems.values()) == {""}


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


def test_images_unlike_the_training_images_are_predicted_and_flagged(arm, tmp_path, caplog, monkeypatch):
    """By the vectors of the first network, whose training images were all but one direction from the new ones."""
    monkeypatch.setattr(logger, "propagate", True)
    caplog.set_level("INFO", "rescan")
    folder = tmp_path / "Patient1"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (2, 40, 50, 3), np.uint8)
    for name, own in zip(("a.png", "b.png"), pixels):
        Image.fromarray(own).save(folder / name)
    predict(arm, [folder], tmp_path / "out.csv", None, "cpu")
    assert pd.read_csv(tmp_path / "out.csv")["flags"].isna().all()
    assert caplog.text.count("no image is flagged as unlike the training images; run infer again") == 1
    batch = torch.from_numpy(np.stack([prepare_image(path, PREPARATION)[0] for path in sorted(folder.iterdir())]))
    network, _ = load(arm / "fold0_seed0/model.safetensors")
    with torch.no_grad():
        first, second = network.vectors(normalize(batch.permute(0, 3, 1, 2), "imagenet")).numpy()
    away = (second - first) / np.linalg.norm(second - first)
    gaussian = Gaussian(first, away[None], np.float32([1]))
    place = arm / "fold0_seed0/training_range.safetensors"
    limit = float(np.linalg.norm(second - first) / 2)
    known = {"features": gaussian, "limit": limit, "sizes": {}}
    write_range(place, make_range(**known, model=model_checksum(arm / "fold0_seed0/model.safetensors")))
    predict(arm, [folder], tmp_path / "out.csv", None, "cpu")
    texts = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)["flags"].tolist()
    assert texts[0] == ""
    assert texts[1].startswith("farther from the training images in feature space than 99.5 % of images like them (")
    assert f"(distance {limit * 2**0.5:.3g}, limit {limit:.3g} by " in texts[1]
    assert pd.read_csv(tmp_path / "out_patients.csv")["flagged"].tolist() == [1]
    assert "2 predicted by 2 networks, 1 unlike the training images (flags)" in caplog.text
    write_range(place, make_range(**known, model="another"))
    with pytest.raises(RescanError, match=r"is of other weights than model\.safetensors has; delete it and run infer"):
        predict(arm, [folder], tmp_path / "out.csv", None, "cpu")


def renamed(arm, classes):
    """The arm with other names of its classes."""
    for file in arm.glob("*/model.safetensors"):
        network, header = load(file)
        save(file, network, header.model_copy(update={"classes": classes}))
    return arm


@pytest.mark.parametrize("classes", [["patient", "image", "problem"], ["predicted", "grade", "images"]])
def test_classes_may_be_called_like_the_tables_columns(arm, tmp_path, classes):
    for number in range(3):
        file = tmp_path / f"new/patient{number // 2}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8)).save(file)
    predict(arm, [tmp_path / "new"], tmp_path / "before.csv", None, "cpu")
    predict(renamed(arm, classes), [tmp_path / "new"], tmp_path / "out.csv", None, "cpu")
    before, table = (pd.read_csv(tmp_path / name, keep_default_na=False) for name in ("before.csv", "out.csv"))
    prefixed = [f"probability_{name}" for name in classes]
    assert list(table) == ["image", "predicted", *prefixed, "flags", "problem"]
    assert table[prefixed].to_numpy().tolist() == before[CLASSES].to_numpy().tolist()
    assert table["predicted"].tolist() == [classes[CLASSES.index(name)] for name in before["predicted"]]
    patients = pd.read_csv(tmp_path / "out_patients.csv")
    assert list(patients) == ["patient", "images", "predicted", "by_mean_probability", *prefixed]
    assert patients["patient"].tolist() == ["patient0", "patient1"]


def test_a_file_that_is_given_twice_has_one_row(arm, images, tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(images)
    (tmp_path / "link").symlink_to(images)
    twice = [Path("b ü.jpg"), images, images / "a.png", tmp_path / "link/sub/c.PNG", images / "sub/../a.png"]
    predict(arm, twice, tmp_path / "out.csv", tmp_path / "maps", "cpu", extent=(1, 2, 3))
    assert "the extent is not used: this arm reads images" in caplog.text
    table = pd.read_csv(tmp_path / "out.csv")
    assert [name.rsplit("/", 1)[-1] for name in table["image"]] == ["b ü.jpg", "a.png", "c.PNG"]
    assert len(list((tmp_path / "maps").iterdir())) == 3


def test_odd_file_names_do_not_lose_the_table(arm, images, tmp_path):
    for name in (b"\xff\xfe.png", b"two\nlines\r.png", b'quote",.png'):
        Path(os.fsdecode(os.fsencode(images) + b"/" + name)).write_bytes((images / "a.png").read_bytes())
    Path(os.fsdecode(os.fsencode(images) + b"/bad\xff.png")).write_bytes(b"x")
    predict(arm, [images], tmp_path / "out.csv", tmp_path / "maps", "cpu")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert len(table) == 7
    names = {name.rsplit("/", 1)[-1]: problem for name, problem in zip(table["image"], table["problem"])}
    assert names["two\\nlines\\r.png"] == names['quote",.png'] == names["\\udcff\\udcfe.png"] == ""
    assert names["bad\\udcff.png"] == "not an image"
    assert len(list((tmp_path / "maps").iterdir())) == 6


def test_maps_are_called_after_their_images():
    paths = [Path(f"/x/{name}") for name in ("a/1.png", "a/1.jpg", "b/1.png", "b/c.nii.gz", "a_1.png", "b", "d.e.png")]
    assert map_names(paths) == ["a_1.png", "a_1.jpg", "b_1", "b_c", "a_1", "b", "d.e"]
    assert map_names([Path("/x/a_1.png"), Path("/x/a/1.png")]) == ["a_1", "a_1~2"]
    assert map_names([Path("/x/alone.png")]) == ["alone"]
    assert len(map_names([Path(f"/x/{'é' * 120}/{'ü' * 120}.png"), Path("/x/y.png")])[0].encode()) <= 180


def test_outputs_are_refused_before_anything_is_read(arm, images, tmp_path):
    (tmp_path / "file").touch()
    before = sorted(images.rglob("*"))
    for out, maps, fault in (
        (tmp_path, None, "is a folder, or no regular file"),
        (Path("/dev/null"), None, "is a folder, or no regular file"),
        (tmp_path / "file/out.csv", None, "file is no folder"),
        (images / "a.png", None, "is one of the files to read"),
        (tmp_path / "out.csv", images, r"holds images to predict, such as a\.png"),
        (tmp_path / "out.csv", tmp_path / "file", "file is no folder"),
    ):
        with pytest.raises(RescanError, match=fault):
            predict(arm, [images], out, maps, "cpu")
    assert sorted(images.rglob("*")) == before
    assert not list(tmp_path.glob("out*"))
    (tmp_path / "link.csv").symlink_to(tmp_path / "real.csv")
    predict(arm, [images / "a.png"], tmp_path / "link.csv", None, "cpu")
    assert (tmp_path / "link.csv").is_symlink()
    assert len(pd.read_csv(tmp_path / "real.csv")) == 1


def test_no_cell_is_a_formula(arm, images, tmp_path, monkeypatch):
    monkeypatch.chdir(images)
    for name in ("=cmd.png", "@x.png", "-1.png"):
        Path(name).write_bytes(Path("a.png").read_bytes())
    predict(arm, [Path()], tmp_path / "out.csv", None, "cpu")
    names = pd.read_csv(tmp_path / "out.csv")["image"]
    assert not names.str.contains("^[=+@-]").any()
    assert all(Path(name).is_file() for name in names)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"temperatures": {}}, "temperatures lacks classification"),
        ({"temperatures": {"classification": {"whole": 0.0, "crossfit": [1.0] * 5}}}, "whole: input should be greater"),
        ({"thresholds": {"whole": [0.5] * 3, "crossfit": [[0.5] * 3] * 5}}, "thresholds are of several labels, not of"),
        ({"models": []}, "models: list should have at least 1 item"),
    ],
)
def test_a_damaged_post_training_is_refused(arm, images, tmp_path, change, fault):
    file = arm / "posttraining.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    with pytest.raises(RescanError, match=rf"posttraining\.json: .*{fault}"):
        predict(arm, [images], tmp_path / "out.csv", None, "cpu")


def test_an_arm_that_was_copied_in_part_is_refused(arm, images, tmp_path):
    (arm / "fold0_seed1/model.safetensors").rename(tmp_path / "model.safetensors")
    with pytest.raises(RescanError, match=r"fold0_seed1/model\.safetensors: no such file; copy the whole folder of"):
        predict(arm, [images], tmp_path / "out.csv", None, "cpu")
    fitted = json.loads((arm / "posttraining.json").read_text())
    entry = {**fitted["models"][0], "file": "../other/model.safetensors"}
    (arm / "posttraining.json").write_text(json.dumps({**fitted, "models": [entry]}))
    with pytest.raises(RescanError, match="and the arms beside it whose networks it reads"):
        predict(arm, [images], tmp_path / "out.csv", None, "cpu")


def test_a_model_that_is_no_numbers_is_refused(arm, images, tmp_path):
    file = arm / "fold0_seed1/model.safetensors"
    network, header = load(file)
    with torch.no_grad():
        next(network.heads["classification"].parameters()).view(-1)[3] = float("nan")
    save(file, network, header)
    with pytest.raises(RescanError, match=r"fold0_seed1/model\.safetensors: .* holds values that are no numbers"):
        predict(arm, [images], tmp_path / "out.csv", None, "cpu")
    with torch.no_grad():
        for weights in network.heads["classification"].parameters():
            weights.fill_(3e38)
    save(file, network, header)
    with pytest.raises(RescanError, match=r"fold0_seed1/model\.safetensors: its outputs are no numbers"):
        predict(arm, [images], tmp_path / "out.csv", None, "cpu")
    assert not (tmp_path / "out.csv").exists()


def test_a_folder_is_searched_as_data_are(arm, images, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (images / "a.png").rename(elsewhere / "linked.png")
    (images / "linked").symlink_to(elsewhere)
    (images / "circle").symlink_to(images)
    for name in ("._a.png", "Thumbs.db", "folder.png/readme.txt"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(b"no image")
    os.mkfifo(images / "pipe.png")
    (images / "odd\rname.png").symlink_to(elsewhere / "linked.png")
    predict(arm, [images], tmp_path / "out.csv", None, "cpu")
    table = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    names = [path.removeprefix(f"{images.as_posix()}/") for path in table["image"]]
    assert names == ["b ü.jpg", "linked/linked.png", "odd\\rname.png", "sub/c.PNG"]
    assert (table["problem"] == "").all()


def test_volumes_are_found_however_deep(tmp_path, caplog):
    for name in ("p1/s1/1.dcm", "p1/s1/2.dcm", "p2/late/1.bmp", "p3/brain.nii.gz", "p3/notes.txt", "p4/x/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "p2/back").symlink_to(tmp_path)
    found = [path.relative_to(tmp_path).as_posix() for path in files_to_predict([tmp_path], reads_volumes=True)]
    assert found == ["p1/s1", "p2/late", "p3/brain.nii.gz"]
    assert not caplog.records
    (tmp_path / "p3/alone.png").touch()
    assert len(files_to_predict([tmp_path], reads_volumes=True)) == 3
    assert "1 files are no volumes, and lie beside some: left out, such as alone.png" in caplog.text
