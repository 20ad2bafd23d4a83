"""Guessing how data lie on disk: which columns of a table are which, or which folders are classes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from rescan.data.layouts.class_folders import PICTURES
from rescan.data.layouts.finding import Finder, files_of_patients
from rescan.data.layouts.folders import MASKS, PARTS, samples_below, top_of
from rescan.data.readers.tables import PLACEHOLDERS, bare, read_table
from rescan.errors import RescanError
from rescan.look.labels import MOST_CLASSES, NORMAL, in_order, labels_of
from rescan.look.samples import spread
from rescan.spelling import plain
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
LEAST_SLICES = 8  # of a folder that is a volume


@dataclass
class Guess:
    """How data lie on disk, as far as can be seen.

    Attributes:
        layout: Name and options of the layout.
        classes: The labels, those that mean normal first.
        notes: What could not be known, in sentences.
        multilabel: Whether a sample may be of several classes.
        labels: The class of each label, where they are not the classes.
        rows: Of the table.
    """

    layout: dict[str, Any]
    classes: list[str]
    notes: list[str] = field(default_factory=list)
    multilabel: bool = False
    labels: dict[str, str] = field(default_factory=dict)
    rows: int = 0


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
    faults, guessed = [], []
    for file in (entry for entry in entries_of(folder) if entry.suffix.lower() in TABLES):
        try:
            guessed.append(of_table(folder, file))
        except RescanError as error:
            faults.append(str(error).splitlines()[0])
    if guessed:
        best = max(guessed, key=lambda one: one.rows)
        others = [one.layout["file"] for one in guessed if one is not best]
        more = f"{best.layout['file']} is read; there are other tables of labels, too: {', '.join(others)}"
        best.notes += [more] * bool(others)
        return best
    try:
        return of_folders(folder, [f"a table is not read: {fault}" for fault in faults])
    except RescanError as error:
        raise RescanError("\n".join([str(error), *faults])) from None


def of_table(folder: Path, table: Path) -> Guess:
    """Guess which columns of a table are which.

    Raises:
        RescanError: No column names files or their patients, or none is a label.
    """
    spellings = [name for names in SPELLINGS.values() for name in names.split()]
    rows = read_table(table, "give the path of a table", spellings, fits=_fits)
    columns, finder = {}, Finder(folder)
    found = {name: _found(finder, rows[name]) for name in map(str, rows)}
    path = next((name for name in [*_called("path", rows), *found] if found[name][0] >= 0.5), None)
    if path is not None and _names_patients(path, rows, of_folders=found[path][1]):
        path = None
    layout: dict[str, Any] = {"name": "table", "file": str(_relative(table, folder))}
    layout.update({"sheet": rows.attrs["sheet"]} if rows.attrs else {})
    if path is not None:
        columns["path"] = path
    rest = [name for name in map(str, rows) if name != path]
    patients = [name for name in _called("patient", rows) if name != path]
    if path is None:
        patients += [name for name in rest if found[name][0] >= 0.5 and name not in _called("label", rows)]
        patient, pattern = _patient_column(folder, rows, patients, finder)
        layout, columns["patient"] = {**layout, **({"patient": pattern} if pattern else {})}, patient
    elif patients:
        columns["patient"] = patients[0]
    notes = []
    if others := rows.attrs.get("others"):
        notes.append(f"the sheet {rows.attrs['sheet']} is read; others have such columns, too: {', '.join(others)}")
    for name in ("site", "device", "age", "sex", "eye", "view", "study", "part", "mask"):
        there = [column for column in _called(name, rows) if column not in columns.values()]
        if there and (name != "part" or _are_parts(rows[there[0]])) and (name != "mask" or found[there[0]][0]):
            columns[name] = there[0]
    rest = [name for name in rest if name not in columns.values()]
    labels = labels_of(table, rows, rest, _called("label", rows))
    columns.update({"label": labels.column} if labels.column else {})
    layout["columns"] = {name: column for name, column in columns.items() if name != bare(column)}
    return Guess(layout, labels.classes, [*notes, *labels.notes], labels.multilabel, labels.labels, len(rows))


def _fits(names: Collection[str]) -> bool:
    """Whether columns have names as those of files or patients, and of labels."""
    files, patients, labels = (set(SPELLINGS[name].split()) for name in ("path", "patient", "label"))
    return bool((files | patients) & {*names}) and bool(labels & {*names})


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


def _patient_column(folder: Path, rows: pd.DataFrame, names: Iterable[str], finder: Finder) -> tuple[str, str]:
    """The column whose values are the patients of files, and the pattern of files' names, "" if folders bear them."""
    best, most = ("", ""), 0
    for name in dict.fromkeys(names):
        for pattern in ("", *PATTERNS):
            count = len(files_of_patients(folder, set(rows[name]) - {""}, pattern)[0])
            if count > most:
                best, most = (name, pattern), count
    if not most:
        there = ", ".join(map(str, rows))
        called = _called("path", rows)
        why = [finder.find(rows[str(name)].iloc[0])[1].partition(";")[0] for name in [*called, *rows]]
        said = [fault for fault in why if fault in why[: len(called)] or " may be " in fault]
        why = [f" ({fault})" for fault in said[:1]]
        raise RescanError(
            f"{folder}: no column of the table ({there}) names files in it or their patients{''.join(why)}; "
            "give the folder with the images, and the table by --table"
        )
    return best


def _called(column: str, rows: pd.DataFrame) -> list[str]:
    names = {bare(str(name)): str(name) for name in rows}
    return [names[spelling] for spelling in SPELLINGS[column].split() if spelling in names]


def _are_parts(values: pd.Series[str]) -> bool:
    return set(values.str.casefold()) <= {*PARTS, "unlabeled"}


def _relative(table: Path, folder: Path) -> Path:
    table, folder = table.resolve(), folder.resolve()
    return table.relative_to(folder) if folder in table.parents else table


def _of_bids(participants: Path) -> Guess:
    top = participants.parent
    sessions = [*top.glob("sessions.tsv"), *sorted(top.glob("sub-*/sub-*_sessions.tsv"))]
    no_labels = {"participantid", "sessionid", "acqtime", "sex", "gender", "age"}
    for tables in filter(None, ([participants], sessions)):
        rows = pd.concat([read_table(file, "add it") for file in tables], ignore_index=True).fillna("")
        names = [str(name) for name in rows if bare(str(name)) not in no_labels]
        with suppress(RescanError) if sessions and tables == [participants] else nullcontext():
            labels = labels_of(tables[0], rows, names, _called("label", rows))
            break
    if not labels.column or labels.multilabel:
        raise RescanError(f"{participants}: a column per class, or several labels, need layout: table")
    paths = [PurePosixPath(name) for name in samples_below(top)[0] if name.parts[0].startswith("sub-")]
    suffixes = [path.name.split(".")[0].rpartition("_")[2] for path in paths]
    suffix = max(sorted(set(suffixes)), key=suffixes.count, default="")
    notes = list(labels.notes)
    if more := sorted(set(suffixes) - {suffix}):
        notes.append(f"files that end with _{suffix} are read; there are also {', '.join(more[:5])}")
    visits = {(path.parts[0], name) for path in paths for name in path.parts[1:-1] if name.startswith("ses-")}
    if len(visits) > len({patient for patient, _ in visits}):
        shown = ", ".join(sorted({name for _, name in visits})[:5])
        notes.append(f"all sessions are read ({shown}); session in data.layout takes one of them")
    layout = {"name": "bids", "columns": {"label": labels.column}, "suffix": suffix}
    return Guess(layout, labels.classes, notes, labels=labels.labels)


def of_folders(folder: Path, notes: Sequence[str] = ()) -> Guess:
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
    trained = {name for name, part in _parts_of(found, level) if part != "test"} or names[level]
    classes = {min(group): group for group in _by_spelling(trained)}
    labels = {name: label for label, group in classes.items() for name in group}
    if only := sorted(names[level] - trained):
        notes = [*notes, f"only the test part has {', '.join(only)}, which is left out: nothing can be learned of it"]
    return Guess(layout, in_order(classes), list(notes), labels=labels if only or len(labels) > len(classes) else {})


def _parts_of(found: Iterable[PurePosixPath], level: int) -> Iterator[tuple[str, str]]:
    """The class's folder and the part of each sample."""
    for path in found:
        folders = [name for name in path.parts[:-1] if name.casefold() not in {*PARTS, *MASKS}]
        parts = [PARTS[name.casefold()] for name in path.parts[:-1] if name.casefold() in PARTS]
        if len(folders) > level:
            yield folders[level], parts[0] if parts else ""


def _by_spelling(names: Iterable[str]) -> list[list[str]]:
    """Names of folders, by what they are but for how they are written."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(plain(name), []).append(name)
    return list(groups.values())


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
