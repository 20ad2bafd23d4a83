"""Tables of samples with several labels each: joined in one column, or a column of 0 and 1 per class."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from unicodedata import normalize

import pandas as pd

from rescan import catalogue
from rescan.data.readers.tables import first_faults, lines_in_words, wrong_values
from rescan.log import logger
from rescan.study import NO_LABELS, SEPARATOR, Data

OF_CLASS = "class "  # starts the name of a class's own column, which may be called like another
PRESENT, ABSENT, UNCERTAIN = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no", ""), ("-1", "-1.0")


def columns_of(data: Data) -> dict[str, list[str]]:
    """What the columns of the classes are called: as the classes, or as `data.labels` says."""
    return {f"{OF_CLASS}{name}": [name] for name in data.labels or data.classes}


def joined(file: Path, rows: pd.DataFrame, uncertain: str, data: Data) -> tuple[pd.DataFrame, list[str]]:
    """Put one column `label` in place of the columns of the classes; and what is wrong.

    Args:
        file: The table.
        rows: Its rows, whose index is the line in the file.
        uncertain: What −1 counts as: absent or present. What is not mentioned, an empty field, is absent.
        data: Whether a sample may have several labels; else each must have one.
    """
    columns = [name for name in map(str, rows) if name.startswith(OF_CLASS)]
    values = rows[columns].apply(lambda column: column.str.casefold())
    unsure = values.isin(UNCERTAIN)
    if unsure.to_numpy().any():
        message = "%s: %d labels are uncertain (-1) and count as %s; data.layout.uncertain changes that"
        logger.warning(message, file, unsure.to_numpy().sum(), uncertain)
    faults = [
        f"{file}: {lines}: {name[len(OF_CLASS) :]} is {value!r}; use 1, 0, -1 where it is uncertain, or nothing"
        for name in columns
        for value, lines in wrong_values(values[name], {*PRESENT, *ABSENT, *UNCERTAIN})
    ]
    present = values.isin(PRESENT) | (unsure if uncertain == "present" else False)
    names = [name[len(OF_CLASS) :] for name in columns]
    labels = [SEPARATOR.join(name for name, is_there in zip(names, row) if is_there) for row in present.to_numpy()]
    if not data.multilabel:
        remedy = "correct it, or set multilabel: true under data"
        several = [
            f"{file}: line {line}: is {label.replace(SEPARATOR, ' and ')}; {remedy}"
            for line, label, count in zip(rows.index, labels, present.sum(axis=1))
            if count > 1
        ]
        faults = [*faults, *several]
    return rows.drop(columns=columns).assign(label=labels), first_faults(file, faults)


def by_class(file: Path, labels: pd.Series[str], data: Data) -> tuple[pd.Series[str], list[str]]:
    """Labels as the manifest has them: the classes in their order, joined by |, or "none"; and what is wrong.

    Where there is `data.labels`, those that it does not name are no findings of the study, and left out.

    Args:
        file: The table.
        labels: As the table has them, joined by |; its index is the line in the file.
        data: For the classes.
    """
    classes = {normalize("NFC", label): name for label, name in (data.labels or {c: c for c in data.classes}).items()}
    empty, others = 0, Counter[str]()
    lines: dict[str, list[object]] = {}
    for line, text in labels.items():
        names = [name.strip() for name in text.split(SEPARATOR)]
        empty += not text
        findings = [name for name in names if name.casefold() not in NO_LABELS]
        if findings and len(findings) < len(names) and text:
            lines.setdefault(f"{text!r} names a finding and none; correct it", []).append(line)
        for name in findings:
            if name in classes:
                continue
            others[name] += 1
            if not data.labels:
                near = catalogue.suggest(name, data.classes)
                lines.setdefault(f"no class {name!r}{near}; several are joined by {SEPARATOR}", []).append(line)
    if empty:
        logger.warning("%s: %d of %d rows have no label: they count as none of the classes", file, empty, len(labels))
    if others and data.labels:
        which = ", ".join(f"{name} {count}" for name, count in sorted(others.items()))
        logger.info("%s: labels that data.labels does not name are left out: %s", file, which)
    faults = [f"{file}: {lines_in_words(found)}: {fault}" for fault, found in lines.items()]
    outcome = data.outcome
    known = labels.map(
        lambda text: outcome.joined(classes[name.strip()] for name in text.split(SEPARATOR) if name.strip() in classes)
    )
    return known, first_faults(file, faults)
