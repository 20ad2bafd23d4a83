"""One file of a trained arm: what it holds, what it does not, and that it predicts as the folder does."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sample_arms import finish, small_study
from small_arms import small_arm, write_network
from typer.testing import CliRunner

import rescan
from rescan.arm_models import load_arm
from rescan.bundle_files import opened
from rescan.cli import app
from rescan.errors import RescanError
from rescan.files import sha256
from rescan.handover.bundling import bundle
from rescan.results.bundle_file import Bundle


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A study's folder with a finished arm, and some images."""
    place = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        finish(small_study(title="Hands | *knees*", cite="Somebody 2020"))
    (place / "new").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"new/{number}.png")
    return place


@pytest.fixture(scope="module")
def arm(home):
    return home / "results/full/heads/one"


@pytest.fixture(scope="module")
def file(home, arm):
    bundle(arm, home / "model.rescan.zip", {"license": "CC BY 4.0"})
    return home / "model.rescan.zip"


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_it_predicts_elsewhere_what_the_folder_predicts(arm, file, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copied = shutil.copy(file, tmp_path / "copied.zip")
    for source, name in ((arm, "folder"), (copied, "bundle")):
        options = ["--gradcam", f"{name}_maps", "--out", f"{name}.csv", "--at", "youden", "--device", "cpu"]
        invoke("predict", source, home / "new", *options)
    assert Path("folder.csv").read_bytes() == Path("bundle.csv").read_bytes()
    pictures = sorted(path.name for path in Path("folder_maps").iterdir())
    assert pictures == ["0.png", "1.png", "2.png"]
    for name in pictures:
        assert Path("folder_maps", name).read_bytes() == Path("bundle_maps", name).read_bytes()


def test_evaluate_on_takes_it_and_says_that_home_is_unknown(arm, file, home, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame({"path": [f"{number}.png" for number in range(3)], "label": ["a", "b", "a"]})
    table.to_csv(home / "new/labels.csv", index=False)
    try:
        for source, name in ((arm, "folder"), (file, "bundle")):
            options = ["--table", home / "new/labels.csv", "--out", f"{name}.json", "--device", "cpu"]
            invoke("evaluate-on", source, *options)
    finally:
        (home / "new/labels.csv").unlink()
    found, expected = (json.loads(Path(f"{name}.json").read_text()) for name in ("bundle", "folder"))
    assert found["parts"] == expected["parts"]
    assert any("no groups.csv beside the arm: unknown whether" in text for text in found["warnings"])


def test_it_names_all_that_it_holds_and_counts_the_data(file):
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        content = json.loads(archive.read("bundle.json"))
        sizes = {info.filename: info.file_size for info in archive.infolist()}
    assert set(names) == {"bundle.json", *content["files"]}
    assert {"MODEL_CARD.md", "metrics.json", "posttraining.json", "fold0_seed1/model.safetensors"} <= set(names)
    assert {name: own["bytes"] for name, own in content["files"].items()} == {
        name: size for name, size in sizes.items() if name != "bundle.json"
    }
    with opened(file) as folder:
        assert all(sha256(folder / name) == own["sha256"] for name, own in content["files"].items())
    assert (content["arm"], content["classes"], content["license"]) == ("one", ["a", "b"], "CC BY 4.0")
    train = content["data"]["parts"]["train"]
    assert train == {"samples": 120, "classes": {"a": 60, "b": 60}, "groups": 60, "patients": 60}


def test_it_holds_no_ids_and_no_paths(arm, file, home):
    known = (arm.parent / "manifest.csv").read_text()
    assert "secret_patient_7" in known  # or nothing would be looked for
    assert "secret_sample_0007" in known
    content = file.read_bytes()
    for text in ("secret", str(home), home.name):
        assert text.encode() not in content


def test_the_same_arm_gives_the_same_bytes(arm, file, tmp_path):
    moved = tmp_path / "elsewhere/results/full/heads"
    shutil.copytree(arm.parent, moved)
    bundle(moved / "one", tmp_path / "again.zip", {"license": "CC BY 4.0"})
    assert (tmp_path / "again.zip").read_bytes() == file.read_bytes()
    with opened(file) as folder:
        bundle(folder, tmp_path / "of_bundle.zip")
    assert (tmp_path / "of_bundle.zip").read_bytes() == file.read_bytes()


def test_the_card_has_every_section_and_the_scores(arm, file):
    with zipfile.ZipFile(file) as archive:
        card = archive.read("MODEL_CARD.md").decode()
    sections = [line[3:] for line in card.splitlines() if line.startswith("## ")]
    assert sections == [
        *("Model details", "Intended use", "Factors", "Metrics", "Evaluation data", "Training data"),
        *("Quantitative analyses", "Ethical considerations", "Caveats and recommendations"),
    ]  # Mitchell et al. 2019
    assert card.startswith("# Hands \\| \\*knees\\*: one\n\n**Not a medical device.**")
    score = json.loads((arm / "metrics.json").read_text())["parts"]["test"]["image"]["metrics"]["accuracy"]
    row = next(line for line in card.splitlines() if line.startswith("| test | image |  | 80 | 40 | accuracy"))
    assert f"| {score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f}) |" in row
    assert "train: 120 samples in 60 groups, 60 patients (a 60, b 60)" in card
    assert "License: CC BY 4.0" in card
    assert "youden" in card


def test_a_folder_without_its_study_and_scores_is_bundled(arm, tmp_path, caplog):
    shutil.copytree(arm, tmp_path / "alone")
    (tmp_path / "alone/metrics.json").unlink()
    (tmp_path / "alone/gradcam").mkdir()
    (tmp_path / "alone/gradcam/summary.json").write_text('{"head": "classification"}')  # as an older Rescan wrote it
    bundle(tmp_path / "alone", tmp_path / "alone.zip")
    assert "the bundle has no scores" in caplog.text
    assert "left out: " in caplog.text
    old = rescan.load(tmp_path / "alone", device="cpu")
    assert old.predict([np.eye(40, dtype=np.uint8)])["problem"].tolist() == [""]
    with pytest.raises(RescanError, match=r"summary\.json: .* is missing; delete it and run gradcam again"):
        old.explain([np.eye(40, dtype=np.uint8)])
    with opened(tmp_path / "alone.zip") as folder:
        content = Bundle.read(folder / "bundle.json")
        assert "Not evaluated" in (folder / "MODEL_CARD.md").read_text()
    assert (content.data, content.title, content.arm) == (None, "", "one")


def test_an_ensemble_is_whole(arm, tmp_path, monkeypatch, home):
    shutil.copytree(arm, tmp_path / "one")
    both = tmp_path / "both"
    both.mkdir()
    content = json.loads((arm / "posttraining.json").read_text())
    content["models"] = [{**entry, "file": f"../one/{entry['file']}"} for entry in content["models"]]
    (both / "posttraining.json").write_text(json.dumps({**content, "ensemble": True}))
    monkeypatch.chdir(tmp_path)
    bundle(both, tmp_path / "both.zip")
    invoke("predict", both, home / "new", "--out", "folder.csv", "--device", "cpu")
    shutil.rmtree(tmp_path / "one")
    invoke("predict", "both.zip", home / "new", "--out", "bundle.csv", "--device", "cpu")
    assert Path("folder.csv").read_bytes() == Path("bundle.csv").read_bytes()
    with pytest.raises(RescanError, match=r"no such file; copy the whole folder of the arm, and the arms beside it"):
        bundle(both, tmp_path / "no.zip")
    assert not (tmp_path / "no.zip").exists()


def test_bundling_imports_no_torch(arm, tmp_path):
    code = (
        "import sys; from pathlib import Path; from rescan.handover.bundling import bundle; "
        f"bundle(Path({str(arm)!r}), Path({str(tmp_path / 'x.zip')!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_no_output_replaces_the_model_that_is_read(arm, file, tmp_path):
    folder, bundle_of_it = shutil.copytree(arm, tmp_path / "arm"), shutil.copy(file, tmp_path / "model.zip")
    before = {path: path.read_bytes() for path in [Path(bundle_of_it), *folder.rglob("*")] if path.is_file()}
    for command in (
        ["predict", bundle_of_it, arm, "--out", bundle_of_it],
        ["predict", bundle_of_it, arm, "--out", str(tmp_path / "p.csv"), "--report", bundle_of_it],
        ["predict", str(folder), arm, "--out", str(folder / "posttraining.json")],
        ["evaluate-on", str(folder), "--table", str(arm), "--out", str(folder / "metrics.json")],
        ["bundle", bundle_of_it, "-o", bundle_of_it],
        ["export", str(folder), "--format", "onnx", "--out", str(folder / "onnx")],
        ["watch", str(folder), str(tmp_path), str(folder / "out"), "--once"],
    ):
        ended = CliRunner().invoke(app, [str(word) for word in command])
        assert isinstance(ended.exception, RescanError), command
        assert "is the model that is read, or lies in its folder; give another place" in str(ended.exception)
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(before)


def test_networks_of_two_arms_in_one_folder_are_refused(tmp_path):
    small_arm(tmp_path / "arm")
    write_network(tmp_path / "arm/fold0_seed1/model.safetensors", seed=1, arm="other")
    with pytest.raises(RescanError, match=r"fold0_seed1/model\.safetensors: is of arm 'other', .* of 'one'; copy"):
        load_arm(tmp_path / "arm")
