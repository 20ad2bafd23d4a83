"""comparison.csv: arms against published numbers, arms against the study's first one, and what a leak is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from rescan.evaluation import predictions
from rescan.evaluation.bootstrap import REPLICATES, distributions, percentile
from rescan.evaluation.metrics import compute, headline
from rescan.evaluation.predictions import Predictions
from rescan.evaluation.verdict import verdict
from rescan.files import read_json, write_table
from rescan.paths import Paths
from rescan.study import Published, Study

COLUMNS = (
    *("kind", "arm", "against", "metric", "part", "level", "n", "value", "low", "high"),
    *("published", "published_n", "published_low", "published_high", "who"),
    *("difference", "difference_low", "difference_high", "margin", "verdict", "reason"),
)
PAIRED = ("accuracy", "balanced_accuracy", "macro_f1")
PART, LEVEL = "test", "image"


def compare(study: Study, arms: list[str] | None = None) -> None:
    """Compare arms with published numbers and with each other on the test part; write comparison.csv.

    Args:
        study: The study.
        arms: The arms that have results; None for those that are scored. All others are listed as "not run".

    Raises:
        RescanError: A result of a listed arm is missing.
    """
    paths = Paths(study.scale, study.name)
    if arms is None:
        arms = [arm for arm in study.arms if study.is_scored(arm)]
    metrics = {arm: read_json(f"{paths.arm(arm)}/metrics.json") for arm in arms}
    tests = {}
    for arm in arms:
        everything = predictions.read(study, arm)
        tests[arm] = everything.where(everything.rows["part"] == PART)
    rows = []
    for entry in _published(study):
        own = metrics.get(entry.arm)
        seeds = len({run["seed"] for run in own["runs"]}) if own else 0
        columns = {**_published_columns(entry), **verdict(study, entry, _result(own), seeds)}
        rows.append({**_row("published", entry.arm, entry.metric, metrics), **columns})
    base = next(iter(study.arms))
    pairs = [("arms", arm, base) for arm in study.arms if arm != base] + [("leak", *pair) for pair in leak_pairs(study)]
    for kind, arm, against in pairs:
        absent = [name for name in (arm, against) if name not in metrics or tests[name].rows.empty]
        if absent:
            found = _all_paired("not run", f"no test result of {', '.join(absent)}")
        else:
            found = paired(tests[arm], tests[against], metrics[arm])
        rows += [{**_row(kind, arm, name, metrics), "against": against, **columns} for name, columns in found.items()]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n": "Int64", "published_n": "Int64"})
    write_table(paths.comparison, table)


def _published(study: Study) -> list[Published]:
    """The published numbers; on other data than theirs they are not comparable."""
    source = Path(Paths(study.scale, study.name).source)
    differs = read_json(source)["differs"] if source.exists() else []
    if not differs:
        return study.published
    why = f"the data differ from the published set: {differs[0]}" + f" and {len(differs) - 1} more" * (len(differs) > 1)
    return [entry.model_copy(update={"not_comparable": entry.not_comparable or why}) for entry in study.published]


def _row(kind: str, arm: str, metric: str, metrics: dict[str, Any]) -> dict[str, Any]:
    """An arm's own columns of a row."""
    result = _result(metrics.get(arm))
    entry = result["metrics"].get(metric, {})
    own = {key: entry.get(key) for key in ("value", "low", "high")}
    return {"kind": kind, "arm": arm, "metric": metric, "part": PART, "level": LEVEL, "n": result["n"], **own}


def _result(metrics: dict[str, Any] | None) -> dict[str, Any]:
    """The compared part and level of a metrics.json, empty where it has none."""
    found: dict[str, Any] = (metrics or {}).get("parts", {}).get(PART, {}).get(LEVEL, {"n": None, "metrics": {}})
    return found


def _published_columns(entry: Published) -> dict[str, Any]:
    return {
        "published": entry.value,
        "published_n": entry.n,
        "published_low": entry.low,
        "published_high": entry.high,
        "who": entry.who,
        "margin": entry.margin,
    }


def leak_pairs(study: Study) -> list[tuple[str, str]]:
    """(size-matched arm, leak-free arm) of recipes that differ in nothing else."""
    recipes = {arm: recipe.model_dump(exclude={"training_samples"}) for arm, recipe in study.arms.items()}
    samples = {arm: recipe.training_samples for arm, recipe in study.arms.items()}
    return [
        (matched, free)
        for matched in recipes
        for free in recipes
        if samples[matched] == "size_matched" and samples[free] == "leak_free" and recipes[matched] == recipes[free]
    ]


def paired(ours: Predictions, theirs: Predictions, metrics: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Paired differences of two arms on the same test items, with units and seeds resampled.

    Args:
        ours: Test predictions of an arm.
        theirs: Those of the arm that it is compared with; only runs (fold, seed) that both have are used.
        metrics: The first arm's metrics.json, which says by what its intervals were resampled.

    Returns:
        For each metric the columns difference, difference_low, difference_high, verdict (higher, lower, inconclusive)
        and reason, which for accuracy holds McNemar's exact test of the first run where every unit has one row.
    """
    unit = metrics["interval_units"]
    (a, which_a), (b, which_b) = predictions.runs_of(ours, unit), predictions.runs_of(theirs, unit)
    both = [run for run in which_a if run in which_b]
    same = both and sorted(ours.rows["sample"].unique()) == sorted(theirs.rows["sample"].unique())
    if not same:
        why = "the arms share no run (fold, seed)" if not both else "the arms' test samples differ"
        return _all_paired("not comparable", why)
    a, b = [a[which_a.index(run)] for run in both], [b[which_b.index(run)] for run in both]
    ones = np.ones((1, len(a[0].features)))
    points = [(compute(PAIRED, x, ones), compute(PAIRED, y, ones)) for x, y in zip(a, b)]
    resampled = distributions(PAIRED, [*a, *b])
    seeds = sorted({seed for _, seed in both})
    of_seed = np.array([[seed == run_seed for _, run_seed in both] for seed in seeds], float)
    of_seed /= of_seed.sum(1, keepdims=True)
    m = len(seeds)
    drawn = np.random.default_rng(1).multinomial(m, np.full(m, 1 / m), REPLICATES) / m
    rows = {}
    for name in PAIRED:
        values = resampled[name]
        values = headline(name, values, None) if values.ndim == 3 else values
        difference = np.mean([np.mean(x[name]) - np.mean(y[name]) for x, y in points])
        low, high = percentile(np.einsum("sb,bs->b", of_seed @ (values[: len(a)] - values[len(a) :]), drawn))
        word = "higher" if low > 0 else "lower" if high < 0 else "inconclusive"
        notes = ["one seed: the spread of seeds is not in the interval"] if m == 1 else []
        if name == "accuracy" and len(ones[0]) == len(a[0].target):
            notes.append(f"fold {both[0][0]}, seed {both[0][1]}: {_mcnemar(a[0], b[0])}")
        columns = {"difference": difference, "difference_low": low, "difference_high": high}
        rows[name] = {**columns, "verdict": word, "reason": "; ".join(notes)}
    return rows


def _all_paired(word: str, reason: str) -> dict[str, dict[str, Any]]:
    return {name: {"verdict": word, "reason": reason} for name in PAIRED}


def _mcnemar(ours: Any, theirs: Any) -> str:
    """McNemar's exact test of two runs on independent rows, one a unit."""
    right = [(run.probabilities.argmax(1) == run.target)[np.argsort(run.unit)] for run in (ours, theirs)]
    wins, losses = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    p = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return f"McNemar {wins} to {losses}, p = {p:.3g}"
