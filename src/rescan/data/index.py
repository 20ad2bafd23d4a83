"""The manifest: one row a sample, from the native layout."""

from __future__ import annotations

from pathlib import Path

from rescan.data import layouts
from rescan.files import read_json, write_table
from rescan.log import logger
from rescan.paths import Paths
from rescan.study import Study


def index(study: Study) -> None:
    """Write `manifest.csv` (columns: `layouts.read`) of the folder that `source.json` names. No image is decoded.

    Raises:
        RescanError: `source.json` is missing, or the folder is not as the layout expects; one line for each fault.
    """
    paths = Paths(study.scale, study.name)
    manifest = layouts.read(study, Path(read_json(paths.source)["root"]))
    write_table(paths.manifest, manifest)
    logger.info("%s: %d samples in %s", study.name, len(manifest), paths.manifest)
