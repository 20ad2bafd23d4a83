"""A new sample as a row of a table of predictions: what is read off it, at an operating point, too."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rescan.catalogue import suggest
from rescan.errors import RescanError
from rescan.evaluation.answers import scores_of
from rescan.evaluation.readings import Reading
from rescan.results.posttraining import FittedPoint, Posttraining
from rescan.study import Outcome

# Columns of the tables of predictions; a class may be called like one of them.
OWN_COLUMNS = (
    *("image", "label", "patient", "images", "predicted", "by_mean_probability", "grade", "flags", "flagged"),
    *("problem", "time", "model", "sha256", "state"),
)
CLASS_PREFIX = "probability_"
FLAGS = "flags"  # what is unlike the training images: sentences, joined by "; "
FLAGGED = "flagged"  # of a patient: how many of the images have any
YES, NO = "yes", "no"  # answers at an operating point


def points_at(posttraining: Posttraining, name: str | None) -> list[FittedPoint]:
    """The operating points of a name, of all questions; none without a name.

    Raises:
        RescanError: There is none of that name, or none of them has a threshold.
    """
    points = [point for point in posttraining.points if point.name == name]
    if name is not None and not points:
        known = dict.fromkeys(point.name for point in posttraining.points)
        hint = suggest(name, known) or "; its study has no operating_points"
        raise RescanError(f"--at: the arm has no operating point {name!r}{hint}")
    if points and all(point.threshold.whole is None for point in points):
        raise RescanError(f"--at: {name} has no threshold: {points[0].problem}")
    return points


def answers_at(points: Sequence[FittedPoint], reading: Reading, classes: int) -> dict[str, list[str]]:
    """What the samples are called at operating points, yes or no, by column; "" at one without a threshold."""
    columns = {}
    for point in points:
        scores, lowest = scores_of(reading, point.kind, point.number, classes), point.threshold.whole
        called = [""] * len(reading.rows)
        if scores is not None and lowest is not None:
            called = [YES if yes else NO for yes in scores >= lowest]
        columns[column_at(point)] = called
    return columns


def column_at(point: FittedPoint) -> str:
    """The column of a table of predictions that holds the answers at an operating point."""
    return f"{point.of}_at_{point.name}"


def class_columns(classes: Sequence[str]) -> list[str]:
    """The columns of the classes' probabilities: their names, or behind a prefix where one is a column's own."""
    return [f"{CLASS_PREFIX}{name}" for name in classes] if set(classes) & set(OWN_COLUMNS) else list(classes)


def place_of(path: Path) -> Path:
    """Where a file lies, whatever links lead to its folder: the same for all its paths."""
    return path.parent.resolve() / path.name


def shown(text: str) -> str:
    """A text that a table can hold: control characters and bytes of a name that are no UTF-8 as their escapes."""
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in ("Cc", "Cs") else char for char in text
    )


def named(path: str) -> str:
    """A path as a table holds it: spreadsheets take what starts with = + - or @ for a formula, so that it gets a ./."""
    text = shown(path)
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text


def table_of(
    rows: Sequence[Mapping[str, object]], classes: Sequence[str], points: Sequence[FittedPoint]
) -> pd.DataFrame:
    """A table of predictions, one row per sample; the columns of what is read off them only where one is filled.

    Args:
        rows: Of the samples: `image`, `flags`, `problem`, and what `row_of` and `answers_at` give.
        classes: K names.
        points: The operating points whose answers the rows hold.
    """
    filled = {name for row in rows for name in row}
    read = (name for name in ("grade", *class_columns(classes), *map(column_at, points)) if name in filled)
    return pd.DataFrame(rows, columns=["image", "predicted", *read, FLAGS, "problem"])


def row_of(reading: Reading, number: int, classes: Sequence[str]) -> dict[str, object]:
    """What is read off a sample, by column."""
    predicted = int(reading.predicted[number])
    row: dict[str, object] = {"predicted": "" if reading.multilabel else classes[predicted]}
    if reading.multilabel:
        row["predicted"] = Outcome(list(classes), ordered=False, endpoints={}, multilabel=True).label(predicted)
    if reading.log_probabilities is None:
        return {**row, "grade": round(float(reading.grade[number]), 4)}
    return {**row, **dict(zip(class_columns(classes), np.exp(reading.log_probabilities[number]).round(6)))}
