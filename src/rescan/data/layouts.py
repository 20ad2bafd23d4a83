"""Layouts: readers of native data sets. Each turns a folder into a manifest, one row a sample.

A layout is a function `(root, data, **options) -> DataFrame` with the columns `COLUMNS`, all text. It lists files and
decodes no image; it raises `RescanError` with one line for each fault.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import pandas as pd

from rescan import names
from rescan.errors import RescanError
from rescan.log import logger
from rescan.study import Data, Study

COLUMNS = ["sample", "path", "label", "patient", "eye", "study", "published_part", "mask"]
KNOWN_COLUMNS = ["site", "device", "age", "sex"]
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
PARTS = {"training": "train", "train": "train", "testing": "test", "test": "test"}
SHOWN = 20  # lines of faults of one kind before the rest is counted


def read(study: Study, root: Path) -> pd.DataFrame:
    """Run a study's layout on a folder.

    Args:
        study: The resolved study.
        root: The folder with the native layout.

    Returns:
        The manifest, sorted by sample, "" where unknown: `sample`, `path` (relative to root, posix), `label`,
        `patient`, `eye`, `study`, `published_part` ("train", "test", "" = none published), `mask` (path of a lesion
        mask), and those of `site`, `device`, `age`, `sex` that the layout knows.

    Raises:
        RescanError: One line for each fault, after the study's name.
    """
    options = {key: value for key, value in study.data.layout.items() if key != "name"}
    with naming(study):
        if not root.is_dir():
            raise RescanError(f"the source folder {root} is not there; check the path, or download again")
        manifest: pd.DataFrame = names.resolve("layout", study.data.layout["name"])(root, study.data, **options)
        parts = set(manifest["published_part"])
        if study.split.test == "published" and "test" not in parts:
            raise RescanError(
                f"{root}: no Testing folder (or rows with part test); add it, or set split.test to a share such as 0.2"
            )
        if "test" in parts and "train" not in parts:
            raise RescanError(f"{root}: a Testing part but no Training part; add it")
    return manifest.sort_values("sample", ignore_index=True)


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
    _raise(faults)
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
        file: The CSV, relative to root: UTF-8, comma-separated; columns `path` (relative to root) and `label`, and, if
            known, `sample` (else the path), `patient`, `eye` or `side`, `study`, `site`, `device`, `age`, `sex` and
            `part` (train or test).

    Returns:
        The manifest, with those of `site`, `device`, `age`, `sex` that the file has.

    Raises:
        RescanError: One line for each fault, with the file's line number.
    """
    top = root if (root / file).is_file() else _top(root, [])
    path = top / file
    try:
        rows: pd.DataFrame = pd.read_csv(
            path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True
        )
    except OSError as error:
        raise RescanError(
            f"{path}: cannot be read ({error.strerror}); give the table's name as data.layout.file"
        ) from None
    except UnicodeDecodeError:
        raise RescanError(f"{path}: not UTF-8; save it as CSV in UTF-8") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise RescanError(
            f"{path}: not a comma-separated table ({' '.join(str(error).split())}); mend the file"
        ) from None
    rows = rows.rename(columns=str.strip).rename(columns={"side": "eye"})
    _raise(
        f"{path}: no column {name!r}{names.suggest(name, rows.columns)}; add it to the first line"
        for name in ("path", "label")
        if name not in rows
    )
    if rows.empty:
        raise RescanError(f"{path}: no rows; add a row a sample")
    rows = rows.apply(lambda column: column.str.strip())
    rows["path"] = [PurePosixPath(value).as_posix() if value else "" for value in rows["path"]]
    rows["sample"] = rows["sample"] if "sample" in rows else rows["path"]
    _raise(_table_faults(path, top, rows, data))
    unknown = [str(name) for name in rows if name not in {*COLUMNS, *KNOWN_COLUMNS, "part"} - {"mask"}]
    if unknown:
        logger.warning("%s: %d columns are not read: %s", path, len(unknown), ", ".join(unknown))
    rows["published_part"] = rows["part"].str.lower().map(PARTS).fillna("") if "part" in rows else ""
    rows["path"] = [(top / value).relative_to(root).as_posix() for value in rows["path"]]
    rows["mask"] = ""
    columns = [*COLUMNS, *(name for name in KNOWN_COLUMNS if name in rows)]
    manifest: pd.DataFrame = rows.reindex(columns=columns, fill_value="")
    return manifest


def _table_faults(file: Path, root: Path, rows: pd.DataFrame, data: Data) -> list[str]:
    """What is wrong with a table's rows; rows with the same wrong label or part make one fault."""
    first: dict[str, int] = {}
    single: list[str] = []
    for line, path, sample in zip(range(2, len(rows) + 2), rows["path"], rows["sample"]):
        if fault := _path_fault(path, root):
            single.append(f"{file}: line {line}: {fault}")
        elif not sample:
            single.append(f"{file}: line {line}: no sample; fill it in, or leave the column out")
        elif first.setdefault(sample, line) != line:
            single.append(f"{file}: line {line}: sample {sample!r} is in line {first[sample]} too; name each one once")
    if len(single) > SHOWN:
        single[SHOWN:] = [f"{file}: {len(single) - SHOWN} more lines with such faults"]

    shared = [
        f"{file}: {lines}: no class {label!r}{names.suggest(label, data.classes)}"
        for label, lines in _lines(rows["label"], set(data.classes))
    ]
    if "part" in rows and (rows["part"] != "").any():
        wrong = _lines(rows["part"], {part for part in rows["part"] if part.lower() in PARTS})
        shared += [f"{file}: {lines}: part is {part!r}; use train or test" for part, lines in wrong]
    return shared + single


def _path_fault(path: str, root: Path) -> str:
    if not path:
        return "no path; fill it in"
    if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
        return f"{path} leaves the folder {root}; give a path inside it"
    return "" if (root / path).is_file() else f"no file {root / path}; correct the path, or add the file"


def _lines(column: pd.Series[str], right: set[str]) -> list[tuple[str, str]]:
    """Each wrong value of a column, and in which lines of the file it is, in words."""
    lines: dict[str, list[int]] = {}
    for line, value in enumerate(column, 2):
        if value not in right:
            lines.setdefault(value, []).append(line)
    several = {value: f" and {len(found) - 1} more" if len(found) > 1 else "" for value, found in lines.items()}
    return [(value, f"line {found[0]}{several[value]}") for value, found in lines.items()]


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


def _raise(faults: Iterable[str]) -> None:
    if lines := list(faults):
        raise RescanError("\n".join(lines))
