"""How well a file's metadata alone predict its label: what a model could learn without looking at the image."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from rescan.catalogue import KNOWN_COLUMNS
from rescan.metrics.counted import Counts, quadratic_kappa
from rescan.metrics.intervals import score_interval, together
from rescan.results.audit_report import Baseline, Confounds, KappaInterval

FOLDS = 5
TREES = 25  # of a forest; 100 take four times as long and move the score by less than other random numbers do
MARGIN = 0.05  # of balanced accuracy and of kappa; above chance by less is no confound worth a warning
REPLICATES = 2000  # of the bootstrap
ENOUGH = 5000  # samples for a tree; more take longer and predict hardly better
ATTRIBUTES = {
    name: f"the {column.title}" for name, column in KNOWN_COLUMNS.items() if column.of_acquisition
}  # of a scan, not of who is ill


def metadata_baseline(samples: pd.DataFrame, classes: list[str], ordered: bool) -> Confounds:
    """Predict the label from the file's metadata by a random forest, cross-validated by group.

    Args:
        samples: Readable samples with columns label, group, width, height, mode, bytes and, if known, depth and fov.
        classes: The labels, of which grades the lowest first.
        ordered: Whether they are grades.

    Returns:
        The scores of the features that vary. The interval of the balanced accuracy is a normal approximation over
        groups, that of the quadratic kappa the percentiles of a bootstrap over groups. There is a warning if an
        interval lies more than MARGIN above chance. Only `warnings` if nothing varies or a class has a single group.
    """
    features = pd.DataFrame(
        {
            "width": samples["width"],
            "height": samples["height"],
            "depth": samples.get("depth", 0),
            "aspect": samples["width"] / samples["height"],
            "bytes": samples["bytes"],
            "mode": _category(samples, "mode"),
            "fov": _category(samples, "fov"),
        }
    )
    features = features.loc[:, (features != features.iloc[0]).any()]
    codes = _codes(samples, classes)
    if features.empty or not _can_be_predicted(samples):
        return Confounds(warnings=[])
    columns = list(map(str, features))
    cuts = _cuts(codes, samples["group"])
    predicted = _predictions(features, codes, cuts)
    baseline = _balanced_accuracy(predicted, codes, samples["group"])
    alone = {
        name: _balanced_accuracy(_predictions(features[[name]], codes, cuts), codes, samples["group"]).balanced_accuracy
        for name in columns
    }
    scores, warnings = {**dict(baseline), "features": alone}, []
    prefix = f"file metadata alone ({', '.join(columns)}) predict the label with"
    if baseline.low > baseline.chance + MARGIN:
        warnings = [f"{prefix} balanced accuracy {baseline.balanced_accuracy:.2f}, chance {baseline.chance:.2f}"]
    if not ordered:
        return Confounds(**scores, warnings=warnings)
    kappa = kappa_interval(codes, predicted, samples["group"], len(classes))
    if kappa.low > MARGIN:
        warnings = [f"{prefix} quadratic kappa {kappa.value:.2f} ({kappa.low:.2f} to {kappa.high:.2f}), chance 0"]
    return Confounds(**scores, warnings=warnings, quadratic_kappa=kappa)


def attribute_baselines(samples: pd.DataFrame, classes: list[str]) -> dict[str, Baseline]:
    """Predict the label from each of ATTRIBUTES alone, as `metadata_baseline` does.

    Args:
        samples: Readable samples with columns label, group and, if known, the attributes.
        classes: The labels.

    Returns:
        The scores of each attribute that varies; none if a class has a single group.
    """
    attributes = {name: _category(samples, name).to_frame() for name in ATTRIBUTES}
    varying = {name: attribute for name, attribute in attributes.items() if attribute.to_numpy().any()}
    if not varying or not _can_be_predicted(samples):
        return {}
    codes = _codes(samples, classes)
    cuts = _cuts(codes, samples["group"])
    return {
        name: _balanced_accuracy(_predictions(attribute, codes, cuts), codes, samples["group"])
        for name, attribute in varying.items()
    }


def attribute_warnings(baselines: dict[str, Baseline]) -> list[str]:
    """A warning for each attribute that predicts the label: its interval lies more than MARGIN above chance."""
    return [
        f"{ATTRIBUTES[name]} alone predicts the label with balanced accuracy {baseline.balanced_accuracy:.2f} "
        f"({baseline.low:.2f} to {baseline.high:.2f}), chance {baseline.chance:.2f}"
        for name, baseline in baselines.items()
        if baseline.low > baseline.chance + MARGIN
    ]


def _codes(samples: pd.DataFrame, classes: list[str]) -> np.ndarray:
    return samples["label"].map({label: code for code, label in enumerate(classes)}).to_numpy()


def _category(samples: pd.DataFrame, name: str) -> pd.Series[int]:
    """The number, from 0, of each sample's value of a column; 0 for all if there is no such column."""
    return samples[name].astype("category").cat.codes if name in samples else pd.Series(0, samples.index)


def _can_be_predicted(samples: pd.DataFrame) -> bool:
    groups = samples.groupby("label")["group"].nunique()
    return len(groups) > 1 and groups.min() > 1


def _cuts(codes: np.ndarray, groups: pd.Series[str]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The indices to learn from and to predict of each fold; with many groups slower than training a forest."""
    folds = min(FOLDS, int(groups.groupby(codes).nunique().min()))
    cut = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    return list(cut.split(codes, codes, groups))


def _predictions(features: pd.DataFrame, codes: np.ndarray, cuts: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """Predicted codes, (N,) int, by a random forest, cross-validated by group."""
    # Stumps of a few samples would learn single files by their size in bytes.
    few = ENOUGH if len(codes) > 2 * ENOUGH else None
    forest = RandomForestClassifier(TREES, min_samples_leaf=5, max_samples=few, class_weight="balanced", random_state=0)
    predicted: np.ndarray = cross_val_predict(forest, features, codes, cv=cuts)
    return predicted


def _balanced_accuracy(predicted: np.ndarray, codes: np.ndarray, groups: pd.Series[str]) -> Baseline:
    recall = pd.Series(predicted == codes).groupby(codes).mean()
    units = groups.groupby(codes).nunique().to_numpy()
    value = float(recall.mean())
    variance = float((recall * (1 - recall) / units).sum()) / len(recall) ** 2
    behind = together(units.tolist(), float(groups.nunique()))
    low, high = score_interval(np.array([value]), variance, behind, 0, 1)
    return Baseline(balanced_accuracy=value, low=low, high=high, chance=1 / len(recall))


def kappa_interval(codes: np.ndarray, predicted: np.ndarray, groups: pd.Series, count: int) -> KappaInterval:
    """Quadratic kappa of two grades, (N,) int in [0, count) each, with its 95 % interval by a bootstrap over groups."""
    members, numbers = pd.factorize(groups)[0], codes * count + predicted
    tables = np.zeros((members.max() + 1, count * count))
    np.add.at(tables, (members, numbers), 1)
    rng, units = np.random.default_rng(0), len(tables)
    draws = (rng.integers(units, size=units) for _ in range(REPLICATES))
    drawn = np.stack([np.bincount(draw, minlength=units) @ tables for draw in draws])
    replicates = quadratic_kappa(Counts.of(drawn.reshape(-1, count, count)))
    defined = replicates[~np.isnan(replicates)]
    variance = float(defined.var()) if defined.size else 0.0
    value = float(quadratic_kappa(Counts.of(tables.sum(0).reshape(count, count))))
    of_grades = groups.groupby(codes).nunique().to_list()
    low, high = score_interval(np.array([value]), variance, together(of_grades, float(units)), -1, 1)
    return KappaInterval(value=value, low=low, high=high)
