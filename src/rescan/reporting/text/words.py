"""How the page writes numbers, names, lists and differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rescan import catalogue
from rescan.results.comparison import Comparison
from rescan.study import Split, Study

MOST_VALUES = 5  # of a column, in a sentence
PARTS = {"out_of_fold": "out of fold", "test_unlinked": "test, unlinked"}
LANDIS_KOCH = ((0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"), (1.0, "almost perfect"))


class Quantity(Protocol):
    """A value that may have a 95 % interval; None where it is undefined."""

    @property
    def value(self) -> float | None: ...  # noqa: D102
    @property
    def low(self) -> float | None: ...  # noqa: D102
    @property
    def high(self) -> float | None: ...  # noqa: D102


@dataclass(frozen=True)
class Value:
    """A quantity of the page's own."""

    value: float | None
    low: float | None = None
    high: float | None = None


def difference(row: Comparison) -> Value:
    """The difference of a comparison, with its interval."""
    return Value(row.difference, row.difference_low, row.difference_high)


def known_column(name: str) -> str:
    """A column of the manifest in running text."""
    return catalogue.KNOWN_COLUMNS[name].title if name in catalogue.KNOWN_COLUMNS else name


def column(name: str) -> str:
    """A column of the manifest as the head of rows."""
    return capitalized(known_column(name))


def is_of_acquisition(name: str) -> bool:
    """Whether a column of the manifest says how an image was taken."""
    return name in catalogue.KNOWN_COLUMNS and catalogue.KNOWN_COLUMNS[name].of_acquisition


def noun(study: Study) -> str:
    """What is scored, in a word: samples, where some arms see volumes."""
    reads = {study.preparations[recipe.preparation].reads for recipe in study.arms.values()}
    return "sample" if "volume" in reads else "image"


def capitalized(text: str) -> str:
    """A text as the beginning of a sentence."""
    return text[:1].upper() + text[1:]


def spaced(name: str) -> str:
    """A name as words."""
    return name.replace("_", " ")


def plural(noun: str) -> str:
    """The plural of a noun."""
    return f"{noun}es" if noun.endswith("tch") else f"{noun}s"


def several(count: int, noun: str) -> str:
    """A count with its noun, such as "1 pair" or "1,200 pairs"."""
    return f"{count:,} {noun if count == 1 else plural(noun)}"


def listed(names: Sequence[str]) -> str:
    """Names as "a, b and c"."""
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else "".join(names)


def metric(name: str) -> str:
    """A metric's name in running text."""
    return catalogue.METRICS[name].title if name in catalogue.METRICS else spaced(name)


def title(name: str) -> str:
    """A metric's name as the head of a column or row."""
    return capitalized(metric(name))


def number(value: float | None, digits: int = 3) -> str:
    """A number with a fixed count of decimals; "–" for none."""
    return "–" if value is None else f"{value:.{digits}f}".replace("-", "−")


def signed(value: float, digits: int = 2) -> str:
    """A difference, such as "−0.23" or "+0.05"."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")  # no −0.00


def change(row: Comparison, *, points: bool = False) -> str:
    """A difference with its interval, such as "+0.08 (0.01 to 0.15)"; or in points of a hundred, with a decimal."""
    scale, digits, unit = (100, 1, " points") if points else (1, 2, "")
    value, *ends = (
        None if end is None else signed(scale * end, digits)
        for end in (row.difference, row.difference_low, row.difference_high)
    )
    between = f" ({ends[0]} to {ends[1]})" if None not in ends else ""
    return f"{value}{unit}{between}".replace("(+", "(").replace("to +", "to ")


def change_verdict(verdict: str) -> str:
    """The verdict of a paired difference at the end of a sentence."""
    return verdict if verdict in ("lower", "higher") else "no difference shown"


def percent(value: float | None) -> str:
    """A share as "81.3 %"; "–" for none."""
    return "–" if value is None else f"{100 * value:.1f} %"


def interval(quantity: Quantity | None) -> str:
    """An interval as "(0.745–0.870)"; "" without bounds."""
    if quantity is None or quantity.low is None or quantity.high is None:
        return ""
    between = " to " if quantity.low < 0 else "–"
    return f"({number(quantity.low)}{between}{number(quantity.high)})"


def split(section: Split) -> str:
    """How samples are split, in two sentences."""
    test, folds = section.test, section.folds
    if isinstance(test, dict):
        (name, values), *_ = test.items()
        few = len(values) <= MOST_VALUES and name not in ("patient", "sample")
        tested = f"held out by {known_column(name)}, {listed(values) if few else f'{len(values):,} of them'}"
    else:
        tested = "the data set's own" if test == "published" else f"cut by group, share {test:g}"
    if not isinstance(folds, int):
        names = ", ".join(listed(values) for values in folds.values)
        return (
            f"Test part: {tested}. Each of {len(folds.values)} folds holds out one {known_column(folds.by)}: {names}."
        )
    share = f"one of {folds} folds" if folds > 1 else f"share {section.validation:g}"
    return f"Test part: {tested}; validation is cut from training by group, {share}."


def landis_koch(kappa: float | None) -> str:
    """The word for a kappa on the scale of Landis and Koch (1977); its steps are of two decimals."""
    if kappa is None:
        return "–"
    return "poor" if kappa < 0 else next(word for most, word in LANDIS_KOCH if round(kappa, 2) <= most)


def part(name: str, level: str, usual: str) -> str:
    """A part of the data, and the level if it is not the usual one, as the head of a column."""
    return PARTS.get(name, spaced(name)) + ("" if level == usual else f", by {level}")
