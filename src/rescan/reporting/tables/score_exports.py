"""All scores of a study's arms as tables: every arm, part, level, class, endpoint and subgroup, with its interval."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from rescan.reporting.tables.export_table import Cell, ExportTable
from rescan.reporting.text.words import Quantity, Value
from rescan.results.comparison import Comparison
from rescan.results.map_files import SHARES, MapSummary
from rescan.results.metrics_file import Metrics, Scores

RULES = ("majority", "consistent")
OF_SCORES = ("part", "level", "rule", "n", "units", "metric", "value", "seed_sd", "runs")
OF_COMPARISON = (
    *("arm", "against", "endpoint", "metric", "part", "level", "n", "value", "published", "published_n", "who"),
    *("difference", "margin", "test", "p", "p_adjusted", "verdict", "reason"),
)
COMPARISONS = {  # kind of a row of comparison.csv: name and caption of the table
    "published": ("published", "Published numbers and those of this run."),
    "claim": ("claims", "Published claims and what this run has of them."),
    "arms": ("comparison", "Paired differences of arms."),
    "leak": ("leak", "Paired differences of an arm and the same without relatives of test samples."),
    "ablation": ("ablations", "Paired differences of an ablation's arms by study and patient."),
    "choice": ("choice", "Paired differences in validation of the arm that it prefers and the others."),
}


def score_tables(arms: Sequence[Metrics]) -> list[ExportTable]:
    """The tables of what metrics.json holds; without those that have no row.

    Args:
        arms: The results of the arms that have some.
    """
    tables = [
        ExportTable(
            "scores",
            "Scores of every arm by part and level: mean over runs with 95 % interval.",
            ("arm", *OF_SCORES),
            [(arm.arm, *line) for arm in arms for line in _of_parts(arm.parts)],
        ),
        ExportTable(
            "classes",
            "Scores of each class by arm, part and level.",
            ("arm", "part", "level", "class", "metric", "value"),
            [(arm.arm, *line) for arm in arms for line in _of_classes(arm)],
        ),
        ExportTable(
            "endpoints",
            "Scores of each endpoint by arm, part and level.",
            ("arm", "endpoint", "lowest", *OF_SCORES),
            [
                (arm.arm, name, endpoint.lowest, *line)
                for arm in arms
                for name, endpoint in arm.endpoints.items()
                for line in _of_parts(endpoint.parts)
            ],
        ),
        ExportTable(
            "subgroups",
            "Scores of subgroups by arm.",
            ("arm", "column", "subgroup", *OF_SCORES),
            [(arm.arm, *line) for arm in arms for line in _of_subgroups(arm)],
        ),
        ExportTable(
            "heads",
            "Scores of the same networks when another head is read.",
            ("arm", "head", *OF_SCORES),
            [
                (arm.arm, head, *line)
                for arm in arms
                for head, parts in arm.heads.items()
                for line in _of_parts({part: {"image": scores} for part, scores in parts.items()})
            ],
        ),
        ExportTable(
            "external",
            "Scores of external data less those of the test part.",
            ("arm", "external", "endpoint", "metric", "difference"),
            [(arm.arm, *line) for arm in arms for line in _of_external(arm)],
        ),
    ]
    return [table for table in tables if table.rows]


def comparison_tables(rows: Sequence[Comparison]) -> list[ExportTable]:
    """The tables of what comparison.csv holds, one for each kind of row."""
    tables = []
    for kind, (name, caption) in COMPARISONS.items():
        own = [_of_comparison(row) for row in rows if row.kind == kind]
        if own:
            tables.append(ExportTable(name, caption, OF_COMPARISON, own))
    return tables


def map_table(summaries: Mapping[str, MapSummary]) -> list[ExportTable]:
    """The table of how much of the maps lies inside lesions, if any lesion is known."""
    rows = [
        (arm, name, summary.n, summary.empty, summary.energies[name])
        for arm, summary in summaries.items()
        for name in SHARES
        if name in summary.energies
    ]
    caption = "Share of the maps' energy inside the lesion, and of references."
    return [ExportTable("maps", caption, ("arm", "share", "n", "empty", "value"), rows)] if rows else []


def _of_parts(parts: Mapping[str, Mapping[str, Scores]]) -> Iterator[tuple[Cell, ...]]:
    """A line per part, level, rule and metric (OF_SCORES)."""
    for part, levels in parts.items():
        for level, whole in levels.items():
            others = {rule: scores for rule in RULES if (scores := getattr(whole, rule))}
            for rule, scores in {"": whole, **others}.items():
                for name, metric in scores.metrics.items():
                    runs = sum(value is not None for value in metric.runs)
                    yield (part, level, rule, scores.n, scores.groups, name, metric, metric.seed_sd, runs)


def _of_classes(arm: Metrics) -> Iterator[tuple[Cell, ...]]:
    for part, levels in arm.parts.items():
        for level, scores in levels.items():
            for name, metric in scores.metrics.items():
                for label, value in metric.classes.items():
                    yield (part, level, label, name, value)


def _of_subgroups(arm: Metrics) -> Iterator[tuple[Cell, ...]]:
    for part, level, columns in (
        ("test", "image", arm.subgroups),
        ("test", "study", arm.subgroups_of_studies),
        ("out_of_fold", "image", arm.subgroups_out_of_fold),
    ):
        for column, values in columns.items():
            for value, scores in values.items():
                for line in _of_parts({part: {level: scores}}):
                    yield (column, value, *line)


def _of_external(arm: Metrics) -> Iterator[tuple[Cell, ...]]:
    for name, differences in arm.external.items():
        for endpoint, metrics in {"": differences.metrics, **differences.endpoints}.items():
            for metric, difference in metrics.items():
                yield (name, endpoint, metric, difference)


def _of_comparison(row: Comparison) -> tuple[Cell, ...]:
    published: Quantity = Value(row.published, row.published_low, row.published_high)
    difference: Quantity = Value(row.difference, row.difference_low, row.difference_high)
    numbers = (row.n, row, published, row.published_n, row.who, difference, row.margin)
    judged = (row.test, row.p, row.p_adjusted, row.verdict, row.reason)
    return (row.arm, row.against, row.endpoint, row.metric, row.part, row.level, *numbers, *judged)
