"""The MURA study through the workflow: published parts, ablations of one budget, studies, patients, new patients."""

import re
import shutil
import subprocess
import sys

import pandas as pd
import pytest
from sample_files import read_json, read_table

from rescan.reporting.page.album import Album
from rescan.reporting.page.report import environment
from rescan.reporting.page.study_view import study_view
from rescan.study import read

pytest.importorskip("snakemake")

STUDY = """
title: Bones
data:
  source: {path: nowhere}
  layout: mura
  classes: [normal, abnormal]
  labels: {negative: normal, positive: abnormal}
split: {test: published, validation: 0.2, group_by: [patient], stratify_by: [any_positive, body_part]}
preparations:
  small: {channels: gray, steps: [{name: resize, size: [32, 32]}]}
  patched: {channels: gray, steps: [{name: resize, size: [64, 64]}, {name: patches}]}
recipe:
  preparation: small
  network:
    encoder: radiograph_cnn
    weights: none
    blocks: [{maps: 6, pool: 2}, {maps: 8, pool: 2}]
    neck: flatten
    heads: {binary: {}}
  normalization: centered
  stages:
    main:
      steps: 30
      batch_size: 16
      class_weights: {within: body_part}
      optimizer: {name: sgd, lr: 0.05, momentum: 0.9}
      losses: {binary: binary_cross_entropy}
  watch: [train, test]
arms:
  baseline: {}
  patched: {preparation: patched}
ablations:
  residual:
    question: residual blocks
    arms: {blocks: {network: {blocks: [{maps: 6, pool: 2}, {maps: 8, residual: true, pool: 2}]}}}
gradcam: {images_a_class: 1}
demo: {data: {phantom: {name: radiograph, samples: 240, size: 64}}}
"""
ARMS = ("baseline", "patched", "residual_blocks")


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    return small.finish(tmp_path_factory.mktemp("mura"), STUDY)


def results(folder, *names):
    return folder.joinpath("results/demo/small", *names)


def test_no_patient_is_on_both_sides_and_the_public_part_is_tested(finished):
    rows = read_table(results(finished, "splits.csv")).merge(read_table(results(finished, "manifest.csv"))[["sample"]])
    assert len(rows.drop_duplicates(["patient", "part"])) == len(set(rows["patient"]))
    assert ((rows["part"] == "test") == rows["sample"].str.startswith("valid/")).all()
    for arm in ARMS:
        tested = read_table(results(finished, arm, "fold0_seed0/predictions.csv")).query("part == 'test'")
        assert set(tested["sample"]) == set(rows.loc[rows["part"] == "test", "sample"])


def test_training_and_validation_are_scored_after_every_epoch_within_one_budget(finished):
    for arm in ARMS:
        history = pd.read_csv(results(finished, arm, "fold0_seed0/history.csv"))
        assert history["step"].iloc[-1] == 30
        assert {"train_accuracy", "validation_accuracy", "test_accuracy"} <= set(history)
        assert history.filter(like="accuracy").notna().all(axis=None)
        assert len(pd.read_csv(results(finished, arm, "fold0_seed0/losses.csv"))) == 30


def test_images_studies_and_patients_are_scored_in_every_part(finished):
    metrics = read_json(results(finished, "baseline/metrics.json"))
    assert metrics["positive_class"] == "abnormal"
    truth = read_table(results(finished, "manifest.csv")).query("published_part == 'test'")
    for part in ("train", "validation", "test"):
        assert list(metrics["parts"][part]) == ["image", "study", "patient"]
        for level in ("study", "patient"):
            assert 0 <= metrics["parts"][part][level]["majority"]["metrics"]["accuracy"]["value"] <= 1
    assert metrics["parts"]["test"]["image"]["n"] == len(truth)
    assert metrics["parts"]["test"]["study"]["n"] == len(truth[["patient", "study"]].drop_duplicates())
    labels = truth.assign(positive=truth["label"] == "abnormal").groupby("patient")["positive"].mean()
    assert metrics["parts"]["test"]["patient"]["n"] == (labels != 0.5).sum()
    assert metrics["parts"]["test"]["patient"]["consistent"]["n"] == labels.isin([0, 1]).sum()
    assert set(metrics["subgroups"]["body_part"]) == set(truth["body_part"])


def test_the_page_answers_the_question_in_a_sentence(finished):
    table = pd.read_csv(results(finished, "comparison.csv"))
    assert set(table.loc[table["kind"] == "ablation", "level"]) == {"study", "patient"}
    page = (finished / "results/demo/small/index.html").read_text("utf-8")
    assert "Residual blocks changed test accuracy by " in page
    assert page.count("the baseline in black") == 1
    assert "The positive class is “abnormal”" in page


def test_every_figure_of_the_page_is_a_declared_output(small, finished, monkeypatch):
    summary = small.snakemake(finished, "--summary", *small.configured(finished)).stdout
    outputs = [finished / line.split("\t")[0] for line in summary.splitlines()[1:]]
    files = {file for path in outputs for file in (path.rglob("*.png") if path.is_dir() else [path]) if file.is_file()}
    monkeypatch.chdir(finished)
    album = Album("results/demo/small", limit=1)  # every figure is a link to its file
    view = study_view(read("results/demo/small/study.json"))
    page = album.fill(environment(album=album).get_template("page_body.html").render(view=view, glossary=[]))
    figures = {finished / "results/demo/small" / link for link in re.findall(r'<a href="([^"#]+\.png)">', page)}
    assert len(figures) > 20
    assert figures <= files


def test_a_tree_of_new_radiographs_is_predicted_by_image_and_patient(finished, tmp_path):
    source = next(finished.joinpath("data/demo/small/raw").rglob("valid"))
    shutil.copytree(source, tmp_path / "new")
    out = tmp_path / "found.csv"
    command = [sys.executable, "-m", "rescan", "predict", results(finished, "baseline"), tmp_path / "new", "--out", out]
    process = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    images, patients = pd.read_csv(out), pd.read_csv(tmp_path / "found_patients.csv")
    truth = read_table(results(finished, "manifest.csv")).query("published_part == 'test'")
    assert len(images) == len(truth)
    assert set(patients["patient"]) == set(truth["patient"])
    assert patients["images"].sum() == len(truth)
