"""The figures of a study's comparison: a forest plot of its arms, and the curves of each ablation."""

from __future__ import annotations

from rescan.figure_folders import ComparisonFolder
from rescan.paths import Paths
from rescan.replacing import replacing
from rescan.reporting.figures import overview_figures, training_figures
from rescan.reporting.figures.overview_figures import ForestRow
from rescan.reporting.figures.style import PathLike
from rescan.reporting.text.references import forest_lines
from rescan.reporting.text.words import metric
from rescan.results.audit_report import AuditReport
from rescan.results.metrics_file import is_scored, read_metrics
from rescan.study import Study


def comparison(study: Study, arms: list[str] | None = None) -> None:
    """Draw into `comparison_figures/` what `compare` compares: forest and, per ablation, ablation_<name> (.png).

    Args:
        study: The study.
        arms: The arms that have results; None for those that are scored. Without any, there is no forest plot.

    Raises:
        RescanError: A result of a listed arm is missing.
    """
    scored = [arm for arm in study.arms if (is_scored(study, arm) if arms is None else arm in arms)]
    with replacing(Paths(study.scale, study.name).comparison_figures) as place:
        folder = ComparisonFolder(place)
        if scored:
            forest(study, scored, folder.forest)
            ablations(study, scored, folder)


def ablations(study: Study, arms: list[str], folder: ComparisonFolder) -> None:
    """Draw, for each ablation, the curves of those of its arms that have results."""
    for name, ablation in study.ablations.items():
        labels = {arm: label for arm, label in {ablation.base: ablation.base, **ablation.arms}.items() if arm in arms}
        histories = {label: [run.folder.history for run in study.runs(arm)] for arm, label in labels.items()}
        training_figures.ablation(histories, folder.ablation(name))


def forest(study: Study, arms: list[str], out: PathLike) -> None:
    """Draw the first metric of arms beside published values and references."""
    paths = Paths(study.scale, study.name)
    metrics = [read_metrics(study, arm) for arm in arms]
    published = [
        entry
        for entry in study.published
        if (entry.metric, entry.endpoint, entry.level) == (study.metric, None, "image") and study.scale != "demo"
    ]
    rows = [
        ForestRow(arm.arm, arm.estimate(study.metric), [entry.value for entry in published if entry.arm == arm.arm])
        for arm in metrics
    ]
    lines = forest_lines(study, metrics, AuditReport.read_if_there(paths.audit))
    overview_figures.forest(rows, f"test {metric(study.metric)}", out, lines)
