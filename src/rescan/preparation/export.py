"""Prepared volumes as NIfTI files, to be looked at in any viewer, over the source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rescan import catalogue
from rescan.data.gray_levels import of_store
from rescan.data.readers.volumes import write_nifti
from rescan.errors import RescanError
from rescan.files import together
from rescan.log import logger, progress
from rescan.named_files import output
from rescan.paths import Paths
from rescan.preparation.store import open_beside, open_store
from rescan.results.damage import missing
from rescan.results.packed_store import ITEMS
from rescan.study import Study


@together()
def export(study: Study, preparation: str, out: str | Path, samples: Sequence[str] = ()) -> None:
    """Write volumes of a packed store as `<out>/<sample>.nii.gz`, in gray levels: uint8, or float32 of a uint16 store.

    The axes are (W, H, D), as viewers like them; the affine says where the voxels lie in the source's world.

    Args:
        study: The study.
        preparation: Its preparation.
        out: The folder, made if needed.
        samples: Their names; all samples if empty.

    Raises:
        RescanError: The preparation makes images, its store is not there, or it lacks a sample.
    """
    where = f"{study.name}: preparations.{preparation}"
    output(Path(out, "a.nii.gz"))
    if study.preparations[preparation].dimensions == 2:
        raise RescanError(f"{where}: makes images, which have no place in the world; only volumes can be exported")
    folder = Paths(study.scale, study.name).store(preparation)
    (volumes, items), affines = open_store(folder), open_beside(folder, "affines")
    if affines is None:
        raise missing(folder.affines, ITEMS.step)
    names = items["sample"].tolist()
    for sample in samples:
        if sample not in names:
            raise RescanError(f"{where}: its store has no sample {sample!r}{catalogue.suggest(sample, names)}")
    rows = [row for row, name in enumerate(names) if not samples or name in samples]
    for row in progress(rows, len(rows), f"export {preparation}"):
        values = of_store(volumes[row, ..., 0].T)
        name = re.sub(r"\.nii(\.gz)?$", "", names[row]).replace("..", "_").lstrip("/")
        write_nifti(Path(out, f"{name}.nii.gz"), values, affines[row][:, [2, 1, 0, 3]])
    logger.info("%s: %d volumes of %s", out, len(rows), preparation)
