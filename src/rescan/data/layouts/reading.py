"""Running a layout on a study's folder, and putting classes in place of the data set's own labels.

A layout is a function `(root, data, **options) -> DataFrame`, one per file beside this one. It lists files and decodes
no image; it gives one row per sample, all text, with the columns `folders.COLUMNS` and what else it knows of them. Its
labels are classes; or, where there is `data.labels`, the data set's own. It raises `RescanError` with one line per
fault.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from rescan import catalogue
from rescan.data.layouts.folders import naming, path_columns, top_of
from rescan.data.readers.frames import frame_paths
from rescan.errors import RescanError
from rescan.log import logger
from rescan.results.parts import EXTRA, UNLABELED
from rescan.spelling import ONLY_WRITTEN, alike
from rescan.study import Data, Study
from rescan.walk import name_fault


def read_layout(study: Study, root: Path, origin: str = "") -> pd.DataFrame:
    """Run a layout on a folder: the study's own, or that of one of its extra sources.

    Args:
        study: The resolved study.
        root: The folder with the native layout.
        origin: The extra source's name in data.extra; "" reads the study's own data.

    Returns:
        Rows of the manifest (`results.manifest.MANIFEST`), sorted by sample. Of an extra source only labeled samples
        are read; its name stands before their names and patients. `attrs["dropped"]` holds the number of samples of
        each label that `data.labels` drops, `attrs["unlisted"]` the files among the samples that the data set's own
        tables do not list.

    Raises:
        RescanError: One line per fault, after the study's name.
    """
    layout = study.data.extra[origin].layout if origin else study.data.layout
    options = {key: value for key, value in layout.items() if key != "name"}
    with naming(study):
        if not root.is_dir():
            raise RescanError(f"the source folder {root} is not there; check the path, or download again")
        listed: pd.DataFrame = catalogue.resolve("layout", layout["name"])(root, study.data, **options)
        _check_names(listed)
        if study.data.frames == "each":
            listed = _by_frame(root, listed)
        manifest, dropped = listed, dict[str, int]()
        if study.data.labels and not study.data.multilabel:  # of several labels the layout has done it
            manifest, dropped = _by_class(study.data, root, listed, own=not (origin or study.home))
        if origin:
            manifest = _of_extra(manifest, origin)
        elif study.home:  # all its parts are tested on
            labeled = manifest["published_part"] != UNLABELED
            manifest = manifest.assign(published_part=manifest["published_part"].mask(labeled, ""))
        else:
            _check_parts(study, root, set(manifest["published_part"]))
            check_patients(study, str(root), manifest)
    manifest = manifest.sort_values("sample", ignore_index=True)
    manifest.attrs = {"dropped": dropped, "unlisted": listed.attrs.get("unlisted", [])}
    return manifest


def _by_frame(root: Path, listed: pd.DataFrame) -> pd.DataFrame:
    """Samples, of DICOM files of several frames one for each."""
    found = [frame_paths(path, root / path) for path in listed["path"]]
    if all(len(paths) == 1 for paths in found):
        return listed
    logger.info("%s: %d files have several frames, each of which is a sample", root, sum(len(own) > 1 for own in found))
    rows = listed.loc[listed.index.repeat([len(paths) for paths in found])].reset_index(drop=True)
    marks = [path[len(own) :] for own, paths in zip(listed["path"], found) for path in paths]
    rows = rows.assign(sample=rows["sample"] + marks, path=rows["path"] + marks)
    rows.attrs = dict(listed.attrs)
    return rows


def tables_of(layout: dict[str, Any], root: Path) -> list[str]:
    """The tables that a layout reads, relative to the folder `root`; absolute, if they lie elsewhere."""
    names = [table.format(**layout) for table in catalogue.LAYOUTS[layout["name"]].tables]
    top = top_of(root, names[0]) if names else root
    many = [path for name in names if "*" in name for path in sorted(top.glob(name))]
    paths = dict.fromkeys([*(top_of(root, name) / name for name in names if "*" not in name), *many])
    return [
        path.as_posix() if path in map(Path, names) else path.relative_to(root).as_posix()
        for path in paths
        if path.is_file()
    ]


def _by_class(data: Data, root: Path, listed: pd.DataFrame, *, own: bool) -> tuple[pd.DataFrame, dict[str, int]]:
    """Put classes in place of the data set's labels by `data.labels`; drop the samples whose label it does not name.

    Args:
        data: The study's data.
        root: The folder that was read, for messages.
        listed: The samples of the layout. The label "", of samples without one, stays.
        own: Whether these are the study's own samples, of which each class must have one.

    Returns:
        The remaining samples, and the number of samples of each dropped label.

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
        message = "%s: %d samples are dropped, whose label data.labels does not name: %s"
        logger.info(message, root, sum(dropped.values()), which)
    for written in alike([*data.labels, *dropped]):
        lost, kept = ([label for label in written if (label in dropped) == is_lost] for is_lost in (True, False))
        if lost and kept:
            message = "%s: the dropped label %r and %r of data.labels %s: should it count, name it there, too"
            logger.warning(message, root, lost[0], kept[0], ONLY_WRITTEN)
    remaining = listed[~listed["label"].isin(list(dropped))]
    return remaining.assign(label=remaining["label"].map({**data.labels, "": ""})), dropped


def _check_parts(study: Study, root: Path, parts: set[str]) -> None:
    if study.split.test == "published" and "test" not in parts:
        beside = "; folds by a column are of what is not tested on" if study.split.fold_values else ""
        raise RescanError(
            f"{root}: no labeled test part (a Testing folder, or rows with part test); add it, or set split.test to a "
            f"share such as 0.2{beside}"
        )
    if "test" in parts and "train" not in parts:
        raise RescanError(f"{root}: a Testing part but no Training part; add it")


def _check_names(listed: pd.DataFrame) -> None:
    """Refuse files whose names no table can hold.

    Raises:
        RescanError: One line.
    """
    odd = [(path, fault) for column in path_columns(listed) for path in listed[column] if (fault := name_fault(path))]
    if odd:
        path, fault = odd[0]
        more = f", and {len(odd) - 1} more can stand in no table either" if len(odd) > 1 else ""
        raise RescanError(f"the file name {path!a} {fault}{more}; rename the file")


def check_patients(study: Study, where: str, manifest: pd.DataFrame) -> None:
    """Refuse samples of a single patient, which no split by patient can part.

    Raises:
        RescanError: One line, that starts with `where`.
    """
    patients = set(manifest.loc[manifest["label"] != "", "patient"])
    if len(manifest) > 1 and len(patients) == 1 and "" not in patients and "patient" in study.split.group_by:
        raise RescanError(
            f"{where}: all samples are of one patient, {patients.pop()!r}, so none can be held out; correct what names "
            "the patient, or take patient out of split.group_by"
        )


def _of_extra(manifest: pd.DataFrame, origin: str) -> pd.DataFrame:
    labeled = manifest[manifest["label"] != ""]
    if len(labeled) < len(manifest):
        logger.info("%s: %d samples without a label are not read", origin, len(manifest) - len(labeled))
    patient = labeled["patient"].where(labeled["patient"] == "", f"{origin}/" + labeled["patient"])
    sample = f"{origin}/" + labeled["sample"]
    return labeled.assign(sample=sample, patient=patient, published_part=EXTRA, origin=origin)
