"""Which test images are shown under their maps, by how the arm reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.readings import by_item, read_posttraining
from rescan.heads.multilabel_head import present
from rescan.heads.outputs import HEADS
from rescan.results.map_files import ChosenItem
from rescan.study import Study

RULE = (
    "Of each true class, the right and the wrong test {kind} are ranked by {by}. "
    "The ranking is cut into as many equal parts as {kind} are shown, and the middle of each part is shown: "
    "neither the best nor the worst."
)
OF_LABELS = (
    " An image stands for the rarest label that it has, and is right where this is found; images without a label are "
    "not shown. Where it is missed, the first map is of the most probable other label."
)
HOW = {  # whether of several labels: whether it is right
    False: {True: "classified right", False: "classified wrong"},
    True: {True: "found", False: "missed"},
}
OF_PATCHES = " Of a sample's {} patches, one is a candidate: the first of the first sample, the second of the second …"
BY_PROBABILITY = "the probability of the predicted class"
BY_DISTANCE = "how near their grade, which is no whole number, lies to the predicted class"


def test_rows(study: Study, arm: str) -> pd.DataFrame:
    """Read the test predictions of an arm's first run, as the arm reads them.

    Returns:
        One row per item: `item`, `sample`, `group`, `patient`, `target`, `predicted`; `other`, the true class where the
        prediction is wrong, else the runner-up of a head of classes (−1 without such a head); `confidence`, the
        probability of the predicted class; and a `probability_<k>` per class. Where the reading gives no
        probabilities, there are no such columns, and `confidence` is the negative distance between the grade and the
        predicted class.

    Raises:
        RescanError: The predictions or the post-training are missing, or there is no test image.
    """
    run = study.runs(arm)[0]
    all_runs = predictions.read(study, arm)
    of_run = (all_runs.rows["fold"] == run.fold) & (all_runs.rows["seed"] == run.seed)
    tested = all_runs.where(of_run & (all_runs.rows["part"] == "test"))
    if tested.rows.empty:
        raise RescanError(f"{run.folder.predictions}: no test images to explain; check the split")
    reading = by_item(read_posttraining(study, arm), tested)
    rows = tested.rows[["item", "sample", "group", "patient", "target"]].reset_index(drop=True).fillna({"patient": ""})
    if reading.multilabel and reading.log_probabilities is not None:
        rows = _of_labels(rows, reading.predicted, np.exp(reading.log_probabilities))
        if rows.empty:
            raise RescanError(f"{run.folder.predictions}: no test image has a label to explain; check the split")
        return rows.sort_values("item", ignore_index=True)
    predicted = reading.predicted
    rows = rows.assign(predicted=predicted, other=-1, confidence=-np.abs(reading.grade - predicted))
    if "classification" in tested.outputs:
        ranked = np.argsort(-tested.outputs["classification"], axis=1, kind="stable")
        rows["other"] = np.where(ranked[:, 0] == predicted, ranked[:, 1], ranked[:, 0])
    elif "binary" in tested.outputs:
        rows["other"] = 1 - predicted
    rows["other"] = rows["other"].where(rows["predicted"] == rows["target"], rows["target"])
    if reading.log_probabilities is not None:
        probabilities = np.exp(reading.log_probabilities)
        rows["confidence"] = np.take_along_axis(probabilities, predicted[:, None], axis=1)
        rows = rows.join(
            pd.DataFrame(probabilities, columns=[f"probability_{k}" for k in range(probabilities.shape[1])])
        )
    return rows.sort_values("item", ignore_index=True)


def _of_labels(rows: pd.DataFrame, predicted: NDArray[np.integer], probabilities: NDArray[np.floating]) -> pd.DataFrame:
    """What `test_rows` gives of several labels: of each image that has one, its rarest.

    Args:
        rows: (N,) with the labels as targets.
        predicted: (N,) those that are found, as targets.
        probabilities: (N, K) of the labels.
    """
    truths, found = (present(labels, probabilities.shape[1]) for labels in (rows["target"].to_numpy(), predicted))
    index = np.arange(len(rows))
    rarest = np.where(truths, truths.sum(0), len(rows) + 1).argmin(1)
    others = probabilities.copy()
    others[index, rarest] = -1
    other, is_found = others.argmax(1), found[index, rarest]
    first = np.where(is_found, rarest, other)
    columns = {f"probability_{number}": values for number, values in enumerate(probabilities.T)}
    rows = rows.assign(
        target=rarest,
        predicted=first,
        other=np.where(is_found, other, rarest),
        confidence=probabilities[index, first],
        **columns,
    )
    return rows.iloc[np.flatnonzero(truths.any(1))]


def choose(
    target: NDArray[np.integer], predicted: NDArray[np.integer], confidence: NDArray[np.floating], n: int
) -> list[int]:
    """Choose up to `n` right and `n` wrong images of each true class, by RULE.

    Args:
        target: (N,) true classes.
        predicted: (N,) predicted classes.
        confidence: (N,) what right and wrong images are ranked by; ties go by position.
        n: Images of each kind.

    Returns:
        Positions, by class, right ones first, most confident first.
    """
    positions: list[int] = []
    for label in np.unique(target):
        for right in (True, False):
            candidates = np.flatnonzero((target == label) & ((predicted == target) == right))
            ranked = candidates[np.argsort(-confidence[candidates], kind="stable")]
            count = min(n, len(ranked))
            positions += [int(ranked[int((place + 0.5) * len(ranked) / count)]) for place in range(count)]
    return positions


def one_per_sample(rows: pd.DataFrame) -> NDArray[np.intp]:
    """Positions of one row per sample: of the first sample its first patch, of the second its second, and so on."""
    of_sample = rows.groupby("sample", sort=False)
    turn = of_sample.ngroup() % of_sample["item"].transform("size")
    return np.flatnonzero(of_sample.cumcount() == turn)


def describe(rows: pd.DataFrame, classes: Sequence[str], head: str) -> list[ChosenItem]:
    """Describe each chosen row: its picture's name, sample, classes and probability."""
    has_probability = "probability_0" in rows
    return [
        ChosenItem(
            picture=f"images/{row['item']:06d}.png",
            sample=row["sample"],
            true=classes[row["target"]],
            predicted=classes[row["predicted"]],
            other=classes[row["other"]] if HEADS[head].of_classes else "",
            probability=round(float(row["confidence"]), 4) if has_probability else None,
        )
        for row in rows.to_dict("records")
    ]
