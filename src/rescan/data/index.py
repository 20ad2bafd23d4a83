"""The manifest: one row per sample, from the native layout; and where each sample's files are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Callable, NamedTuple, Optional

import numpy as np
import pandas as pd

from rescan.data.headers import key_at, with_headers, with_years
from rescan.data.layouts.reading import check_patients, read_layout
from rescan.data.sources.digests import check_sizes
from rescan.errors import RescanError
from rescan.files import together
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.damage import damaged
from rescan.results.manifest import MANIFEST, OTHER_PATH, DroppedSamples
from rescan.results.source import SourceReport
from rescan.study import Study


class Files(NamedTuple):
    """Where a sample's files are.

    Attributes:
        path: The image file; or the volume: a NIfTI file, or a folder of B-scans or of DICOM slices.
        mask: The lesion mask, of the same form.
        layers: The surfaces of the retina's layers.
        extent: Millimeters that the whole scan measures along depth, height and width.
        array: The values of the image or volume, where they are in memory; then the path is only a name.
    """

    path: Path
    mask: Optional[Path] = None
    layers: Optional[Path] = None
    extent: Optional[tuple[float, ...]] = None
    array: Optional[np.ndarray] = None

    def __str__(self) -> str:
        return str(self.path)


def index(study: Study) -> None:
    """Write `manifest.csv` (`MANIFEST`), the study's own samples, then those of its extra sources, and `dropped.json`.

    The folders are those that `source.json` names. No image is decoded; of DICOM files the headers are read.

    Raises:
        RescanError: `source.json` is missing or lacks a source, a folder is not as the layout expects (one line per
            fault), a file has changed since download, or an extra source has the name of a folder of the study's own
            data.
    """
    paths = Paths(study.scale, study.name)
    roots = _roots(paths)
    missing = [name for name in study.data.extra if name not in roots]
    if missing:
        raise RescanError(f"{paths.source}: has no extra source {missing[0]!r}; run download again")
    check_sizes(study)
    own, *extras = [read_layout(study, roots[origin], origin) for origin in ("", *study.data.extra)]
    manifest = pd.concat([own.assign(), *(extra.assign() for extra in extras)])  # assign: a copy without attrs
    manifest = manifest.fillna("")  # of columns that only some sources have
    hidden = manifest.loc[manifest["sample"].duplicated(), "origin"]
    if len(hidden):
        raise RescanError(
            f"{study.name}: data.extra: {hidden.iloc[0]}: some of the study's own samples start with it; rename"
        )
    if len(manifest):
        key = key_at(paths.patients_key) if study.data.patients == "hashed" else None
        manifest = with_headers(manifest, _located(roots, manifest), key)
    manifest = with_years(manifest, study.name)
    check_patients(study, study.name, manifest[manifest["origin"] == ""])
    with together():
        MANIFEST.write(paths.manifest, manifest)
        DroppedSamples(labels=own.attrs["dropped"], unlisted=own.attrs["unlisted"]).write(paths.dropped)
    logger.info("%s: %d samples in %s", study.name, len(manifest), paths.manifest)


def _located(roots: dict[str, Path], manifest: pd.DataFrame, column: str = "path") -> list[Optional[Path]]:
    """The file or folder that a column of a manifest names for each sample."""
    origins = manifest["origin"] if "origin" in manifest else [""] * len(manifest)
    return [roots[origin] / name if name else None for origin, name in zip(origins, manifest[column])]


def locate(paths: Paths, manifest: pd.DataFrame, column: str = "path") -> list[Path | None]:
    """Find each sample's file, in the folder of its origin that `source.json` names.

    Args:
        paths: The study's paths.
        manifest: Rows of the manifest, with `origin` (without it, all are the study's own) and the column.
        column: `path`, the images, or `mask`.

    Returns:
        One path per row; None where the manifest names no file.

    Raises:
        RescanError: `source.json` is missing, or lacks an origin.
    """
    try:
        return _located(_roots(paths), manifest, column)
    except KeyError as error:
        fault = f"{paths.source}: has no extra source {error}, which {paths.manifest} names"
        raise RescanError(f"{fault}; run download and index again") from None


def files_of(paths: Paths, manifest: pd.DataFrame, modality: str = "") -> list[Files | None]:
    """Find all files of each sample.

    Args:
        paths: The study's paths.
        manifest: Rows of the manifest.
        modality: The modality whose file is read: "" for `path`, else of `path_<modality>`.

    Returns:
        Files per row; None where the sample lacks a file of the modality.

    Raises:
        RescanError: See `locate`; or no sample has the modality, or an extent is not numbers.
    """
    column = f"{OTHER_PATH}{modality}" if modality else "path"
    if column not in manifest or (manifest[column] == "").all():
        others = [name[len(OTHER_PATH) :] for name in map(str, manifest) if name.startswith(OTHER_PATH)]
        there = ", ".join(others) or "none"
        raise RescanError(f"{paths.manifest}: no sample has a file of modality {modality!r}; known: {there}")
    try:
        return files_by(manifest, column, lambda name: locate(paths, manifest, name))
    except ValueError as error:
        raise damaged(paths.manifest, MANIFEST.step, f"extent: {error}") from None


def files_by(
    manifest: pd.DataFrame, column: str, located: Callable[[str], Sequence[Optional[Path]]]
) -> list[Optional[Files]]:
    """The files of each sample; None where it lacks that of `column`.

    Args:
        manifest: Rows of the manifest.
        column: Names the image or volume.
        located: Finds the files that a column names.
    """
    nothing = [None] * len(manifest)
    masks, layers = (located(name) if name in manifest else nothing for name in ("mask", "layers"))
    extents = manifest["extent"] if "extent" in manifest else [""] * len(manifest)
    return [
        None if path is None else Files(path, mask, layer, tuple(map(float, extent.split())) if extent else None)
        for path, mask, layer, extent in zip(located(column), masks, layers, extents)
    ]


def _roots(paths: Paths) -> dict[str, Path]:
    source = SourceReport.read(paths.source)
    return {origin: Path(data.root) for origin, data in {"": source, **source.extra}.items()}
