"""Arms whose samples have several items: levels, fits, ensembles, and pairs with arms of whole samples."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sample_files import read_json
from scipy.special import expit, softmax

from rescan.errors import RescanError
from rescan.evaluation import readings
from rescan.evaluation.compare import compare
from rescan.evaluation.ensemble import ensemble
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import optimized_cuts
from rescan.evaluation.predictions import Predictions
from rescan.metrics.intervals import wilson
from rescan.results.posttraining import Posttraining
from rescan.study import Inference

PATCHES = 3


def patches_of(table: pd.DataFrame) -> pd.DataFrame:
    """Three items a sample, mixed up, that differ in their outputs."""
    table = table.loc[table.index.repeat(PATCHES)].sample(frac=1, random_state=0).reset_index(drop=True)
    outputs = table.filter(regex="classification|ordinal|regression").columns
    noise = np.random.default_rng(int(table["seed"].iloc[0])).normal(0, 1.5, (len(table), len(outputs)))
    return table.assign(item=range(len(table)), **{name: table[name] + noise[:, k] for k, name in enumerate(outputs)})


def by_hand(study: Any, seed: int, level: list[str], **options: Any) -> float:
    """Test accuracy of a seed: the mean over its items of the temperature-scaled probabilities, at a level."""
    temperature = read_json("results/full/heads/one/posttraining.json")["temperatures"]["classification"]["whole"]
    table = patches_of(study.make_table(0, seed, **options)).query("part == 'test'").reset_index(drop=True)
    probabilities = pd.DataFrame(softmax(table.filter(like="classification_").to_numpy() / temperature, axis=1))
    mean = probabilities.groupby([table[name] for name in level]).mean().to_numpy()
    return float((mean.argmax(1) == table.groupby(level)["target"].first()).mean())


def test_levels_from_patch_to_patient(cases: SimpleNamespace) -> None:
    study = cases.make_study()
    cases.write_arm(study, "one", patches_of, skill=1.5, patients=True)
    evaluate(study, "one")
    metrics = read_json("results/full/heads/one/metrics.json")
    test = metrics["parts"]["test"]
    assert list(test) == ["patch", "image", "patient"]
    assert [(of["n"], of["groups"]) for of in test.values()] == [(240, 40), (80, 40), (40, 40)]
    for level, columns in (("patch", ["item"]), ("image", ["sample"]), ("patient", ["patient"])):
        expected = np.mean([by_hand(cases, seed, columns, skill=1.5, patients=True) for seed in range(3)])
        assert test[level]["metrics"]["accuracy"]["value"] == pytest.approx(expected)
    assert np.sum(metrics["confusion"]["test"]) == 80
    assert metrics["confidence"]["calibration"]["test"]["a"]["n"] == 3 * 80  # images of all runs, not patches
    fitted = read_json("results/full/heads/one/posttraining.json")
    assert fitted["n"] == 3 * 60 * PATCHES  # on items


def test_an_arm_of_patches_pairs_with_one_of_samples_by_sample(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}, "three": {}})
    cases.write_arm(study, "one", patches_of, skill=1.5)
    cases.write_arm(
        study, "two", lambda table: patches_of(table).iloc[::-1].assign(item=lambda t: range(7, len(t) + 7)), skill=1.5
    )
    cases.write_arm(study, "three", skill=1.5)
    for arm in study.arms:
        evaluate(study, arm)
    compare(study)
    table = (
        pd.read_csv("results/full/heads/comparison.csv")
        .query("metric == 'accuracy' and kind == 'arms'")
        .set_index("arm")
    )
    least = wilson(0, 40)[1]  # 40 groups of two
    ends = table.loc["two", ["difference", "difference_low", "difference_high"]].tolist()
    assert ends == pytest.approx([0, -least, least])
    accuracies = [
        read_json(f"results/full/heads/{arm}/metrics.json")["parts"]["test"]["image"]["metrics"]["accuracy"]["value"]
        for arm in ("three", "one")
    ]
    assert table.loc["three", "n"] == 80
    assert table.loc["three", "difference"] == pytest.approx(accuracies[0] - accuracies[1])


def test_runs_may_number_items_otherwise_but_not_hold_other_samples(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=2)
    cases.write_arm(study, "one", lambda table: patches_of(table).assign(item=lambda t: t["item"] + 9 * t["seed"]))
    evaluate(study, "one")
    for seed in (0, 1):
        table = cases.make_table(0, seed)
        cases.write_run(study, "one", 0, seed, patches_of(table[table["sample"] != f"s{-seed % 260}"]))
    with pytest.raises(RescanError, match="different test samples"):
        evaluate(study, "one")


def given(**outputs: list[Any]) -> Predictions:
    """Two samples of two patches each."""
    rows = pd.DataFrame({"part": "test", "sample": list("abab"), "group": list("abab"), "fold": 0, "seed": 0})
    values = {head: np.array(output, float).reshape(4, -1) for head, output in outputs.items()}
    return Predictions(rows.assign(item=range(4), patient="", eye="", study="", target=[0, 2, 0, 2]), values)


def fit(head: str, **more: Any) -> Posttraining:
    content = {"head": head, "fit_on": "train", "classes": 3, "n": 0, "temperatures": {}, "runs": [], **more}
    models = [{"file": "model.safetensors", "inference": Inference()}]
    return Posttraining.model_validate({"ensemble": False, "trim": 0.0, "models": models, **content})


def test_grades_of_patches_are_averaged_then_cut() -> None:
    found = readings.by_sample(fit("regression"), given(regression=[0.2, 1.4, 0.6, 2.0]))
    assert found.rows["sample"].tolist() == ["a", "b"]
    assert (found.grade.tolist(), found.predicted.tolist()) == (pytest.approx([0.4, 1.7]), [0, 2])
    cut = fit("regression", cuts={"whole": [0.3, 1.8], "crossfit": [[0.3, 1.8]] * 5})
    assert readings.by_sample(cut, given(regression=[0.2, 1.4, 0.6, 2.0])).predicted.tolist() == [1, 1]


def test_readings_of_a_linear_neuron_are_averaged() -> None:
    outputs = given(classification=[[9, 0, 0], [0, 0, 9], [0, 9, 0], [0, 0, 9]], regression=[0.0, 2.0, 1.0, 1.0])
    neuron = fit("linear", linear={"whole": [0.5, 0.5, 0.1], "crossfit": [[0.5, 0.5, 0.1]] * 5})
    found = readings.by_sample(neuron, outputs)
    assert found.grade == pytest.approx([(0.1 + 1.1) / 2, (2.1 + 1.6) / 2])
    assert found.log_probabilities is None


def test_thresholds_of_an_ordinal_head_are_averaged() -> None:
    logits = np.array([[3.0, -3.0], [1.0, -1.0], [-1.0, -4.0], [2.0, 1.5]])
    temperatures = {"ordinal": {"whole": 2.0, "crossfit": [2.0] * 5}}
    found = readings.by_sample(fit("ordinal", temperatures=temperatures), given(ordinal=logits.tolist()))
    mean = [expit(logits[[0, 2]] / 2).mean(0), expit(logits[[1, 3]] / 2).mean(0)]
    assert found.grade == pytest.approx([each.sum() for each in mean])
    assert found.predicted.tolist() == [(each > 0.5).sum() for each in mean]
    assert np.exp(found.log_probabilities)[:, 2] == pytest.approx([each[1] for each in mean])


def test_one_item_a_sample_is_read_as_it_is() -> None:
    rows = given(regression=[0.2, 1.4, 0.6, 2.0])
    one = rows.where([True, True, False, False])
    assert not one.has_patches
    assert readings.by_sample(fit("regression"), one).grade.tolist() == [0.2, 1.4]


def test_in_an_ensemble_a_network_counts_once_however_many_patches(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}, "both": {"ensemble": {"members": ["one", "two"]}}}, seeds=1)
    cases.write_arm(study, "one", patches_of)
    cases.write_arm(study, "two", luck=1)
    ensemble(study, "both", 0)
    row = pd.read_csv("results/full/heads/both/fold0_seed0/predictions.csv").query("sample == 's200'")
    assert len(row) == 1
    first = patches_of(cases.make_table(0, 0)).query("sample == 's200'").filter(like="classification_").to_numpy()
    second = cases.make_table(0, 0, luck=1).query("sample == 's200'").filter(like="classification_").to_numpy()
    expected = (softmax(first, axis=1).mean(0) + softmax(second, axis=1)[0]) / 2
    assert softmax(row.filter(like="classification_").to_numpy()[0]) == pytest.approx(expected)


@pytest.mark.parametrize("combined", [False, True])
def test_new_samples_are_read_in_the_order_of_the_evaluation(combined: bool) -> None:
    """A network of three patches a sample, and one of whole samples: of an ensemble each counts once."""
    rng = np.random.default_rng(0)
    many, whole = rng.normal(0, 3, (6, 3)), rng.normal(0, 3, (2, 3))
    if not combined:
        whole = rng.normal(0, 3, (6, 3))
    runs = []
    for seed, logits in enumerate((many, whole)):
        samples = np.repeat([0, 1], len(logits) // 2)
        rows = {"part": "new", "fold": 0, "seed": seed, "sample": samples, "item": range(len(logits)), "group": ""}
        runs.append(Predictions(pd.DataFrame(rows), {"classification": logits}))
    temperatures = {"classification": {"whole": 2.0, "crossfit": [2.0] * 5}}
    fitted = fit("classification", temperatures=temperatures, ensemble=combined, trim=0.0)
    found = np.exp(readings.of_new(fitted, runs).log_probabilities)
    if combined:  # each network's patches, then the networks, then the temperature
        mean = (softmax(many, axis=1).reshape(2, 3, 3).mean(1) + softmax(whole, axis=1)) / 2
        expected = softmax(np.log(mean) / 2, axis=1)
    else:  # the networks patch by patch, the temperature, then the patches
        mean = (softmax(many, axis=1) + softmax(whole, axis=1)) / 2
        expected = softmax(np.log(mean) / 2, axis=1).reshape(2, 3, 3).mean(1)
    assert found == pytest.approx(expected)


def test_cut_points_of_patches_are_fitted_on_samples() -> None:
    """Patches of 0 and 4 of one sample are a grade of 2, however they would be cut one by one."""
    rows = pd.DataFrame({"part": "validation", "sample": np.repeat(range(40), 2), "fold": 0, "seed": 0})
    rows = rows.assign(group=rows["sample"].map("g{}".format), target=rows["sample"] % 2)
    center = np.where(rows["target"] == 1, 2.0, 1.0)
    grades = (center + np.tile([-2.0, 2.0], 40))[:, None]
    (cut,) = optimized_cuts(Predictions(rows, {"regression": grades}), 2)
    assert 1 < cut <= 2
