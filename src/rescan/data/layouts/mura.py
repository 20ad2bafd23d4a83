"""The layout of MURA v1.1: radiographs in folders of body part, patient and study, listed by four CSVs without header.

The CSVs say what is there: other files in the folders are named, and left out.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pandas as pd

from rescan.data.layouts.reading import COLUMNS, top_of
from rescan.data.readers.tables import label_faults, raise_all, shown
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data

PARTS = {"train": "train", "valid": "test"}  # the public validation part is the test part
LABELS = {"0": "negative", "1": "positive"}
IMAGE = re.compile(r"XR_(?P<body_part>[^/]+)/(?P<patient>[^/]+)/(?P<study>[^/]+)/[^/]+")
STUDY = re.compile(r"[^/]+_(?P<label>positive|negative)")
NAMED = 3  # examples in a message


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
        RescanError: One line for each fault, with the file's line number.
    """
    top = top_of(root, "train_image_paths.csv")
    faults: list[str] = []
    there = {folder: _files(top, folder) for folder in PARTS}
    tables = [_images(top, folder, files, data, faults) for folder, files in there.items()]
    raise_all(faults)
    samples = pd.concat(tables, ignore_index=True)
    above = "" if top == root else f"{top.name}/"
    masks = _files(top, "masks")
    named = samples["sample"]
    samples = samples.assign(
        path=above + named, mask=[f"{above}masks/{name}" if f"masks/{name}" in masks else "" for name in named]
    )
    manifest: pd.DataFrame = samples.reindex(columns=[*COLUMNS, "body_part"], fill_value="")
    unlisted = sorted(set().union(*there.values()) - set(named))
    if unlisted:
        said = "%s: %d files are in no CSV and are left out, such as %s"
        logger.warning(said, top, len(unlisted), ", ".join(unlisted[:NAMED]))
    manifest.attrs["unlisted"] = unlisted
    return manifest


def _images(top: Path, folder: str, there: set[str], data: Data, faults: list[str]) -> pd.DataFrame:
    """What the CSVs list of a part: sample, label, patient, study, body_part, published_part. Adds what is wrong."""
    file = top / f"{folder}_image_paths.csv"
    studies = _studies(top, folder, faults)
    rows: dict[int, dict[str, str]] = {}
    wrong: list[str] = []
    first: dict[str, int] = {}
    for line, (written, *more) in _lines(file).items():
        name = _inside(written, folder)
        found = IMAGE.fullmatch(name.partition("/")[2]) if name else None
        place = f"{file}: line {line}"
        if found is None or more:
            expected = f"<folder>/{folder}/XR_<PART>/<patient>/<study>_{{positive,negative}}/<image>"
            wrong.append(f"{place}: {written!r} is not {expected}; correct it")
        elif (study := STUDY.fullmatch(found["study"])) is None:
            wrong.append(f"{place}: study {found['study']!r} is named neither positive nor negative; rename it")
        elif first.setdefault(name, line) != line:
            wrong.append(f"{place}: {name} is in line {first[name]} too; list it once")
        elif name not in there:
            wrong.append(f"{place}: no file {top / name}; add it, or take out the line")
        elif name.rpartition("/")[0] not in studies:
            wrong.append(f"{place}: its study is not in {folder}_labeled_studies.csv; add it there")
        else:
            rows[line] = {
                "sample": name,
                "label": study["label"],
                "patient": found["patient"],
                "study": f"{found['body_part']}/{found['study'].partition('_')[0]}",
                "body_part": found["body_part"].lower(),
                "published_part": PARTS[folder],
            }
    faults += shown(file, wrong)
    table = pd.DataFrame.from_dict(rows, "index")
    if rows:
        faults += label_faults(file, table["label"], data)
        empty = sorted(studies - set(table["sample"].str.rpartition("/")[0]))
        if empty:
            said = "%s: %d studies have no image and are left out, such as %s"
            logger.warning(said, top / f"{folder}_labeled_studies.csv", len(empty), ", ".join(empty[:NAMED]))
    return table


def _studies(top: Path, folder: str, faults: list[str]) -> set[str]:
    """The studies that the CSV of labels lists, whose labels must be those of their folders' names."""
    file = top / f"{folder}_labeled_studies.csv"
    studies: set[str] = set()
    wrong: list[str] = []
    for line, (written, *more) in _lines(file).items():
        name, label = _inside(written, folder).rstrip("/"), more[0] if len(more) == 1 else ""
        said = STUDY.fullmatch(name.rpartition("/")[2])
        if not name or label not in LABELS:
            wrong.append(f"{file}: line {line}: is not a study's folder and 0 or 1, such as <folder>/{folder}/…/,1")
        elif said is not None and said["label"] != LABELS[label]:
            wrong.append(
                f"{file}: line {line}: label {label}, {LABELS[label]}, contradicts the folder {name}; mend one"
            )
        studies.add(name)
    faults += shown(file, wrong)
    return studies


def _inside(written: str, folder: str) -> str:
    """A path from the folder `train` or `valid` on, "" if it is not inside."""
    _, _, name = written.partition("/")
    return name if name.startswith(f"{folder}/") and ".." not in name.split("/") else ""


def _lines(file: Path) -> dict[int, list[str]]:
    """The fields of each line of a CSV without header that is not empty, by its number from 1."""
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise RescanError(f"{file}: cannot be read ({error.strerror}); this layout needs it") from None
    except UnicodeDecodeError:
        raise RescanError(f"{file}: not UTF-8; save it as CSV in UTF-8") from None
    found = {
        number: [field.strip() for field in line.split(",")] for number, line in enumerate(lines, 1) if line.strip()
    }
    if not found:
        raise RescanError(f"{file}: no rows; this layout needs it")
    return found


def _files(top: Path, folder: str) -> set[str]:
    """All files below a folder, however deep, by their path from `top`."""
    start = len(str(top)) + 1
    return {
        f"{place[start:]}/{name}".replace(os.sep, "/") for place, _, files in os.walk(top / folder) for name in files
    }
