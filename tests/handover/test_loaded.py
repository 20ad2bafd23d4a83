"""A trained arm in a program: as the command line predicts, with maps on the grid of what was given, in any thread."""

from __future__ import annotations

import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_files import write_dicom
from PIL import Image
from sample_arms import SIZE, finish, small_study

import rescan
from rescan.explanation.cam import class_maps
from rescan.handover.bundling import bundle
from rescan.models.model_files import load as load_network
from rescan.models.normalization import normalize
from rescan.predict import predict
from rescan.preparation.sample import prepare_image

CLASSES = ["a", "b"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A finished arm, its bundle, and images: two PNG files and a DICOM file."""
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        arm = finish(small_study(title="Hands"))
        bundle(Path(arm), place / "model.zip")
    (place / "new").mkdir()
    random = np.random.default_rng(0)
    for name in ("0.png", "1.png"):
        Image.fromarray(random.integers(0, 255, (40, 50, 3), np.uint8)).save(place / "new" / name)
    write_dicom(place / "new/2.dcm", random.integers(0, 255, (44, 30), np.uint8))
    return place


@pytest.fixture(scope="module")
def arm(home):
    return home / "results/full/heads/one"


@pytest.fixture(scope="module")
def model(home):
    return rescan.load(home / "model.zip", device="cpu")


@pytest.fixture(scope="module")
def files(home):
    return sorted((home / "new").iterdir())


def test_it_predicts_as_the_command_line_does(arm, model, files, tmp_path):
    predict(arm, files, tmp_path / "p.csv", None, "cpu", at="youden")
    expected = pd.read_csv(tmp_path / "p.csv", keep_default_na=False)
    for own in (model, rescan.load(arm, device="cpu")):
        pd.testing.assert_frame_equal(own.predict(files, at="youden"), expected)
        pd.testing.assert_frame_equal(own.predict(files[0]), expected[:1].drop(columns=["b_at_youden"]))
    assert (model.classes, model.points, model.card.title) == (CLASSES, ["youden"], "Hands")
    assert rescan.load(arm, device="cpu").card.data == model.card.data


def test_arrays_are_read_as_the_files_that_hold_them(model, files):
    arrays = [np.asarray(Image.open(file)) for file in files[:2]]
    of_files, of_arrays = model.predict(files[:2]), model.predict([files[0], arrays[0], arrays[1][:, ::-1][:, ::-1]])
    assert of_arrays["image"].tolist() == [str(files[0]), "array 0", "array 1"]
    np.testing.assert_array_equal(of_arrays[CLASSES].to_numpy()[1:], of_files[CLASSES].to_numpy())
    deep = model.predict([arrays[0][..., 0].astype(np.uint16) * 257, np.full((9, 9), np.nan)])
    assert deep["problem"].str.contains("more than 8 bits|no finite numbers").all()


@pytest.mark.parametrize(
    ("given", "fault"),
    [
        (np.zeros((4, 5, 6)), r"array 0: is \(4, 5, 6\) of float64; the model reads images: give \(H, W\)"),
        (np.zeros((4, 5, 4), np.uint8), "the model reads images"),
        (np.zeros((4, 5), np.int64), "of int64"),
        (np.zeros((0, 5), np.uint8), "array 0: is"),
        (np.array([["a"]]), "array 0: is"),
        (Path(__file__).parent, "is a folder; the model reads images: give the paths"),
        (["x.png", None], "x.png: no such file"),
        ([None], "sample 0: is a NoneType"),
        ("\0", "no such file"),
    ],
)
def test_what_is_no_sample_is_refused_in_one_line(model, given, fault):
    for use in (model.predict, model.explain):
        with pytest.raises(rescan.RescanError, match=fault) as caught:
            use(given)
        assert "\n" not in str(caught.value)


def test_other_mistakes(model, files, tmp_path):
    with pytest.raises(rescan.RescanError, match="no operating point 'yuden'; did you mean 'youden'"):
        model.predict(files, at="yuden")
    with pytest.raises(rescan.RescanError, match="target: the model has no class 'c'"):
        model.explain(files, target="c")
    with pytest.raises(rescan.RescanError, match="device 'gpu': use auto, cpu, cuda"):
        rescan.load(tmp_path, device="gpu")
    with pytest.raises(rescan.RescanError, match=r"no posttraining\.json in it"):
        rescan.load(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    table = model.predict([tmp_path / "broken.png"])
    assert table["problem"].tolist() == ["not an image"]
    assert table["predicted"].isna().all()
    (no_map,) = model.explain([tmp_path / "broken.png"])
    assert (no_map.problem, no_map.map) == ("not an image", None)
    assert model.predict([]).columns.tolist() == ["image", "predicted", "flags", "problem"]


def test_a_map_is_that_of_the_network_on_the_grid_of_the_file(arm, model, files):
    found = model.explain([*files, np.asarray(Image.open(files[0]))])
    assert [own.map.shape for own in found] == [(40, 50), (40, 50), (44, 30), (40, 50)]
    np.testing.assert_array_equal(found[0].map, found[3].map)
    assert [own.target for own in found[:3]] == model.predict(files)["predicted"].tolist()
    network, header = load_network(arm / "fold0_seed0/model.safetensors")
    image = prepare_image(files[0], header.preparation)[0]
    target = CLASSES.index(found[0].target)
    inputs = normalize(torch.from_numpy(image).permute(2, 0, 1)[None], header.recipe.normalization)
    layer = list(header.recipe.network.layers.values())[-1]
    block = network.encoder.body.get_submodule(layer) if layer else None
    _, scaled = class_maps(network, inputs, torch.tensor([target]), "classification", block)["gradcam"]
    np.testing.assert_allclose(found[0].prepared[0], scaled[0].numpy(), atol=1e-5)
    # Prepared pixels are 40/32 and 50/32 pixels of the file: their centers, by hand.
    row, column = np.unravel_index(found[0].prepared[0].argmax(), (SIZE, SIZE))
    there = round((row + 0.5) * 40 / SIZE - 0.5), round((column + 0.5) * 50 / SIZE - 0.5)
    assert found[0].map[there] > 0.9
    other = model.explain(files[0], target=CLASSES[1 - target])[0]
    assert other.target == CLASSES[1 - target]
    assert not np.array_equal(other.map, found[0].map)


def test_maps_of_patches_share_one_scale_and_tile_the_image(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    steps = [{"name": "patches", "grid": [2, 2]}, {"name": "resize", "size": [SIZE, SIZE]}]
    own = rescan.load(finish(small_study(seeds=1), steps), device="cpu")
    (found,) = own.explain(np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8))
    assert (found.prepared.shape, found.map.shape, found.problem) == ((4, SIZE, SIZE), (80, 60), "")
    assert found.prepared.max() == 1
    quarters = [
        found.map[rows, columns] for rows in (slice(40), slice(40, 80)) for columns in (slice(30), slice(30, 60))
    ]
    means = [quarter.mean() for quarter in quarters]
    np.testing.assert_allclose(means, found.prepared.mean(axis=(1, 2)), rtol=0.05, atol=0.005)


def test_threads_get_what_one_thread_gets(model, files):
    table, maps = model.predict(files), model.explain(files)
    with ThreadPoolExecutor(4) as threads:
        tables = [threads.submit(model.predict, files) for _ in range(6)]
        explained = [threads.submit(model.explain, files) for _ in range(6)]
    for one in tables:
        pd.testing.assert_frame_equal(one.result(), table)
    for one in explained:
        for own, expected in zip(one.result(), maps):
            np.testing.assert_array_equal(own.map, expected.map)


def test_a_script_of_three_lines_reads_dicom_files_and_says_nothing(home, tmp_path):
    script = tmp_path / "three.py"
    script.write_text(
        f"import rescan\nmodel = rescan.load({str(home / 'model.zip')!r}, device='cpu')\n"
        f"print(model.predict([{str(home / 'new/2.dcm')!r}])['predicted'][0])\n"
    )
    ended = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=300, cwd=tmp_path, check=False
    )
    assert ended.returncode == 0
    said = [line for line in ended.stderr.splitlines() if "Warning" not in line and not line.startswith(" ")]
    # This arm is older than the files that say what it was trained on.
    assert [line.partition(" beside")[0] for line in said] == ["model.zip/fold0_seed0: no training_range.safetensors"]
    assert ended.stdout.strip() in CLASSES


def test_importing_rescan_imports_little():
    code = (
        "import sys, rescan; "
        "assert not {'torch', 'pandas', 'numpy', 'pydantic'} & set(sys.modules); print(rescan.__all__, dir(rescan))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert {"load", "RescanError"} <= set(rescan.__all__)
    assert callable(rescan.load)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        _ = rescan.lod


def test_what_is_no_sample_path_or_extent_is_said(model):
    for wrong in (None, 3, b"a.png"):
        with pytest.raises(rescan.RescanError, match="give paths of image files, or NumPy arrays"):
            model.predict(wrong)
        with pytest.raises(rescan.RescanError, match="path: is a "):
            rescan.load(wrong)
    for wrong in ("abc", 5, ("2", "6", "6"), (0, -1, math.nan), (1e9, 1, 1)):
        with pytest.raises(rescan.RescanError, match=r"extent: .*give three numbers above 0"):
            model.predict([], extent=wrong)
    assert model.predict(np.zeros((1, 2), np.uint8))["problem"][0].startswith("too small: 2x1 pixels")
