"""`comparison.csv`: arms against published numbers and against each other, and published claims."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from rescan.paths import Paths
from rescan.results.csv_table import Column, Table
from rescan.results.damage import damaged
from rescan.results.metrics_file import is_scored, read_metrics
from rescan.study import Study

KINDS = ("published", "claim", "arms", "leak", "ablation", "choice")
NUMBERS = ("value", "low", "high", "published", "published_low", "published_high")
DIFFERENCES = ("difference", "difference_low", "difference_high", "margin")

COMPARISON = Table(
    "compare",
    (
        Column("kind", choices=KINDS),
        Column("arm"),
        Column("against", empty=True),
        Column("endpoint", empty=True),
        Column("metric"),
        Column("part"),
        Column("level"),
        Column("n", "integer", empty=True),
        Column("published_n", "integer", empty=True),
        *(Column(name, "number", empty=True) for name in (*NUMBERS, *DIFFERENCES)),
        Column("who", empty=True),
        Column("test", empty=True),
        *(Column(name, "number", empty=True, low=0, high=1) for name in ("p", "p_adjusted")),
        Column("verdict"),
        Column("reason", empty=True),
    ),
)


@dataclass(frozen=True)
class Comparison:
    """A row of comparison.csv; the fields in the order of its columns. Numbers are None where they are unknown.

    Attributes:
        kind: published: with a published number; claim: a published claim that one arm is better; arms: with the arm
            that it differs from; leak: with the same arm trained without relatives of test samples; ablation: with an
            ablation's base, by study or patient; choice: of the arm that validation prefers with
            another, in validation.
        arm: The arm.
        against: The arm that it is compared with.
        endpoint: The endpoint that the metric is of.
        metric: The metric.
        part: The part: test, out_of_fold or validation.
        level: What is scored: image, eye, study or patient.
        n: How many of them.
        value: The arm's value, `low` to `high` its 95 % interval.
        published: The published value, `published_low` to `published_high` its interval.
        who: Who published it.
        difference: The arm's value less the other, `difference_low` to `difference_high` its 95 % interval.
        test: The test of the difference: McNemar, DeLong or bootstrap; and what limits it.
        p: Its p, two-sided.
        p_adjusted: Holm's, of the family of all arms against their references in the study's first metric.
        margin: Up to which difference a number counts as reproduced.
        verdict: A word.
        reason: Why, or what limits it.
    """

    kind: str
    arm: str
    against: str = ""
    endpoint: str = ""
    metric: str = ""
    part: str = "test"
    level: str = "image"
    n: int | None = None
    value: float | None = None
    low: float | None = None
    high: float | None = None
    published: float | None = None
    published_n: int | None = None
    published_low: float | None = None
    published_high: float | None = None
    who: str = ""
    difference: float | None = None
    difference_low: float | None = None
    difference_high: float | None = None
    margin: float | None = None
    test: str = ""
    p: float | None = None
    p_adjusted: float | None = None
    verdict: str = ""
    reason: str = ""


def write_comparison(path: str | Path, rows: Sequence[Comparison]) -> None:
    """Write comparison.csv."""
    import pandas as pd

    table = pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(Comparison)])
    COMPARISON.write(path, table.astype({"n": "Int64", "published_n": "Int64"}))


def read_comparison(path: str | Path) -> list[Comparison]:
    """Read comparison.csv.

    Raises:
        RescanError: It is missing or damaged.
    """
    table = COMPARISON.read(path).astype({"n": "Int64", "published_n": "Int64"}).astype(object)
    rows: Any = table.where(table.notna(), None).to_dict("records")
    return [Comparison(**row) for row in rows]


def check_comparison(study: Study) -> None:
    """Compare the arms' own values in comparison.csv with their metrics.json; those of an ablation are of a majority.

    Raises:
        RescanError: A file is missing or damaged, or they differ: an arm was evaluated again.
    """
    path = Paths(study.scale, study.name).comparison
    metrics = {arm: read_metrics(study, arm) for arm in study.arms if is_scored(study, arm)}
    for number, row in enumerate(read_comparison(path), 2):
        if row.value is None or row.kind == "ablation" or row.arm not in metrics:
            continue
        scores = metrics[row.arm].scores(row.part, row.level, row.endpoint)
        estimate = scores.metrics.get(row.metric) if scores else None
        own = (row.value, row.low, row.high)
        if estimate is None or own != (estimate.value, estimate.low, estimate.high):
            fault = f"line {number}: {row.metric} of {row.arm} is {row.value:g}, not as in its metrics.json"
            raise damaged(path, COMPARISON.step, fault)
