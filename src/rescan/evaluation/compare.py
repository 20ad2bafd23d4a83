"""The step `compare`: arms against published numbers and each other, claims, what a leak is worth, what is chosen."""

from __future__ import annotations

from dataclasses import asdict, replace

from rescan.catalogue import COMPARED, COMPARED_GRADES, COMPARED_LABELS, METRICS
from rescan.evaluation.claims import claim_rows
from rescan.evaluation.difference_tests import holm
from rescan.evaluation.levels import LEVELS, by_unit, coarser_levels
from rescan.evaluation.paired import paired
from rescan.evaluation.part_scores import NOT_OF_ENDPOINTS
from rescan.evaluation.readings import Reading, endpoint
from rescan.evaluation.scored_arms import ScoredArms, with_value
from rescan.evaluation.verdict import Judgment, verdict
from rescan.paths import Paths
from rescan.results.choice import preferred
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
    rows += _choice_rows(scored)
    write_comparison(Paths(study.scale, study.name).comparison, adjusted(rows, study.metric))


def adjusted(rows: list[Comparison], metric: str) -> list[Comparison]:
    """The rows with Holm's adjusted p of one family: every arm against its reference, in the first metric, by image."""
    first = Comparison("arms", "", metric=metric)
    key = (first.kind, first.metric, first.endpoint, first.part, first.level)
    family = [row for row in rows if (row.kind, row.metric, row.endpoint, row.part, row.level) == key]
    ps = {id(row): p for row, p in zip(family, holm([row.p for row in family]))}
    return [replace(row, p_adjusted=ps.get(id(row))) for row in rows]


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
    """The paired differences of an arm: of every metric by image, by each coarser level, and of each endpoint."""
    data = scored.study.data
    first = COMPARED_GRADES if data.ordered else COMPARED_LABELS if data.multilabel else COMPARED
    if absent := scored.without_test(arm, against):
        judgment = Judgment("not run", absent)
        return [replace(scored.row(kind, arm, name), against=against, **asdict(judgment)) for name in first]
    names = [*dict.fromkeys([*first, *(name for name, of in METRICS.items() if data.ordered or not of.of_grades)])]
    unit, rows = scored.metrics[arm].interval_units, []
    ours, theirs = _readings(scored, arm), _readings(scored, against)
    for (level, of_endpoint), reading in ours.items():
        if (other := theirs.get((level, of_endpoint))) is None:
            continue
        if of_endpoint:
            wanted = [name for name in METRICS if name not in NOT_OF_ENDPOINTS]
            judgments = paired(reading, other, unit, 2, wanted, 1)
        else:
            judgments = paired(reading, other, unit, len(data.classes), names, scored.study.positive)
        rows += [
            replace(scored.row(kind, arm, name, endpoint=of_endpoint, level=level), against=against, **asdict(judgment))
            for name, judgment in judgments.items()
        ]
    return rows


def _readings(scored: ScoredArms, arm: str) -> dict[tuple[str, str], Reading]:
    """What an arm's test part is compared by: level and endpoint ("" for none)."""
    images, outcome = scored.reading(arm), scored.study.data.outcome
    if images is None:
        return {}
    readings = {("image", ""): images}
    if not outcome.multilabel and (images.rows["patient"] != "").all():
        for level, reading in coarser_levels(outcome, images)[0].items():
            keys = reading.rows[LEVELS[level]].agg("/".join, axis=1)
            readings[level, ""] = reading._replace(rows=reading.rows.assign(sample=keys))
    for name, lowest in outcome.endpoints.items():
        readings["image", name] = endpoint(images, outcome.classes.index(lowest))
    return readings


def _choice_rows(scored: ScoredArms) -> list[Comparison]:
    """Of all arms, and of each ablation: the paired differences in validation of the arm that it prefers."""
    study = scored.study
    names = [list(study.arms), *([ablation.base, *ablation.arms] for ablation in study.ablations.values())]
    pairs: dict[tuple[str, str], None] = {}
    for arms in names:
        own = [scored.metrics[arm] for arm in arms if arm in scored.metrics]
        if best := preferred(study.metric, own):
            pairs |= dict.fromkeys((best.arm, other.arm) for other in own if other.arm != best.arm)
    rows = []
    for arm, against in pairs:
        ours, theirs = scored.reading(arm, "validation"), scored.reading(against, "validation")
        if ours is not None and theirs is not None:
            unit, classes = scored.metrics[arm].interval_units, len(study.data.classes)
            judgment = paired(ours, theirs, unit, classes, [study.metric], study.positive)[study.metric]
            row = scored.row("choice", arm, study.metric, part="validation")
            rows.append(replace(row, against=against, **asdict(judgment)))
    return rows


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
