"""From readings by sample to readings by eye, study and patient."""

from __future__ import annotations

import numpy as np

from rescan.evaluation.readings import Reading
from rescan.study import Outcome

# What a row stands for at each level, the finest first. Items are numbered by their store: other arms number otherwise.
LEVELS = {
    "patch": ["item"],
    "image": ["sample"],
    "eye": ["patient", "eye"],
    "study": ["patient", "study"],
    "patient": ["patient"],
}
RULES = {"majority": False, "consistent": True}  # whether only units count whose samples all have one label


ByLevel = dict[str, Reading]
ByRule = dict[str, dict[str, Reading]]  # by level and rule


def coarser_levels(outcome: Outcome, images: Reading) -> tuple[ByLevel, ByRule, list[str]]:
    """Read eyes, studies and patients, where these are known and differ from the samples.

    Args:
        outcome: What is predicted.
        images: By sample; the patients are known.

    Returns:
        The readings by level; those by RULES, by level and rule, of studies and patients with several images (of
        grades there is one rule); and warnings about labels that tie.
    """
    classes, ordered = len(outcome.classes), outcome.ordered
    one = images.rows.drop_duplicates("sample")
    levels: ByLevel = {}
    by_rule: ByRule = {}
    warnings: list[str] = []
    for level in ("eye", "study", "patient"):
        if level != "patient" and not ((one[level] != "").all() and one.duplicated(["patient", level]).any()):
            continue
        levels[level], ties = by_unit(images, level, classes, ordered=ordered)
        warnings += [f"{part} by {level}: {n} left out, whose labels tie" for part, n in ties.items()]
        if not ordered and level != "eye" and one.duplicated(LEVELS[level]).any():
            by_rule[level] = {
                rule: by_unit(images, level, classes, ordered=False, majority=True, consistent=consistent)[0]
                for rule, consistent in RULES.items()
            }
    return levels, by_rule, warnings


def by_unit(
    reading: Reading, unit: str, classes: int, *, ordered: bool, majority: bool = False, consistent: bool = False
) -> tuple[Reading, dict[str, int]]:
    """Read eyes, studies or patients off their samples.

    Of grades, the highest counts, in truth and in prediction: a patient is as ill as the worse eye. Else the truth is
    the majority of the samples' labels, and the prediction the most probable class by their mean probability, or what
    that is at the operating point that tells two classes apart.

    Args:
        reading: Of samples.
        unit: `eye` or `study` (each patient's) or `patient`.
        classes: K.
        ordered: Whether the classes are grades.
        majority: Of classes without an order: predict what most samples are predicted to be; of those that tie, the
            most probable by the mean probability.
        consistent: Only units whose samples all have one label.

    Returns:
        One row per unit, part and run, and the number of units left out of each part because their labels tie.
    """
    rows = reading.rows
    keys = ["part", "fold", "seed", *LEVELS[unit]]
    numbers = rows.groupby(keys, sort=False).ngroup().to_numpy()
    first = np.unique(numbers, return_index=True)[1]
    target = rows["target"].to_numpy(np.intp)
    if ordered:
        highest = np.full((3, len(first)), -np.inf)
        for place, values in enumerate((target, reading.predicted, reading.grade)):
            np.maximum.at(highest[place], numbers, values)
        units = rows.iloc[first].assign(target=highest[0].astype(int))
        return Reading(units, highest[1].astype(np.intp), highest[2], None), {}
    if reading.log_probabilities is None:
        raise ValueError("classes without an order are read from probabilities")
    counts, sums = np.zeros((len(first), classes)), np.zeros((len(first), classes))
    np.add.at(counts, (numbers, target), 1)
    np.add.at(sums, numbers, np.exp(reading.log_probabilities))
    tied = (counts == counts.max(1, keepdims=True)).sum(1) > 1
    units = rows.iloc[first].assign(target=counts.argmax(1))
    ties = units[tied].drop_duplicates(["part", *LEVELS[unit]]).groupby("part").size().to_dict()
    mean = np.maximum(sums / counts.sum(1, keepdims=True), np.finfo(float).tiny)
    predicted = mean.argmax(1)
    if reading.lowest is not None:
        lowest = reading.lowest[first]
        predicted = np.where(np.isnan(lowest), predicted, mean[:, 1] >= lowest)
    if majority:
        votes = np.zeros_like(counts)
        np.add.at(votes, (numbers, reading.predicted), 1)
        mean_rule = np.eye(classes)[predicted] if reading.lowest is not None else mean
        predicted = np.where(votes == votes.max(1, keepdims=True), mean_rule, 0).argmax(1)
    by_unit = Reading(units, predicted, mean @ np.arange(classes), np.log(mean))
    return by_unit.where(~tied & (counts.max(1) == counts.sum(1) if consistent else True)), ties
