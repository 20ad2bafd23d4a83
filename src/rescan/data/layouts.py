"""Layouts: readers of native data sets. Each turns a folder into a manifest, one row a sample.

A layout is a function `(root, data, **options) -> DataFrame` with the columns `COLUMNS`, all text. It lists files and
decodes no image; it raises `RescanError` with one line for each fault.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import pandas as pd

from rescan import names
from rescan.data.tables import grades, label_faults, lines_of, raise_all, read_csv, say_unread, shown
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data, Study

COLUMNS = ["sample", "path", "label", "patient", "eye", "study", "published_part", "mask", "origin"]
KNOWN_COLUMNS = ["site", "device", "age", "sex"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
PARTS = {"training": "train", "train": "train", "testing": "test", "test": "test"}
UNLABELED, EXTRA = "unlabeled", "extra"  # two more parts: samples without a label, and those of extra sources
# What a layout reads beside images and masks, so that source.json's checksum sees a changed label.
TABLES = {"aptos": ["train.csv", "test.csv"], "eyepacs": ["trainLabels.csv"]}


def read(study: Study, root: Path, origin: str = "") -> pd.DataFrame:
    """Run a layout on a folder: the study's own, or that of one of its extra sources.

    Args:
        study: The resolved study.
        root: The folder with the native layout.
        origin: The extra source's name in data.extra; "" reads the study's own data.

    Returns:
        The manifest, sorted by sample, "" where unknown: `sample`, `path` (relative to root, posix), `label` (a class;
        "" only in part "unlabeled"), `patient`, `eye`, `study`, `published_part` ("train", "test", "" = none published,
        "unlabeled", "extra"), `mask` (path of a lesion mask), `origin`, and those of `site`, `device`, `age`, `sex`
        that the layout knows. Of an extra source only labeled samples are read; its name stands before their names and
        patients.

    Raises:
        RescanError: One line for each fault, after the study's name.
    """
    layout = study.data.extra[origin].layout if origin else study.data.layout
    options = {key: value for key, value in layout.items() if key != "name"}
    with naming(study):
        if not root.is_dir():
            raise RescanError(f"the source folder {root} is not there; check the path, or download again")
        manifest: pd.DataFrame = names.resolve("layout", layout["name"])(root, study.data, **options)
        if origin:
            manifest = _of_extra(manifest, origin)
        else:
            _check_parts(study, root, set(manifest["published_part"]))
    return manifest.sort_values("sample", ignore_index=True)


def _check_parts(study: Study, root: Path, parts: set[str]) -> None:
    if study.split.test == "published" and "test" not in parts:
        raise RescanError(
            f"{root}: no labeled test part (a Testing folder, or rows with part test); add it, or set split.test to a "
            "share such as 0.2"
        )
    if "test" in parts and "train" not in parts:
        raise RescanError(f"{root}: a Testing part but no Training part; add it")


def _of_extra(manifest: pd.DataFrame, origin: str) -> pd.DataFrame:
    labeled = manifest[manifest["label"] != ""]
    if len(labeled) < len(manifest):
        logger.info("%s: %d samples without a label are not read", origin, len(manifest) - len(labeled))
    patient = labeled["patient"].where(labeled["patient"] == "", f"{origin}/" + labeled["patient"])
    sample = f"{origin}/" + labeled["sample"]
    return labeled.assign(sample=sample, patient=patient, published_part=EXTRA, origin=origin)


def tables_read(layout: dict[str, Any], root: Path) -> list[str]:
    """The tables that a layout reads of the folder `root`, relative to it."""
    listed = TABLES.get(layout["name"], [layout["file"]] if "file" in layout else [])
    found = [top_of(root, name) / name for name in listed]
    return [path.relative_to(root).as_posix() for path in found if path.is_file()]


@contextmanager
def naming(study: Study) -> Iterator[None]:
    """Put the study's name before each line of a `RescanError`; say in one line which file cannot be read."""
    try:
        yield
    except RescanError as error:
        raise RescanError("\n".join(f"{study.name}: {line}" for line in str(error).splitlines())) from None
    except OSError as error:
        raise RescanError(f"{study.name}: {error.filename}: {error.strerror}; mend or remove it") from None


def class_folders(root: Path, data: Data) -> pd.DataFrame:
    """Read `Training|Testing/<class>/<image>`, or `<class>/<image>` where no parts are published.

    `train` and `test` are accepted too, case does not matter, and all may lie in a single top folder. The lesion mask
    of `Testing/glioma/x.jpg` is `masks/Testing/glioma/x.png`, if there is one.

    Args:
        root: The data set's folder.
        data: For the classes.

    Returns:
        The manifest; a sample is named by its path.

    Raises:
        RescanError: A class folder is missing, empty, unknown or there twice; no images at all.
    """
    top = _top(root, data.classes)
    entries = [entry for entry in _entries(top) if entry.name != "masks"]
    found = [(PARTS[entry.name.lower()], entry) for entry in entries if entry.name.lower() in PARTS and entry.is_dir()]
    parts = dict(reversed(found))
    if not parts and not any(entry.is_dir() for entry in entries):
        expected = f"Training|Testing/<class>/<image>, with the classes {', '.join(data.classes)}"
        raise RescanError(f"{root}: no class folders; this layout expects {expected}")
    faults = [f"{entry}: a second folder of this part; merge it with {parts[part].name}" for part, entry in found]
    faults = [fault for fault, (part, entry) in zip(faults, found) if entry != parts[part]]
    unread = [entry for entry in entries if entry not in parts.values()] if parts else []

    rows = []
    for part, folder in parts.items() or [("", top)]:
        folders = _class_folders(folder, data.classes, faults, unread)
        for label, class_folder in folders.items():
            for image in _images(class_folder, faults, unread):
                path = image.relative_to(root).as_posix()
                mask = top / "masks" / image.relative_to(top).with_suffix(".png")
                mask_path = mask.relative_to(root).as_posix() if mask.is_file() else ""
                rows.append({"sample": path, "path": path, "label": label, "published_part": part, "mask": mask_path})
    raise_all(faults)
    if unread:
        some = ", ".join(entry.relative_to(root).as_posix() for entry in sorted(unread)[:3])
        logger.warning("%s: %d files or folders are not read, such as %s", root, len(unread), some)
    return pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value="")


def _class_folders(folder: Path, classes: list[str], faults: list[str], unread: list[Path]) -> dict[str, Path]:
    """The folder of each class; what is wrong and what is left out are added to `faults` and `unread`."""
    spelled = {**{_plain(name): name for name in classes}, **{name: name for name in classes}}
    found: dict[str, Path] = {}
    for entry in _entries(folder):
        label = spelled.get(entry.name) or spelled.get(_plain(entry.name))
        if not entry.is_dir() or (label is None and entry.name == "masks"):
            unread.append(entry)
        elif label is None:
            near = names.suggest(entry.name, classes)
            faults.append(f"{entry}: no class of this study{near}; rename the folder, or add it to data.classes")
        elif label in found:
            faults.append(f"{entry}: a second folder of class {label!r}; merge it with {found[label].name}")
        else:
            found[label] = entry
    missing = [label for label in classes if label not in found]
    faults += [f"{folder}: no folder of class {label!r}; add it, or take it out of data.classes" for label in missing]
    return found


def _images(folder: Path, faults: list[str], unread: list[Path]) -> list[Path]:
    """The images of one class folder; what is wrong and what is left out are added to `faults` and `unread`."""
    images: list[Path] = []
    for entry in _entries(folder):
        (images if entry.suffix.lower() in SUFFIXES and not entry.is_dir() else unread).append(entry)
    if not images:
        faults.append(f"{folder}: no image in it ({' '.join(sorted(SUFFIXES))}); fill the folder")
    bad = [image.name for image in images if not _is_text(image.name)]
    faults += [f"{folder}: the file name {name!a} is not valid UTF-8; rename the file" for name in bad]
    return images


def table(root: Path, data: Data, file: str = "samples.csv") -> pd.DataFrame:
    """Read one CSV with a row a sample.

    Args:
        root: The data set's folder.
        data: For the classes.
        file: The CSV, relative to root: UTF-8, comma-separated; columns `path` (relative to root) and `label` (a class,
            or its number from 0 where classes are grades), and, if known, `sample` (else the path), `patient`, `eye` or
            `side`, `study`, `site`, `device`, `age`, `sex` and `part` (train or test; unlabeled needs no label).

    Returns:
        The manifest, with those of `site`, `device`, `age`, `sex` that the file has.

    Raises:
        RescanError: One line for each fault, with the file's line number.
    """
    top = top_of(root, file)
    path = top / file
    rows = read_csv(path, ["path", "label"], "give the table's name as data.layout.file")
    rows = rows if "eye" in rows else rows.rename(columns={"side": "eye"})
    rows["path"] = [PurePosixPath(value).as_posix() if value else "" for value in rows["path"]]
    rows["sample"] = rows["sample"] if "sample" in rows else rows["path"]
    rows["part"] = rows.get("part", "")
    parts = rows["part"].str.lower()
    rows["published_part"] = parts.map({**PARTS, UNLABELED: UNLABELED}).fillna("")
    rows["label"] = grades(rows["label"], data).where(parts != UNLABELED, "")
    raise_all(_table_faults(path, top, rows, data))
    say_unread(path, rows, {*COLUMNS, *KNOWN_COLUMNS, "part"} - {"mask", "origin"})
    rows["path"] = [(top / value).relative_to(root).as_posix() for value in rows["path"]]
    rows["mask"] = rows["origin"] = ""
    columns = [*COLUMNS, *(name for name in KNOWN_COLUMNS if name in rows)]
    manifest: pd.DataFrame = rows.reindex(columns=columns, fill_value="")
    return manifest


def _table_faults(file: Path, root: Path, rows: pd.DataFrame, data: Data) -> list[str]:
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

    right = {part for part in rows["part"] if part.lower() in {*PARTS, UNLABELED}}
    right |= set() if rows["published_part"].isin(["train", "test"]).any() else {""}
    wrong = [
        f"{file}: {lines}: part is {part!r}; use train, test or unlabeled"
        for part, lines in lines_of(rows["part"], right)
    ]
    labeled = rows.loc[rows["published_part"] != UNLABELED, "label"]
    return [*label_faults(file, labeled, data), *shown(file, wrong), *shown(file, single)]


def _path_fault(path: str, root: Path) -> str:
    if not path:
        return "no path; fill it in"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return f"{path} leaves the folder {root}; give a path inside it"
    return "" if (root / path).is_file() else f"no file {root / path}; correct the path, or add the file"


def top_of(root: Path, file: str) -> Path:
    """The folder that holds a file of the layout: the single one in `root`, if the file is there, else `root`."""
    inner = _top(root, [])
    return inner if (inner / file).is_file() else root


def _top(root: Path, classes: list[str]) -> Path:
    """The folder with the layout: the single one in `root`, as archives often have, or `root` itself."""
    entries = _entries(root)
    inner = entries[0] if len(entries) == 1 else root
    return inner if inner.is_dir() and inner.name.lower() not in PARTS and inner.name not in classes else root


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files and what macOS adds to archives."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX")))


def _is_text(name: str) -> bool:
    """Whether a file name can be written to a table: bytes that are no UTF-8 come as lone surrogates."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
