"""Scores of subgroups: by sex, age, eye, how and where the image was taken, as far as the manifest has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rescan.evaluation.readings import Reading
from rescan.evaluation.scoring import of_part, score
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.agreement import read_manifest
from rescan.results.metrics_file import Scores
from rescan.results.parts import EXTRA, UNLABELED
from rescan.study import Study

COLUMNS = ("sex", "age", "eye", "fov", "view", "body_part", "site", "device")
MOST = 12  # values of a column: one with more values tells single samples apart rather than groups
METRICS = ("accuracy", "balanced_accuracy", "kappa", "sensitivity", "specificity", "auroc")


def columns_of_groups(study: Study) -> pd.DataFrame:
    """Those of COLUMNS that divide the study's labeled samples into at least two groups.

    Returns:
        By sample, as categories: their order is that of the groups. Age is in three bands of about as many
        samples each. Missing values are in no category.
    """
    if not Path(Paths(study.scale, study.name).manifest).is_file():
        return pd.DataFrame()
    manifest = read_manifest(study).set_index("sample")
    labeled = manifest[~manifest["published_part"].isin([UNLABELED, EXTRA])]
    columns = {}
    for name in dict.fromkeys([*COLUMNS, *filter(None, [study.split.held_out_column])]):
        if name not in labeled:
            continue
        banded = name == "age" and name != study.split.held_out_column
        groups = age_bands(labeled[name]) if banded else _groups(labeled[name])
        if len(groups.cat.categories) > MOST and name != study.split.held_out_column:
            logger.info("%s: %s has %d values: no subgroups", study.name, name, len(groups.cat.categories))
        elif len(groups.cat.categories) > 1:
            columns[name] = groups
    return pd.DataFrame(columns, labeled.index)


def _groups(values: pd.Series[str]) -> pd.Series[Any]:
    values = values.where(values != "")
    return values.astype(pd.CategoricalDtype(sorted(values.dropna().unique())))


def age_bands(ages: pd.Series[Any]) -> pd.Series[Any]:
    """Cut ages at their terciles; the bands are named by the ages in them, such as "≤ 41", "42–58", "≥ 59"."""
    years = pd.to_numeric(ages, errors="coerce")
    if years.notna().sum() < 2:
        return pd.Series(np.nan, ages.index).astype(pd.CategoricalDtype([]))
    band = np.searchsorted(np.nanquantile(years, [1 / 3, 2 / 3]), years)
    names = {}
    for number in range(3):
        own = years[(band == number) & years.notna()]
        if len(own):
            low, high = f"{own.min():g}", f"{own.max():g}"
            middle = low if low == high else f"{low}–{high}"
            names[number] = (f"≤ {high}", middle, f"≥ {low}")[number]
    bands = pd.Series(band, ages.index).map(names).where(years.notna())
    return bands.astype(pd.CategoricalDtype(list(names.values())))


def subgroups(
    study: Study, reading: Reading, part: str, unit: str, level: str = "image"
) -> dict[str, dict[str, Scores]]:
    """Scores of a part's subgroups.

    Args:
        study: The study.
        reading: By sample, or study, all runs.
        part: test, or out_of_fold.
        unit: The column of what is resampled together.
        level: What a row of `reading` stands for.

    Returns:
        The scores by column and value, without metrics that are undefined for want of a class.
    """
    rows, columns = of_part(reading, part), columns_of_groups(study)
    if rows.rows.empty:
        return {}
    names = [*dict.fromkeys([study.metric, *METRICS])]
    scores: dict[str, dict[str, Scores]] = {}
    for name in map(str, columns):
        values = rows.rows["sample"].map(columns[name].astype(object))
        for value in columns[name].cat.categories:
            own = rows.where(values == value)
            if not own.rows.empty:
                # all of a value that folds are made by are read by the same networks, which rank them
                pooled = part == "out_of_fold" and name != study.split.held_out_column
                scored = score(own, level, unit, names, study.data.classes, study.positive, pooled=pooled)
                one_class = len(set(own.rows["target"])) == 1
                scores.setdefault(name, {})[value] = _defined(scored.scores, one_class=one_class)
    return {name: values for name, values in scores.items() if len(values) > 1}


def _defined(scores: Scores, *, one_class: bool) -> Scores:
    """The scores without undefined metrics; without kappa where there is one class: no agreement is by chance."""
    metrics = {
        name: estimate
        for name, estimate in scores.metrics.items()
        if estimate.value is not None and not (one_class and name == "kappa")
    }
    return scores.model_copy(update={"metrics": metrics})
