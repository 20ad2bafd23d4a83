"""Predictions that are not those of the splits, the store and the run are refused wherever they are read."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Callable

import numpy as np
import pandas as pd
import pytest
from sample_files import write_store
from sample_predictions import make_study, make_table, write_run

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.ensemble import ensemble
from rescan.paths import Paths
from rescan.study import Study

PATHS = Paths("full", "heads")
FILE = PATHS.run("one", 0, 0).predictions


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    """A study with the predictions of an arm's only run, and the items that they are of."""
    monkeypatch.chdir(tmp_path)
    study = make_study(arms={"one": {}, "two": {}, "both": {"ensemble": {"members": ["one", "two"]}}}, seeds=1)
    for arm in ("one", "two"):
        write_run(study, arm, 0, 0, make_table(0, 0))
    write_store_of(make_table(0, 0))
    return study


def write_store_of(table: pd.DataFrame) -> None:
    Path(PATHS.store("plain")).mkdir(parents=True, exist_ok=True)
    write_store(PATHS.store("plain"), np.zeros((len(table), 1, 1, 1), np.uint8), table[["sample"]])


def swapped(table: pd.DataFrame) -> pd.DataFrame:
    order = np.arange(len(table))
    order[[4, 5]] = [5, 4]
    return table.iloc[order]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda table: table[: len(table) * 6 // 10], f"has 156 rows, 260 are expected by {PATHS.splits}"),
        (lambda table: table.drop(index=7), "line 9: is of sample 's8', not 's7' as by"),
        (swapped, "line 6: is of sample 's5', not 's4' as by"),
        (lambda table: pd.concat([table, table[:1]]), "line 262: a second row of part train, sample s0, item 0"),
        (lambda table: table.assign(fold=7), "line 2: fold is 7, not 0"),
        (lambda table: table.assign(seed=[*table["seed"][:-1], 3]), "line 261: seed is 3, not 0"),
        (lambda table: table.assign(target=[1, *table["target"][1:]]), "line 2: target is 1, not 0"),
        (lambda table: table.assign(group=["g9", *table["group"][1:]]), "line 2: group is 'g9', not 'g0'"),
        (lambda table: table.assign(patient="p"), "line 2: patient is 'p', not ''"),
        (lambda table: table.assign(part=["test", *table["part"][1:]]), "line 2: part is 'test', not 'train'"),
        (lambda table: table.assign(item=table["item"] + 1), "line 2: item is 1, not 0"),
    ],
)
def test_other_rows_than_those_of_the_run(
    study: Study, change: Callable[[pd.DataFrame], pd.DataFrame], fault: str
) -> None:
    assert len(predictions.read(study, "one").rows) == 260
    change(make_table(0, 0)).to_csv(FILE, index=False, lineterminator="\n")
    with pytest.raises(RescanError) as error:
        predictions.read(study, "one")
    assert str(error.value).startswith(f"{FILE}: {fault}")
    assert str(error.value).endswith("; delete it and run infer again")


def test_samples_that_the_store_left_out_have_no_row(study: Study) -> None:
    items = make_table(0, 0).drop(index=[3, 250])
    write_store_of(items)
    rows = items.assign(item=range(258))
    rows.to_csv(FILE, index=False, lineterminator="\n")
    assert predictions.read(study, "one").rows["sample"].tolist() == rows["sample"].tolist()
    make_table(0, 0).to_csv(FILE, index=False, lineterminator="\n")
    with pytest.raises(RescanError, match=r"line 5: is of sample 's3', not 's4'"):
        predictions.read(study, "one")


def test_an_ensemble_has_a_row_of_each_held_out_sample(study: Study) -> None:
    ensemble(study, "both", 0)
    rows = predictions.read(study, "both").rows
    assert rows["sample"].tolist() == [f"s{number}" for number in range(120, 260)]
    file = Path(PATHS.run("both", 0, 0).predictions)
    file.write_text("".join(file.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(RescanError, match=r"has 139 rows, 140 are expected by .*; delete it and run ensemble again"):
        predictions.read(study, "both")


def test_without_the_store_the_splits_are_what_rows_must_agree_with(study: Study, cases: SimpleNamespace) -> None:
    shutil.rmtree(PATHS.store("plain"))
    assert len(predictions.read(study, "one").rows) == 260
    cases.make_table(0, 0).assign(sample="s0").to_csv(FILE, index=False, lineterminator="\n")
    with pytest.raises(RescanError, match=r"predictions\.csv: line 122: part is 'validation', not 'train'"):
        predictions.read(study, "one")
