"""comparison.csv: arms against published numbers and against each other, published claims, what a leak is worth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from rescan.evaluation import posttrain, predictions
from rescan.evaluation.bootstrap import REPLICATES, UNDEFINED, distributions, percentile
from rescan.evaluation.predictions import Reading
from rescan.evaluation.scoring import of_part
from rescan.evaluation.verdict import SEEDS, verdict
from rescan.files import read_json, write_table
from rescan.metrics.run_rows import RunRows, compute, headline
from rescan.paths import Paths
from rescan.study import Best, Claim, Published, Study

COLUMNS = (
    *("kind", "arm", "against", "endpoint", "metric", "part", "level", "n", "value", "low", "high"),
    *("published", "published_n", "published_low", "published_high", "who"),
    *("difference", "difference_low", "difference_high", "margin", "verdict", "reason"),
)
PAIRED = ("accuracy", "balanced_accuracy", "macro_f1")
PAIRED_GRADES = ("quadratic_kappa", *PAIRED)
PART, LEVEL = "test", "image"
CLAIMS = {"higher": "supported", "lower": "contradicted"}  # by the verdict of the paired difference
SHARED = 0.9  # of the test samples that two arms must share to be compared


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
    metrics = {arm: read_json(paths.arm(arm).metrics) for arm in arms}
    readings = {arm: _reading(study, arm) for arm in arms}
    tests = {arm: of_part(reading, PART) for arm, reading in readings.items()}
    rows = []
    for entry in _published(study):
        own = metrics.get(entry.arm)
        seeds = len({run["seed"] for run in own["runs"]}) if own else 0
        columns = {
            **_published_columns(entry),
            **verdict(study, entry, _result(own, entry.endpoint, level=entry.level), seeds),
        }
        row = _row("published", entry.arm, entry.metric, metrics, endpoint=entry.endpoint, level=entry.level)
        rows.append({**row, **columns})
    for claim in study.claims:
        rows += _claim(study, claim, readings, metrics)
    pairs = [("arms", arm, base) for arm in study.arms if (base := study.base(arm))]
    pairs += [("leak", *pair) for pair in leak_pairs(study)]
    compared = PAIRED_GRADES if study.data.ordered else PAIRED
    for kind, arm, against in pairs:
        absent = [name for name in (arm, against) if name not in metrics or tests[name].rows.empty]
        if absent:
            found = _all_paired(compared, "not run", f"no test result of {', '.join(absent)}")
        else:
            found = paired(tests[arm], tests[against], metrics[arm], compared)
        rows += [{**_row(kind, arm, name, metrics), "against": against, **columns} for name, columns in found.items()]
    for ablation in study.ablations.values():
        rows += [row for arm in ablation.arms for row in _of_units(study, arm, ablation.base, tests, metrics)]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"n": "Int64", "published_n": "Int64"})
    write_table(paths.comparison, table)


def _of_units(
    study: Study, arm: str, base: str, tests: dict[str, Reading], metrics: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """The paired difference of an ablation's arm by study and by patient, where these are known; by majority."""
    rows = []
    for level in ("study", "patient"):
        if any("majority" not in _result(metrics.get(name), level=level) for name in (arm, base)):
            continue
        ours, theirs = (
            predictions.by_unit(tests[name], level, len(study.data.classes), ordered=False, majority=True)[0]
            for name in (arm, base)
        )
        found = paired(ours, theirs, metrics[arm], ("accuracy",))["accuracy"]
        own = _row("ablation", arm, "accuracy", metrics, level=level)
        by_majority = _result(metrics[arm], level=level)["majority"]["metrics"]["accuracy"]
        values = {key: by_majority.get(key) for key in ("value", "low", "high")}
        rows.append({**own, **values, "against": base, **found})
    return rows


def _reading(study: Study, arm: str) -> Reading:
    """What is read off an arm's validation and test samples, the former not of ensembles: they are for fitting only."""
    given = predictions.read(study, arm)
    held_out = ("test",) if study.arms[arm].ensemble else ("validation", "test")
    fitted = read_json(Paths(study.scale, study.name).arm(arm).posttraining)
    return posttrain.by_sample(fitted, given.where(given.rows["part"].isin(held_out)))


def _claim(
    study: Study, claim: Claim, readings: dict[str, Reading], metrics: dict[str, dict[str, Any]]
) -> list[dict[str, Any]]:
    """Judge a published claim: on the test part and, with several folds, on their validation parts together."""
    arms = (claim.better, claim.than)
    own = {"against": claim.than, "who": claim.who}
    absent = [arm for arm in arms if arm not in readings or of_part(readings[arm], PART).rows.empty]
    if absent:
        columns = {"verdict": "not run", "reason": f"no test result of {', '.join(absent)}"}
        return [{**_row("claim", claim.better, claim.metric, metrics), **own, **columns}]
    rows = []
    for part in (PART, "out_of_fold"):
        better, than = (of_part(readings[arm], part) for arm in arms)
        if better.rows.empty or than.rows.empty:
            continue
        columns = {"verdict": "not shown", "reason": "the arms' runs differ in their folds or seeds"}
        if study.runs(claim.better) == study.runs(claim.than):
            found = paired(better, than, metrics[claim.better], (claim.metric,))[claim.metric]
            columns = {**found, **_judged(study, claim, part, found)}
        rows.append({**_row("claim", claim.better, claim.metric, metrics, part=part), **own, **columns})
    return rows


def _judged(study: Study, claim: Claim, part: str, found: dict[str, Any]) -> dict[str, str]:
    """The verdict on a claim and its reason, from the paired difference."""
    recipes, seeds = [study.arms[arm] for arm in (claim.better, claim.than)], len(study.split.seeds)
    selected = any(isinstance(recipe.keep, Best) or recipe.early_stopping for recipe in recipes)
    said = (
        (study.scale == "demo", f"demo: {'phantoms and ' if _is_phantom(study) else ''}a small recipe"),
        (part == "out_of_fold" and selected, "validation chose the epochs"),
        (1 < seeds < SEEDS, f"{seeds} seeds: their spread is known only roughly"),
        (bool(found["reason"]), found["reason"]),
    )
    word = "not shown" if seeds == 1 else CLAIMS.get(found["verdict"], "not shown")
    return {"verdict": word, "reason": "; ".join(reason for holds, reason in said if holds)}


def _is_phantom(study: Study) -> bool:
    source = Path(Paths(study.scale, study.name).source)
    return source.exists() and read_json(source)["kind"] == "phantom"


def _published(study: Study) -> list[Published]:
    """The published numbers; on other data than theirs they are not comparable."""
    source = Path(Paths(study.scale, study.name).source)
    differs = read_json(source)["differs"] if source.exists() else []
    if not differs:
        return study.published
    why = f"the data differ from the published set: {differs[0]}" + f" and {len(differs) - 1} more" * (len(differs) > 1)
    return [entry.model_copy(update={"not_comparable": entry.not_comparable or why}) for entry in study.published]


def _row(
    kind: str,
    arm: str,
    metric: str,
    metrics: dict[str, Any],
    *,
    endpoint: str | None = None,
    part: str = PART,
    level: str = LEVEL,
) -> dict[str, Any]:
    """An arm's own columns of a row."""
    result = _result(metrics.get(arm), endpoint, part, level)
    entry = result["metrics"].get(metric, {})
    own = {key: entry.get(key) for key in ("value", "low", "high")}
    return {
        "kind": kind,
        "arm": arm,
        "metric": metric,
        "part": part,
        "level": level,
        "endpoint": endpoint,
        "n": result["n"],
        **own,
    }


def _result(
    metrics: dict[str, Any] | None, endpoint: str | None = None, part: str = PART, level: str = LEVEL
) -> dict[str, Any]:
    """A part, at a level, of a metrics.json, or of one of its endpoints; empty where it has none."""
    own = metrics or {}
    own = own if endpoint is None else own.get("endpoints", {}).get(endpoint, {})
    found: dict[str, Any] = own.get("parts", {}).get(part, {}).get(level, {"n": None, "metrics": {}})
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
    recipes = {arm: recipe.model_dump(exclude={"training_samples", "against"}) for arm, recipe in study.arms.items()}
    samples = {arm: recipe.training_samples for arm, recipe in study.arms.items()}
    return [
        (matched, free)
        for matched in recipes
        for free in recipes
        if samples[matched] == "size_matched" and samples[free] == "leak_free" and recipes[matched] == recipes[free]
    ]


def paired(
    ours: Reading, theirs: Reading, metrics: dict[str, Any], compared: tuple[str, ...] = PAIRED
) -> dict[str, dict[str, Any]]:
    """Paired differences of two arms on the same samples, with units and seeds resampled.

    Args:
        ours: What is read off an arm's predictions of a part, by sample.
        theirs: That of the arm that it is compared with. Only seeds and samples that both have are used; of each
            seed, the mean over the arm's folds.
        metrics: The first arm's metrics.json, which says by what its intervals were resampled.
        compared: The metrics.

    Returns:
        For each metric the columns difference, difference_low, difference_high, verdict (higher, lower, inconclusive)
        and reason, which for accuracy holds McNemar's exact test of the first run where every unit has one row.
    """
    unit, classes = metrics["interval_units"], len(metrics["classes"])
    samples = [set(each.rows["sample"]) for each in (ours, theirs)]
    common, all_of_them = samples[0] & samples[1], samples[0] | samples[1]
    if len(common) < SHARED * len(all_of_them):
        return _all_paired(compared, "not comparable", "the arms' samples differ")
    seeds = sorted(set(ours.rows["seed"]) & set(theirs.rows["seed"]))
    if not seeds:
        return _all_paired(compared, "not comparable", "the arms share no seed")
    notes = ["one seed: the spread of seeds is not in the interval"] if len(seeds) == 1 else []
    if len(common) < len(all_of_them):
        notes.append(f"{len(all_of_them) - len(common)} samples that only one arm has are left out")
    (a, which_a), (b, which_b) = (
        predictions.runs_of(each.where(each.rows["sample"].isin(common) & each.rows["seed"].isin(seeds)), unit, classes)
        for each in (ours, theirs)
    )
    drawn = _drawn_seeds(seeds)
    ones = np.ones((1, len(a[0].features)))
    points = [[compute(compared, run, ones) for run in runs] for runs in (a, b)]
    resampled = distributions(compared, [*a, *b])
    rows = {}
    for name in compared:
        values = resampled[name]
        values = headline(name, values, None) if values.ndim == 3 else values
        ours_mean, theirs_mean = (
            np.mean([_mean_of(found, which, name, seed) for seed in seeds])
            for found, which in ((points[0], which_a), (points[1], which_b))
        )
        sides = [_by_seed(values[: len(a)], which_a, drawn), _by_seed(values[len(a) :], which_b, drawn)]
        low, high = percentile(sides[0] - sides[1])
        word = "higher" if low > 0 else "lower" if high < 0 else "inconclusive"
        said = list(notes)
        if (undefined := float(np.isnan(sides[0] - sides[1]).mean())) > UNDEFINED:
            word = "inconclusive"
            said.append(f"undefined in {undefined:.0%} of the resamples: the test part is too small")
        if (
            name == "accuracy"
            and ours.rows["part"].iloc[0] == PART
            and which_a[0] == which_b[0]
            and len(ones[0]) == len(a[0].target)
        ):
            said.append(f"fold {which_a[0][0]}, seed {which_a[0][1]}: {_mcnemar(a[0], b[0])}")
        columns = {"difference": ours_mean - theirs_mean, "difference_low": low, "difference_high": high}
        rows[name] = {**columns, "verdict": word, "reason": "; ".join(said)}
    return rows


def _mean_of(points: list[dict[str, np.ndarray]], which: list[tuple[int, int]], name: str, seed: int) -> float:
    """The mean of a metric over an arm's folds, of one seed."""
    return float(np.mean([np.mean(point[name]) for point, run in zip(points, which) if run[1] == seed]))


def _drawn_seeds(seeds: list[int]) -> dict[int, np.ndarray]:
    """How often each seed counts in each replicate, as a share (B,), when the seeds are drawn with replacement."""
    m = len(seeds)
    drawn = np.random.default_rng(1).multinomial(m, np.full(m, 1 / m), REPLICATES) / m
    return dict(zip(seeds, drawn.T))


def _by_seed(values: np.ndarray, which: list[tuple[int, int]], drawn: dict[int, np.ndarray]) -> np.ndarray:
    """The mean over runs (R, B) in each replicate, with the seeds that were drawn for it: (B,)."""
    means = {seed: values[[seed == own for _, own in which]].mean(0) for seed in drawn}
    return np.asarray(sum(drawn[seed] * mean for seed, mean in means.items()))


def _all_paired(compared: tuple[str, ...], word: str, reason: str) -> dict[str, dict[str, Any]]:
    return {name: {"verdict": word, "reason": reason} for name in compared}


def _mcnemar(ours: RunRows, theirs: RunRows) -> str:
    """McNemar's exact test of two runs on independent rows, one a unit."""
    right = [(run.predicted == run.target)[np.argsort(run.unit)] for run in (ours, theirs)]
    wins, losses = int((right[0] & ~right[1]).sum()), int((~right[0] & right[1]).sum())
    p = binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
    return f"McNemar {wins} to {losses}, p = {p:.3g}"
