"""What the page shows of one study."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rescan.paths import Paths
from rescan.reporting.page.ablation_view import AblationView, ablation_views
from rescan.reporting.page.arm_view import ArmView, arm_view
from rescan.reporting.page.arms_table import ArmsTable, arms_table
from rescan.reporting.page.autoencoder_view import AutoencoderView, autoencoder_views
from rescan.reporting.page.comparison_view import PairsView, pairs_view
from rescan.reporting.page.data_view import DataView, data_view
from rescan.reporting.page.external_view import ExternalView, external_views
from rescan.reporting.page.lead_view import LeadView, lead_view
from rescan.reporting.page.origin_view import OriginView, origin_view
from rescan.reporting.page.paper_view import PaperView, paper_view
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.page.published_rows import claim_rows, published_rows
from rescan.reporting.text import recipe_words, words
from rescan.reporting.text.answer import answer, costs
from rescan.reporting.text.question import headline
from rescan.results.comparison import Comparison, read_comparison
from rescan.results.metrics_file import Metrics, is_scored, read_metrics
from rescan.study import Study


@dataclass(frozen=True)
class ArmWarning:
    """A warning, and the arms that it holds for."""

    text: str
    arms: Sequence[str]


@dataclass(frozen=True)
class RecipeView:
    """An arm's recipe: topic → sentence; only what differs where it is described as a difference from `base`."""

    arm: str
    base: str | None
    topics: dict[str, str]


@dataclass(frozen=True)
class StudyView:
    """All that the page shows of a study. What a partial run has not made is None or empty.

    Attributes:
        study: The study.
        noun: What is scored: image or sample.
        lead: What stands first.
        answer: The answer in sentences, without that which stands first.
        arms: The arms that have results.
        missing: Those that have none.
        table: The first scores of all arms.
        warnings: What qualifies these, each with its arms.
        published: The comparisons with published numbers; none of phantoms.
        claims: The judgments of published claims.
        data: The data.
        external: The external data sets.
        recipes: The first arm's whole recipe, and how the others differ.
        ablations: The ablations.
        autoencoders: The autoencoders that arms start from.
        costs: What each choice changes, in sentences.
        paired: The paired differences of arms.
        paper: What a paper needs: methods, tables, citations, checklists, the command that makes it all again.
        origin: Which code made the numbers.
    """

    study: Study
    noun: str
    lead: LeadView
    answer: Sequence[str]
    arms: Sequence[ArmView]
    missing: Sequence[str]
    table: ArmsTable
    warnings: Sequence[ArmWarning]
    published: Sequence[Comparison]
    claims: Sequence[Comparison]
    data: DataView
    external: Sequence[ExternalView]
    recipes: Sequence[RecipeView]
    ablations: Sequence[AblationView]
    autoencoders: Sequence[AutoencoderView]
    costs: Sequence[str]
    paired: PairsView
    paper: PaperView
    origin: OriginView


def study_view(study: Study) -> StudyView:
    """Collect what the page shows of a study.

    Raises:
        RescanError: A file that is there is damaged.
    """
    paths, data = Paths(study.scale, study.name), data_view(study)
    scored = [arm for arm in study.arms if is_scored(study, arm)]
    missing = [arm for arm in study.arms if arm not in scored]
    metrics = {f"{study.name}-arm-{number}": read_metrics(study, arm) for number, arm in enumerate(scored)}
    results = list(metrics.values())
    warnings = _warnings(results)
    everywhere = [warning.text for warning in warnings if len(warning.arms) == len(scored) > 1]
    comparison = read_comparison(paths.comparison) if Path(paths.comparison).is_file() else []
    published = published_rows(study, comparison, scored) if study.scale != "demo" else []
    judged = published if study.scale == "full" else []  # else they stand beside to be looked at
    claims = claim_rows(study, comparison)
    table = arms_table(study, metrics, missing, data.audit)
    answers = answer(study, results, comparison, judged, claims, data.audit, phantom=data.is_phantom)
    first = headline(answers, judged, claims, phantom=data.is_phantom)
    return StudyView(
        study=study,
        noun=words.noun(study),
        lead=lead_view(study, results, first, table, _forest(study), phantom=data.is_phantom),
        answer=[sentence for sentence in answers if sentence != first],
        arms=[arm_view(study, of_arm, link, everywhere) for link, of_arm in metrics.items()],
        missing=missing,
        table=table,
        warnings=warnings,
        published=published,
        claims=claims,
        data=data,
        external=external_views(study, results),
        recipes=[_recipe(study, arm) for arm in study.arms],
        ablations=ablation_views(study, comparison, results) if scored else [],
        autoencoders=autoencoder_views(study),
        costs=costs(study, comparison),
        paired=pairs_view(study, comparison),
        paper=paper_view(study, results, table, comparison),
        origin=origin_view(study),
    )


def _warnings(arms: Sequence[Metrics]) -> list[ArmWarning]:
    """Each warning that qualifies the headline numbers once; those of one part and level stand with their arm only."""
    arms_of: dict[str, list[str]] = {}
    for arm in arms:
        findings = [finding.text for finding in arm.diagnosis]
        for text in arm.warnings:
            if text not in findings and not re.match(r"\w+, \w+: ", text):
                arms_of.setdefault(text, []).append(arm.arm)
    return [ArmWarning(text, arms) for text, arms in arms_of.items()]


def _forest(study: Study) -> Picture | None:
    text = f"Test {words.metric(study.metric)} of each arm with its 95 % interval."
    return picture(Paths(study.scale, study.name).comparison_figures.forest, "compare", text, text)


def _recipe(study: Study, arm: str) -> RecipeView:
    if arm == study.first_arm:
        return RecipeView(arm, None, recipe_words.sentences(study, arm))
    return RecipeView(arm, *recipe_words.differences(study, arm))
