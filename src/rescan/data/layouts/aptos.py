"""The layout of Kaggle's APTOS 2019: fundus photographs with a grade, and some without."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rescan.data.layouts.folders import top_of
from rescan.data.layouts.graded_images import faults_by_line, read_rows, to_manifest
from rescan.data.readers.tables import raise_all
from rescan.results.parts import UNLABELED
from rescan.study import Data


def aptos(root: Path, data: Data) -> pd.DataFrame:
    """Read `train.csv` (`id_code,diagnosis`) and `train_images/<id_code>.png`.

    Where there is a `test.csv` (`id_code`), its `test_images/<id_code>.png` are samples without a label. All may lie in
    a single top folder. The lesion mask of an image is `masks/<id_code>.png`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes; a diagnosis is one of them, or its number from 0.

    Returns:
        The manifest; a sample is named by its id_code. No part is published.

    Raises:
        RescanError: One line per fault, with the file's line number.
    """
    top = top_of(root, "train.csv")
    faults: list[str] = []
    samples = read_rows(top, "train.csv", ("id_code", "diagnosis"), "train_images", data, faults)
    samples["published_part"] = ""
    if (top / "test.csv").is_file():
        unlabeled = read_rows(top, "test.csv", ("id_code",), "test_images", data, faults)
        in_both = unlabeled.loc[unlabeled["sample"].isin(samples["sample"]), "sample"]
        wrong = {line: f"{sample!r} is in train.csv too; take it out of one" for line, sample in in_both.items()}
        faults += faults_by_line(top / "test.csv", wrong)
        samples = pd.concat([samples, unlabeled.assign(published_part=UNLABELED)])
    raise_all(faults)
    return to_manifest(root, top, samples)
