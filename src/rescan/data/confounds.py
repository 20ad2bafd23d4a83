"""How well a file's metadata alone predict its label: what a model could learn without looking at the image.

Also the agreement of grades, for it and for the audit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

FOLDS = 5
MARGIN = 0.05  # of balanced accuracy and of kappa; above chance by less is no confound worth a warning
REPLICATES = 2000  # of the bootstrap
ENOUGH = 5000  # samples for a tree; more take longer and predict hardly better


def metadata_baseline(samples: pd.DataFrame, classes: list[str], ordered: bool) -> dict[str, Any]:
    """Predict the label from the file's metadata by a random forest, cross-validated by group.

    Args:
        samples: Readable samples with columns label, group, width, height, mode, bytes.
        classes: The labels, of which grades the lowest first.
        ordered: Whether they are grades.

    Returns:
        `balanced_accuracy` with its 95 % interval `low`, `high` (normal approximation, over groups), `chance`, the
        `features` that vary, each with the balanced accuracy that it reaches alone; of grades also `quadratic_kappa`:
        the `value` that the same predictions reach, with its 95 % interval `low`, `high` (percentiles of a bootstrap
        over groups). `warnings`: one if an interval lies more than MARGIN above chance. Only `warnings` if nothing
        varies or a class has a single group.
    """
    features = pd.DataFrame(
        {
            "width": samples["width"],
            "height": samples["height"],
            "aspect": samples["width"] / samples["height"],
            "bytes": samples["bytes"],
            "mode": samples["mode"].astype("category").cat.codes,
        }
    )
    features = features.loc[:, (features != features.iloc[0]).any()]
    codes = samples["label"].map({label: code for code, label in enumerate(classes)}).to_numpy()
    groups = samples["group"].groupby(codes).nunique()
    folds = min(FOLDS, int(groups.min()))
    if features.empty or folds < 2 or len(groups) < 2:
        return {"warnings": []}

    def predictions(columns: list[str]) -> np.ndarray:
        # Stumps of a few samples would learn single files by their size in bytes.
        few = ENOUGH if len(samples) > 2 * ENOUGH else None
        forest = RandomForestClassifier(
            100, min_samples_leaf=5, max_samples=few, class_weight="balanced", random_state=0
        )
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        predicted: np.ndarray = cross_val_predict(forest, features[columns], codes, groups=samples["group"], cv=cut)
        return predicted

    def recalls(predicted: np.ndarray) -> pd.Series[float]:
        return pd.Series(predicted == codes).groupby(codes).mean()

    columns = list(map(str, features))
    predicted, alone = predictions(columns), {name: predictions([name]) for name in columns}
    recall = recalls(predicted)
    value, chance = float(recall.mean()), 1 / len(recall)
    half = 1.96 * float(np.sqrt((recall * (1 - recall) / groups.to_numpy()).sum()) / len(recall))
    found: dict[str, Any] = {
        "balanced_accuracy": value,
        "low": value - half,
        "high": value + half,
        "chance": chance,
        "features": {name: float(recalls(one).mean()) for name, one in alone.items()},
        "warnings": [],
    }
    said = f"file metadata alone ({', '.join(columns)}) predict the label with"
    if value - half > chance + MARGIN:
        found["warnings"] = [f"{said} balanced accuracy {value:.2f}, chance {chance:.2f}"]
    if ordered:
        kappa = found["quadratic_kappa"] = kappa_interval(codes, predicted, samples["group"], len(classes))
        if kappa["low"] > MARGIN:
            found["warnings"] = [
                f"{said} quadratic kappa {kappa['value']:.2f} ({kappa['low']:.2f} to {kappa['high']:.2f}), chance 0"
            ]
    return found


def quadratic_kappa(tables: np.ndarray) -> np.ndarray:
    """Cohen's kappa with quadratic weights of tables of two grades, (..., K, K): (...); NaN if all have one grade."""
    grades = np.arange(tables.shape[-1])
    penalty = (grades[:, None] - grades) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = tables.sum(-1)[..., :, None] * tables.sum(-2)[..., None, :] / tables.sum((-2, -1))[..., None, None]
        kappa: np.ndarray = 1 - (penalty * tables).sum((-2, -1)) / (penalty * expected).sum((-2, -1))
    return kappa


def kappa_interval(codes: np.ndarray, predicted: np.ndarray, groups: pd.Series, count: int) -> dict[str, Any]:
    """Quadratic kappa of two grades, (N,) int in [0, count) each, with its 95 % interval by a bootstrap over groups."""
    members, numbers = pd.factorize(groups)[0], codes * count + predicted
    tables = np.zeros((members.max() + 1, count * count))
    np.add.at(tables, (members, numbers), 1)
    rng, units = np.random.default_rng(0), len(tables)
    draws = (rng.integers(units, size=units) for _ in range(REPLICATES))
    drawn = np.stack([np.bincount(draw, minlength=units) @ tables for draw in draws])
    low, high = np.nanpercentile(quadratic_kappa(drawn.reshape(-1, count, count)), [2.5, 97.5])
    value = quadratic_kappa(tables.sum(0).reshape(count, count))
    return {"value": float(value), "low": float(low), "high": float(high)}
