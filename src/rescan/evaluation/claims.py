"""Published claims that one arm is better than another, judged by the paired difference."""

from __future__ import annotations

from dataclasses import asdict, replace

from rescan.catalogue import METRICS
from rescan.evaluation.paired import paired
from rescan.evaluation.scored_arms import PART, ScoredArms
from rescan.evaluation.verdict import NOT_THE_RECIPE, SEEDS, Judgment
from rescan.paths import Paths
from rescan.results.comparison import Comparison
from rescan.results.source import SourceReport
from rescan.study import Best, Claim, Study

WORDS = {"higher": "supported", "lower": "contradicted"}  # by the verdict of the paired difference


def claim_rows(arms: ScoredArms, claim: Claim) -> list[Comparison]:
    """Judge a claim: on the test part and, with several folds, on their validation parts together."""
    if absent := arms.without_test(claim.better, claim.than):
        return [_row(arms, claim, PART, Judgment("not run", absent))]
    study, metrics, rows = arms.study, arms.metrics[claim.better], []
    for part in (PART, "out_of_fold"):
        better, than = arms.reading(claim.better, part), arms.reading(claim.than, part)
        if better is None or than is None or (part != PART and METRICS[claim.metric].ranked):
            continue  # what is ranked is never pooled over folds
        judgment = Judgment("not shown", "the arms' runs differ in their folds or seeds")
        runs = [[run.fold_and_seed for run in study.runs(arm)] for arm in (claim.better, claim.than)]
        if runs[0] == runs[1]:
            unit, classes = metrics.interval_units, len(metrics.classes)
            differences = paired(better, than, unit, classes, [claim.metric], study.positive)
            unknown = Judgment("not comparable", f"the arms' heads have no {claim.metric}")
            judgment = _judge(study, claim, part, differences.get(claim.metric, unknown))
        rows.append(_row(arms, claim, part, judgment))
    return rows


def _row(arms: ScoredArms, claim: Claim, part: str, judgment: Judgment) -> Comparison:
    row = arms.row("claim", claim.better, claim.metric, part=part)
    return replace(row, against=claim.than, who=claim.who, **asdict(judgment))


def _judge(study: Study, claim: Claim, part: str, difference: Judgment) -> Judgment:
    """The verdict on a claim and its reason, from the paired difference."""
    recipes, seeds = [study.arms[arm] for arm in (claim.better, claim.than)], len(study.split.seeds)
    selected = any(isinstance(recipe.keep, Best) or recipe.early_stopping for recipe in recipes)
    reasons = (
        (study.scale == "small", NOT_THE_RECIPE["small"]),
        (bool(study.changes), "run with other settings than the study file's, by set"),
        (study.scale == "demo", f"demo: {'phantoms and ' if _is_phantom(study) else ''}a small recipe"),
        (part == "out_of_fold" and selected, "validation chose the epochs"),
        (1 < seeds < SEEDS, f"{seeds} seeds: their spread is known only roughly"),
        (bool(difference.reason), difference.reason),
    )
    words = dict(zip(WORDS, reversed([*WORDS.values()]))) if METRICS[claim.metric].falls else WORDS
    word = "not shown" if seeds == 1 else words.get(difference.verdict, "not shown")
    return replace(difference, verdict=word, reason="; ".join(reason for holds, reason in reasons if holds))


def _is_phantom(study: Study) -> bool:
    source = SourceReport.read_if_there(Paths(study.scale, study.name).source)
    return source is not None and source.kind == "phantom"
