"""comparison.csv: rows, paired differences, McNemar."""

from __future__ import annotations

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sample_files import read_json, write_source
from scipy.special import softmax
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score

from rescan.catalogue import METRICS
from rescan.errors import RescanError
from rescan.evaluation.compare import compare, leak_pairs
from rescan.evaluation.evaluate import evaluate
from rescan.metrics.delong import delong
from rescan.metrics.intervals import wilson
from rescan.paths import Paths
from rescan.results.comparison import Comparison

FILE = "results/full/heads/comparison.csv"
PUBLISHED = [{"arm": "one", "metric": "accuracy", "value": 0.7589, "n": 1311, "who": "someone"}]


def compared(arms: list[str] | None = None, study: object = None) -> pd.DataFrame:
    compare(study, arms)
    return pd.read_csv(FILE, keep_default_na=False)


def test_columns_and_rows(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}, "three": {}}, published=PUBLISHED)
    for arm, skill in (("one", 1.0), ("two", 3.0)):
        cases.write_arm(study, arm, skill=skill)
        evaluate(study, arm)
    table = compared(study=study)
    assert list(table.columns) == [field.name for field in fields(Comparison)]
    assert table["kind"].tolist() == ["published"] + ["arms"] * (15 + 3) + ["choice"]  # 15 metrics, or 3 not run
    first = table.iloc[0]
    assert (first["verdict"], first["who"], first["n"]) == ("not comparable", "someone", "80")
    assert "75.89 % is no k/1311" in first["reason"]
    two = table[(table["arm"] == "two") & (table["kind"] == "arms")]
    assert two["metric"].tolist()[:3] == ["accuracy", "balanced_accuracy", "macro_f1"]
    assert sorted(two["metric"]) == sorted(set(METRICS) - {"quadratic_kappa"})
    assert set(two["against"]) == {"one"}
    falls = [METRICS[name].falls for name in two["metric"]]
    better = ["lower" if down else "higher" for down in falls]
    assert [a for a, name in zip(two["verdict"], two["metric"]) if name != "ece"] == [
        a for a, name in zip(better, two["metric"]) if name != "ece"
    ]
    assert set(table[table["arm"] == "three"]["verdict"]) == {"not run"}


def test_listed_arm_without_results_is_an_error(cases: SimpleNamespace) -> None:
    with pytest.raises(RescanError, match=r"one/metrics.json: no such file"):
        compare(cases.make_study(), ["one"])


def test_no_result_at_all_is_not_run(cases: SimpleNamespace) -> None:
    table = compared(study=cases.make_study(published=PUBLISHED))
    assert table["verdict"].tolist() == ["not run"]
    assert table["value"].tolist() == [""]


def test_paired_difference_and_mcnemar(cases: SimpleNamespace) -> None:
    def alone(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(group=table["sample"])

    study = cases.make_study(arms={"one": {}, "two": {}})
    tables = {}
    for luck, arm in enumerate(study.arms):
        cases.write_arm(study, arm, alone, luck=luck, skill=1.5)
        evaluate(study, arm)
        tables[arm] = [cases.make_table(0, seed, luck=luck, skill=1.5).query("part == 'test'") for seed in range(3)]
    row = compared(study=study).iloc[0]
    right = {
        arm: [table.filter(like="classification_").to_numpy().argmax(1) == table["target"] for table in of_arm]
        for arm, of_arm in tables.items()
    }
    difference = np.mean(right["two"]) - np.mean(right["one"])
    assert float(row["difference"]) == pytest.approx(difference)
    counts = [((one & ~other).sum(), (~one & other).sum()) for one, other in zip(right["two"], right["one"])]
    assert row["test"] == f"McNemar of 3 runs ({', '.join(f'{a} to {b}' for a, b in counts)}; patients unknown)"
    ps = [binomtest(wins, wins + losses).pvalue for wins, losses in counts]
    assert float(row["p"]) == pytest.approx(min(1, 2 * np.mean(ps)))
    assert float(row["p_adjusted"]) == pytest.approx(float(row["p"]))  # a family of one


def test_interval_of_a_difference_holds_the_spread_of_seeds(cases: SimpleNamespace) -> None:
    def uneven(table: pd.DataFrame) -> pd.DataFrame:
        """The more wrong, the higher the seed."""
        wrong = table["item"] % 10 < 3 * table["seed"]
        table.loc[wrong, [f"classification_{k}" for k in range(4)]] *= -1
        return table

    study = cases.make_study(arms={"one": {}, "two": {}})
    cases.write_arm(study, "one", skill=5.0)
    cases.write_arm(study, "two", uneven, skill=5.0)
    for arm in study.arms:
        evaluate(study, arm)
    row = compared(study=study).iloc[0]
    # The difference is about 0, −.3 and −.6 in the seeds; in 1 of 27 resamples all three seeds are the first.
    assert float(row["difference"]) == pytest.approx(-0.3, abs=0.02)
    assert float(row["difference_low"]) == pytest.approx(-0.6, abs=0.06)
    assert float(row["difference_high"]) == pytest.approx(0, abs=0.06)


def test_no_mcnemar_where_rows_are_grouped(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}}, seeds=1)
    for arm in study.arms:
        cases.write_arm(study, arm)
        evaluate(study, arm)
    row = compared(study=study).iloc[0]
    assert row["test"] == "bootstrap (several rows of a group)"
    assert float(row["p"]) == 1
    assert "one seed" in row["reason"]
    assert (float(row["difference"]), row["verdict"]) == (0, "inconclusive")


def backwards(table: pd.DataFrame) -> pd.DataFrame:
    """Each row by itself, in the order of another store."""
    return table.assign(group=table["sample"]).iloc[::-1].assign(item=range(len(table)))


def test_equal_arms_of_another_order_of_rows_do_not_differ(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}})
    cases.write_arm(study, "one", change=lambda table: table.assign(group=table["sample"]))
    cases.write_arm(study, "two", change=backwards)
    for arm in study.arms:
        evaluate(study, arm)
    row = compared(study=study).iloc[0]
    least = wilson(0, 80)[1]  # of 80 samples on which they never differ
    ends = [float(row[name]) for name in ("difference", "difference_low", "difference_high")]
    assert ends == pytest.approx([0, -least, least])
    assert row["verdict"] == "inconclusive"
    assert (row["test"][:31], float(row["p"])) == ("McNemar of 3 runs (0 to 0, 0 to", 1)


def test_what_a_leak_is_worth(cases: SimpleNamespace) -> None:
    arms = {
        "one": {},
        "free": {"training_samples": "leak_free"},
        "matched": {"training_samples": "size_matched"},
        "other": {"training_samples": "leak_free", "normalization": "unit"},
    }
    study = cases.make_study(arms=arms)
    assert leak_pairs(study) == [("matched", "free")]
    for arm, skill in (("one", 3.0), ("free", 1.0), ("matched", 3.0)):
        cases.write_arm(study, arm, skill=skill)
        evaluate(study, arm)
    table = compared(study=study)
    leak = table[table["kind"] == "leak"].iloc[0]
    assert (leak["arm"], leak["against"], leak["verdict"]) == ("matched", "free", "higher")
    accuracies = []
    for skill in (3.0, 1.0):
        tests = [cases.make_table(0, seed, skill=skill).query("part == 'test'") for seed in range(3)]
        accuracies.append(
            np.mean([accuracy_score(x["target"], x.filter(like="classification_").to_numpy().argmax(1)) for x in tests])
        )
    assert float(leak["difference"]) == pytest.approx(accuracies[0] - accuracies[1])


def test_arms_with_other_test_items_are_not_compared(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}})
    cases.write_arm(study, "one")
    cases.write_arm(study, "two", change=lambda table: table.iloc[:-20])
    for arm in study.arms:
        evaluate(study, arm)
    row = compared(study=study).iloc[0]
    assert (row["verdict"], row["reason"]) == ("not comparable", "the arms' samples differ")


def test_a_sample_that_only_one_arm_has_is_left_out_and_counted(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}})
    cases.write_arm(study, "one")
    cases.write_arm(study, "two", change=lambda table: table.iloc[:-1])
    for arm in study.arms:
        evaluate(study, arm)
    row = compared(study=study).iloc[0]
    assert float(row["difference"]) == 0
    assert "1 samples that only one arm has are left out" in row["reason"]


def test_an_arm_of_more_folds_is_compared_by_the_mean_of_each_seed(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {"folds": 1}, "two": {}}, seeds=2, split={"folds": 2, "test": 0.3})
    for luck, arm in enumerate(study.arms):
        cases.write_arm(study, arm, luck=luck)
        evaluate(study, arm)
    right = {}
    for luck, arm in enumerate(study.arms):
        tables = [cases.make_table(run.fold, run.seed, luck=luck).query("part == 'test'") for run in study.runs(arm)]
        right[arm] = np.mean(
            [(t.filter(like="classification_").to_numpy().argmax(1) == t["target"]).mean() for t in tables]
        )
    assert float(compared(study=study).iloc[0]["difference"]) == pytest.approx(right["two"] - right["one"])


def test_other_data_than_the_published_are_not_comparable(cases: SimpleNamespace) -> None:
    study = cases.make_study(published=PUBLISHED)
    cases.write_arm(study, "one")
    evaluate(study, "one")
    differs = ["train/a: 9 files, 10 expected", "train/b: 8 files, 10 expected"]
    write_source(Paths(study.scale, study.name), differs=differs)
    row = compared(study=study).iloc[0]
    assert row["verdict"] == "not comparable"
    assert "the data differ from the published set: train/a: 9 files, 10 expected and 1 more" in row["reason"]


def claimed(cases: SimpleNamespace, claim: dict[str, str], skills: dict[str, float], **more: object) -> pd.DataFrame:
    arms = {"one": {}, "two": {"normalization": "unit"}}
    study = cases.make_study(arms=arms, claims=[{"who": "the text", **claim}], **more)
    for arm, skill in skills.items():
        cases.write_arm(study, arm, fold_of if study.split.folds > 1 else None, skill=skill)
        evaluate(study, arm)
    compare(study)
    table = pd.read_csv(Paths(study.scale, study.name).comparison, keep_default_na=False)
    return table[table["kind"] == "claim"]


def fold_of(table: pd.DataFrame) -> pd.DataFrame:
    """Each of two folds validates on another half of the rows that are not of the test part."""
    number, fold = table["item"] // 8 % 2, table["fold"].iloc[0]
    part = np.where(number == fold, "validation", "train")
    return table.assign(part=table["part"].where(table["part"] == "test", part))


@pytest.mark.parametrize(("better", "than", "verdict"), [("two", "one", "supported"), ("one", "two", "contradicted")])
def test_a_claim_is_judged_by_the_paired_difference(
    cases: SimpleNamespace, better: str, than: str, verdict: str
) -> None:
    claim = {"better": better, "than": than, "metric": "balanced_accuracy"}
    (row,) = claimed(cases, claim, {"one": 0.5, "two": 3.0}, seeds=5).to_dict("records")
    assert (row["arm"], row["against"], row["metric"], row["part"], row["who"]) == (
        better,
        than,
        "balanced_accuracy",
        "test",
        "the text",
    )
    assert (row["verdict"], row["reason"]) == (verdict, "")
    assert (float(row["difference_low"]) > 0) == (verdict == "supported")


def test_claims_that_are_not_shown_or_not_run(cases: SimpleNamespace) -> None:
    claim = {"better": "two", "than": "one"}
    (same,) = claimed(cases, claim, {"one": 2.0, "two": 2.0}).to_dict("records")
    assert (same["verdict"], float(same["difference"])) == ("not shown", 0)
    assert same["reason"] == "3 seeds: their spread is known only roughly"
    (small,) = claimed(cases, claim, {"one": 2.0, "two": 2.0}, scale="small").to_dict("records")
    assert small["reason"] == f"small recipe; {same['reason']}"
    (one_seed,) = claimed(cases, claim, {"one": 0.5, "two": 3.0}, seeds=1).to_dict("records")
    assert one_seed["verdict"] == "not shown"
    assert "one seed" in one_seed["reason"]
    assert float(one_seed["difference_low"]) > 0
    (absent,) = claimed(cases, {"better": "one", "than": "two"}, {}, scale="demo").to_dict("records")
    assert (absent["verdict"], absent["reason"]) == ("not run", "no test result of one, two")


def test_a_claim_needs_matched_runs(cases: SimpleNamespace) -> None:
    arms = {"one": {"folds": 1}, "two": {}}
    claim = {"better": "two", "than": "one", "who": "the text"}
    study = cases.make_study(arms=arms, claims=[claim], seeds=2, split={"folds": 2, "test": 0.3})
    for arm, skill in (("one", 0.5), ("two", 3.0)):
        cases.write_arm(study, arm, fold_of, skill=skill)
        evaluate(study, arm)
    row = compared(study=study).query("kind == 'claim'").iloc[0]
    assert (row["verdict"], row["reason"]) == ("not shown", "the arms' runs differ in their folds or seeds")


def test_claims_are_judged_on_phantoms_too_and_out_of_fold(cases: SimpleNamespace) -> None:
    write_source(Paths("demo", "heads"), kind="phantom")
    split = {"folds": 2, "test": 0.3}
    rows = claimed(
        cases, {"better": "two", "than": "one"}, {"one": 0.5, "two": 3.0}, scale="demo", seeds=5, split=split
    )
    assert rows["part"].tolist() == ["test", "out_of_fold"]
    assert rows["verdict"].tolist() == ["supported", "supported"]
    assert rows["reason"].str.startswith("demo: phantoms and a small recipe").all()
    assert rows["n"].tolist() == [80, 180]
    right = {}
    for arm, skill in (("one", 0.5), ("two", 3.0)):
        tables = [fold_of(cases.make_table(fold, seed, skill=skill)) for fold in (0, 1) for seed in range(5)]
        pooled = pd.concat(tables).query("part == 'validation'")
        right[arm] = (pooled.filter(like="classification_").to_numpy().argmax(1) == pooled["target"]).mean()
    assert float(rows["difference"].iloc[1]) == pytest.approx(right["two"] - right["one"])


def with_studies(table: pd.DataFrame) -> pd.DataFrame:
    """Each patient's two images are one study, but for every fourth patient: there each is its own."""
    alone = table["patient"].str[1:].astype(int) % 4 == 0
    return table.assign(study=np.where(alone & (table["item"] % 2 == 1), "s2", "s1"))


def test_ablations_are_compared_by_study_and_patient_too(cases: SimpleNamespace) -> None:
    ablations = {"more": {"question": "more of it", "base": "one", "arms": {"more_x": "x"}}}
    steps = {"stages": {"main": {"steps": 5, "optimizer": {"name": "adam"}}}}
    study = cases.make_study(arms={"one": steps, "more_x": steps}, ablations=ablations, classes=2)
    for arm, skill in (("one", 0.5), ("more_x", 1.5)):
        cases.write_arm(study, arm, with_studies, patients=True, skill=skill, luck=len(arm))
        evaluate(study, arm)
    table = compared(study=study).query("kind == 'ablation'")
    assert table[["arm", "against", "metric", "level"]].to_numpy().tolist() == [
        ["more_x", "one", "accuracy", "study"],
        ["more_x", "one", "accuracy", "patient"],
    ]
    # By hand, by patient: both images have the same label; two of two votes, or one and the mean probability.
    accuracy = {}
    for arm, skill in (("one", 0.5), ("more_x", 1.5)):
        found = []
        for seed in range(3):
            rows = cases.make_table(0, seed, classes=2, patients=True, skill=skill, luck=len(arm))
            rows = rows[rows["part"] == "test"]
            logits = rows.filter(like="classification_").to_numpy()
            temperature = read_json(f"results/full/heads/{arm}/posttraining.json")["temperatures"]["classification"]
            probability = softmax(logits / temperature["whole"], axis=1)[:, 1]
            of = pd.DataFrame({"patient": rows["patient"], "p": probability, "vote": probability > 0.5})
            mean = of.groupby("patient").mean()
            predicted = np.where(mean["vote"] == 0.5, mean["p"] > 0.5, mean["vote"] > 0.5)
            found.append((predicted == rows.groupby("patient")["target"].first()).mean())
        accuracy[arm] = np.mean(found)
    patient = table[table["level"] == "patient"].iloc[0]
    assert float(patient["value"]) == pytest.approx(accuracy["more_x"])
    assert float(patient["difference"]) == pytest.approx(accuracy["more_x"] - accuracy["one"])
    metrics = read_json("results/full/heads/more_x/metrics.json")["parts"]["test"]
    assert {level: entry["n"] for level, entry in metrics.items()} == {"image": 80, "study": 50, "patient": 40}
    assert metrics["patient"]["majority"]["metrics"]["accuracy"]["value"] == pytest.approx(accuracy["more_x"])


def test_levels_and_endpoints_are_compared_too(cases: SimpleNamespace) -> None:
    study = cases.make_graded(arms={"one": {}, "two": {}, "both": {"ensemble": {"members": ["one", "two"]}}}, seeds=2)
    for arm, skill in (("one", 0.5), ("two", 2.5)):
        cases.write_arm(study, arm, patients=True, skill=skill)
        evaluate(study, arm)
    table = compared(study=study).query("arm == 'two' and kind == 'arms'")
    assert set(zip(table["level"], table["endpoint"])) == {
        ("image", ""),
        ("patient", ""),
        ("image", "any_disease"),
        ("image", "referable"),
    }
    row = table.query("level == 'patient' and metric == 'accuracy'").iloc[0]
    assert row["test"].startswith("McNemar of 2 runs")
    assert (row["verdict"], row["n"]) == ("higher", "40")
    area = table.query("endpoint == 'referable' and metric == 'auroc'").iloc[0]
    assert area["test"] == "bootstrap (several rows of a patient)"
    values = [read_json(f"results/full/heads/{arm}/metrics.json")["endpoints"]["referable"] for arm in ("two", "one")]
    two, one = (of["parts"]["test"]["image"]["metrics"]["auroc"]["value"] for of in values)
    assert float(area["difference"]) == pytest.approx(two - one)


def test_the_areas_of_independent_rows_are_compared_by_delong(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "two": {}}, seeds=1, classes=2)
    for luck, arm in enumerate(study.arms):
        alone = lambda table: table.assign(group=table["sample"], patient=table["sample"])  # noqa: E731
        cases.write_arm(study, arm, alone, luck=luck, skill=1.0)
        evaluate(study, arm)
    row = compared(study=study).query("kind == 'arms' and metric == 'auroc'").iloc[0]
    logits = [cases.make_table(0, 0, classes=2, luck=luck, skill=1.0).query("part == 'test'") for luck in (0, 1)]
    scores = [(table["classification_1"] - table["classification_0"]).to_numpy() for table in logits]
    expected = delong(logits[0]["target"].to_numpy() == 1, scores[1], scores[0])
    assert row["test"] == "DeLong"
    assert float(row["difference"]) == pytest.approx(expected.difference)
    assert float(row["p"]) == pytest.approx(expected.p)


def test_the_arm_that_validation_prefers_is_compared_with_all_others(cases: SimpleNamespace) -> None:
    study = cases.make_study(arms={"one": {}, "best": {}, "third": {}}, seeds=2)

    def worse_on_test(table: pd.DataFrame) -> pd.DataFrame:
        """The best in validation has the wrong answers in test."""
        tested = table["part"] == "test"
        table.loc[tested, [f"classification_{k}" for k in range(4)]] *= -1
        return table

    for arm, skill, change in (("one", 1.0, None), ("best", 4.0, worse_on_test), ("third", 4.0, None)):
        cases.write_arm(study, arm, change, skill=skill)
        evaluate(study, arm)
    rows = compared(study=study).query("kind == 'choice'")
    assert rows[["arm", "against", "part", "verdict"]].to_numpy().tolist() == [
        ["best", "one", "validation", "higher"],
        ["best", "third", "validation", "inconclusive"],  # the same validation predictions: a tie goes to the first
    ]
    assert float(rows["difference"].iloc[1]) == 0
