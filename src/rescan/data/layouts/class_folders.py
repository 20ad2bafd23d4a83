"""The layout of a folder per class, with or without folders of a training and a test part above."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pandas as pd

from rescan import catalogue
from rescan.data.layouts.folders import COLUMNS, PARTS, entries_of
from rescan.data.readers.images import SUFFIXES
from rescan.data.readers.tables import raise_all
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data

MASKS = "masks"


def class_folders(root: Path, data: Data) -> pd.DataFrame:
    """Read `Training|Testing/<class>/<image>`, or `<class>/<image>` where no parts are published.

    `train` and `test` are accepted too, case does not matter, and all may lie in a single top folder. Where there is
    `data.labels`, the folders are called by its labels, and others may lie beside them. The lesion mask of
    `Testing/glioma/x.jpg` is `masks/Testing/glioma/x.png`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes.

    Returns:
        The manifest; a sample is named by its path.

    Raises:
        RescanError: A class folder is missing, empty, unknown or there twice; no images at all.
    """
    top = _top(root, [*data.classes, *data.labels])
    entries = [entry for entry in entries_of(top) if entry.name != MASKS]
    folders = [entry for entry in entries if entry.is_dir()]
    of_parts = [(PARTS[folder.name.lower()], folder) for folder in folders if folder.name.lower() in PARTS]
    parts = dict(reversed(of_parts))  # the first folder of each part
    if not folders:
        expected = f"Training|Testing/<class>/<image>, with the classes {', '.join(data.classes)}"
        raise RescanError(f"{root}: no class folders; this layout expects {expected}")
    faults = [
        f"{folder}: a second folder of this part; merge it with {parts[part].name}"
        for part, folder in of_parts
        if folder != parts[part]
    ]
    unread = [entry for entry in entries if entry not in parts.values()] if parts else []

    rows = []
    for part, folder in parts.items() or [("", top)]:
        for label, class_folder in _class_folders(folder, data, faults, unread).items():
            is_dropped = bool(data.labels) and label not in data.labels
            for image in _images(class_folder, [] if is_dropped else faults, unread):
                path = image.relative_to(root).as_posix()
                mask = top / MASKS / image.relative_to(top).with_suffix(".png")
                mask_path = mask.relative_to(root).as_posix() if mask.is_file() else ""
                rows.append({"sample": path, "path": path, "label": label, "published_part": part, "mask": mask_path})
    raise_all(faults)
    if unread:
        some = ", ".join(entry.relative_to(root).as_posix() for entry in sorted(unread)[:3])
        logger.warning("%s: %d files or folders are not read, such as %s", root, len(unread), some)
    return pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value="")


def _top(root: Path, classes: list[str]) -> Path:
    """The folder with the layout: the single one in `root`, as archives often have, or `root` itself."""
    entries = entries_of(root)
    inner = entries[0] if len(entries) == 1 else root
    return inner if inner.is_dir() and inner.name.lower() not in PARTS and inner.name not in classes else root


def _class_folders(folder: Path, data: Data, faults: list[str], unread: list[Path]) -> dict[str, Path]:
    """The folder of each label; what is wrong and what is left out are added to `faults` and `unread`."""
    labels = data.labels or data.classes
    spellings = {**{_plain(label): label for label in labels}, **{label: label for label in labels}}
    folders: dict[str, Path] = {}
    for entry in entries_of(folder):
        label = spellings.get(entry.name) or spellings.get(_plain(entry.name))
        if not entry.is_dir() or (label is None and entry.name == MASKS):
            unread.append(entry)
        elif label is None and data.labels:
            folders[entry.name] = entry
        elif label is None:
            near = catalogue.suggest(entry.name, data.classes)
            faults.append(f"{entry}: no class of this study{near}; rename the folder, or add it to data.classes")
        elif label in folders:
            faults.append(f"{entry}: a second folder of class {label!r}; merge it with {folders[label].name}")
        else:
            folders[label] = entry
    there = {data.labels.get(label, "") if data.labels else label for label in folders}
    missing = [label for label in data.classes if label not in there]
    faults += [f"{folder}: no folder of class {label!r}; add it, or take it out of data.classes" for label in missing]
    return folders


def _images(folder: Path, faults: list[str], unread: list[Path]) -> list[Path]:
    """The images of one class folder; what is wrong and what is left out are added to `faults` and `unread`."""
    images: list[Path] = []
    for entry in entries_of(folder):
        (images if entry.suffix.lower() in SUFFIXES and not entry.is_dir() else unread).append(entry)
    if not images:
        faults.append(f"{folder}: no image in it ({' '.join(sorted(SUFFIXES))}); fill the folder")
    bad = [image.name for image in images if not _is_text(image.name)]
    faults += [f"{folder}: the file name {name!a} is not valid UTF-8; rename the file" for name in bad]
    return images


def _is_text(name: str) -> bool:
    """Whether a file name can be written to a table: bytes that are no UTF-8 come as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
