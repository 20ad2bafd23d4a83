"""The manifest: one row a sample, from the native layout; and where each sample's files are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, Optional

import pandas as pd

from rescan.data.layouts.reading import read_layout
from rescan.errors import RescanError
from rescan.log import logger
from rescan.paths import Paths
from rescan.results.manifest import MANIFEST, DroppedSamples
from rescan.results.source import SourceReport
from rescan.study import Study


class Files(NamedTuple):
    """Where a sample's files are.

    Attributes:
        path: The image file; or the volume: a NIfTI file, or a folder of B-scans or of DICOM slices.
        mask: The lesion mask, of the same form.
        layers: The surfaces of the retina's layers.
        extent: Millimeters that the whole scan measures along depth, height and width.
    """

    path: Path
    mask: Optional[Path] = None
    layers: Optional[Path] = None
    extent: Optional[tuple[float, ...]] = None


def index(study: Study) -> None:
    """Write `manifest.csv` (columns: `layouts.read`): the study's own samples, then those of its extra sources.

    And `dropped.json`, of the study's own samples: `labels`, how many each label has that `data.labels` drops, and
    `unlisted`, the files among them that the data set's own tables do not list.

    The folders are those that `source.json` names. No image is decoded.

    Raises:
        RescanError: `source.json` is missing or lacks a source, a folder is not as the layout expects (one line for
            each fault), or an extra source has the name of a folder of the study's own data.
    """
    paths = Paths(study.scale, study.name)
    roots = _roots(paths)
    missing = [name for name in study.data.extra if name not in roots]
    if missing:
        raise RescanError(f"{paths.source}: has no extra source {missing[0]!r}; run download again")
    read = [read_layout(study, roots[origin], origin) for origin in ("", *study.data.extra)]
    manifest = pd.concat([table.assign() for table in read])
    manifest = manifest.fillna("")  # of columns that only some sources have
    twice = manifest.loc[manifest["sample"].duplicated(), "origin"]
    if len(twice):
        raise RescanError(
            f"{study.name}: data.extra: {twice.iloc[0]}: some of the study's own samples start with it; rename"
        )
    MANIFEST.write(paths.manifest, manifest)
    DroppedSamples(labels=read[0].attrs["dropped"], unlisted=read[0].attrs["unlisted"]).write(paths.dropped)
    logger.info("%s: %d samples in %s", study.name, len(manifest), paths.manifest)


def locate(paths: Paths, manifest: pd.DataFrame, column: str = "path") -> list[Path | None]:
    """Say where each sample's file is: in the folder of its origin that `source.json` names.

    Args:
        paths: The study's paths.
        manifest: Rows of the manifest, with `origin` (without it, all are the study's own) and the column.
        column: `path`, the images, or `mask`.

    Returns:
        A path for each row; None where the manifest names no file.

    Raises:
        RescanError: `source.json` is missing, or lacks an origin.
    """
    roots = _roots(paths)
    origins = manifest["origin"] if "origin" in manifest else [""] * len(manifest)
    try:
        return [roots[origin] / name if name else None for origin, name in zip(origins, manifest[column])]
    except KeyError as error:
        raise RescanError(f"{paths.source}: has no extra source {error}; run download again") from None


def files_of(paths: Paths, manifest: pd.DataFrame, modality: str = "") -> list[Files | None]:
    """Say where all files of each sample are.

    Args:
        paths: The study's paths.
        manifest: Rows of the manifest.
        modality: Whose file is the sample's: "" for `path`, else `path_<modality>`.

    Returns:
        Files for each row; None where the sample lacks a file of the modality.

    Raises:
        RescanError: See `locate`; or no sample has the modality.
    """
    column = f"path_{modality}" if modality else "path"
    if column not in manifest or (manifest[column] == "").all():
        known = ", ".join(name[5:] for name in map(str, manifest) if name.startswith("path_")) or "none"
        raise RescanError(f"{paths.manifest}: no sample has a file of modality {modality!r}; known: {known}")
    nothing = [None] * len(manifest)
    masks, layers = (locate(paths, manifest, name) if name in manifest else nothing for name in ("mask", "layers"))
    extents = manifest["extent"] if "extent" in manifest else [""] * len(manifest)
    return [
        None if path is None else Files(path, mask, layer, tuple(map(float, extent.split())) if extent else None)
        for path, mask, layer, extent in zip(locate(paths, manifest, column), masks, layers, extents)
    ]


def _roots(paths: Paths) -> dict[str, Path]:
    source = SourceReport.read(paths.source)
    return {origin: Path(data.root) for origin, data in {"": source, **source.extra}.items()}
