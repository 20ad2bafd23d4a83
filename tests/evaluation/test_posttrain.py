"""Temperatures, the linear neuron and cut points: what they are fitted on, and what they are applied to."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sample_files import read_json
from scipy.special import log_softmax, softmax
from sklearn.linear_model import LinearRegression

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.posttrain import neuron, posttrain, temperature
from rescan.evaluation.predictions import Predictions, combine
from rescan.evaluation.readings import by_item
from rescan.results.posttraining import Fits, Posttraining
from rescan.study import Study

FILE = Path("results/full/heads/one/posttraining.json")


def fold_of(group: str) -> int:
    return int.from_bytes(blake2b(group.encode(), digest_size=8).digest(), "big") % 5


def fit(logits: np.ndarray, target: np.ndarray) -> float:
    rows = pd.DataFrame({"target": target})
    return temperature("classification", Predictions(rows, {"classification": logits}), logits.shape[1])


@pytest.mark.parametrize("true_temperature", [0.5, 1.0, 3.0])
def test_fit_finds_the_temperature_that_made_the_labels(true_temperature: float) -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(scale=3, size=(20_000, 3))
    gumbel = generator.gumbel(size=logits.shape)  # argmax(logits/T + Gumbel) is a draw from softmax(logits/T)
    assert fit(logits, (logits / true_temperature + gumbel).argmax(1)) == pytest.approx(true_temperature, rel=0.06)


def test_perfect_and_hopeless_predictions_stay_in_bounds() -> None:
    target = np.arange(40) % 4
    assert 0.05 <= fit(np.eye(4)[target], target) < 0.1
    assert 19 < fit(-np.eye(4)[target], target) <= 20


def test_only_validation_rows_are_read(cases: SimpleNamespace) -> None:
    study = cases.make_study()
    cases.write_arm(study, "one")
    before = FILE.read_text()

    def spoil(part: str) -> str:
        for run in study.runs("one"):
            table = cases.make_table(run.fold, run.seed)
            table.loc[table["part"] == part, "classification_0"] += 5
            table.loc[table["part"] == part, "target"] = 0
            cases.write_run(study, "one", run.fold, run.seed, table)
        posttrain(study, "one")
        return FILE.read_text()

    assert spoil("test") == before
    assert spoil("train") == before
    assert spoil("validation") != before


def test_cross_fitting_leaves_the_fold_of_the_group_out(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=2)
    cases.write_arm(study, "one")
    posttraining = read_json(FILE)
    everything = pd.concat([cases.make_table(0, seed) for seed in (0, 1)])
    validation = everything[everything["part"] == "validation"]
    folds = validation["group"].map(fold_of)
    assert posttraining["n"] == len(validation)
    assert len(set(folds)) == 5
    for k in range(5):
        rest = validation[folds != k]
        logits = rest.filter(like="classification_").to_numpy()
        assert posttraining["temperatures"]["classification"]["crossfit"][k] == pytest.approx(
            fit(logits, rest["target"].to_numpy())
        )


def test_apply_divides_by_the_right_temperature(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=1)
    cases.write_arm(study, "one")
    raw = predictions.read(study, "one")
    fits = {"classification": Fits(whole=2.0, crossfit=[3.0, 4.0, 5.0, 6.0, 7.0])}
    fitted = Posttraining.read(FILE).model_copy(update={"temperatures": fits})
    scaled = by_item(fitted, raw).log_probabilities
    for (_, row), before, after in zip(raw.rows.iterrows(), raw.outputs["classification"], scaled):
        divisor = 3.0 + fold_of(row["group"]) if row["part"] == "validation" else 2.0
        assert after == pytest.approx(log_softmax(before / divisor))


def test_without_a_validation_row_the_temperature_is_1(cases: SimpleNamespace) -> None:
    cases.write_arm(cases.make_study(), "one", change=lambda table: table[table["part"] != "validation"])
    assert read_json(FILE)["temperatures"]["classification"] == {"whole": 1.0, "crossfit": [1.0] * 5}


def test_diverged_training_is_said(cases: SimpleNamespace) -> None:
    def diverge(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[3, "classification_1"] = np.nan
        return table

    with pytest.raises(RescanError, match="1 of 260 rows have no finite outputs: the training diverged"):
        cases.write_arm(cases.make_study(), "one", change=diverge)


def test_other_number_of_classes_is_said(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=1)
    cases.write_run(study, "one", 0, 0, cases.make_table(0, 0, classes=5).assign(target=0))
    with pytest.raises(RescanError, match="has more than 4 classes"):
        posttrain(study, "one")
    cases.write_run(study, "one", 0, 0, cases.make_table(0, 0, classes=3))
    with pytest.raises(RescanError, match="lacks classification_3"):
        posttrain(study, "one")


def graded(table: pd.DataFrame) -> pd.DataFrame:
    """The table with all three heads: the regression is the grade, twice as large and noisy."""
    generator = np.random.default_rng([int(table["seed"].iloc[0]), 3])
    ordinal = np.where(table["target"].to_numpy()[:, None] > np.arange(3), 1.0, -1.0)
    ordinal = ordinal + generator.normal(scale=0.5, size=ordinal.shape)
    noisy = 2 * table["target"] + 1 + generator.normal(scale=0.3, size=len(table))
    return table.assign(regression=noisy, **{f"ordinal_{k}": ordinal[:, k] for k in range(3)})


def with_heads(cases: SimpleNamespace, **more: object) -> Study:
    heads = {head: {} for head in ("classification", "regression", "ordinal")}
    losses = {"classification": "cross_entropy", "regression": "mse", "ordinal": "binary_cross_entropy"}
    stages = {"main": {"epochs": 1, "optimizer": {"name": "adam"}, "losses": losses}}
    recipe = {"network": {"encoder": "resnet18", "heads": heads}, "stages": stages}
    return cases.make_graded(arms={"one": {**recipe, **more}})


def test_the_neuron_is_the_least_squares_fit_of_scikit_learn(cases: SimpleNamespace) -> None:
    study = with_heads(cases, posttrain={"head": "linear", "fit_on": "train"})
    cases.write_arm(study, "one", graded)
    given = predictions.read(study, "one")
    train = given.where(given.rows["part"] == "train")
    outputs = train.outputs
    falling = np.minimum.accumulate(1 / (1 + np.exp(-outputs["ordinal"])), axis=1).sum(1)
    inputs = np.column_stack([outputs["classification"].argmax(1), outputs["regression"][:, 0], falling])
    expected = LinearRegression().fit(inputs, train.rows["target"])
    assert neuron(train, 4) == pytest.approx([*expected.coef_, expected.intercept_])
    reading = by_item(Posttraining.read(FILE), given.where(given.rows["part"] == "test"))
    assert (reading.predicted == reading.rows["target"]).mean() > 0.9
    assert reading.log_probabilities is None


@pytest.mark.parametrize(
    ("fit_on", "spoiled"), [("train", "validation"), ("validation", "train"), ("crossfit", "test")]
)
def test_the_neuron_and_the_cuts_are_fitted_where_the_recipe_says(
    cases: SimpleNamespace, fit_on: str, spoiled: str
) -> None:
    study = with_heads(cases, posttrain={"head": "linear", "fit_on": fit_on, "cuts": "optimized"})

    def spoil(part: str) -> dict[str, object]:
        def change(table: pd.DataFrame) -> pd.DataFrame:
            table = graded(table)
            table.loc[table["part"] == part, "target"] = 0
            return table

        cases.write_arm(study, "one", change)
        fitted = read_json(FILE)
        return {key: fitted[key] for key in ("linear", "cuts")}

    assert spoil(spoiled) == spoil("nothing")
    assert spoil("train" if fit_on == "train" else "validation") != spoil("nothing")


def test_cross_fitted_validation_rows_are_read_without_their_fold(cases: SimpleNamespace) -> None:
    study = with_heads(cases, posttrain={"head": "regression", "cuts": "optimized"})
    cases.write_arm(study, "one", graded)
    fitted, given = Posttraining.read(FILE), predictions.read(study, "one")
    assert fitted.cuts is not None
    fitted.cuts.crossfit[2] = [-9.0, -9.0, -9.0]
    reading = by_item(fitted, given)
    held_out = (given.rows["part"] == "validation") & (given.rows["group"].map(fold_of) == 2)
    assert (reading.predicted[held_out] == 3).all()
    assert (reading.predicted == given.rows["target"])[~held_out].mean() > 0.9


def test_given_cut_points_are_used(cases: SimpleNamespace) -> None:
    study = with_heads(cases, posttrain={"head": "regression", "cuts": [2.0, 4.0, 6.0]})
    cases.write_arm(study, "one", graded)
    given = predictions.read(study, "one")
    reading = by_item(Posttraining.read(FILE), given)
    assert (reading.predicted == np.digitize(given.outputs["regression"][:, 0], [2, 4, 6])).all()
    rounded = by_item(Posttraining.read(FILE), given, "classification")
    assert (rounded.predicted == given.outputs["classification"].argmax(1)).all()


def test_nothing_to_fit_the_neuron_on(cases: SimpleNamespace) -> None:
    study = with_heads(cases, posttrain={"head": "linear"})
    with pytest.raises(RescanError, match=r"no row to fit post-training on; change posttrain\.fit_on"):
        cases.write_arm(study, "one", lambda table: graded(table[table["part"] != "validation"]))


def test_combining_averages_the_rows_of_a_sample(cases: SimpleNamespace) -> None:
    study = with_heads(cases)
    cases.write_arm(study, "one", graded)
    given = predictions.read(study, "one")
    test = given.where(given.rows["part"] == "test")
    found = combine([test, test.where(test.rows["seed"] < 2)], 0.0)
    assert len(found.rows) == 80
    sample = found.rows["sample"][5]
    chosen = (test.rows["sample"] == sample).to_numpy()
    by_seed = test.outputs["regression"][chosen, 0]
    assert found.outputs["regression"][5, 0] == pytest.approx((2 * by_seed[:2].sum() + by_seed[2]) / 5)
    probabilities = softmax(test.outputs["classification"][chosen], axis=1)
    expected = (2 * probabilities[:2].sum(0) + probabilities[2]) / 5
    assert softmax(found.outputs["classification"][5]) == pytest.approx(expected)


def test_cross_fitted_cuts_and_neuron_never_see_their_fold(cases: SimpleNamespace) -> None:
    study = with_heads(cases, posttrain={"head": "linear", "cuts": "optimized"})

    def with_fold_0(labels: str) -> dict[str, list[float]]:
        def change(table: pd.DataFrame) -> pd.DataFrame:
            table = graded(table)
            rows = (table["part"] == "validation") & (table["group"].map(fold_of) == 0)
            if labels == "turned":
                table.loc[rows, "target"] = 3 - table.loc[rows, "target"]
            return table

        cases.write_arm(study, "one", change)
        fitted = read_json(FILE)
        return {key: fitted[key] for key in ("linear", "cuts")}

    right, turned = with_fold_0("right"), with_fold_0("turned")
    for key in ("linear", "cuts"):
        assert right[key]["crossfit"][0] == turned[key]["crossfit"][0]
        assert right[key]["crossfit"][1] != turned[key]["crossfit"][1]
