"""The layout of most new studies: one CSV with one row per sample."""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath

import pandas as pd

from rescan.catalogue import KNOWN_COLUMNS
from rescan.data.layouts.folders import COLUMNS, PARTS, path_columns, top_of
from rescan.data.readers.tables import (
    first_faults,
    grades,
    label_faults,
    raise_all,
    read_csv,
    warn_unread,
    wrong_values,
)
from rescan.results.parts import UNLABELED
from rescan.study import Data


def table(
    root: Path, data: Data, file: str = "samples.csv", label: str = "label", patient: str = "patient"
) -> pd.DataFrame:
    """Read one CSV with one row per sample.

    Args:
        root: The data set's folder.
        data: For the classes.
        file: The CSV, relative to root: UTF-8, comma-separated; columns `path` (relative to the CSV's folder; an image
            file, or a volume: a NIfTI file, or a folder of B-scans or DICOM slices) and `label` (a class, a label of
            `data.labels`, or the class's number from 0 where classes are grades), and, if known, `sample` (else the
            path), `patient`, `eye` or `side`, `study`, `site`, `device`, `fov`, `body_part`, `age`, `sex`, `part`
            (train or test; unlabeled needs no label), `extent` and the further paths `mask`, `layers` and
            `path_<modality>`.
        label: What the column `label` is called there.
        patient: What the column `patient` is called there.

    Returns:
        The manifest, with those of `site`, `device`, `fov`, `body_part`, `age`, `sex`, `extent`, `layers` and
        `path_<modality>` that the file has.

    Raises:
        RescanError: One line per fault, with the file's line number.
    """
    top = top_of(root, file)
    path = top / file
    needed = ["path", label] if patient == "patient" else ["path", label, patient]
    rows = read_csv(path, needed, "give the table's name as data.layout.file")
    rows = rows if "eye" in rows else rows.rename(columns={"side": "eye"})
    paths = path_columns(rows)
    optional = [*KNOWN_COLUMNS, "extent"]
    warn_unread(path, rows, {label, patient, "sample", "eye", "study", "part", *optional, *paths})
    rows = rows.assign(label=rows[label], patient=rows.get(patient, ""))
    for name in paths:
        rows[name] = [PurePosixPath(value).as_posix() if value else "" for value in rows[name]]
    rows["sample"] = rows["sample"] if "sample" in rows else rows["path"]
    rows["part"] = rows.get("part", "")
    parts = rows["part"].str.lower()
    rows["published_part"] = parts.map({**PARTS, UNLABELED: UNLABELED}).fillna("")
    rows["label"] = grades(rows["label"], data).where(parts != UNLABELED, "")
    raise_all(_faults(path, top, rows, data))
    for name in paths:
        rows[name] = [(top / value).relative_to(root).as_posix() if value else "" for value in rows[name]]
    rows["mask"], rows["origin"] = rows.get("mask", ""), ""
    columns = [*COLUMNS, *(name for name in [*optional, *paths] if name in rows and name not in COLUMNS)]
    manifest: pd.DataFrame = rows.reindex(columns=columns, fill_value="")
    return manifest


def _faults(file: Path, root: Path, rows: pd.DataFrame, data: Data) -> list[str]:
    """What is wrong with a table's rows; rows with the same wrong label or part make one fault."""
    first: dict[str, int] = {}
    single: list[str] = []
    for line, path, sample in zip(rows.index, rows["path"], rows["sample"]):
        if fault := _path_fault(path, root):
            single.append(f"{file}: line {line}: {fault}")
        elif not sample:
            single.append(f"{file}: line {line}: no sample; fill it in, or leave the column out")
        elif first.setdefault(sample, line) != line:
            single.append(f"{file}: line {line}: sample {sample!r} is in line {first[sample]} too; name each one once")
    for name in [name for name in path_columns(rows) if name != "path"]:
        faults = {line: _path_fault(path, root) for line, path in rows[name].items() if path}
        single += [f"{file}: line {line}: {name}: {fault}" for line, fault in faults.items() if fault]
    for line, extent in rows["extent"].items() if "extent" in rows else ():
        if extent and not _is_extent(extent):
            remedy = "give the millimeters along depth, height and width, such as 2 3 3"
            single.append(f"{file}: line {line}: {extent!r} is no extent; {remedy}")

    right = {part for part in rows["part"] if part.lower() in {*PARTS, UNLABELED}}
    right |= set() if rows["published_part"].isin(["train", "test"]).any() else {""}
    wrong = [
        f"{file}: {lines}: part is {part!r}; use train, test or unlabeled"
        for part, lines in wrong_values(rows["part"], right)
    ]
    labeled = rows.loc[rows["published_part"] != UNLABELED, "label"]
    return [*label_faults(file, labeled, data), *first_faults(file, wrong), *first_faults(file, single)]


def _is_extent(text: str) -> bool:
    try:
        numbers = [float(number) for number in text.split()]
    except ValueError:
        return False
    return len(numbers) == 3 and all(0 < number < math.inf for number in numbers)


def _path_fault(path: str, root: Path) -> str:
    if not path:
        return "no path; fill it in"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return f"{path} leaves the folder {root}; give a path inside it"
    return "" if (root / path).exists() else f"no file {root / path}; correct the path, or add the file"
