"""What limits an arm's scores: groups on both sides of a published split, selection."""

from __future__ import annotations

import pandas as pd

from rescan.study import Best, Study


def linked_groups(rows: pd.DataFrame) -> set[str]:
    """Groups that the training part of any run shares with the test part."""
    return set(rows.loc[rows["part"] == "train", "group"]) & set(rows.loc[rows["part"] == "test", "group"])


def warning_of_links(rows: pd.DataFrame, linked: set[str], *, whole: bool = True) -> list[str]:
    """Warn of test samples with a relative in training, if there are any.

    They are counted as the audit counts copies: the relatives may be anywhere in the published training part, from
    which the validation part is cut. How many have one that is trained on is said beside.

    Args:
        rows: Of all parts.
        linked: Groups that are trained on and tested (`linked_groups`).
        whole: Whether all of the training part is trained on; else only what is left of it is known here.
    """
    tests = rows[rows["part"] == "test"].drop_duplicates("sample")
    trained = int(tests["group"].isin(linked).sum())
    if not trained:
        return []
    related = int(tests["group"].isin(rows.loc[rows["part"] != "test", "group"]).sum()) if whole else trained
    line = (
        f"the published split has groups on both sides: {related} of {len(tests)} test samples "
        f"({related / len(tests):.1%}) have a relative (same patient or near-duplicate) in the "
        f"{'published training part' if whole else 'part that is trained on'}"
    )
    if trained < related:
        line += f", {trained} of them one that is trained on, the others in the validation part only"
    return [f"{line}; test scores may be too good"]


def warning_of_selection(study: Study, arm: str) -> list[str]:
    """Warn of parts that something was chosen by, or fitted on."""
    recipe = study.arms[arm]
    selected = isinstance(recipe.keep, Best) or recipe.early_stopping is not None
    plateau = any(stage.schedule["name"] == "plateau" for stage in recipe.stages.values())
    if recipe.validation == "test":
        use = "and chose the epoch or the learning rate" if selected or plateau else "but nothing was chosen on it"
        return [f"the test part was used for validation {use}: a fault of the published study, repeated on purpose"]
    if recipe.posttrain.fit_on == "train" and recipe.is_fitted and len({run.fold for run in study.runs(arm)}) > 1:
        return [
            "post-training was fitted on the training parts of all folds: out-of-fold scores are fitted, no estimate"
        ]
    if recipe.posttrain.fit_on == "validation" and recipe.is_fitted:
        return ["post-training was fitted on the validation part: its validation scores are fitted, no estimate"]
    if not selected or recipe.ensemble:
        return []
    return ["validation chose the epoch: its scores are selected on, not an estimate of performance"]
