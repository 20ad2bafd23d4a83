"""What the page shows of an ablation: a question, what its arms change, and their curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rescan.paths import Paths
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.text.choosing import chosen
from rescan.reporting.text.words import capitalized, change, change_verdict, metric
from rescan.results.comparison import Comparison
from rescan.results.metrics_file import Metrics
from rescan.study import Ablation, Study

LEVELS = ("image", "study", "patient")


@dataclass(frozen=True)
class AblationRow:
    """An arm, and its differences from the base by image, study and patient; None where a level does not apply."""

    arm: str
    differences: Sequence[Comparison | None]

    @property
    def verdict(self) -> str:
        """The verdict by image."""
        by_image = self.differences[0]
        return by_image.verdict if by_image else "not run"


@dataclass(frozen=True)
class AblationView:
    """An ablation: its base, the steps of each arm, sentences, what validation prefers, a row per arm, its figure."""

    base: str
    steps: int
    sentences: Sequence[str]
    choice: str
    rows: Sequence[AblationRow]
    figure: Picture | None


def ablation_views(
    study: Study, comparison: Sequence[Comparison], metrics: Sequence[Metrics] = ()
) -> list[AblationView]:
    """The ablations of a study, with the results of those arms that have some."""
    return [_view(study, name, ablation, comparison, metrics) for name, ablation in study.ablations.items()]


def _view(
    study: Study, name: str, ablation: Ablation, comparison: Sequence[Comparison], metrics: Sequence[Metrics]
) -> AblationView:
    own = [arm for arm in metrics if arm.arm in (ablation.base, *ablation.arms)]
    choice = chosen(study.metric, own, comparison)
    rows = [
        AblationRow(arm, [_difference(study, ablation, arm, comparison, level) for level in LEVELS])
        for arm in ablation.arms
    ]
    return AblationView(
        base=ablation.base,
        steps=sum(stage.steps or 0 for stage in study.arms[ablation.base].stages.values()),
        sentences=[_sentence(study, ablation, row) for row in rows],
        choice=f"{capitalized(ablation.question)}: {choice}" if choice else "",
        rows=rows,
        figure=picture(
            Paths(study.scale, study.name).comparison_figures.ablation(name),
            "compare",
            f"{ablation.question}: accuracy and loss over the steps.",
            f"{capitalized(ablation.question)}. Accuracy and loss over the steps, mean over the seeds: training "
            "dashed, test solid; the baseline in black. The test part is only watched: nothing is chosen by it.",
        ),
    )


def _difference(
    study: Study, ablation: Ablation, arm: str, comparison: Sequence[Comparison], level: str
) -> Comparison | None:
    """The row of comparison.csv that holds an arm's difference from the base."""
    key = (arm, ablation.base, study.metric, level, "test")
    rows = [row for row in comparison if row.kind in ("arms", "ablation")]
    return next((row for row in rows if (row.arm, row.against, row.metric, row.level, row.part) == key), None)


def _sentence(study: Study, ablation: Ablation, row: AblationRow) -> str:
    """What an arm changes in the first metric, in points of a hundred."""
    label, by_image = ablation.arms[row.arm], row.differences[0]
    question = ablation.question + (f" ({label})" if len(ablation.arms) > 1 or label[0].isdigit() else "")
    if by_image is None:
        return f"{capitalized(question)}: not run."
    if by_image.difference is None:
        return f"{capitalized(question)}: {by_image.verdict} ({by_image.reason})."
    changed = f"changed test {metric(study.metric)} by {change(by_image, points=True)}"
    return f"{capitalized(question)} {changed}: {change_verdict(by_image.verdict)}."
