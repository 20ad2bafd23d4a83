"""Scoring an arm's folder on labeled files, against scikit-learn on what `predict` writes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from dicom_files import write_dicom
from PIL import Image
from sample_files import model_header, read_json, write_groups, write_manifest
from sample_predictions import make_graded, make_study, write_arm
from scipy.special import softmax
from sklearn.metrics import accuracy_score, confusion_matrix, roc_auc_score
from typer.testing import CliRunner

from rescan.cli import app
from rescan.data.headers import hashed, key_at
from rescan.errors import RescanError
from rescan.evaluate_on import evaluate_on
from rescan.evaluation.evaluate import evaluate
from rescan.files import sha256
from rescan.models.model_files import load, save
from rescan.models.networks import build
from rescan.models.normalization import normalize
from rescan.paths import Paths
from rescan.predict import predict
from rescan.preparation.sample import prepare_image
from rescan.study import Preparation

PREPARATION = Preparation.model_validate({"steps": [{"name": "resize", "size": [32, 32]}]})


def finished(study):
    """The folder of an evaluated arm, whose networks are random."""
    write_arm(study, "one")
    evaluate(study, "one")
    recipe, classes = study.arms["one"], study.data.classes
    for run in study.runs("one"):
        torch.manual_seed(run.seed + 1)
        header = model_header(recipe, classes, (3, 32, 32), preparation=PREPARATION, fold=run.fold, seed=run.seed)
        save(run.folder.model, build(recipe, len(classes), (3, 32, 32)), header)
    return Paths(study.scale, study.name).arm("one")


@pytest.fixture
def arm(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / finished(make_study(classes=2, seeds=2))


@pytest.fixture
def table(tmp_path):
    """Twenty-four labeled images of twelve patients."""
    random = np.random.default_rng(3)
    (tmp_path / "new").mkdir()
    rows = []
    for number in range(24):
        name = f"{number:02d}.png"
        Image.fromarray(random.integers(0, 255, (40, 50, 3), np.uint8)).save(tmp_path / "new" / name)
        rows.append((name, "ab"[number // 2 % 2], f"p{number // 2}"))
    file = tmp_path / "new/labels.csv"
    pd.DataFrame(rows, columns=["path", "label", "patient"]).to_csv(file, index=False)
    return file


def outputs(arm, table, seed):
    network, _ = load(arm / f"fold0_seed{seed}/model.safetensors")
    paths = [table.parent / name for name in pd.read_csv(table)["path"]]
    images = torch.from_numpy(np.stack([prepare_image(path, PREPARATION)[0] for path in paths])).permute(0, 3, 1, 2)
    with torch.no_grad():
        return network(normalize(images, "imagenet"))["classification"].double().numpy()


def test_scores_are_those_of_scikit_learn_per_run_and_averaged(arm, table, tmp_path):
    lines = evaluate_on(arm, table, tmp_path / "scores.json", "cpu")
    found = read_json(tmp_path / "scores.json")
    target = pd.read_csv(table)["label"].map({"a": 0, "b": 1})
    heat = read_json(arm / "posttraining.json")["temperatures"]["classification"]["whole"]
    logits = [outputs(arm, table, seed) for seed in (0, 1)]
    of_runs = found["parts"]["new"]["image"]
    areas = [roc_auc_score(target, own[:, 1] - own[:, 0]) for own in logits]
    assert of_runs["metrics"]["auroc"]["runs"] == pytest.approx(areas)
    shares = [accuracy_score(target, own.argmax(1)) for own in logits]
    assert of_runs["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(shares))
    assert (of_runs["n"], of_runs["groups"], found["interval_units"]) == (24, 12, "patient")
    assert found["parts"]["new"]["patient"]["n"] == 12
    matrices = [confusion_matrix(target, own.argmax(1)) for own in logits]
    np.testing.assert_allclose(found["confusion"]["new"], np.mean(matrices, axis=0))
    test = read_json(arm / "metrics.json")["parts"]["test"]["image"]["metrics"]["accuracy"]["value"]
    assert found["differences"]["accuracy"]["value"] == pytest.approx(np.mean(shares) - test)

    mean = softmax(np.log(np.mean([softmax(own, axis=1) for own in logits], axis=0)) / heat, axis=1)
    averaged = found["parts"]["new_averaged"]["image"]["metrics"]
    assert averaged["auroc"]["value"] == pytest.approx(roc_auc_score(target, mean[:, 1]))
    written = pd.read_csv(tmp_path / "scores_predictions.csv", keep_default_na=False)
    predict(arm, [table.parent / name for name in written["image"]], tmp_path / "p.csv", None, "cpu")
    assert written[["predicted", "a", "b"]].equals(pd.read_csv(tmp_path / "p.csv")[["predicted", "a", "b"]])
    assert any(line.startswith("accuracy") and f"{np.mean(shares):.3f}" in line for line in lines)


def test_grades_are_read_with_the_cut_points_of_home(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    arm = tmp_path / finished(make_graded(seeds=1))
    rows = pd.read_csv(table).drop(columns="patient")
    rows.assign(label=np.arange(24) % 4).to_csv(table, index=False)
    evaluate_on(arm, table, tmp_path / "scores.json", "cpu")
    found = read_json(tmp_path / "scores.json")
    assert "quadratic_kappa" in found["differences"]
    assert found["endpoints"]["referable"]["parts"]["new"]["image"]["n"] == 24
    assert any("patients unknown" in text for text in found["warnings"])


def test_files_that_cannot_be_read_are_named_and_the_others_scored(arm, table):
    (table.parent / "03.png").write_text("no image")
    with table.open("a") as file:
        file.write("gone.png,a,p99\n00.png,a,p0\n")  # the first image once more
    result = CliRunner().invoke(app, ["evaluate-on", str(arm), "--table", str(table), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "22 labeled files" not in result.output
    assert "23 labeled files of 12 patients" in result.output
    found = read_json("evaluation.json")
    assert [entry["image"] for entry in found["not_scored"]] == ["03.png", "gone.png"]
    assert len(pd.read_csv("evaluation_predictions.csv")) == 25


def write_dicoms(folder):
    """Four DICOM files of the patients 11 and 12."""
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 50), np.uint8)
        write_dicom(folder / f"{number}.dcm", pixels, PatientID=f"{number // 2 + 11}")


def test_patients_of_headers_are_found_at_home(arm, tmp_path):
    (tmp_path / "new").mkdir()
    write_dicoms(tmp_path / "new")
    file = tmp_path / "new/labels.csv"
    pd.DataFrame({"path": [f"{number}.dcm" for number in range(4)], "label": list("aabb")}).to_csv(file, index=False)
    paths = Paths("full", "heads")
    key = key_at(paths.patients_key)
    write_groups(paths, pd.DataFrame({"sample": ["s1", "s2"], "sha256": ["0", "1"]}))
    for at_home in (hashed("12", key, "p"), "12"):  # from headers, or from a table
        write_manifest(paths, pd.DataFrame({"sample": ["s1", "s2"], "label": "a", "patient": [at_home, "13"]}))
        evaluate_on(arm, file, tmp_path / "scores.json", "cpu")
        found = read_json(tmp_path / "scores.json")
        same = hashed("12", key, "p")
        assert found["warnings"][-1] == f"patients called like some of the study: 1, such as {same}"
        assert (found["interval_units"], found["parts"]["new"]["patient"]["n"]) == ("patient", 2)
    table = pd.read_csv(file).assign(patient=["11", "11", "12", "12"])
    table.to_csv(file, index=False)
    write_manifest(paths, pd.DataFrame({"sample": ["s1", "s2"], "label": "a", "patient": [same, "13"]}))
    evaluate_on(arm, file, tmp_path / "scores.json", "cpu")
    assert read_json(tmp_path / "scores.json")["warnings"][-1].endswith("of the study: 1, such as 12")


def test_ids_of_headers_are_hashed_without_a_key_too(arm, tmp_path):
    shutil.copytree(arm, tmp_path / "copied")
    (tmp_path / "new").mkdir()
    write_dicoms(tmp_path / "new")
    file = tmp_path / "new/labels.csv"
    pd.DataFrame({"path": [f"{number}.dcm" for number in range(4)], "label": list("aabb")}).to_csv(file, index=False)
    evaluate_on(tmp_path / "copied", file, tmp_path / "scores.json", "cpu")
    patients = pd.read_csv(tmp_path / "scores_predictions.csv", dtype=str)["patient"]
    assert patients.nunique() == 2
    assert patients.str.fullmatch("p[0-9a-f]{16}").all()
    assert "no groups.csv beside the arm" in " ".join(read_json(tmp_path / "scores.json")["warnings"])


def test_what_is_no_new_file_is_said(arm, table, tmp_path):
    rows = pd.read_csv(table)
    (table.parent / "copy.png").write_bytes((table.parent / "00.png").read_bytes())
    (table.parent / "link.png").symlink_to(table.parent / "00.png")
    more = rows.iloc[[0]]
    rows = pd.concat([rows, more, more.assign(path="copy.png"), more.assign(path="link.png")])
    rows.assign(patient=rows["patient"].replace("p3", "unknown")).to_csv(table, index=False)
    evaluate_on(arm, table, tmp_path / "scores.json", "cpu")
    found = read_json(tmp_path / "scores.json")
    assert found["parts"]["new"]["image"]["n"] == 25
    assert "1 files are copies of others of the table, such as copy.png of 00.png" in found["warnings"]
    assert found["interval_units"] == "group"  # a patient is unknown


def test_images_and_patients_of_the_study_itself_are_said(arm, table, tmp_path):
    digest = sha256(table.parent / "05.png")
    paths = Paths("full", "heads")
    write_groups(paths, pd.DataFrame({"sample": ["s1", "s2"], "sha256": ["0", digest]}))
    write_manifest(paths, pd.DataFrame({"sample": ["s1", "s2"], "label": "a", "patient": ["p7", "x"]}))
    evaluate_on(arm, table, tmp_path / "scores.json", "cpu")
    warnings = read_json(tmp_path / "scores.json")["warnings"]
    assert warnings[-2] == "patients called like some of the study: 1, such as p7"
    assert warnings[-1] == "1 of 24 files are images of the study itself, such as 05.png is s2: not new data"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda rows: rows.assign(label="c"), "line 2 and 23 more: no class 'c'; known: a, b"),
        (lambda rows: rows.drop(columns="label"), "no column 'label'"),
        (lambda rows: rows.assign(path=rows["path"] + "~"), "00.png~: no such file"),
        (lambda rows: rows.assign(path="00.png", label="a"), "00.png has patient 'p0' and 'p1' and 'p2'; keep one"),
        (lambda rows: rows.assign(path="00.png"), "line 2 and 23 more: 00.png has label 'a' and 'b'; keep one of them"),
    ],
)
def test_faults_of_a_table_are_said_and_nothing_is_written(arm, table, tmp_path, change, fault):
    change(pd.read_csv(table)).to_csv(table, index=False)
    with pytest.raises(RescanError, match=fault):
        evaluate_on(arm, table, tmp_path / "scores.json", "cpu")
    assert not list(tmp_path.glob("scores*"))


def test_outputs_do_not_replace_what_is_read(arm, table, tmp_path):
    before = {file: file.read_bytes() for file in table.parent.iterdir()}
    beside = table.with_name("labels_predictions.csv")
    beside.write_bytes(table.read_bytes())
    for own, out in ((table, table), (table, table.parent / "00.png"), (beside, table.with_name("labels.json"))):
        with pytest.raises(RescanError, match="is one of the files to read"):
            evaluate_on(arm, own, out, "cpu")
    beside.unlink()
    with pytest.raises(RescanError, match="is a folder, or no regular file"):
        evaluate_on(arm, table, Path("/dev/null"), "cpu")
    assert {file: file.read_bytes() for file in table.parent.iterdir()} == before
    metrics = read_json(arm / "metrics.json")
    damaged = {**metrics, "endpoints": {"x": {"lowest": "q", "parts": {}}}}
    (arm / "metrics.json").write_text(json.dumps(damaged))
    with pytest.raises(RescanError, match=r"metrics\.json: has an endpoint of no class above the first"):
        evaluate_on(arm, table, tmp_path / "scores.json", "cpu")


def test_an_arm_without_scores_is_refused(arm, table, tmp_path):
    (arm / "metrics.json").unlink()
    with pytest.raises(RescanError, match=r"metrics\.json"):
        evaluate_on(arm, table, tmp_path / "scores.json", "cpu")
    (arm / "posttraining.json").write_text(json.dumps({}))
    with pytest.raises(RescanError, match=r"posttraining\.json"):
        evaluate_on(arm, table, tmp_path / "scores.json", "cpu")
