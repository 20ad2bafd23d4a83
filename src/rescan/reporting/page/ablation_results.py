"""What the page says of a study's ablations: for each question a figure, the differences, and a sentence an arm."""

from __future__ import annotations

from typing import Any

from rescan.paths import Paths
from rescan.reporting.page.arm_results import image
from rescan.reporting.text.words import capitalized, change, difference, metric
from rescan.study import Ablation, Study

Found = dict[str, Any]


def ablations(study: Study, comparison: list[Found]) -> list[Found]:
    """A question each: its sentences, its differences by level, and its figure."""
    return [
        {
            "name": name,
            "question": asked.question,
            "steps": sum(stage.steps or 0 for stage in study.arms[asked.base].stages.values()),
            "base": asked.base,
            "sentences": [_sentence(study, asked, arm, comparison) for arm in asked.arms],
            "rows": [(arm, *_differences(study, asked, arm, comparison)) for arm in asked.arms],
            "figure": _figure(study, name, asked),
        }
        for name, asked in study.ablations.items()
    ]


def _row(study: Study, asked: Ablation, arm: str, comparison: list[Found], level: str) -> Found | None:
    wanted = {"arm": arm, "against": asked.base, "metric": study.metric, "level": level, "part": "test"}
    of_arms = [row for row in comparison if row["kind"] in ("arms", "ablation")]
    return next((row for row in of_arms if wanted.items() <= row.items()), None)


def _differences(study: Study, asked: Ablation, arm: str, comparison: list[Found]) -> tuple[Found | None, ...]:
    """The rows of comparison.csv by image, study and patient; None where a level does not apply."""
    return tuple(_row(study, asked, arm, comparison, level) for level in ("image", "study", "patient"))


def _sentence(study: Study, asked: Ablation, arm: str, comparison: list[Found]) -> str:
    """What an arm changes in the first metric, in points of a hundred."""
    what = asked.question + (f" ({asked.arms[arm]})" if len(asked.arms) > 1 or asked.arms[arm][0].isdigit() else "")
    row = _row(study, asked, arm, comparison, "image")
    if row is None or row["difference"] is None:
        return f"{capitalized(what)}: " + (f"{row['verdict']} ({row['reason']})." if row else "not run.")
    changed = f"changed test {metric(study.metric)} by {change(row, points=True)}"
    return f"{capitalized(what)} {changed}: {difference(row['verdict'])}."


def _figure(study: Study, name: str, asked: Ablation) -> Found | None:
    folder = Paths(study.scale, study.name).comparison_figures
    return image(f"{folder}/ablation_{name}.png", f"{asked.question}: accuracy and loss over the steps.")
