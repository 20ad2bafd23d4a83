"""What `predict` says of patients, from the rows of their images."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rescan.arm_rows import NO, YES, class_columns, column_at
from rescan.evaluation.levels import by_unit
from rescan.evaluation.readings import Reading
from rescan.heads.head import TINY
from rescan.results.posttraining import FittedPoint


def answers_of_patients(
    table: pd.DataFrame, classes: list[str], points: list[FittedPoint], *, ordered: bool
) -> dict[str, list[str]]:
    """The answers of the patients at operating points, by column, in the order of `by_patient`.

    As the evaluation reads them (`evaluation.answers.answers_by_level`): of grades yes, if that of one image is; else
    by the mean probability. "" at a point without a threshold, and of one of several grades.
    """
    columns = {}
    for point in points:
        name, lowest = column_at(point), point.threshold.whole
        of_patients = table.groupby("patient", sort=False)
        one_of_grades = ordered and point.kind != "endpoint" and len(classes) > 2
        if lowest is None or one_of_grades or table[name].eq("").all():
            columns[name] = [""] * of_patients.ngroups
        elif ordered:
            columns[name] = [YES if YES in set(own) else NO for _, own in of_patients[name]]
        else:
            means = of_patients[class_columns(classes)[point.number]].mean()
            columns[name] = [YES if mean >= lowest else NO for mean in means]
    return columns


def by_patient(table: pd.DataFrame, classes: list[str], lowest: float | None = None, *, ordered: bool) -> pd.DataFrame:
    """One row per patient, from the images' rows, as the evaluation reads them.

    Args:
        table: The images' rows.
        classes: K names.
        lowest: The threshold of the operating point that tells two classes apart, if one does.
        ordered: Whether the classes are grades.
    """
    graded = "grade" in table
    predicted = table["predicted"].map(classes.index).to_numpy(np.intp)
    grade = table["grade"].to_numpy(float) if graded else predicted.astype(float)
    probabilities = None if graded else np.log(table[class_columns(classes)].to_numpy(float).clip(TINY))
    rows = pd.DataFrame({"part": "new", "fold": 0, "seed": 0, "patient": table["patient"], "eye": "", "target": 0})
    at_point = None if lowest is None else np.full(len(table), lowest)
    reading = Reading(rows.reset_index(drop=True), predicted, grade, probabilities, lowest=at_point)
    units, _ = by_unit(reading, "patient", len(classes), ordered=ordered, majority=True)
    names = units.rows["patient"].to_numpy()
    patients = pd.DataFrame({"patient": names, "images": table.groupby("patient").size()[names].to_numpy()})
    patients["predicted"] = [classes[number] for number in units.predicted]
    if units.log_probabilities is None:
        return patients.assign(grade=units.grade.round(4)) if graded else patients
    mean = np.exp(units.log_probabilities)
    by_mean = mean.argmax(1) if lowest is None else (mean[:, 1] >= lowest).astype(int)
    patients["by_mean_probability"] = [classes[number] for number in by_mean]
    return patients.assign(**dict(zip(class_columns(classes), mean.round(6).T)))
