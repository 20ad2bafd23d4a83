"""A study of several labels per image, from its table to the page: each label is scored as scikit-learn scores it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.special import expit
from sklearn.metrics import average_precision_score, f1_score, recall_score, roc_auc_score

from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.sources.download import download
from rescan.data.split import split
from rescan.errors import RescanError
from rescan.evaluate_on import evaluate_on
from rescan.evaluation.compare import compare
from rescan.evaluation.ensemble import ensemble
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.explanation.cam import gradcam as cam
from rescan.explanation.gradcam import gradcam as explain
from rescan.look.check import check_data
from rescan.models.model_files import load as load_model
from rescan.models.normalization import normalize
from rescan.paths import Paths
from rescan.predict import predict
from rescan.preparation.preprocess import preprocess
from rescan.preparation.store import open_store
from rescan.reporting.figures.evaluation_figures import evaluation
from rescan.reporting.figures.explore import explore
from rescan.reporting.page.report import report
from rescan.study import Run, Settings
from rescan.study.file import load
from rescan.training.infer import infer
from rescan.training.lease import Machine
from rescan.training.train import train

CLASSES = ["square", "bar", "disk"]
STUDY = """
title: Findings that do not exclude each other
data:
  source: {path: images}
  layout: {name: table, columns: {path: Image Index, label: Finding Labels, patient: Patient ID}}
  classes: [square, bar, disk]
  multilabel: true
  external: {elsewhere: {source: {path: elsewhere}, layout: table}}
split: {test: 0.3, validation: 0.25, group_by: [patient]}
preparations: {image: {channels: gray, steps: [{name: resize, size: [32, 32]}]}}
recipe:
  preparation: image
  network: {encoder: cnn5, weights: none, heads: {multilabel: {}}}
  normalization: unit
  augmentation: {flip_horizontal: 0.5}
  stages:
    main:
      epochs: 6
      batch_size: 16
      optimizer: {name: adam, lr: 2e-3}
      losses: {multilabel: binary_cross_entropy}
      class_weights: balanced
  keep: {best: auroc}
  posttrain: {thresholds: youden}
arms:
  weighted: {}
  plain: {stages: {main: {epochs: 1, class_weights: none}}, posttrain: {thresholds: half}}
  both: {ensemble: {members: [weighted, plain]}}
"""


def write_images(folder, count, seed):
    """Images with a table that has the columns of ChestX-ray14: two of each patient, each label by itself."""
    rng = np.random.default_rng(seed)
    present = rng.random((count, 3)) < [0.5, 0.35, 0.2]
    rows, columns = np.mgrid[:32, :32]
    where = [(abs(rows - 8) < 4) & (abs(columns - 9) < 4), abs(rows - 26) < 2, np.hypot(rows - 16, columns - 23) < 5]
    folder.mkdir()
    for number, labels in enumerate(present):
        image = rng.normal(90, 30, (32, 32)) + sum(60 * mask for mask, is_there in zip(where, labels) if is_there)
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / f"{number:03d}.png")
    texts = ["|".join(np.array(CLASSES)[labels]) or "No Finding" for labels in present]
    names = [f"{number:03d}.png" for number in range(count)]
    patients = [number // 2 for number in range(count)]
    table = pd.DataFrame({"Image Index": names, "Finding Labels": texts, "Patient ID": patients})
    table.to_csv(folder / "samples.csv", index=False)
    return dict(zip(names, present))


def write_other_images(folder, count, seed):
    """The same with a table that has a column per class, as that of CheXpert."""
    truth = write_images(folder, count, seed)
    of_classes = {name: [float(labels[place]) for labels in truth.values()] for place, name in enumerate(CLASSES)}
    pd.DataFrame({"path": list(truth), **of_classes}).to_csv(folder / "samples.csv", index=False)
    return truth


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The study's results: study, paths, and which labels each image has."""
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        truth = write_images(folder / "images", 120, 0)
        write_other_images(folder / "elsewhere", 40, 1)
        (folder / "findings.yaml").write_text(STUDY)
        check_data(folder / "findings.yaml")
        study, machine = load(folder / "findings.yaml", Settings("full")), Machine("cpu", 1)
        external = study.external("elsewhere")
        for one in (study, external):
            download(one)
            index(one)
            audit(one, 1)
            split(one)
            preprocess(one, "image", 1)
        explore(study)
        for arm in study.arms:
            for one in (study, external):
                if study.arms[arm].ensemble:
                    ensemble(one, arm, 0)
                    continue
                if one is study:
                    train(Run(study, arm, 0, 0), machine)
                infer(Run(one, arm, 0, 0), machine)
            posttrain(study, arm)
            evaluate(study, arm)
        evaluation(study, "weighted")
        explain(study, "weighted", machine)
        compare(study)
        report(study)
        yield study, Paths(study.scale, study.name), truth, folder


def test_each_label_is_scored_as_scikit_learn_scores_it(run):
    _, paths, truth, folder = run
    rows = pd.read_csv(folder / paths.run("weighted", 0, 0).predictions)
    rows = rows[rows["part"] == "test"]
    target = np.stack([truth[name] for name in rows["sample"]])
    assert rows["target"].tolist() == (target @ [1, 2, 4]).tolist()
    probabilities = expit(rows[[f"multilabel_{k}" for k in range(3)]].to_numpy())
    fitted = json.loads((folder / paths.arm("weighted").posttraining).read_text())["thresholds"]["whole"]
    predicted = probabilities >= fitted
    scores = json.loads((folder / paths.arm("weighted").metrics).read_text())
    metrics = scores["parts"]["test"]["image"]["metrics"]
    assert set(metrics) == {"macro_f1", "sensitivity", "specificity", "ppv", "npv", "auroc", "auprc"}
    for number, name in enumerate(CLASSES):
        own = {metric: entry["classes"][name]["value"] for metric, entry in metrics.items()}
        truths, found = target[:, number], predicted[:, number]
        assert own["auroc"] == pytest.approx(roc_auc_score(truths, probabilities[:, number]))
        assert own["auprc"] == pytest.approx(average_precision_score(truths, probabilities[:, number]))
        assert own["macro_f1"] == pytest.approx(f1_score(truths, found))
        assert own["sensitivity"] == pytest.approx(recall_score(truths, found))
        assert own["specificity"] == pytest.approx(recall_score(~truths, ~found))
        assert scores["label_counts"]["test"][name] == truths.sum()
    assert metrics["auroc"]["value"] == pytest.approx(roc_auc_score(target, probabilities))
    assert metrics["macro_f1"]["value"] == pytest.approx(f1_score(target, predicted, average="macro"))
    assert metrics["auroc"]["low"] <= metrics["auroc"]["value"] <= metrics["auroc"]["high"]
    assert metrics["auroc"]["value"] > 0.9
    assert scores["metric"] == "auroc"
    assert not scores["confusion"]


def test_an_ensemble_has_the_mean_probabilities(run):
    _, paths, _, folder = run
    columns = [f"multilabel_{k}" for k in range(3)]
    tables = {arm: pd.read_csv(folder / paths.run(arm, 0, 0).predictions) for arm in ("weighted", "plain", "both")}
    probabilities = {
        arm: expit(rows[rows["part"] == "test"].set_index("sample").sort_index()[columns])
        for arm, rows in tables.items()
    }
    mean = (probabilities["weighted"] + probabilities["plain"]) / 2
    pd.testing.assert_frame_equal(probabilities["both"], mean, atol=1e-6)


def test_external_data_are_read_with_what_was_fitted_at_home(run):
    study, paths, _, folder = run
    rows = pd.read_csv(folder / Paths("full", study.external("elsewhere").name).run("weighted", 0, 0).predictions)
    target = rows["target"].to_numpy()[:, None] >> np.arange(3) & 1
    scores = json.loads((folder / paths.arm("weighted").metrics).read_text())
    lowest = json.loads((folder / paths.arm("weighted").posttraining).read_text())["thresholds"]["whole"]
    found = expit(rows[[f"multilabel_{k}" for k in range(3)]].to_numpy()) >= lowest
    of_external = scores["parts"]["external/elsewhere"]["image"]
    assert of_external["n"] == 40
    assert of_external["metrics"]["macro_f1"]["value"] == pytest.approx(f1_score(target, found, average="macro"))
    assert set(scores["external"]["elsewhere"]["metrics"]) <= set(of_external["metrics"])


def test_predictions_of_new_images(run):
    _, paths, truth, folder = run
    arm = folder / paths.arm("weighted")
    images = [folder / "images" / f"{number:03d}.png" for number in range(12)]
    predict(arm, images, folder / "new.csv", folder / "maps", "cpu")
    table = pd.read_csv(folder / "new.csv", keep_default_na=False)
    assert list(table) == ["image", "predicted", *CLASSES, "flags", "problem"]
    lowest = json.loads((arm / "posttraining.json").read_text())["thresholds"]["whole"]
    expected = ["|".join(np.array(CLASSES)[row >= lowest]) or "none" for row in table[CLASSES].to_numpy()]
    assert table["predicted"].tolist() == expected
    assert np.mean((table[CLASSES].to_numpy() >= lowest) == [truth[image.name] for image in images]) > 0.9
    assert len(list((folder / "maps").glob("*.png"))) == 12
    assert not list(folder.glob("new_patients.csv"))


def test_each_label_of_an_image_may_be_shown(run):
    _, paths, truth, folder = run
    gradcam = folder / paths.arm("weighted").gradcam
    chosen = pd.read_csv(gradcam / "chosen.csv")
    rows = pd.read_csv(folder / paths.run("weighted", 0, 0).predictions)
    rows = rows[rows["part"] == "test"].set_index("sample")
    lowest = json.loads((folder / paths.arm("weighted").posttraining).read_text())["thresholds"]["whole"]
    probabilities = pd.DataFrame(expit(rows.filter(like="multilabel_").to_numpy()), rows.index, CLASSES)
    maps, counts = np.load(gradcam / "maps.npy"), dict.fromkeys(CLASSES, 0)
    assert len(maps) == len(chosen)
    assert not chosen["picture"].duplicated().any()
    for row in chosen.itertuples():
        number = CLASSES.index(row.true)
        assert truth[row.sample][number]
        found = probabilities.loc[row.sample, row.true] >= lowest[number]
        assert (row.predicted == row.true) == found
        assert row.predicted != row.other
        assert row.true in (row.predicted, row.other)
        assert row.probability == pytest.approx(probabilities.loc[row.sample, row.true], abs=1e-4)
        assert (gradcam / row.picture).name == f"{rows.loc[row.sample, 'item']:06d}_{number}.png"
        assert (gradcam / row.picture).is_file()
        counts[row.true] += found
    assert counts == dict.fromkeys(CLASSES, 2)  # of each label, as many as the study asks for


def test_the_map_of_an_image_is_of_the_label_itself(run):
    study, paths, _, folder = run
    gradcam = folder / paths.arm("plain").gradcam
    explain(study, "plain", Machine("cpu", 1))
    chosen, maps = pd.read_csv(gradcam / "chosen.csv"), np.load(gradcam / "maps.npy")
    assert (chosen["true"] != chosen["predicted"]).any()
    images, items = open_store(folder / paths.store("image"))
    network, header = load_model(folder / paths.run("plain", 0, 0).model)
    places = items.set_index("sample")["item"]
    for row, raw in zip(chosen.itertuples(), maps):
        image = torch.from_numpy(images[places[row.sample]].transpose(2, 0, 1)[None].copy())
        target = torch.tensor([CLASSES.index(row.true)])
        own, _ = cam(network, normalize(image, header.recipe.normalization), target, "multilabel")
        np.testing.assert_allclose(raw[0], own[0].numpy(), rtol=1e-3, atol=1e-6)


def test_new_images_have_a_map_of_each_label_that_is_found(run, monkeypatch):
    _, paths, _, folder = run
    pictures = {}
    monkeypatch.setattr("rescan.explanation.new_maps.draw", lambda file, rows, *_: pictures.update({file.stem: rows}))
    predict(folder / paths.arm("weighted"), [folder / "images"], folder / "all.csv", folder / "drawn", "cpu")
    table = pd.read_csv(folder / "all.csv", keep_default_na=False)
    assert table["predicted"].str.count("\\|").max() == 2
    for row in table.itertuples():
        ((_, [tile]),) = pictures[Path(row.image).stem]
        titles = [title.splitlines() for title, _ in tile.maps]
        found = [] if row.predicted == "none" else row.predicted.split("|")
        assert len(titles) == max(2, len(found))
        assert sorted(
            name.rpartition(" ")[0].rpartition(" ")[0] for role, name in titles if role[:5] == "found"
        ) == sorted(found)


def test_evaluate_on_scores_as_external_data_are(run):
    _, paths, truth, folder = run
    arm = folder / paths.arm("weighted")
    lines = evaluate_on(arm, folder / "elsewhere/samples.csv", folder / "new.json", "cpu")
    found, scores = (json.loads(path.read_text()) for path in (folder / "new.json", arm / "metrics.json"))
    assert found["parts"]["new"]["image"] == scores["parts"]["external/elsewhere"]["image"]
    assert found["differences"] == scores["external"]["elsewhere"]["metrics"]
    assert found["label_counts"] == scores["label_counts"]["external/elsewhere"]
    assert not found["confusion"]
    areas = found["parts"]["new"]["image"]["metrics"]["auroc"]["classes"]
    assert f"{areas['bar']['value']:.3f}" in next(line for line in lines if line.startswith("  AUROC of bar ("))
    table = pd.read_csv(folder / "new_predictions.csv", keep_default_na=False)
    assert list(table) == ["image", "label", "patient", "predicted", *CLASSES, "flags", "problem"]
    # The same files with their labels in one column, of which some are images of the study.
    labels = ["|".join(np.array(CLASSES)[labels]) for labels in truth.values()]
    own = pd.DataFrame({"path": list(truth), "label": labels, "patient": [n // 2 for n in range(len(truth))]})
    own.to_csv(folder / "images/own.csv", index=False)
    evaluate_on(arm, folder / "images/own.csv", folder / "new.json", "cpu")
    found = json.loads((folder / "new.json").read_text())
    assert (found["parts"]["new"]["image"]["n"], found["parts"]["new"]["image"]["groups"]) == (120, 60)
    assert found["warnings"][-1].startswith("120 of 120 files are images of the study itself")
    own.assign(label="sqare").to_csv(folder / "images/own.csv", index=False)
    with pytest.raises(RescanError, match="line 2 and 119 more: no class 'sqare'; did you mean 'square'"):
        evaluate_on(arm, folder / "images/own.csv", folder / "new.json", "cpu")


def test_the_page_has_a_row_per_label(run):
    _, paths, _, folder = run
    page = (folder / paths.page).read_text()
    assert "By label, test" in page
    assert "mean over 3 labels" in page
    assert "where Youden’s index is highest" in page or "where Youden&#39;s index is highest" in page
    assert "Confusion matrix, test" not in page
    comparison = pd.read_csv(folder / paths.comparison)
    of_labels = ["auprc", "auroc", "macro_f1", "npv", "ppv", "sensitivity", "specificity"]
    assert sorted(comparison.loc[comparison["kind"] == "arms", "metric"]) == sorted(2 * of_labels)
    assert "external data of 40 samples: AUROC" in page
    assert "40 samples: square" in page
    external = page[page.index('-external"') :]
    assert "<td>AUROC, bar</td>" in external
    assert "Not looked for: an image may have several labels." in page
