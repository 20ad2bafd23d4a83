"""How well a file's metadata alone predict its label: what a model could learn without looking at the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

FOLDS = 5
MARGIN = 0.05  # of balanced accuracy; above chance by less is no confound worth a warning


def metadata_baseline(samples: pd.DataFrame) -> dict[str, Any]:
    """Predict the label from the file's metadata by a random forest, cross-validated by group.

    Args:
        samples: Readable samples with columns label, group, width, height, mode, bytes.

    Returns:
        `balanced_accuracy` with its 95 % interval `low`, `high` (normal approximation, over groups), `chance`, the
        `features` that vary, each with the balanced accuracy that it reaches alone, and `warnings`: one if the interval
        lies more than MARGIN above chance. Only `warnings` if nothing varies or a class has a single group.
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
    codes = samples["label"].astype("category").cat.codes.to_numpy()  # scikit-learn takes "0" for 0
    groups = samples.groupby("label")["group"].nunique()
    folds = min(FOLDS, int(groups.min()))
    if features.empty or folds < 2 or len(groups) < 2:
        return {"warnings": []}

    def recalls(columns: list[str]) -> pd.Series:
        # Stumps of a few samples would learn single files by their size in bytes.
        forest = RandomForestClassifier(100, min_samples_leaf=5, class_weight="balanced", random_state=0)
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
        predicted = cross_val_predict(forest, features[columns], codes, groups=samples["group"], cv=cut)
        return pd.Series(predicted == codes).groupby(codes).mean()

    columns = list(map(str, features))
    recall = recalls(columns)
    value, chance = float(recall.mean()), 1 / len(recall)
    half = 1.96 * float(np.sqrt((recall * (1 - recall) / groups.to_numpy()).sum()) / len(recall))
    said = (
        f"file metadata alone ({', '.join(columns)}) predict the label with balanced accuracy {value:.2f}, "
        f"chance {chance:.2f}"
    )
    return {
        "balanced_accuracy": value,
        "low": value - half,
        "high": value + half,
        "chance": chance,
        "features": {name: float(recalls([name]).mean()) for name in columns},
        "warnings": [said] if value - half > chance + MARGIN else [],
    }
