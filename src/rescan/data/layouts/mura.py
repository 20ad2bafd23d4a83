"""The layout of MURA v1.1: radiographs in folders of body part, patient and study, listed by four CSVs without header.

The CSVs decide: a warning names other files in the folders, which are left out.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from rescan.data.layouts.folders import COLUMNS, top_of
from rescan.data.readers.tables import first_faults, label_faults, raise_all
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data
from rescan.walk import files_below

PARTS = {"train": "train", "valid": "test"}  # the public validation part is the test part
LABELS = {"0": "negative", "1": "positive"}
IMAGE = re.compile(r"XR_(?P<body_part>[^/]+)/(?P<patient>[^/]+)/(?P<study>[^/]+)/[^/]+")
STUDY = re.compile(r"[^/]+_(?P<label>positive|negative)")
EXAMPLES = 3  # in a message


def mura(root: Path, data: Data) -> pd.DataFrame:
    """Read `{train,valid}_image_paths.csv`, `{train,valid}_labeled_studies.csv`, and the images that they list.

    An image is `{train,valid}/XR_<PART>/<patient>/<study>_{positive,negative}/<image>`; in the CSVs a further folder,
    as `MURA-v1.1`, stands before that. All may lie in a single top folder. The lesion mask of an image is
    `masks/<its path>`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes, `negative` and `positive`, or what `data.labels` makes of these.

    Returns:
        The manifest, with patient, study and body_part; a sample is named by its path from the top folder. `valid` is
        the published test part. `attrs["unlisted"]` names the files that are in no CSV.

    Raises:
        RescanError: One line per fault, with the file's line number.
    """
    top = top_of(root, "train_image_paths.csv")
    faults: list[str] = []
    files = {folder: _files(top, folder) for folder in PARTS}
    tables = [_images(top, folder, files[folder], data, faults) for folder in PARTS]
    raise_all(faults)
    samples = pd.concat(tables, ignore_index=True)
    above = "" if top == root else f"{top.name}/"
    masks = _files(top, "masks")
    names = samples["sample"]
    samples = samples.assign(
        path=above + names, mask=[f"{above}masks/{name}" if f"masks/{name}" in masks else "" for name in names]
    )
    manifest: pd.DataFrame = samples.reindex(columns=[*COLUMNS, "body_part"], fill_value="")
    unlisted = sorted(set().union(*files.values()) - set(names))
    if unlisted:
        message = "%s: %d files are in no CSV and are left out, such as %s"
        logger.warning(message, top, len(unlisted), ", ".join(unlisted[:EXAMPLES]))
    manifest.attrs["unlisted"] = unlisted
    return manifest


def _images(top: Path, folder: str, files: set[str], data: Data, faults: list[str]) -> pd.DataFrame:
    """The images that the CSVs list of a part: sample, label, patient, study, body_part, published_part.

    Faults, of files that are not in `files` among others, are added to `faults`.
    """
    file = top / f"{folder}_image_paths.csv"
    studies = _studies(top, folder, faults)
    rows: dict[int, dict[str, str]] = {}
    wrong: list[str] = []
    first: dict[str, int] = {}
    for line, (path, *more) in _lines(file).items():
        name = _inside(path, folder)
        image = IMAGE.fullmatch(name.partition("/")[2]) if name else None
        place = f"{file}: line {line}"
        if image is None or more:
            expected = f"<folder>/{folder}/XR_<PART>/<patient>/<study>_{{positive,negative}}/<image>"
            wrong.append(f"{place}: {path!r} is not {expected}; correct it")
        elif (study := STUDY.fullmatch(image["study"])) is None:
            wrong.append(f"{place}: study {image['study']!r} is named neither positive nor negative; rename it")
        elif first.setdefault(name, line) != line:
            wrong.append(f"{place}: {name} is in line {first[name]} too; list it once")
        elif name not in files:
            wrong.append(f"{place}: no file {top / name}; add it, or take out the line")
        elif name.rpartition("/")[0] not in studies:
            wrong.append(f"{place}: its study is not in {folder}_labeled_studies.csv; add it there")
        else:
            rows[line] = {
                "sample": name,
                "label": study["label"],
                "patient": image["patient"],
                "study": f"{image['body_part']}/{image['study'].partition('_')[0]}",
                "body_part": image["body_part"].lower(),
                "published_part": PARTS[folder],
            }
    faults += first_faults(file, wrong)
    table = pd.DataFrame.from_dict(rows, "index")
    if rows:
        faults += label_faults(file, table["label"], data)
        empty = sorted(studies - set(table["sample"].str.rpartition("/")[0]))
        if empty:
            message = "%s: %d studies have no image and are left out, such as %s"
            logger.warning(message, top / f"{folder}_labeled_studies.csv", len(empty), ", ".join(empty[:EXAMPLES]))
    return table


def _studies(top: Path, folder: str, faults: list[str]) -> set[str]:
    """The studies that the CSV of labels lists, whose labels must be those of their folders' names."""
    file = top / f"{folder}_labeled_studies.csv"
    studies: set[str] = set()
    wrong: list[str] = []
    for line, (path, *more) in _lines(file).items():
        name, label = _inside(path, folder).rstrip("/"), more[0] if len(more) == 1 else ""
        study = STUDY.fullmatch(name.rpartition("/")[2])
        if not name or label not in LABELS:
            wrong.append(f"{file}: line {line}: is not a study's folder and 0 or 1, such as <folder>/{folder}/…/,1")
        elif study is not None and study["label"] != LABELS[label]:
            wrong.append(
                f"{file}: line {line}: label {label}, {LABELS[label]}, contradicts the folder {name}; mend one"
            )
        studies.add(name)
    faults += first_faults(file, wrong)
    return studies


def _inside(path: str, folder: str) -> str:
    """A path from the folder `train` or `valid` on, "" if it is not inside."""
    _, _, name = path.partition("/")
    return name if name.startswith(f"{folder}/") and ".." not in name.split("/") else ""


def _lines(file: Path) -> dict[int, list[str]]:
    """The fields of each line of a CSV without header that is not empty, by its number from 1."""
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise RescanError(f"{file}: cannot be read ({error.strerror}); this layout needs it") from None
    except UnicodeDecodeError:
        raise RescanError(f"{file}: not UTF-8; save it as CSV in UTF-8") from None
    fields = {
        number: [field.strip() for field in line.split(",")] for number, line in enumerate(lines, 1) if line.strip()
    }
    if not fields:
        raise RescanError(f"{file}: no rows; this layout needs it")
    return fields


def _files(top: Path, folder: str) -> set[str]:
    """All files below a folder, however deep, by their path from `top`; nothing without the folder."""
    start = len(str(top)) + 1
    files = files_below(top / folder) if (top / folder).is_dir() else ()
    return {file.path[start:].replace(os.sep, "/") for file in files}
