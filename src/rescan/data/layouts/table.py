"""The layout of most new studies: one table, with one row per sample or one row per patient."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import pandas as pd

from rescan.catalogue import KNOWN_COLUMNS
from rescan.catalogue.columns import TABLE_COLUMNS
from rescan.data.layouts import several_labels
from rescan.data.layouts.finding import EXAMPLES, Finder, checked_patients, files_of_patients
from rescan.data.layouts.folders import COLUMNS, JOINED, PARTS, path_columns, top_of
from rescan.data.readers.tables import (
    PLACEHOLDERS,
    bare,
    first_faults,
    grades,
    label_faults,
    pick,
    raise_all,
    read_table,
    without_placeholders,
    wrong_values,
)
from rescan.errors import RescanError
from rescan.log import logger
from rescan.results.manifest import OTHER_PATH
from rescan.results.parts import UNLABELED
from rescan.study import Data
from rescan.walk import name_fault

AS_CALLED: Mapping[str, str] = MappingProxyType({})  # columns bear Rescan's names
SAID = ("patient", "eye", "study", *KNOWN_COLUMNS)  # columns in which words may mean unknown
NO_PATH = "no path; fill it in, or take the row out"
REMEDY = "add it to the first line, or say what it is called by columns in data.layout"


def table(
    root: Path,
    data: Data,
    file: str = "samples.csv",
    columns: Mapping[str, str] = AS_CALLED,
    patient: str = "",
    files: str = "",
    sample: str = "file",
    uncertain: str = "absent",
    sheet: str = "",
) -> pd.DataFrame:
    """Read one table: a row per sample if it has a column `path`, else a row per patient.

    Args:
        root: The data set's folder.
        data: For the classes.
        file: The table (`readers.tables.read_table`), absolute, or in root or a folder in it. Its columns: `path` (from
            the folder that `file` is in, or from root; a file, or a folder of B-scans or DICOM slices; see
            `finding.Finder`), `label` (a class, a label of `data.labels`, or the class's number from 0 where classes
            are grades; several as of `several_labels`), and, if known, `sample` (else the path), `patient`, `eye` or
            `side`, `study`, `site`, `device`, `fov`, `body_part`, `age`, `sex`, `part` (train, validation or test;
            unlabeled needs no label), `extent` and the further paths `mask`, `layers` and `path_<modality>`.
        columns: What these are called there, where it is something else.
        patient: A regular expression whose group, in a file's name or else in its path, is the patient.
        files: Of a row per patient: which files are read.
        sample: Of a row per patient: what a sample is, each `file` or each `folder` of slices.
        uncertain: Of a column per class: what −1 counts as, `absent` or `present`.
        sheet: Of a workbook; "" reads the only one with such columns.

    Returns:
        The manifest, with those of `site`, `device`, `fov`, `body_part`, `age`, `sex`, `extent`, `layers` and
        `path_<modality>` that the table has.

    Raises:
        RescanError: One line per fault, with the file's line number.
    """
    top = top_of(root, file)
    path = top / file
    rows = read_columns(path, columns, several_labels.columns_of(data), sheet)
    unclear: list[str] = []
    if "label" not in rows:
        rows, unclear = several_labels.joined(path, rows, uncertain, data)
    optional = [*SAID, "extent", *(name for name in path_columns(rows) if name != "path")]
    rows = without_placeholders(path, rows, [name for name in optional if name in rows])
    rows = with_labels(path, rows, data)
    if "path" in rows:
        rows, faults = _located(path, top, rows)
        rows = rows.assign(patient=checked_patients(top, rows["path"].tolist(), patient)) if patient else rows
    else:
        found = files_of_patients(top, set(rows["patient"]), patient, files, sample)
        rows, faults = of_patients(path, top, rows, found)
    rows["sample"] = rows["sample"] if "sample" in rows else rows["path"]
    return to_manifest(path, root, top, rows, data, [*unclear, *faults])


def with_labels(file: Path, rows: pd.DataFrame, data: Data) -> pd.DataFrame:
    """The rows whose label is known, where `data.labels` says which are read; else all."""
    if not data.labels or data.multilabel:
        return rows
    unknown = rows["label"].str.casefold().isin(PLACEHOLDERS) & ~rows["label"].isin(list(data.labels))
    unknown &= rows["part"].str.casefold() != UNLABELED if "part" in rows else True
    if unknown.any():
        words = ", ".join(map(repr, sorted(set(rows.loc[unknown, "label"]))[:EXAMPLES]))
        logger.warning("%s: %d rows are left out: their label is unknown (%s)", file, unknown.sum(), words)
    return rows[~unknown]


def read_columns(
    path: Path,
    columns: Mapping[str, str],
    of_classes: Mapping[str, list[str]] = MappingProxyType({}),
    sheet: str = "",
    needed: Sequence[str] = ("label",),
) -> pd.DataFrame:
    """Read a table's columns that Rescan knows, by the names that `columns` gives them.

    Args:
        path: The table.
        columns: What they are called, where it is something else.
        of_classes: Columns that stand in place of `label` where there is none, and what they may be called.
        sheet: Of a workbook; "" reads the only one with such columns.
        needed: Columns that must be there, beside those of `columns`.

    Raises:
        RescanError: There is no such table; or it has no label, or neither path nor patient; or several sheets of a
            workbook may be it.
    """
    spellings = {name: [columns.get(name, name)] for name in (*TABLE_COLUMNS, *KNOWN_COLUMNS, *columns)}
    spellings["eye"] += ["side"] if "eye" not in columns else []
    labels_as = {bare(name) for names in (spellings["label"], *of_classes.values()) for name in names}

    def fits(names: Collection[str]) -> bool:
        ids = {bare(name) for column in ("path", "patient") for name in spellings[column]}
        return bool(ids & {*names}) and ("label" not in needed or bool(labels_as & {*names}))

    names = {name for names in (*spellings.values(), *of_classes.values()) for name in names}
    raw = read_table(path, "give its path as data.layout.file", names, sheet, fits)
    if (others := raw.attrs.get("others")) and not sheet:
        which = ", ".join([raw.attrs["sheet"], *others])
        raise RescanError(f"{path}: several sheets have such columns ({which}); choose one by sheet in data.layout")
    has_label = "label" in columns or "label" in {str(name).casefold() for name in raw}
    taken = {name for names in of_classes.values() for name in names if name in raw} if not has_label else set()
    labels = of_classes if taken else {"label": spellings["label"]}
    more = [str(name) for name in raw if str(name).startswith(OTHER_PATH) and name not in columns]
    spellings = {**spellings, **{name: [name] for name in more}}
    must = {**(labels if "label" in needed else {}), **{name: spellings[name] for name in columns}}
    optional = {name: names for name, names in spellings.items() if name not in must and not taken & {*names}}
    rows = pick(path, raw, must, optional, REMEDY)
    if "path" not in rows and "patient" not in rows:
        what = "'path' (for one row per file) nor 'patient' (for one row per patient)"
        raise RescanError(f"{path}: no column {what}; its columns are {', '.join(map(str, raw))}; {REMEDY}")
    return rows


def _located(file: Path, top: Path, rows: pd.DataFrame) -> tuple[pd.DataFrame, list[str]]:
    """The rows with their paths as the files are called; and what is wrong."""
    finder, rows, faults = Finder(top), rows.copy(), []
    found = 0
    for name in path_columns(rows):
        paths = []
        for line, text in rows[name].items():
            place, fault = (
                finder.find(text, of_masks=name == "mask") if text else ("", NO_PATH if name == "path" else "")
            )
            fault = f"{NO_PATH} ({text!r})" if fault and text.casefold() in PLACEHOLDERS else fault
            prefix = "" if name == "path" else f"{name}: "
            faults += [f"{file}: line {line}: {prefix}{fault}"] if fault else []
            paths.append(place or text)
            found += bool(place) and place != text.removeprefix("./")
        rows[name] = paths
    if found:
        logger.info("%s: %d paths are not written as files are called; the only ones that fit are read", file, found)
    return rows, faults


def of_patients(
    file: Path, top: Path, rows: pd.DataFrame, found: tuple[dict[str, str], list[str], dict[str, list[str]]]
) -> tuple[pd.DataFrame, list[str]]:
    """One row per file, of one row per patient; and what is wrong.

    Args:
        file: The table.
        top: The folder of the files.
        rows: Its rows.
        found: As of `files_of_patients`.

    Raises:
        RescanError: No file is of a patient of the table.
    """
    patients, others, several = found
    faults = [
        f"{file}: line {line}: patient {patient!r} is in line {first} too, with other values; keep one of them"
        for line, patient, first in _contradictions(rows)
    ]
    rows = rows[(rows["patient"] != "") & ~rows["patient"].duplicated()]
    remedy = "give patient: a pattern of the files' names in data.layout"
    unclear = [f"{top / path}: may be of patient {' or '.join(names)}; {remedy}" for path, names in several.items()]
    faults += first_faults(file, unclear)
    if not patients and not several:
        fault = f"none of {len(others)} files in {top} is of one of its patients"
        some = ", ".join(rows["patient"][:EXAMPLES])
        raise RescanError(f"{file}: {fault}, such as {some}; call folders as the patients, or {remedy}")
    without = rows.loc[~rows["patient"].isin(set(patients.values())), "patient"].tolist()
    for what, left_out in (("patients have no file", without), ("files are of no patient of it", others)):
        if left_out:
            some = ", ".join(left_out[:EXAMPLES])
            logger.warning("%s: %d %s and are left out, such as %s", file, len(left_out), what, some)
    lines = {patient: line for line, patient in rows["patient"].items()}
    of_files = rows.loc[[lines[patient] for patient in patients.values()]]
    return of_files.drop(columns="sample", errors="ignore").assign(path=list(patients)), faults


def _contradictions(rows: pd.DataFrame) -> list[tuple[int, str, int]]:
    """Lines that name a patient again with other values: the line, the patient, the first line."""
    first: dict[str, tuple[int, list[str]]] = {}
    again = []
    for line, patient, *values in rows[["patient", *(name for name in rows if name != "patient")]].itertuples():
        start, own = first.setdefault(patient, (line, values))
        if patient and own != values:
            again.append((line, patient, start))
    return again


def to_manifest(file: Path, root: Path, top: Path, rows: pd.DataFrame, data: Data, faults: list[str]) -> pd.DataFrame:
    """The manifest of a table's rows, whose index is the line in the file.

    Args:
        file: The table.
        root: The data set's folder.
        top: The folder that paths are relative to.
        rows: With `sample`, `path`, `label`.
        data: For the classes.
        faults: What is wrong already.

    Raises:
        RescanError: One line per fault.
    """
    rows = rows.assign(part=rows.get("part", ""), patient=rows.get("patient", ""))
    parts = rows["part"].str.casefold()
    rows["published_part"] = parts.map({**PARTS, UNLABELED: UNLABELED}).fillna("")
    if data.multilabel:
        known, wrong = several_labels.by_class(file, rows.loc[parts != UNLABELED, "label"], data)
        rows["label"] = known.reindex(rows.index, fill_value="")
        faults = [*wrong, *faults]
    else:
        rows["label"] = grades(rows["label"], data).where(parts != UNLABELED, "")
    raise_all(_faults(file, rows, data, faults))
    if (rows["published_part"] == "validation").any():
        logger.warning("%s: %s", file, JOINED)
        rows["published_part"] = rows["published_part"].replace("validation", "train")
    for name in path_columns(rows):
        rows[name] = [(top / value).relative_to(root).as_posix() if value else "" for value in rows[name]]
    rows["mask"], rows["origin"] = rows.get("mask", ""), ""
    more = [*KNOWN_COLUMNS, "extent", *path_columns(rows)]
    columns = [*COLUMNS, *(name for name in more if name in rows and name not in COLUMNS)]
    manifest: pd.DataFrame = rows.reindex(columns=columns, fill_value="")
    return manifest


def _faults(file: Path, rows: pd.DataFrame, data: Data, single: list[str]) -> list[str]:
    """What is wrong with a table's rows; rows with the same wrong label or part make one fault."""
    first: dict[str, int] = {}
    single = list(single)
    for line, sample, path in zip(rows.index, rows["sample"], rows["path"]):
        if path and not sample:
            single.append(f"{file}: line {line}: no sample; fill it in, or leave the column out")
        elif path and first.setdefault(sample, line) != line:
            single.append(f"{file}: line {line}: sample {sample!r} is in line {first[sample]} too; name each one once")
    for line, extent in rows["extent"].items() if "extent" in rows else ():
        if extent and not _is_extent(extent):
            remedy = "give the millimeters along depth, height and width, such as 2 3 3"
            single.append(f"{file}: line {line}: {extent!r} is no extent; {remedy}")
    for name in ("sample", *(name for name in SAID if name in rows)):
        odd = {line: text for line, text in rows[name].items() if name_fault(text)}
        single += [f"{file}: line {line}: {name} {text!r} {name_fault(text)}; mend it" for line, text in odd.items()]

    right = {part for part in rows["part"] if part.casefold() in {*PARTS, UNLABELED}}
    right |= set() if rows["published_part"].isin(["train", "test"]).any() else {""}
    wrong = [
        f"{file}: {lines}: part is {part!r}; use train, validation, test or unlabeled"
        for part, lines in wrong_values(rows["part"], right)
    ]
    labeled = rows.loc[rows["published_part"] != UNLABELED, "label"]
    unknown = [] if data.multilabel else label_faults(file, labeled, data)
    return [*unknown, *first_faults(file, wrong), *first_faults(file, single)]


def _is_extent(text: str) -> bool:
    try:
        numbers = [float(number) for number in text.split()]
    except ValueError:
        return False
    return len(numbers) == 3 and all(0 < number < math.inf for number in numbers)
