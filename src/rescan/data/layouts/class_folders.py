"""The layout of a folder per class: with parts or patients above, and patients and their studies below."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import pandas as pd

from rescan import catalogue
from rescan.data.layouts.finding import EXAMPLES, checked_patients
from rescan.data.layouts.folders import COLUMNS, JOINED, MASKS, PARTS, samples_below, spelled, stem_of
from rescan.data.readers.images import SUFFIXES
from rescan.data.readers.tables import first_faults, raise_all
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data
from rescan.walk import entries_of, files_below

PICTURES = {"image", "images", "img", "imgs", "scans"}  # folders that say nothing of what is in them


class Place(NamedTuple):
    """Where a sample lies: its path from the top, and what its folders are."""

    path: PurePosixPath
    part: str
    folders: tuple[str, ...]  # without those of parts


def class_folders(root: Path, data: Data, patient: str = "", sample: str = "file") -> pd.DataFrame:
    """Read `<class>/…/<image>`, also in folders of parts or of patients.

    Parts (`Training`, `train`, `val`, `Testing`, …, whatever their case) lie at the top, or in each class's folder. Of
    the other folders, above the classes' and then below, the first are patients and the second their studies, unless
    all are called alike. All may lie in a single top folder. Where there is `data.labels`, the classes' folders
    bear its labels, and others may lie beside them. The lesion mask of `Testing/glioma/x.jpg` is
    `masks/Testing/glioma/x.png`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes.
        patient: A regular expression whose group, in a file's name or else in its path, is the patient.
        sample: What one is: each `file`, or each `folder` of slices.

    Returns:
        The manifest; a sample is named by its path.

    Raises:
        RescanError: A class's folder is missing, empty, unknown or there twice; no images at all.
    """
    spellings = _spellings(data)
    top = _top(root, spellings)
    if not any(entry.is_dir() for entry in entries_of(top)):
        expected = f"<class>/<image> or Training|Testing/<class>/<image>, with the classes {', '.join(data.classes)}"
        raise RescanError(f"{root}: no class folders; this layout expects {expected}")
    faults: list[str] = []
    paths, others = samples_below(top, sample)
    places, unread = _places(top, paths, spellings, faults, sample)
    level = _level(places, spellings)
    below = {place.folders[level + 1].casefold() for place in places if len(place.folders) > level + 1}
    inner_parts = not any(place.part for place in places) and bool(below) and below <= set(PARTS)

    masks = {stem_of(file.relative_to(top / "masks").as_posix()): file for file in _files(top / "masks")}
    rows = []
    for path, part, folders in places:
        if len(folders) <= level:
            unread.append(path)
            continue
        label = spellings.get(spelled(folders[level]), folders[level] if data.labels else "")
        after = level + 1
        own_part = part
        if inner_parts and len(folders) > after:
            own_part, after = PARTS[folders[after].casefold()], after + 1
        mask = masks.get(stem_of(str(path)))
        name = (top / path).relative_to(root).as_posix()
        mask_path = mask.relative_to(root).as_posix() if mask else ""
        row = {"sample": name, "path": name, "label": label, "published_part": own_part, "mask": mask_path}
        above = path.parts[: bool(part) + level + 1]
        rows.append({**row, "folder": top.joinpath(*above), "others": (*folders[:level], *folders[after:])})
    table = pd.DataFrame(rows, columns=["sample", "path", "label", "published_part", "mask", "folder", "others"])
    faults += _class_faults(top, table, data)
    raise_all(faults)
    if others or unread:
        some = ", ".join(str(path) for path in sorted([*others, *unread])[:EXAMPLES])
        logger.warning("%s: %d files or folders are not read, such as %s", top, len(others) + len(unread), some)
    if (table["published_part"] == "validation").any():
        logger.warning("%s: %s", top, JOINED)
    table["published_part"] = table["published_part"].replace("validation", "train")
    table["patient"], table["study"] = _patients(top, table["others"].tolist())
    if patient:
        table["patient"] = checked_patients(top, table["path"].tolist(), patient)
    return table.reindex(columns=COLUMNS, fill_value="")


def _spellings(data: Data) -> dict[str, str]:
    """The labels by how folders may spell them."""
    return {spelled(label): label for label in data.labels or data.classes}


def _top(root: Path, spellings: dict[str, str]) -> Path:
    """The folder with the layout: `root`, or the single one in it, as archives often have."""
    entries = entries_of(root)
    inner = [entry for entry in entries if entry.is_dir()]
    if len(inner) != 1 or len(entries) > 1 or inner[0].name.casefold() in PARTS or spelled(inner[0].name) in spellings:
        return root
    return _top(inner[0], spellings)


def _files(folder: Path) -> list[Path]:
    return [Path(file.path) for file in files_below(folder)] if folder.is_dir() else []


def _places(
    top: Path, paths: Sequence[PurePosixPath], spellings: dict[str, str], faults: list[str], sample: str
) -> tuple[list[Place], list[PurePosixPath]]:
    """Where each sample lies, and the files that are none; two folders of one part are a fault."""
    names = [entry.name for entry in entries_of(top) if entry.is_dir() and spelled(entry.name) not in spellings]
    parts: dict[str, str] = {}
    for name in names:
        first = parts.setdefault(PARTS.get(name.casefold(), ""), name)
        if first != name and name.casefold() in PARTS:
            faults.append(f"{top / name}: a second folder of this part; merge it with {first}")
    of_folder = {folder: part for part, folder in parts.items() if part}
    places, unread = [], []
    for path in paths:
        folders = path.parts if sample == "folder" else path.parts[:-1]
        is_mask = any(folder.casefold() in MASKS for folder in folders if spelled(folder) not in spellings)
        if is_mask or (of_folder and (not folders or folders[0] not in of_folder)):
            unread += [] if folders and folders[0] == "masks" else [path]
        else:
            places.append(Place(path, of_folder.get(folders[0], "") if folders else "", folders[bool(of_folder) :]))
    return places, unread


def _level(places: Sequence[Place], spellings: dict[str, str]) -> int:
    """How deep the classes' folders lie: where most samples have one."""
    depths = [depth for place in places for depth, name in enumerate(place.folders) if spelled(name) in spellings]
    return min(set(depths), key=lambda depth: (-depths.count(depth), depth), default=0)


def _class_faults(top: Path, table: pd.DataFrame, data: Data) -> list[str]:
    """What is wrong with the classes' folders."""
    faults = []
    first: dict[tuple[Path, str], str] = {}
    for folder, label in zip(table["folder"], table["label"]):
        name = first.setdefault((folder.parent, label or folder.name), folder.name)
        if name != folder.name:
            faults.append(f"{folder}: a second folder of class {label!r}; merge it with {name}")
        elif not label:
            near = catalogue.suggest(folder.name, data.classes)
            faults.append(f"{folder}: no class of this study{near}; rename the folder, or add it to data.classes")
    faults = first_faults(top, list(dict.fromkeys(faults)))
    parts = table["published_part"].replace("validation", "train")
    for part in sorted(set(parts)) or [""]:
        there = {data.labels.get(label, "") if data.labels else label for label in table.loc[parts == part, "label"]}
        for label in data.classes:
            if label not in there:
                faults.append(_missing(top, part, label, data))
    return faults


def _missing(top: Path, part: str, label: str, data: Data) -> str:
    """That a class has no sample in a part."""
    folders = [entry for entry in entries_of(top) if PARTS.get(entry.name.casefold(), "") == part] if part else [top]
    folder = folders[0] if folders else top
    names = {spelled(name) for name, of in data.labels.items() if of == label} if data.labels else {spelled(label)}
    inner = [entry for entry in entries_of(folder) if entry.is_dir() and spelled(entry.name) in names]
    if inner:
        return f"{inner[0]}: no image in it ({' '.join(sorted(SUFFIXES))}, DICOM or NIfTI); fill the folder"
    return f"{folder}: no folder of class {label!r}; add it, or take it out of data.classes"


def _patients(top: Path, others: list[tuple[str, ...]]) -> tuple[list[str], list[str]]:
    """The patient and the study of each sample, by the folders that are neither of a part nor of a class."""
    depths = range(max(map(len, others), default=0))
    names = {depth: {folders[depth] for folders in others if len(folders) > depth} for depth in depths}
    depth = next((depth for depth in depths if len(names[depth]) > 1 and not names[depth] <= PICTURES), None)
    if depth is None:
        return [""] * len(others), [""] * len(others)
    some = ", ".join(sorted(names[depth])[:EXAMPLES])
    logger.info(
        "%s: %d folders are read as patients, such as %s; if they are something else, set patient: a pattern of the "
        "files' names in data.layout",
        *(top, len(names[depth]), some),
    )
    patients, studies = ([folders[at] if len(folders) > at else "" for folders in others] for at in (depth, depth + 1))
    return patients, studies
