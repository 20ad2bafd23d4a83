"""Layouts of two Kaggle competitions of fundus photographs: APTOS 2019, and EyePACS 2015.

Both are a table of image names and grades beside a folder of images. A row without its image is an error; an image
without a row is left out with a warning, as is a row that repeats an earlier one.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rescan.data.layouts.reading import COLUMNS, SUFFIXES, top_of
from rescan.data.readers.tables import grades, label_faults, raise_all, read_csv, say_unread, shown
from rescan.log import logger
from rescan.results.parts import UNLABELED
from rescan.study import Data

SIDED = r"(?P<patient>.+)_(?P<eye>left|right)"


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
        RescanError: One line for each fault, with the file's line number.
    """
    top = top_of(root, "train.csv")
    faults: list[str] = []
    samples = _listed(top, "train.csv", ("id_code", "diagnosis"), "train_images", data, faults)
    samples["published_part"] = ""
    if (top / "test.csv").is_file():
        unlabeled = _listed(top, "test.csv", ("id_code",), "test_images", data, faults)
        in_both = unlabeled.index[unlabeled["sample"].isin(samples["sample"])]
        said = "is in train.csv too; take it out of one"
        faults += _by_line(top / "test.csv", {line: f"{unlabeled['sample'][line]!r} {said}" for line in in_both})
        samples = pd.concat([samples, unlabeled.assign(published_part=UNLABELED)])
    raise_all(faults)
    return _manifest(root, top, samples)


def eyepacs(root: Path, data: Data) -> pd.DataFrame:
    """Read `trainLabels.csv` (`image,level`) and `train/<image>.jpeg`; an image is called `<patient>_<left|right>`.

    All may lie in a single top folder. The lesion mask of an image is `masks/<image>.png`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes; a level is one of them, or its number from 0.

    Returns:
        The manifest, with patient and eye; a sample is named by its image. No part is published.

    Raises:
        RescanError: One line for each fault, with the file's line number.
    """
    top = top_of(root, "trainLabels.csv")
    faults: list[str] = []
    samples = _listed(top, "trainLabels.csv", ("image", "level"), "train", data, faults)
    samples[["patient", "eye"]] = samples["sample"].str.extract(f"^{SIDED}$").fillna("")
    unsided = samples.index[(samples["eye"] == "") & (samples["sample"] != "")]
    said = "is not <patient>_left or <patient>_right; rename image and file"
    faults += _by_line(top / "trainLabels.csv", {line: f"{samples['sample'][line]!r} {said}" for line in unsided})
    raise_all(faults)
    return _manifest(root, top, samples)


def _listed(top: Path, file: str, columns: Sequence[str], folder: str, data: Data, faults: list[str]) -> pd.DataFrame:
    """The rows of a table of names and, if it has a second column, grades: `sample`, `path` (relative to top), `label`.

    The index is the line in the file. What is wrong is added to `faults`.
    """
    path = top / file
    rows = read_csv(path, columns, f"this layout expects {file} ({','.join(columns)}) and {folder}/<{columns[0]}>.png")
    say_unread(path, rows, columns)
    rows = rows[list(columns)].set_axis(["sample", "label"][: len(columns)], axis=1)
    if "label" in rows:
        rows["label"] = grades(rows["label"], data)
        faults += label_faults(path, rows["label"], data)
    rows["label"] = rows.get("label", "")
    images = _images(top / folder, faults)
    rows["path"] = rows["sample"].map(images)

    named = rows[rows["sample"] != ""]
    first = named.reset_index(names="line").drop_duplicates("sample").set_index("sample")
    again = named[named["sample"].duplicated()]
    other = again[again["label"] != again["sample"].map(first["label"])]
    wrong = dict.fromkeys(rows.index.difference(named.index), f"no {columns[0]}; fill it in")
    for line, sample in named.loc[named["path"].isna() & bool(images), "sample"].items():
        wrong[line] = f"no image {sample!r} in {folder}; add the file, or take out the row"
    for line, sample in other["sample"].items():
        wrong[line] = f"{sample!r} is in line {first['line'][sample]} too, with another {columns[-1]}; keep one of them"
    faults += _by_line(path, wrong)
    if len(again) > len(other):
        same = again.index.difference(other.index)
        logger.warning("%s: %d rows repeat an earlier one and are left out, such as line %d", path, len(same), same[0])
    unused = sorted(set(images) - set(rows["sample"]))
    if unused:
        some = ", ".join(images[name] for name in unused[:3])
        logger.warning("%s: %d images have no row in it and are left out, such as %s", path, len(unused), some)
    return rows[~rows["sample"].duplicated()]


def _by_line(file: Path, wrong: dict[int, str]) -> list[str]:
    return shown(file, [f"{file}: line {line}: {fault}" for line, fault in sorted(wrong.items())])


def _images(folder: Path, faults: list[str]) -> dict[str, str]:
    """Each image of a folder by its name without suffix: the path from the folder above."""
    if not folder.is_dir():
        faults.append(f"{folder}: no such folder; put the images there")
        return {}
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES)
    if not files:
        faults.append(f"{folder}: no image in it ({' '.join(sorted(SUFFIXES))}); fill the folder")
    return {file.stem: f"{folder.name}/{file.name}" for file in files}


def _manifest(root: Path, top: Path, samples: pd.DataFrame) -> pd.DataFrame:
    """Paths from the data set's folder, masks, and the columns of a manifest."""
    above = "" if top == root else f"{top.name}/"
    masks = {file.stem for file in (top / "masks").glob("*.png")}
    mask = [f"{above}masks/{sample}.png" if sample in masks else "" for sample in samples["sample"]]
    samples = samples.assign(path=above + samples["path"], mask=mask)
    manifest: pd.DataFrame = samples.reindex(columns=COLUMNS, fill_value="")
    return manifest
