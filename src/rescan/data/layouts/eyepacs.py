"""The layout of Kaggle's EyePACS 2015: fundus photographs of both eyes of patients, with a grade."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from rescan.data.layouts.folders import top_of
from rescan.data.layouts.graded_images import faults_by_line, read_rows, to_manifest
from rescan.data.readers.tables import raise_all
from rescan.study import Data

NAME = r"^(?P<patient>.+)_(?P<eye>left|right)$"  # of an image


def eyepacs(root: Path, data: Data) -> pd.DataFrame:
    """Read `trainLabels.csv` (`image,level`) and `train/<image>.jpeg`; an image is called `<patient>_<left|right>`.

    All may lie in a single top folder. The lesion mask of an image is `masks/<image>.png`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes; a level is one of them, or its number from 0.

    Returns:
        The manifest, with patient and eye; a sample is named by its image. No part is published.

    Raises:
        RescanError: One line per fault, with the file's line number.
    """
    top = top_of(root, "trainLabels.csv")
    faults: list[str] = []
    samples = read_rows(top, "trainLabels.csv", ("image", "level"), "train", data, faults)
    samples[["patient", "eye"]] = samples["sample"].str.extract(NAME).fillna("")
    unsided = samples.loc[(samples["eye"] == "") & (samples["sample"] != ""), "sample"]
    wrong = {
        line: f"{sample!r} is not <patient>_left or <patient>_right; rename image and file"
        for line, sample in unsided.items()
    }
    faults += faults_by_line(top / "trainLabels.csv", wrong)
    raise_all(faults)
    return to_manifest(root, top, samples)
