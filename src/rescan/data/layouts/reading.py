"""Layouts: readers of native data sets. Each turns a folder into a manifest, one row a sample.

A layout is a function `(root, data, **options) -> DataFrame` with the columns `COLUMNS`, all text, and what else it
knows of them. Its labels are classes; or, where there is `data.labels`, the source's own. It lists files and decodes no
image; it raises `RescanError` with one line for each fault.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from rescan import catalogue
from rescan.data.readers.tables import raise_all
from rescan.errors import RescanError
from rescan.log import logger
from rescan.results.manifest import MANIFEST, OTHER_PATH
from rescan.results.parts import EXTRA
from rescan.study import Data, Study

COLUMNS = [column.name for column in MANIFEST.columns if not column.optional]
SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff"}
PARTS = {"training": "train", "train": "train", "testing": "test", "test": "test"}


def read(study: Study, root: Path, origin: str = "") -> pd.DataFrame:
    """Run a layout on a folder: the study's own, or that of one of its extra sources.

    Args:
        study: The resolved study.
        root: The folder with the native layout.
        origin: The extra source's name in data.extra; "" reads the study's own data.

    Returns:
        The manifest, sorted by sample, "" where unknown: `sample`, `path` (relative to root, posix), `label` (a class;
        "" only in part "unlabeled"), `patient`, `eye`, `study`, `published_part` ("train", "test", "" = none published,
        "unlabeled", "extra"), `mask` (path of a lesion mask), `origin`, and those that the layout knows of `site`,
        `device`, `fov` (field of view, such as "3mm"), `body_part`, `age`, `sex`, `extent` ("2 3 3": millimeters that
        the whole scan measures along depth, height and width), `layers` (path of the surfaces of the retina's layers)
        and `path_<modality>` (path of a further file of the sample). Of a volume `path` and `mask` may be folders, of
        B-scans or DICOM slices. Of an extra source only labeled samples are read; its name stands before their names
        and patients. `attrs["dropped"]` says how many samples each label had that `data.labels` drops, and
        `attrs["unlisted"]` names files among the samples that the data set's own tables do not list.

    Raises:
        RescanError: One line for each fault, after the study's name.
    """
    layout = study.data.extra[origin].layout if origin else study.data.layout
    options = {key: value for key, value in layout.items() if key != "name"}
    with naming(study):
        if not root.is_dir():
            raise RescanError(f"the source folder {root} is not there; check the path, or download again")
        listed: pd.DataFrame = catalogue.resolve("layout", layout["name"])(root, study.data, **options)
        manifest, dropped = _by_class(study.data, root, listed, own=not origin) if study.data.labels else (listed, {})
        if origin:
            manifest = _of_extra(manifest, origin)
        else:
            _check_parts(study, root, set(manifest["published_part"]))
    manifest = manifest.sort_values("sample", ignore_index=True)
    manifest.attrs = {"dropped": dropped, "unlisted": listed.attrs.get("unlisted", [])}
    return manifest


def _by_class(data: Data, root: Path, listed: pd.DataFrame, *, own: bool) -> tuple[pd.DataFrame, dict[str, int]]:
    """Put classes in place of the source's labels as `data.labels` says; drop the samples whose label it does not name.

    Args:
        data: The study's data.
        root: The folder that was read, for messages.
        listed: What the layout gives. The label "", of samples without one, stays.
        own: Whether these are the study's own samples, of which each class must have one.

    Returns:
        The samples left, and how many each dropped label had.

    Raises:
        RescanError: None of the study's own samples gets into one of the classes.
    """
    counts = listed.loc[listed["label"] != "", "label"].value_counts().sort_index()
    unused = [label for label in data.labels if label not in counts]
    empty = set(data.classes) - {data.labels[label] for label in counts.index if label in data.labels}
    if own and empty:
        there = ", ".join(f"{label} {count}" for label, count in counts.items())
        raise RescanError(
            f"{root}: by data.labels no sample is {min(empty)!r}; the labels there are: {there or 'none'}"
        )
    if own and unused:
        logger.warning("%s: no sample has the label %s that data.labels names", root, " or ".join(map(repr, unused)))
    dropped = {str(label): int(count) for label, count in counts.items() if label not in data.labels}
    if dropped:
        which = ", ".join(f"{label} {count}" for label, count in dropped.items())
        said = "%s: %d samples are dropped, whose label data.labels does not name: %s"
        logger.info(said, root, sum(dropped.values()), which)
    kept = listed[~listed["label"].isin(list(dropped))]
    return kept.assign(label=kept["label"].map({**data.labels, "": ""})), dropped


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
    listed = [table.format(**layout) for table in catalogue.LAYOUTS[layout["name"]].tables]
    found = dict.fromkeys(top_of(root, name) / name for name in listed)
    return [path.relative_to(root).as_posix() for path in found if path.is_file()]


def file_columns(manifest: pd.DataFrame) -> list[str]:
    """The columns of a manifest, or of a table, that hold paths."""
    return [name for name in map(str, manifest) if name in ("path", "mask", "layers") or name.startswith(OTHER_PATH)]


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
    entries = [entry for entry in entries_of(top) if entry.name != "masks"]
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
        folders = _class_folders(folder, data, faults, unread)
        for label, class_folder in folders.items():
            dropped = bool(data.labels) and label not in data.labels
            for image in _images(class_folder, [] if dropped else faults, unread):
                path = image.relative_to(root).as_posix()
                mask = top / "masks" / image.relative_to(top).with_suffix(".png")
                mask_path = mask.relative_to(root).as_posix() if mask.is_file() else ""
                rows.append({"sample": path, "path": path, "label": label, "published_part": part, "mask": mask_path})
    raise_all(faults)
    if unread:
        some = ", ".join(entry.relative_to(root).as_posix() for entry in sorted(unread)[:3])
        logger.warning("%s: %d files or folders are not read, such as %s", root, len(unread), some)
    return pd.DataFrame(rows).reindex(columns=COLUMNS, fill_value="")


def _class_folders(folder: Path, data: Data, faults: list[str], unread: list[Path]) -> dict[str, Path]:
    """The folder of each label; what is wrong and what is left out are added to `faults` and `unread`."""
    classes = data.labels or {name: name for name in data.classes}
    spelled = {**{_plain(name): name for name in classes}, **{name: name for name in classes}}
    found: dict[str, Path] = {}
    for entry in entries_of(folder):
        label = spelled.get(entry.name) or spelled.get(_plain(entry.name))
        if not entry.is_dir() or (label is None and entry.name == "masks"):
            unread.append(entry)
        elif label is None and data.labels:
            found[entry.name] = entry
        elif label is None:
            near = catalogue.suggest(entry.name, data.classes)
            faults.append(f"{entry}: no class of this study{near}; rename the folder, or add it to data.classes")
        elif label in found:
            faults.append(f"{entry}: a second folder of class {label!r}; merge it with {found[label].name}")
        else:
            found[label] = entry
    there = {classes.get(label) for label in found}
    missing = [label for label in data.classes if label not in there]
    faults += [f"{folder}: no folder of class {label!r}; add it, or take it out of data.classes" for label in missing]
    return found


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


def top_of(root: Path, file: str) -> Path:
    """The folder that holds a file or folder of the layout: `root`, or the one in it that does."""
    inner = [entry for entry in entries_of(root) if (entry / file).exists()]
    return inner[0] if len(inner) == 1 and not (root / file).exists() else root


def _top(root: Path, classes: list[str]) -> Path:
    """The folder with the layout: the single one in `root`, as archives often have, or `root` itself."""
    entries = entries_of(root)
    inner = entries[0] if len(entries) == 1 else root
    return inner if inner.is_dir() and inner.name.lower() not in PARTS and inner.name not in classes else root


def entries_of(folder: Path) -> list[Path]:
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
