"""Labeled files that no study has: what their table says, and which of them the study of an arm knows already."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from rescan.data.headers import by_hash, key_at, passing_key, with_headers
from rescan.data.layouts import several_labels
from rescan.data.layouts.finding import EXAMPLES, Finder
from rescan.data.readers.tables import (
    first_faults,
    grades,
    label_faults,
    lines_in_words,
    pick,
    raise_all,
    read_table,
    without_placeholders,
)
from rescan.errors import is_of_machine
from rescan.files import sha256
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.audit_report import GROUPS
from rescan.results.manifest import MANIFEST
from rescan.study import Data, Outcome

KNOWN = ("patient", "eye", "study")
SPELLINGS = {**{name: [name] for name in KNOWN}, "eye": ["eye", "side"]}
REMEDY = "give the table of the labeled files"


def labeled_files(table: Path, outcome: Outcome, key: bytes) -> pd.DataFrame:
    """Read a table of labeled files; what it does not say of patients, the headers of DICOM files do.

    Args:
        table: With columns `path` (from its folder), `label` (as in a study's table; of several labels also a column
            per class) and, if known, `patient`, `eye` or `side`, `study`.
        outcome: What is predicted.
        key: What ids from headers are hashed with.

    Returns:
        A row per file: path, label, file (which may not be there), target, and KNOWN ("" where unknown).

    Raises:
        RescanError: One line per fault.
    """
    data = Data.model_validate(
        {
            "source": {"path": "."},
            "layout": "table",
            "classes": outcome.classes,
            "ordered": outcome.ordered,
            "multilabel": outcome.multilabel,
        }
    )
    rows = _with_labels(table, _columns(table, data), data)
    rows = without_placeholders(table, rows, [name for name in KNOWN if name in rows])
    raise_all(f"{table}: line {line}: no path; fill it in" for line, path in rows["path"].items() if not path)
    finder = Finder(table.parent)
    files = pd.Series([_file(finder, path) for path in rows["path"]], rows.index, dtype=object)
    rows = rows.assign(file=files, **{name: rows.get(name, "") for name in KNOWN})
    rows = _once(table, rows)[["path", "label", "file", *KNOWN]].reset_index(drop=True)
    rows = with_headers(rows, rows["file"].tolist(), key)[list(rows)]
    return rows.assign(target=rows["label"].map(outcome.target).astype(int))


def _columns(table: Path, data: Data) -> pd.DataFrame:
    """The columns that are read. A class's own column may be called like another one, which is then unknown."""
    of_classes = several_labels.columns_of(data) if data.multilabel else {}
    names = {"path", "label", *(name for spellings in SPELLINGS.values() for name in spellings)}
    content = read_table(table, REMEDY, names)
    taken = {name for names in of_classes.values() for name in names if name in content}
    taken = set() if "label" in {str(name).casefold() for name in content} else taken
    labels = of_classes if taken else {"label": ["label"]}
    known = {name: spellings for name, spellings in SPELLINGS.items() if not taken & {*spellings}}
    return pick(table, content, {"path": ["path"], **labels}, known)


def _with_labels(table: Path, rows: pd.DataFrame, data: Data) -> pd.DataFrame:
    """The rows with their labels as a manifest has them."""
    unclear: list[str] = []
    if data.multilabel:
        if "label" not in rows:
            rows, unclear = several_labels.joined(table, rows, "absent", data)
        labels, faults = several_labels.by_class(table, rows["label"], data)
    else:
        labels = grades(rows["label"], data)
        faults = label_faults(table, labels, data)
    raise_all([*unclear, *faults])
    return rows.assign(label=labels)


def _file(finder: Finder, path: str) -> Path:
    """The file that a table means: as it says, or by its name where that is the only one; it may not be there."""
    own = finder.folder / path
    return own if own.exists() else finder.folder / (finder.find(path)[0] or path)


def _once(table: Path, rows: pd.DataFrame) -> pd.DataFrame:
    """Each file once: a row that names it again must say the same."""
    places = rows["file"].map(os.path.realpath)
    repeated = places.duplicated(keep=False)
    for name in ("label", *KNOWN):
        faults = []
        for _, own in rows[repeated].groupby(places[repeated]):
            if len(values := own[name].unique()) > 1:
                several = " and ".join(map(repr, values[:EXAMPLES]))
                lines = lines_in_words(own.index.tolist())
                faults.append(f"{table}: {lines}: {own['path'].iloc[0]} has {name} {several}; keep one of them")
        raise_all(first_faults(table, faults))
    again = places.duplicated()
    if again.any():
        logger.warning("%s: %d rows name a file once more and are left out", table, again.sum())
    return rows[~again]


def home_key(arm_folder: Path) -> bytes:
    """What the ids of headers are hashed with in the study of an arm; another one where the folder lies elsewhere."""
    study = arm_folder.resolve().parent
    if len(study.parents) > 2:
        file = study.parents[2] / Paths(study.parent.name, study.name).patients_key
        if file.is_file():
            return key_at(str(file))
    return passing_key()


def known_files(arm_folder: Path, rows: pd.DataFrame, key: bytes) -> list[str]:
    """Sentences on files that are not new data: copies of each other, and images and patients of the arm's own study.

    These are known where the study's groups.csv and manifest.csv lie beside the arm.

    Args:
        arm_folder: The arm.
        rows: From `labeled_files`.
        key: As given to it.
    """
    digests = pd.Series([_digest(file) for file in rows["file"]], rows.index)
    there = digests != ""
    again = there & digests.duplicated()
    warnings = []
    if again.any():
        one, other = rows["path"][digests == digests[again].iloc[0]].tolist()[:2]
        warnings = [f"{again.sum()} files are copies of others of the table, such as {other} of {one}"]
    groups, manifest = (arm_folder.resolve().parent / name for name in ("groups.csv", "manifest.csv"))
    if not groups.is_file() or not manifest.is_file():
        missing = groups if not groups.is_file() else manifest
        return [
            *warnings,
            f"no {missing.name} beside the arm: unknown whether files or patients are those of its study",
        ]
    at_home = _names(MANIFEST.read(manifest)["patient"], key)
    patients = sorted(name for name in set(rows["patient"]) - {""} if _names([name], key) & at_home)
    if patients:
        warnings.append(f"patients called like some of the study: {len(patients)}, such as {patients[0]}")
    samples = dict(zip(*GROUPS.read(groups)[["sha256", "sample"]].to_numpy().T))
    shared = there & digests.isin(samples)
    if shared.any():
        first = f"{rows['path'][shared].iloc[0]} is {samples[digests[shared].iloc[0]]}"
        what = "files are images of the study itself, such as"
        warnings.append(f"{shared.sum()} of {there.sum()} {what} {first}: not new data")
    return warnings


def _digest(file: Path) -> str:
    """The SHA-256 of a file; "" of a folder, and of what is not there or cannot be read."""
    try:
        return sha256(file) if file.is_file() else ""
    except OSError as error:
        if is_of_machine(error):
            raise
        return ""


def _names(patients: Iterable[str], key: bytes) -> set[str]:
    """Patients as they are called, and as headers would: of one of two data sets a table may name them."""
    names = set(patients) - {""}
    return names | set(by_hash(names, key))
