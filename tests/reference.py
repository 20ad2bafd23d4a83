"""`make reference`: are the headline numbers of results/demo and results/small those of results/reference?

Compared are, of every arm, the metric that stands first, accuracy and AUROC of the test part and out of fold, at every
level: one line each. Exits with 1 if a number moved, or if there is nothing to compare; what is missing is said, and is
no failure. In the environment of the reference (versions, threads, processor) a number moved if it is not the same; in
another, if it is off by more than the tolerance, whose rule stands in each file.

    make reference             # compare
    make reference UPDATE=1    # write the references anew, of the results that are there; commit what changed
    python -m tests.reference --write --beside OTHER/results/demo    # also measure the tolerances anew, see below

The tolerance is for what no one chose: the order of sums, which threads, processor and version of torch set. `--beside`
names results of the same recipes made with others of these; without it the spread in the old file is kept, or, if there
is none, taken from seeds, which change more than the order of sums does.
"""

# ruff: noqa: T201
from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Optional

from scipy.special import stdtrit

from rescan.errors import RescanError
from rescan.results.json_result import JsonResult, Part
from rescan.results.metrics_file import Metrics
from rescan.results.provenance_file import read_provenance
from rescan.speed import _processor

ROOT = Path(__file__).parent.parent
SCALES = ("demo", "small")
PARTS = ("test", "out_of_fold")
METRICS = ("accuracy", "auroc")  # beside the one that stands first
SAME = 1e-9
RULE = (
    "A number may be off by t √2 standard deviations, of two runs that differ in nothing that matters (the"
    " reproducibility limit of ISO 5725, with Student's t for its 2 as the deviation is an estimate), and by one item"
    " of n in any case. `spread` holds the deviations, pooled over the numbers of a metric, their degrees of freedom"
    " and what differed; of a metric without one, a number may be off by half its interval. In the environment of the"
    " reference (versions, device, threads, processor) a number may not be off at all."
)
STEPS = {"pretrain", "train", "infer", "evaluate"}  # which numbers come from
IRRELEVANT = {"cores", "matplotlib", "rescan"}  # of an environment
MOVED = "MOVED"


class Environment(Part):
    """What a study's results were made with.

    Attributes:
        code: The commits.
        versions: Of Python and the libraries.
        machine: As provenance names it; and processor and cores of the machine that asks.
    """

    code: list[str]
    versions: dict[str, str]
    machine: dict[str, str]


class Spread(Part):
    """How far runs are apart that differ in nothing that matters.

    Attributes:
        sd: Pooled standard deviation.
        freedom: Degrees of freedom: arms times further runs of each, as the levels of an arm are not independent.
        source: What differed.
    """

    sd: float
    freedom: int
    source: str


class Key(NamedTuple):
    """What a number is of."""

    arm: str
    part: str
    level: str
    metric: str


class Row(Part):
    """A number, the mean over runs of n items; None if undefined. The tolerance is for other environments."""

    arm: str
    part: str
    level: str
    metric: str
    n: int
    value: Optional[float]
    tolerance: Optional[float]

    @property
    def key(self) -> Key:
        """What it is of."""
        return Key(self.arm, self.part, self.level, self.metric)


class Reference(JsonResult):
    """The headline numbers of a study; `spread` is by metric, `others` made it where it is not from seeds."""

    step: ClassVar[str] = "make reference UPDATE=1"

    study: str
    scale: str
    environment: Environment
    rule: str
    spread: dict[str, Spread]
    others: list[Environment]
    numbers: list[Row]


class Number(NamedTuple):
    """A mean over runs.

    Attributes:
        n: Of items.
        value: None if undefined.
        variance: Of the mean over seeds; None of one seed.
        seeds: How many.
        half: Half the width of its interval; None if undefined.
    """

    n: int
    value: float | None
    variance: float | None
    seeds: int
    half: float | None


def numbers(study: Path) -> dict[Key, Number]:
    """The headline numbers of a study's folder.

    Raises:
        RescanError: A metrics.json is damaged.
    """
    found = {}
    for path in sorted(study.glob("*/metrics.json")):
        metrics = Metrics.read(path)
        seeds = len({run.seed for run in metrics.runs})
        for part in PARTS:
            for level, scores in metrics.parts.get(part, {}).items():
                for name in dict.fromkeys([metrics.metric, *METRICS]):
                    if estimate := scores.metrics.get(name):
                        variance = None if estimate.seed_sd is None else estimate.seed_sd**2 / seeds
                        _, low, high = estimate.numbers
                        half = None if math.isnan(high - low) else (high - low) / 2
                        found[Key(metrics.arm, part, level, name)] = Number(
                            scores.n, estimate.value, variance, seeds, half
                        )
    return found


def environment(study: Path) -> Environment:
    """What a study's results were made with, as their provenance says, and this machine's processor."""
    calls, _ = read_provenance(str(study / "provenance"))
    versions, machine, codes = defaultdict(set), defaultdict(set), set()
    for call in (call for call in calls.values() if call.done in STEPS):
        for name, version in call.versions.items():
            versions[name].add(version)
        for name in ("system", "image", "device", "threads"):
            machine[name].add(getattr(call.machine, name))
        codes |= {f"{code.commit}{'' if code.changes == 'none' else ', changed'}" for code in call.code}
    return Environment(
        code=sorted(codes),
        versions=_joined(versions),
        machine={**_joined(machine), "processor": _processor(), "cores": str(os.cpu_count())},
    )


def _joined(values: dict[str, set[Any]]) -> dict[str, str]:
    said = {name: sorted({str(value) for value in own if value is not None}) for name, own in values.items()}
    return {name: ", ".join(own) for name, own in sorted(said.items()) if own}


def differences(old: Environment, new: Environment) -> list[str]:
    """What differs between the environments of two results and may change a number, in words."""
    before, after = ({**own.versions, **own.machine} for own in (old, new))
    return [
        f"{name} {after.get(name, 'unknown')} instead of {before.get(name, 'unknown')}"
        for name in sorted({*before, *after} - IRRELEVANT)
        if before.get(name) != after.get(name)
    ]


def spread(found: dict[Key, Number], others: Iterable[dict[Key, Number]]) -> dict[str, Spread]:
    """By metric: the spread of other environments, or else of seeds."""
    variances: dict[tuple[str, str], dict[Key, tuple[float, int]]] = defaultdict(dict)  # and degrees of freedom
    for key, number in found.items():
        beside = [other[key].value for other in others if key in other and other[key].n == number.n]
        values = [value for value in (number.value, *beside) if value is not None]
        if len(values) > 1:
            variances[key.metric, "other environments"][key] = statistics.variance(values), len(values) - 1
        if number.variance is not None:
            variances[key.metric, "seeds"][key] = number.variance, number.seeds - 1
    spreads = {}
    for (metric, source), own in sorted(variances.items(), reverse=True):  # other environments go before seeds
        sd = math.sqrt(statistics.mean(variance for variance, _ in own.values()))
        of_arms = {key.arm: freedom for key, (_, freedom) in own.items()}
        spreads[metric] = Spread(sd=round(sd, 6), freedom=sum(of_arms.values()), source=source)
    return spreads


def tolerance(number: Number, own: Spread | None) -> float | None:
    """How much a number may be off in another environment; None if nothing tells."""
    limit = float(stdtrit(own.freedom, 0.975)) * math.sqrt(2) * own.sd if own else number.half
    return None if limit is None else round(max(limit, 1 / number.n), 4)


def write(study: Path, out: Path, beside: list[Path]) -> None:
    """Write a study's reference."""
    found, others = numbers(study), [environment(folder) for folder in beside]
    spreads = spread(found, [numbers(folder) for folder in beside])
    if out.is_file() and not beside:
        old = Reference.read(out)
        others = old.others
        spreads |= {metric: known for metric, known in old.spread.items() if known.source != "seeds"}
    rows = [
        Row(**key._asdict(), n=number.n, value=number.value, tolerance=tolerance(number, spreads.get(key.metric)))
        for key, number in found.items()
    ]
    told = {"study": study.name, "scale": study.parent.name, "environment": environment(study), "rule": RULE}
    Reference(**told, spread=spreads, others=others, numbers=rows).write(out)
    print(f"{out}: {len(rows)} numbers of {len({row.arm for row in rows})} arms")


class Compared(NamedTuple):
    """A line of the table; the verdict is "", "within" or MOVED."""

    words: tuple[str, ...]
    verdict: str


def compare(reference: Reference, study: Path) -> Iterator[Compared | str]:
    """A line per number of an arm that is in both; sentences about the rest."""
    place, found = f"{study.parent.name}/{study.name}", numbers(study)
    known = {row.key: row for row in reference.numbers}
    differs = differences(reference.environment, environment(study))
    which = f"another environment than the reference's ({'; '.join(differs)})" if differs else "the same environment"
    yield f"{place}: {which}"
    before, now = ({key.arm for key in own} for own in (known, found))
    yield from (f"{place}: arm {arm} of the reference is not among the results" for arm in sorted(before - now))
    yield from (f"{place}: arm {arm} has no reference yet" for arm in sorted(now - before))
    for key in dict.fromkeys([*known, *found]):
        if key.arm in before & now:
            yield _compared((study.name, *key), known.get(key), found.get(key), exact=not differs)


def _compared(place: tuple[str, ...], row: Row | None, number: Number | None, *, exact: bool) -> Compared:
    if row is None or number is None:
        return Compared((*place, *(_shown(own and own.value) for own in (row, number)), ""), MOVED)
    allowed = SAME if exact else row.tolerance
    off = abs((number.value or 0) - (row.value or 0))
    moved = (
        row.n != number.n or (row.value is None) != (number.value is None) or (allowed is not None and off > allowed)
    )
    items = "" if row.n == number.n else f" of {number.n} instead of {row.n}"
    words = (*place, _shown(row.value), _shown(number.value) + items, "none" if exact else _shown(allowed))
    return Compared(words, MOVED if moved else "within" if off > SAME else "")


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def compare_all(references: Path, results: Path) -> int:
    """Print all comparisons; the exit code."""
    rows = [("study", *Key._fields, "reference", "now", "tolerance", "")]
    for path in sorted(references.glob("*/*.json")):
        study = results / path.parent.name / path.stem
        if not _has_results(study):
            print(f"{path.parent.name}/{path.stem}: no results in {study}")
            continue
        for line in compare(Reference.read(path), study):
            if isinstance(line, str):
                print(line)
            else:
                rows.append((*line.words, line.verdict))
    if len(rows) == 1:
        print(f"Nothing to compare in {results}: run `make demo`, or scale=small", file=sys.stderr)
        return 1
    widths = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        print("  ".join(word.ljust(width) for word, width in zip(row, widths)).rstrip())
    moved = sum(row[-1] == MOVED for row in rows)
    print(f"{moved} of {len(rows) - 1} numbers moved")
    return int(moved > 0)


def _has_results(study: Path) -> bool:
    return any(study.glob("*/metrics.json"))


def main(arguments: list[str] | None = None) -> int:
    """Compare, or write; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results"), help="the folder of results")
    parser.add_argument("--references", type=Path, default=Path("results/reference"), help="the folder of references")
    parser.add_argument("--write", action="store_true", help="write the references anew")
    parser.add_argument("--beside", type=Path, action="append", default=[], metavar="RESULTS/SCALE", help="see above")
    options = parser.parse_args(arguments)
    try:
        if not options.write:
            return compare_all(options.references, options.results)
        studies = [study for scale in SCALES for study in sorted((options.results / scale).glob("[!.]*"))]
        studies = [study for study in studies if _has_results(study)]
        for study in studies:
            others = [scale / study.name for scale in options.beside if scale.name == study.parent.name]
            out = options.references / study.parent.name / f"{study.name}.json"
            write(study, out, [folder for folder in others if _has_results(folder)])
    except RescanError as error:
        print(error, file=sys.stderr)
        return 1
    if not studies:
        print(f"Nothing to write of in {options.results}: run `make demo`, or scale=small", file=sys.stderr)
    return int(not studies)


if __name__ == "__main__":
    sys.exit(main())
