"""The temperature: what it is fitted on, and what it is applied to."""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.posttrain import apply, fit, posttrain
from rescan.files import read_json

FILE = Path("results/full/heads/one/posttraining.json")


def fold_of(group: str) -> int:
    return int.from_bytes(blake2b(group.encode(), digest_size=8).digest(), "big") % 5


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
        for fold, seed in study.runs():
            table = cases.make_table(fold, seed)
            table.loc[table["part"] == part, "classification_0"] += 5
            table.loc[table["part"] == part, "target"] = 0
            cases.write_run(study, "one", fold, seed, table)
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
        assert posttraining["crossfit"][k] == pytest.approx(fit(logits, rest["target"].to_numpy()))


def test_apply_divides_by_the_right_temperature(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=1)
    cases.write_arm(study, "one")
    raw = predictions.read(study, "one")
    scaled = apply({"temperature": 2.0, "crossfit": [3.0, 4.0, 5.0, 6.0, 7.0]}, raw)
    for (_, row), before, after in zip(raw.rows.iterrows(), raw.scores, scaled.scores):
        divisor = 3.0 + fold_of(row["group"]) if row["part"] == "validation" else 2.0
        assert after == pytest.approx(before / divisor)


def test_no_validation_row(cases: SimpleNamespace) -> None:
    with pytest.raises(RescanError, match="no validation row"):
        cases.write_arm(cases.make_study(), "one", change=lambda table: table[table["part"] != "validation"])


def test_diverged_training_is_said(cases: SimpleNamespace) -> None:
    def diverge(table: pd.DataFrame) -> pd.DataFrame:
        table.loc[3, "classification_1"] = np.nan
        return table

    with pytest.raises(RescanError, match="1 of 260 rows have no finite logits: the training diverged"):
        cases.write_arm(cases.make_study(), "one", change=diverge)


def test_other_number_of_classes_is_said(cases: SimpleNamespace) -> None:
    study = cases.make_study(seeds=1)
    cases.write_run(study, "one", 0, 0, cases.make_table(0, 0, classes=5))
    with pytest.raises(RescanError, match="has more than 4 classes"):
        posttrain(study, "one")
    cases.write_run(study, "one", 0, 0, cases.make_table(0, 0, classes=3))
    with pytest.raises(RescanError, match="lacks classification_3"):
        posttrain(study, "one")
