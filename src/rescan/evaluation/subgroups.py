"""What is known of the samples beside their images (sex, age, eye, field of view, site, device), and scores by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from rescan.data.layouts.reading import EXTRA, UNLABELED
from rescan.evaluation.predictions import Reading
from rescan.evaluation.scoring import of_part, scores
from rescan.files import read_table
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Study

COLUMNS = ("sex", "age", "eye", "fov", "body_part", "site", "device")
MOST = 12  # values of a column; one with more tells single samples apart rather than groups of them
METRICS = ("accuracy", "balanced_accuracy", "kappa", "sensitivity", "specificity", "auroc")


def known(study: Study) -> pd.DataFrame:
    """Those of COLUMNS that part the study's labeled samples into at least two groups.

    Returns:
        By sample, as categories: their order is that of the groups. Age is in three bands of about as many
        samples each. What is missing is in no category.
    """
    path = Path(Paths(study.scale, study.name).manifest)
    if not path.is_file():
        return pd.DataFrame()
    manifest = read_table(path).set_index("sample")
    labeled = manifest[~manifest["published_part"].isin([UNLABELED, EXTRA])]
    found = {}
    for name in COLUMNS:
        if name not in labeled:
            continue
        groups = age_bands(labeled[name]) if name == "age" else _groups(labeled[name])
        if len(groups.cat.categories) > MOST:
            logger.info("%s: %s has %d values: no subgroups", study.name, name, len(groups.cat.categories))
        elif len(groups.cat.categories) > 1:
            found[name] = groups
    return pd.DataFrame(found, labeled.index)


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
    named = pd.Series(band, ages.index).map(names).where(years.notna())
    return named.astype(pd.CategoricalDtype(list(names.values())))


def subgroups(study: Study, images: Reading, part: str, unit: str, level: str = "image") -> dict[str, Any]:
    """Scores of a part's subgroups.

    Args:
        study: The study.
        images: By sample, or study, all runs.
        part: test, or out_of_fold.
        unit: The column of what is resampled together.
        level: What a row of `images` stands for.

    Returns:
        `{column: {value: {"n", "groups", "metrics"}}}`, without metrics that are undefined for want of a class.
    """
    seen, columns = of_part(images, part), known(study)
    if seen.rows.empty:
        return {}
    classes = study.data.classes
    names = [*dict.fromkeys([study.metric, *METRICS])]
    found: dict[str, Any] = {}
    for name in map(str, columns):
        values = seen.rows["sample"].map(columns[name].astype(object))
        for value in columns[name].cat.categories:
            own = seen.where(values == value)
            if not own.rows.empty:
                entry, _, _ = scores(own, level, unit, names, classes, study.positive, pooled=part == "out_of_fold")
                one_class = len(set(own.rows["target"])) == 1  # then no agreement is by chance or not
                defined = {
                    metric: of
                    for metric, of in entry["metrics"].items()
                    if of["value"] is not None and not (one_class and metric == "kappa")
                }
                found.setdefault(name, {})[value] = {"n": entry["n"], "groups": entry["groups"], "metrics": defined}
    return {name: values for name, values in found.items() if len(values) > 1}
