"""Which items of a store a run uses, by the splits: the same for the training, the predictions and who reads these."""

from __future__ import annotations

import pandas as pd

from rescan.data.split import training_samples
from rescan.results.parts import EXTRA, LEFT_OUT
from rescan.study import AnyRun


def items_of(run: AnyRun, splits: pd.DataFrame, store_items: pd.DataFrame) -> pd.DataFrame:
    """The items of a run, in the order of the store.

    Samples that the split or the arm leaves out, extras that it does not use, and samples that the store lacks, are not
    among them. Where the arm validates on the test part, there is no validation part: it is trained on. Of an external
    data set there are parts external and unlabeled only.

    Args:
        run: The run; its seed draws the samples of a `size_matched` arm.
        splits: As of `read_splits`.
        store_items: The columns of items.csv that are wanted, `item` and `sample` at least.

    Returns:
        These columns; those of splits.csv; and `target` (see `Outcome.target`).

    Raises:
        RescanError: A class has no training sample left.
    """
    outcome = run.study.data.outcome
    rows = splits[(splits["fold"] == run.fold) & (splits["part"] != LEFT_OUT)]
    if not run.study.home:
        training = training_samples(splits, run.fold, run.training_samples, run.seed, outcome)
        rows = rows[(rows["part"] != "train") | rows["sample"].isin(training)]
        rows = rows[(rows["part"] != EXTRA) | rows["origin"].isin(run.extras)]
        if run.validates_on_test:
            rows = rows.assign(part=rows["part"].replace("validation", "train"))
    items = store_items.merge(rows, on="sample").sort_values("item", ignore_index=True)
    items["target"] = items["label"].map(outcome.target).astype("int64")
    return items
