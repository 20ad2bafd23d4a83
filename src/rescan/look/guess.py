"""Guessing how data lie on disk: which columns of a table are which, or which folders are classes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from rescan.data.layouts.class_folders import MASKS, PICTURES
from rescan.data.layouts.finding import Finder, files_of_patients
from rescan.data.layouts.folders import PARTS, samples_below, top_of
from rescan.data.readers.tables import PLACEHOLDERS, bare, read_table
from rescan.errors import RescanError
from rescan.look.samples import spread
from rescan.study import NO_LABELS, SEPARATOR
from rescan.walk import entries_of

SPELLINGS = {  # of columns, case, blanks and signs aside
    "path": "path file filename filepath image imagename imageid imagepath imageindex img scan dicom idcode",
    "patient": "patient patientid participantid participant subject subjectid pid case caseid mrn id",
    "label": "label labels class diagnosis dx target group disease category finding findings findinglabels "
    "outcome grade level y",
    "site": "site centre center hospital institution",
    "device": "device scanner camera manufacturer",
    "age": "age ageyears patientage",
    "sex": "sex gender patientsex",
    "eye": "eye side laterality",
    "view": "view viewposition projection",
    "study": "study studyid accession session visit",
    "part": "part split subset set",
    "mask": "mask maskpath segmentation",
}
TABLES = (".csv", ".tsv", ".xlsx")
PATTERNS = (r"sub-([A-Za-z0-9]+)_", r"^([^_]+)_", r"^([^-]+)-", r"^(.+)[_-][^_-]+$")  # of files' names
NORMAL = re.compile(
    r"(?i)^(0|no|nor|normal|negative|healthy|control|controls|hc|cn|benign|none|no[ _-].+|no.*tumou?r)$"
)
MOST_CLASSES = 20
LEAST_SLICES = 8  # of a folder that is a volume


@dataclass
class Guess:
    """How data lie on disk, as far as can be seen.

    Attributes:
        layout: Name and options of the layout.
        classes: The labels, those that mean normal first.
        notes: What could not be known, in sentences.
        multilabel: Whether a sample may be of several classes.
    """

    layout: dict[str, Any]
    classes: list[str]
    notes: list[str] = field(default_factory=list)
    multilabel: bool = False


def guess(folder: Path, table: Path | None) -> Guess:
    """Guess from a table, if one is given or lies in the folder, or from the folders.

    Raises:
        RescanError: There are no images, or no labels can be seen.
    """
    if table is not None:
        return of_table(folder, table)
    participants = top_of(folder, "participants.tsv") / "participants.tsv"
    if participants.is_file() and any(entry.name.startswith("sub-") for entry in entries_of(participants.parent)):
        return _of_bids(participants)
    faults = []
    for file in (entry for entry in entries_of(folder) if entry.suffix.lower() in TABLES):
        try:
            return of_table(folder, file)
        except RescanError as error:
            faults.append(str(error).splitlines()[0])
    try:
        return of_folders(folder)
    except RescanError as error:
        raise RescanError("\n".join([str(error), *faults])) from None


def of_table(folder: Path, table: Path) -> Guess:
    """Guess which columns of a table are which.

    Raises:
        RescanError: No column names files or their patients, or none is a label.
    """
    spellings = [name for names in SPELLINGS.values() for name in names.split()]
    rows = read_table(table, "give the path of a table", spellings)
    columns, finder = {}, Finder(folder)
    found = {name: _found(finder, rows[name]) for name in map(str, rows)}
    path = next((name for name in [*_called("path", rows), *found] if found[name][0] >= 0.5), None)
    if path is not None and _names_patients(path, rows, of_folders=found[path][1]):
        path = None
    layout: dict[str, Any] = {"name": "table", "file": str(_relative(table, folder))}
    if path is not None:
        columns["path"] = path
    rest = [name for name in map(str, rows) if name != path]
    patients = [name for name in _called("patient", rows) if name != path]
    if path is None:
        patients += [name for name in rest if found[name][0] >= 0.5]
        patient, pattern = _patient_column(folder, rows, patients)
        layout, columns["patient"] = {**layout, **({"patient": pattern} if pattern else {})}, patient
    elif patients:
        columns["patient"] = patients[0]
    notes = []
    for name in ("site", "device", "age", "sex", "eye", "view", "study", "part", "mask"):
        there = [column for column in _called(name, rows) if column not in columns.values()]
        if there and (name != "part" or _are_parts(rows[there[0]])) and (name != "mask" or found[there[0]][0]):
            columns[name] = there[0]
    label, others = _label_column(table, rows, [name for name in rest if name not in columns.values()])
    columns["label"] = label
    if others:
        notes.append(f"the labels are those of the column {label}; others may be: {', '.join(others)}")
    layout["columns"] = {name: column for name, column in columns.items() if name != bare(column)}
    classes = _in_order(_labels(rows[label]))
    if unsure := [name for name in classes if name.casefold() in PLACEHOLDERS]:
        notes.append(f"the classes {', '.join(unsure)} may be rows without a label; then take them out of the table")
    return Guess(layout, classes, notes, multilabel=_are_several(rows[label]))


def _names_patients(path: str, rows: pd.DataFrame, *, of_folders: bool) -> bool:
    """Whether a column that names files or folders rather names patients, by what it is called."""
    if bare(path) in SPELLINGS["path"].split():
        return False
    return of_folders or _called("patient", rows) == [path]


def _found(finder: Finder, values: pd.Series[str]) -> tuple[float, bool]:
    """The share of some of a column's values that name a file or folder; and whether most name folders."""
    some = spread([text for text in values if text.casefold() not in PLACEHOLDERS])
    there = [finder.folder / place for text in some if (place := finder.find(text)[0])]
    return len(there) / max(1, len(some)), sum(map(Path.is_dir, there)) > len(there) / 2


def _patient_column(folder: Path, rows: pd.DataFrame, names: Iterable[str]) -> tuple[str, str]:
    """The column whose values are the patients of files, and the pattern of files' names, "" if folders bear them."""
    best, most = ("", ""), 0
    for name in dict.fromkeys(names):
        for pattern in ("", *PATTERNS):
            count = len(files_of_patients(folder, set(rows[name]) - {""}, pattern)[0])
            if count > most:
                best, most = (name, pattern), count
    if not most:
        there = ", ".join(map(str, rows))
        raise RescanError(
            f"{folder}: no column of the table ({there}) names files in it or their patients; give the folder with the "
            "images, and the table by --table"
        )
    return best


def _label_column(table: Path, rows: pd.DataFrame, names: list[str]) -> tuple[str, list[str]]:
    """The column of labels, and those that may be instead."""
    few = [name for name in names if 2 <= len(_labels(rows[name])) <= min(MOST_CLASSES, len(rows) // 2)]
    called = [name for name in _called("label", rows) if name in few]
    candidates = list(dict.fromkeys([*called, *few]))
    if not candidates:
        raise RescanError(
            f"{table}: no column has 2 to {MOST_CLASSES} labels; its columns are {', '.join(map(str, rows))}"
        )
    return candidates[0], candidates[1:] if not called else called[1:]


def _labels(values: pd.Series[str]) -> set[str]:
    """The labels in a column; of several joined by |, each."""
    if not _are_several(values):
        return set(values) - {""}
    names = {name.strip() for text in set(values) for name in text.split(SEPARATOR)}
    return {name for name in names if name.casefold() not in NO_LABELS}


def _are_several(values: pd.Series[str]) -> bool:
    return bool(values.str.contains(SEPARATOR, regex=False).any())


def _called(column: str, rows: pd.DataFrame) -> list[str]:
    names = {bare(str(name)): str(name) for name in rows}
    return [names[spelling] for spelling in SPELLINGS[column].split() if spelling in names]


def _are_parts(values: pd.Series[str]) -> bool:
    return set(values.str.casefold()) <= {*PARTS, "unlabeled"}


def _relative(table: Path, folder: Path) -> Path:
    table, folder = table.resolve(), folder.resolve()
    return table.relative_to(folder) if folder in table.parents else table


def _of_bids(participants: Path) -> Guess:
    rows = read_table(participants, "add it", ["participant_id"])
    names = [str(name) for name in rows if bare(str(name)) not in {"participantid", "sex", "gender", "age"}]
    label, others = _label_column(participants, rows, names)
    suffixes = [
        PurePosixPath(name).name.split(".")[0].rpartition("_")[2] for name in samples_below(participants.parent)[0]
    ]
    suffix = max(sorted(set(suffixes)), key=suffixes.count, default="")
    notes = [f"the labels are those of the column {label}; others may be: {', '.join(others)}"] if others else []
    if more := sorted(set(suffixes) - {suffix}):
        notes.append(f"files that end with _{suffix} are read; there are also {', '.join(more[:5])}")
    return Guess({"name": "bids", "columns": {"label": label}, "suffix": suffix}, _in_order(set(rows[label])), notes)


def of_folders(folder: Path) -> Guess:
    """Guess which folders are classes: where one means normal, or where the fewest names are; not numbered ones.

    Raises:
        RescanError: There are no images, or no folders.
    """
    found, _ = samples_below(folder)
    if not found:
        raise RescanError(f"{folder}: no image and no volume in it, however deep; give the folder that holds them")
    layout: dict[str, Any] = {"name": "class_folders"}
    if _are_slices(found):
        layout["sample"] = "folder"
    names: dict[int, set[str]] = {}
    for path in found:
        folders = [name for name in path.parts[:-1] if name.casefold() not in {*PARTS, *MASKS}]
        for depth, name in enumerate(folders[: len(folders) - ("sample" in layout)] or folders):
            names.setdefault(depth, set()).add(name)
    depths = [depth for depth in names if 2 <= len(names[depth]) <= MOST_CLASSES and not names[depth] <= PICTURES]
    if not depths:
        raise RescanError(
            f"{folder}: no labels can be seen: neither folders of 2 to {MOST_CLASSES} classes, nor a table; give a "
            "table with a row per image or per patient by --table"
        )
    numbered = {
        depth: sum(any(map(str.isdigit, name)) for name in names[depth]) / len(names[depth]) for depth in depths
    }
    healthy = {depth: any(map(NORMAL.match, names[depth])) for depth in depths}
    level = min(depths, key=lambda depth: (numbered[depth] > 0.5, not healthy[depth], len(names[depth]), depth))
    return Guess(layout, _in_order(names[level]), [])


def _are_slices(found: list[PurePosixPath]) -> bool:
    """Whether samples are folders: most files lie in folders of many that are numbered, or of DICOM."""
    folders: dict[PurePosixPath, list[str]] = {}
    for path in found:
        folders.setdefault(path.parent, []).append(path.name)
    volumes = [
        names
        for names in folders.values()
        if len(names) >= LEAST_SLICES and all(name.partition(".")[0].isdigit() or ".dcm" in name for name in names)
    ]
    return len(folders) > LEAST_SLICES and sum(map(len, volumes)) > len(found) / 2


def _in_order(labels: set[str]) -> list[str]:
    """Numbers by size; else by name, what means normal first."""
    if all(re.fullmatch(r"\d+", label) for label in labels):
        return sorted(labels, key=int)
    return sorted(labels, key=lambda label: (NORMAL.match(label) is None, label))
