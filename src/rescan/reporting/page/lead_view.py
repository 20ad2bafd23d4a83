"""What a study's page shows first: the question, the answer in a sentence, a short table, a figure, three maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rescan.paths import Paths
from rescan.reporting.page.arms_table import ArmsTable
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.text.answer import caution
from rescan.reporting.text.question import question
from rescan.results.choice import preferred
from rescan.results.map_files import ChosenItem, MapSummary
from rescan.results.metrics_file import Metrics
from rescan.study import Study

ROWS, COLUMNS, MAPS = 6, 3, 3  # of the short table: arms and columns; maps


@dataclass(frozen=True)
class LeadView:
    """What stands first.

    Attributes:
        question: What the study asks.
        headline: The answer in one sentence.
        caution: What must be known before any number is read; "" if nothing.
        arm: The arm that validation prefers; "" without a result.
        table: The first columns of the arms' table, and as many of its arms as are read at one look.
        arms: How many arms there are.
        figure: The arms' scores with their intervals, if there is one.
        maps: Images under their maps: right ones and a wrong one.
    """

    question: str
    headline: str
    caution: str
    arm: str
    table: ArmsTable
    arms: int
    figure: Picture | None
    maps: Sequence[Picture]


def lead_view(
    study: Study, metrics: Sequence[Metrics], headline: str, table: ArmsTable, forest: Picture | None, *, phantom: bool
) -> LeadView:
    """Collect what stands first.

    Args:
        study: The study.
        metrics: The results of the arms that have some.
        headline: The answer in one sentence.
        table: The whole table of the arms.
        forest: The plot of the arms' first metric, if there is one.
        phantom: Whether the images are phantoms.
    """
    scored = [of for of in metrics if (score := of.estimate(study.metric)) and score.value is not None]
    arm = (preferred(study.metric, scored) or scored[0]).arm if scored else ""
    return LeadView(
        question=question(study),
        headline=headline,
        caution=caution(study, phantom=phantom),
        arm=arm,
        table=_short(table, arm),
        arms=len(study.arms),
        figure=forest,
        maps=_maps(study, arm) if arm else [],
    )


def _short(table: ArmsTable, first: str) -> ArmsTable:
    """The preferred arm first, the other arms in their order, the references last."""
    arms = [row for row in table.rows if not row.reference]
    arms.sort(key=lambda row: row.name != first)
    rows = arms[:ROWS] + [row for row in table.rows if row.reference and not row.of]
    return ArmsTable(table.columns[:COLUMNS], [replace(row, cells=row.cells[:COLUMNS], notes=()) for row in rows])


def _maps(study: Study, arm: str) -> list[Picture]:
    """Two right images and a wrong one of an arm, or of the first of those whose networks it reads."""
    recipe, paths = study.arms[arm], Paths(study.scale, study.name)
    own = recipe.models or (recipe.ensemble.members[0] if recipe.ensemble else arm)
    folder = paths.arm(own).gradcam
    summary = MapSummary.read_if_there(folder.summary)
    pictures = []
    for item in _chosen(summary.chosen) if summary else []:
        read = "right" if item.right else "wrong"
        text = f"{item.true}, read as {item.predicted}: {read}."
        alt = f"A test {summary.kind.rstrip('s') if summary else ''} of {text[:-1]}, and its Grad-CAM maps of arm {own}"
        pictures.append(picture(Path(folder, item.picture), "gradcam", alt, text))
    return [shown for shown in pictures if shown]


def _chosen(items: Sequence[ChosenItem]) -> list[ChosenItem]:
    """Up to MAPS: the first right one of each true class, from the last class down, with one wrong one in the end."""
    right = list({item.true: item for item in reversed(items) if item.right}.values())
    wrong = [item for item in items if not item.right][:1]
    return [*right[: MAPS - len(wrong)], *wrong]
