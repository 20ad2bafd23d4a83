"""What the layouts of Kaggle's fundus photographs share: a table of image names and grades beside a folder of images.

A row without its image is an error; an image without a row is left out with a warning, as is a row that repeats an
earlier one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from unicodedata import normalize

import pandas as pd

from rescan.data.layouts.folders import COLUMNS, is_sample, stem_of
from rescan.data.readers.images import SUFFIXES
from rescan.data.readers.tables import first_faults, grades, label_faults, pick, read_table
from rescan.log import logger
from rescan.study import Data
from rescan.walk import entries_of


def read_rows(top: Path, file: str, columns: Sequence[str], folder: str, data: Data, faults: list[str]) -> pd.DataFrame:
    """Read a table of names and, if it has a second column, grades.

    Args:
        top: The folder that holds the table and the folder of images.
        file: The table's name.
        columns: Its columns.
        folder: The name of the folder of images.
        data: For the classes.
        faults: What is wrong is added.

    Returns:
        The rows that repeat no earlier one: `sample`, `path` (relative to top), `label`. The index is the line.
    """
    path = top / file
    remedy = f"this layout expects {file} ({','.join(columns)}) and {folder}/<{columns[0]}>.png"
    spellings = {name: (column,) for name, column in zip(("sample", "label"), columns)}
    rows = pick(path, read_table(path, remedy, columns), spellings)
    if "label" in rows:
        rows["label"] = grades(rows["label"], data)
        faults += label_faults(path, rows["label"], data)
    rows["label"] = rows.get("label", "")
    images = _images(top / folder, faults)
    rows["path"] = rows["sample"].map(images)

    with_name = rows[rows["sample"] != ""]
    first = with_name.reset_index(names="line").drop_duplicates("sample").set_index("sample")
    repeated = with_name[with_name["sample"].duplicated()]
    contradicting = repeated[repeated["label"] != repeated["sample"].map(first["label"])]
    wrong = dict.fromkeys(rows.index.difference(with_name.index), f"no {columns[0]}; fill it in")
    for line, sample in with_name.loc[with_name["path"].isna() & bool(images), "sample"].items():
        wrong[line] = f"no image {sample!r} in {folder}; add the file, or take out the row"
    for line, sample in contradicting["sample"].items():
        wrong[line] = f"{sample!r} is in line {first['line'][sample]} too, with another {columns[-1]}; keep one of them"
    faults += faults_by_line(path, wrong)
    if len(repeated) > len(contradicting):
        same = repeated.index.difference(contradicting.index)
        logger.warning("%s: %d rows repeat an earlier one and are left out, such as line %d", path, len(same), same[0])
    unused = sorted(set(images) - set(rows["sample"]))
    if unused:
        some = ", ".join(images[name] for name in unused[:3])
        logger.warning("%s: %d images have no row in it and are left out, such as %s", path, len(unused), some)
    return rows[~rows["sample"].duplicated()]


def faults_by_line(file: Path, wrong: Mapping[Any, str]) -> list[str]:
    """The faults of a file's lines, by number, as messages."""
    return first_faults(file, [f"{file}: line {line}: {fault}" for line, fault in sorted(wrong.items())])


def to_manifest(root: Path, top: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """A manifest of samples whose paths are relative to `top`, with the lesion masks `masks/<sample>.png`."""
    above = "" if top == root else f"{top.name}/"
    masks = {file.stem for file in (top / "masks").glob("*.png")}
    mask = [f"{above}masks/{sample}.png" if sample in masks else "" for sample in samples["sample"]]
    samples = samples.assign(path=above + samples["path"], mask=mask)
    manifest: pd.DataFrame = samples.reindex(columns=COLUMNS, fill_value="")
    return manifest


def _images(folder: Path, faults: list[str]) -> dict[str, str]:
    """Each image of a folder by its name without suffix: the path from the folder above."""
    if not folder.is_dir():
        faults.append(f"{folder}: no such folder; put the images there")
        return {}
    files = [file for file in entries_of(folder) if not file.is_dir() and is_sample(file)]
    if not files:
        faults.append(f"{folder}: no image in it ({' '.join(sorted(SUFFIXES))} or DICOM); fill the folder")
    return {normalize("NFC", stem_of(file.name)): f"{folder.name}/{file.name}" for file in files}
