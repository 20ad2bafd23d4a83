"""The step `compare`: arms against published numbers and each other, published claims, what a leak is worth."""

from __future__ import annotations

from dataclasses import asdict, replace

from rescan.catalogue import COMPARED, COMPARED_GRADES, COMPARED_LABELS
from rescan.evaluation.claims import claim_rows
from rescan.evaluation.levels import by_unit
from rescan.evaluation.paired import paired
from rescan.evaluation.scored_arms import ScoredArms, with_value
from rescan.evaluation.verdict import Judgment, verdict
from rescan.paths import Paths
from rescan.results.comparison import Comparison, write_comparison
from rescan.results.metrics_file import is_scored
from rescan.results.source import SourceReport
from rescan.study import Ablation, Published, Study


def compare(study: Study, arms: list[str] | None = None) -> None:
    """Compare arms with published numbers and with each other on the test part; write comparison.csv.

    Args:
        study: The study.
        arms: The arms that have results; None for those that are scored. All others are listed as "not run".

    Raises:
        RescanError: A result of a listed arm is missing or damaged.
    """
    if arms is None:
        arms = [arm for arm in study.arms if is_scored(study, arm)]
    scored = ScoredArms.read(study, arms)
    rows = [_published_row(scored, entry) for entry in _published(study)]
    for claim in study.claims:
        rows += claim_rows(scored, claim)
    for arm in study.arms:
        if base := study.base(arm):
            rows += _paired_rows(scored, "arms", arm, base)
    for matched, free in leak_pairs(study):
        rows += _paired_rows(scored, "leak", matched, free)
    for ablation in study.ablations.values():
        rows += _ablation_rows(scored, ablation)
    write_comparison(Paths(study.scale, study.name).comparison, rows)


def _published(study: Study) -> list[Published]:
    """The published numbers; on other data than theirs they are not comparable."""
    source = SourceReport.read_if_there(Paths(study.scale, study.name).source)
    differs = source.differs if source else []
    if not differs:
        return study.published
    why = f"the data differ from the published set: {differs[0]}" + f" and {len(differs) - 1} more" * (len(differs) > 1)
    return [entry.model_copy(update={"not_comparable": entry.not_comparable or why}) for entry in study.published]


def _published_row(scored: ScoredArms, entry: Published) -> Comparison:
    endpoint, metrics = entry.endpoint or "", scored.metrics.get(entry.arm)
    seeds = len({run.seed for run in metrics.runs}) if metrics else 0
    scores = scored.scores(entry.arm, endpoint=endpoint, level=entry.level)
    return replace(
        scored.row("published", entry.arm, entry.metric, endpoint=endpoint, level=entry.level),
        published=entry.value,
        published_n=entry.n,
        published_low=entry.low,
        published_high=entry.high,
        who=entry.who,
        margin=entry.margin,
        **asdict(verdict(scored.study, entry, scores, seeds)),
    )


def _paired_rows(scored: ScoredArms, kind: str, arm: str, against: str) -> list[Comparison]:
    """The paired differences of an arm by image."""
    data = scored.study.data
    names = COMPARED_GRADES if data.ordered else COMPARED_LABELS if data.multilabel else COMPARED
    ours, theirs = scored.reading(arm), scored.reading(against)
    if ours is None or theirs is None:
        judgments = dict.fromkeys(names, Judgment("not run", scored.without_test(arm, against)))
    else:
        metrics = scored.metrics[arm]
        judgments = paired(ours, theirs, metrics.interval_units, len(metrics.classes), names)
    return [
        replace(scored.row(kind, arm, name), against=against, **asdict(judgment))
        for name, judgment in judgments.items()
    ]


def _ablation_rows(scored: ScoredArms, ablation: Ablation) -> list[Comparison]:
    """The paired differences of an ablation's arms by study and by patient, where these are known; by majority."""
    rows = []
    for arm in ablation.arms:
        for level in ("study", "patient"):
            own, base = scored.scores(arm, level=level), scored.scores(ablation.base, level=level)
            ours, theirs = scored.reading(arm), scored.reading(ablation.base)
            if not (own and own.majority and base and base.majority and ours and theirs):
                continue
            metrics = scored.metrics[arm]
            classes = len(metrics.classes)
            units = [by_unit(one, level, classes, ordered=False, majority=True)[0] for one in (ours, theirs)]
            judgment = paired(units[0], units[1], metrics.interval_units, classes, ["accuracy"])["accuracy"]
            row = with_value(scored.row("ablation", arm, "accuracy", level=level), own.majority)
            rows.append(replace(row, against=ablation.base, **asdict(judgment)))
    return rows


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
