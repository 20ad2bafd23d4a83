"""Guessing the labels of a table: in one column, joined in one column, or a column of 0 and 1 per class."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from rescan.data.layouts.several_labels import ABSENT, PRESENT, UNCERTAIN
from rescan.data.readers.tables import PLACEHOLDERS
from rescan.errors import RescanError
from rescan.spelling import ONLY_WRITTEN, alike, named
from rescan.study import NO_LABELS, SEPARATOR

NORMAL = re.compile(
    r"(?i)^(0|no|nor|normal|neg|negative|false|healthy|controls?|ctrl?|ctl|hc|cn|benign|none|no[ _-].+|no.*tumou?r)$"
)
MOST_CLASSES = 20
NO_COLUMNS = 8  # that may be labels as well, in a note
UNKNOWN = PLACEHOLDERS - {"none"}  # which is a class in many tables


class Labels(NamedTuple):
    """What the labels of a table are.

    Attributes:
        column: Which holds them; "" where each class has a column.
        classes: Those that mean normal first.
        labels: The class of each label, where some are written in two ways, or are no class; else nothing.
        notes: What could not be known, in sentences.
        multilabel: Whether a sample may be of several classes.
    """

    column: str
    classes: list[str]
    labels: dict[str, str]
    notes: list[str]
    multilabel: bool


def labels_of(table: Path, rows: pd.DataFrame, names: list[str], called: Iterable[str]) -> Labels:
    """Guess the labels.

    Args:
        table: For messages.
        rows: Its rows.
        names: Columns that are nothing else.
        called: Those that are called as labels are.

    Raises:
        RescanError: No column is a label.
    """
    few = [name for name in names if 2 <= len(_labels(rows[name])) <= min(MOST_CLASSES, len(rows) // 2)]
    called = [name for name in called if name in few]
    of_classes = [] if called else _columns_of_classes(rows, names)
    if of_classes:
        return _of_columns(rows, of_classes)
    candidates = list(dict.fromkeys([*called, *few]))
    if not candidates:
        raise RescanError(
            f"{table}: no column has 2 to {MOST_CLASSES} labels; its columns are {', '.join(map(str, rows))}"
        )
    column, others = candidates[0], candidates[1:] if not called else called[1:]
    also = f"; others may be: {', '.join(others[:NO_COLUMNS])}" if others else ""
    notes = [f"the labels are those of the column {column}{also}"] if others else []
    labels, classes, several = {}, _labels(rows[column]), _are_several(rows[column])
    if not several:
        counts = rows[column].value_counts()
        unknown = sorted(name for name in counts.index if name.casefold() in UNKNOWN)
        written = alike(classes)
        usual = {name: max(group, key=lambda name: counts[name]) for group in written for name in group}
        labels = {name: usual.get(name, name) for name in in_order(classes)} if unknown or written else {}
        classes = {usual.get(name, name) for name in classes}
        if unknown:
            words = ", ".join(map(repr, unknown))
            notes.append(f"{sum(counts[unknown])} rows are left out, whose label is unknown ({words})")
        if written:
            notes.append(f"the labels {named(written)} {ONLY_WRITTEN}; each is one class")
    parts = {name for text in classes for name in re.split(r"[,;/+&]\s*", text) if name != text}
    if not several and len(parts & classes) > 1:
        remedy = f"if a sample may have several, join them by {SEPARATOR}"
        notes.append(f"some labels join others, such as {max(classes, key=len)}: {remedy}")
    if unsure := [name for name in classes if name.casefold() in PLACEHOLDERS]:
        remedy = "then take it out, and name the others under data.labels"
        notes.append(f"the class {unsure[0]} may be rows without a label; {remedy}")
    return Labels(column, in_order(classes), labels, notes, several)


def in_order(labels: Collection[str]) -> list[str]:
    """Numbers by size; else by name, what means normal first."""
    if all(re.fullmatch(r"\d+", label) for label in labels):
        return sorted(labels, key=int)
    return sorted(labels, key=lambda label: (NORMAL.match(label) is None, label))


def _labels(values: pd.Series[str]) -> set[str]:
    """The labels in a column; of several joined by |, each."""
    if not _are_several(values):
        return {name for name in set(values) if name.casefold() not in UNKNOWN}
    names = {name.strip() for text in set(values) for name in text.split(SEPARATOR)}
    return {name for name in names if name.casefold() not in NO_LABELS}


def _are_several(values: pd.Series[str]) -> bool:
    return bool(values.str.contains(SEPARATOR, regex=False).any())


def _columns_of_classes(rows: pd.DataFrame, names: list[str]) -> list[str]:
    """The columns of 0 and 1, or of yes and no, if there are two or more; of them those that exclude each other."""
    values = rows[names].apply(lambda column: column.str.casefold())
    known = {*PRESENT, *ABSENT, *UNCERTAIN}
    binary = [name for name in names if {*PRESENT} & {*values[name]} and {*values[name]} <= known]
    if len(binary) < 2:
        return []
    count = len(binary)
    sums = np.pad(values[binary].isin(PRESENT).to_numpy().cumsum(1), ((0, 0), (1, 0)))  # of the columns before each
    ends = [(start, start + length) for length in range(count, 1, -1) for start in range(count - length + 1)]
    exclusive = next((binary[a:b] for a, b in ends if (sums[:, b] - sums[:, a] == 1).all()), [])
    several = [name for name in binary if name.casefold() not in NO_LABELS]
    return exclusive or (several if len(several) > 1 else [])


def _of_columns(rows: pd.DataFrame, names: list[str]) -> Labels:
    """The labels of a column per class."""
    present = rows[names].apply(lambda column: column.str.casefold().isin(PRESENT))
    exclusive = bool((present.sum(axis=1) == 1).all())
    kind = "classes" if exclusive else "labels, of which a sample may have several"
    shown = ", ".join(names[:NO_COLUMNS]) + (", …" if len(names) > NO_COLUMNS else "")
    note = f"the columns of 0 and 1 are read as {kind}: {shown}; if another column is the label, say so by columns"
    return Labels("", in_order(names) if exclusive else names, {}, [note], not exclusive)
