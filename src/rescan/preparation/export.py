"""Prepared volumes as NIfTI files, to be looked at in any viewer, over the source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rescan import catalogue
from rescan.data.gray_levels import of_store
from rescan.data.readers.volumes import write_nifti
from rescan.errors import RescanError
from rescan.log import logger, progress
from rescan.paths import Paths
from rescan.preparation.store import open_beside, open_store
from rescan.study import Study


def export(study: Study, preparation: str, out: str | Path, samples: Sequence[str] = ()) -> None:
    """Write volumes of a packed store as `<out>/<sample>.nii.gz`, in gray levels: uint8, or float32 of a uint16 store.

    The axes are (W, H, D), as viewers like them; the affine says where the voxels lie in the source's world.

    Args:
        study: The study.
        preparation: Its preparation.
        out: The folder, made if needed.
        samples: Which; all if none is named.

    Raises:
        RescanError: The preparation makes images, its store is not there, or it lacks a sample.
    """
    where = f"{study.name}: preparations.{preparation}"
    if study.preparations[preparation].dimensions == 2:
        raise RescanError(f"{where}: makes images, which have no place in the world; only volumes can be exported")
    folder = Paths(study.scale, study.name).store(preparation)
    (volumes, items), affines = open_store(folder), open_beside(folder, "affines")
    known = items["sample"].tolist()
    for sample in samples:
        if sample not in known:
            raise RescanError(f"{where}: its store has no sample {sample!r}{catalogue.suggest(sample, known)}")
    chosen = [item for item, sample in enumerate(known) if not samples or sample in samples]
    if affines is None or len(affines) != len(items):
        raise RescanError(f"{folder}: its files do not belong together; run preprocess again")
    for item in progress(chosen, len(chosen), f"export {preparation}"):
        values = of_store(volumes[item, ..., 0].T)
        name = re.sub(r"\.nii(\.gz)?$", "", known[item]).replace("..", "_").lstrip("/")
        write_nifti(Path(out, f"{name}.nii.gz"), values, affines[item][:, [2, 1, 0, 3]])
    logger.info("%s: %d volumes of %s", out, len(chosen), preparation)
