"""Which test images are shown under their maps, by how the arm reads them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rescan import catalogue
from rescan.errors import RescanError
from rescan.evaluation import predictions
from rescan.evaluation.readings import by_item, read_posttraining
from rescan.heads.multilabel_head import present
from rescan.heads.outputs import HEADS
from rescan.results.map_files import ChosenItem
from rescan.study import Study

RULE = (
    "{ranked} are ranked by {by}. The ranking is cut into as many equal parts as {kind} are shown, and the middle of "
    "each part is shown: neither the best nor the worst."
)
RANKED = {  # whether of several labels: what is ranked
    False: "Of each true class, the right and the wrong test {kind}",
    True: "Of each label, the test {kind} where it is found and those where it is missed",
}
HOW = {  # whether of several labels: whether it is right
    False: {True: "classified right", False: "classified wrong"},
    True: {True: "found", False: "missed"},
}
OF_PATCHES = " Of a sample's {} patches, one is a candidate: the first of the first sample, the second of the second …"
BY_PROBABILITY = {False: "the probability of the predicted class", True: "its probability"}  # whether of several labels
BY_DISTANCE = "how near their grade, which is no whole number, lies to the predicted class"


def test_rows(study: Study, arm: str) -> pd.DataFrame:
    """Read the test predictions of an arm's first run, as the arm reads them.

    Returns:
        One row per item: `item`, `sample`, `group`, `patient`, `target`, `predicted`; `other`, the true class where the
        prediction is wrong, else the runner-up of a head of classes (−1 without such a head); `confidence`, the
        probability of the predicted class; and a `probability_<k>` per class. Where the reading gives no
        probabilities, there are no such columns, and `confidence` is the negative distance between the grade and the
        predicted class. Of several labels see `_of_labels`.

    Raises:
        RescanError: The predictions or the post-training are missing, or there is no test image.
    """
    run = study.runs(arm)[0]
    all_runs = predictions.read(study, arm)
    of_run = (all_runs.rows["fold"] == run.fold) & (all_runs.rows["seed"] == run.seed)
    tested = all_runs.where(of_run & (all_runs.rows["part"] == "test"))
    if tested.rows.empty:
        raise RescanError(f"{run.folder.predictions}: no test images to explain; check the split")
    reading = by_item(read_posttraining(study, arm, all_runs), tested)
    rows = tested.rows[["item", "sample", "group", "patient", "target"]].reset_index(drop=True).fillna({"patient": ""})
    if reading.multilabel and reading.log_probabilities is not None:
        rows = _of_labels(rows, reading.predicted, np.exp(reading.log_probabilities))
        if rows.empty:
            raise RescanError(f"{run.folder.predictions}: no test image has a label to explain; check the split")
        return rows.sort_values(["item", "target"], ignore_index=True)
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
    """What `test_rows` gives of several labels: a row for each label that an image has.

    `target` is the label; `predicted` the same where it is found, else the most probable other one, and `other` the
    one of these two that `predicted` is not; `confidence` is the label's probability, `labels` how many the image has.

    Args:
        rows: (N,) with the labels as targets.
        predicted: (N,) those that are found, as targets.
        probabilities: (N, K) of the labels.
    """
    truths, found = (present(labels, probabilities.shape[1]) for labels in (rows["target"].to_numpy(), predicted))
    image, label = np.nonzero(truths)
    others = probabilities[image]
    own = others[np.arange(len(image)), label]
    others[np.arange(len(image)), label] = -1
    is_found, other = found[image, label], others.argmax(1)
    columns = {f"probability_{number}": values[image] for number, values in enumerate(probabilities.T)}
    return rows.iloc[image].assign(
        target=label,
        predicted=np.where(is_found, label, other),
        other=np.where(is_found, other, label),
        confidence=own,
        labels=truths.sum(1)[image],
        **columns,
    )


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
    """Positions of one row per sample (and label): of the first its first patch, of the second its second."""
    of_sample = rows.groupby(["sample", "target"], sort=False)
    turn = of_sample.ngroup() % of_sample["item"].transform("size")
    return np.flatnonzero(of_sample.cumcount() == turn)


def describe(rows: pd.DataFrame, classes: Sequence[str], head: str) -> list[ChosenItem]:
    """Describe each chosen row: its picture's name, sample, classes and probability.

    Of several labels, a picture is also called after the label's number, for a sample may be shown for each of its own.
    """
    has_probability, several = "probability_0" in rows, catalogue.HEADS[head].of_several
    names = [f"{row.item:06d}" + f"_{row.target}" * several for row in rows.itertuples()]
    return [
        ChosenItem(
            picture=f"images/{name}.png",
            sample=row["sample"],
            true=classes[row["target"]],
            predicted=classes[row["predicted"]],
            other=classes[row["other"]] if HEADS[head].of_classes else "",
            probability=round(float(row["confidence"]), 4) if has_probability else None,
        )
        for name, row in zip(names, rows.to_dict("records"))
    ]
