"""Resolved studies, as JSON: what every step reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rescan import catalogue
from rescan.errors import RescanError
from rescan.files import together, writing
from rescan.named_files import read_bytes
from rescan.paths import EXTERNAL, Paths
from rescan.study.study import Study

MOST_BYTES = 100_000_000


def read(
    path: str | Path,
    arm: str | None = None,
    preparation: str | None = None,
    autoencoder: str | None = None,
    fold: int = 0,
) -> Study:
    """Read a resolved study (`study.json`) that lies where its results are looked for, below the working folder.

    Raises:
        RescanError: It is missing or of another version; it lies elsewhere, as in a copy of results: what is beside it
            would not be what is read; or it has no such arm, preparation, autoencoder or fold.
    """
    try:
        study = Study.model_validate_json(read_bytes(path, MOST_BYTES, "make it with `rescan resolve`"))
    except ValidationError:
        raise RescanError(f"{path}: not a resolved study of this version; make it with `rescan resolve`") from None
    own = Paths(study.scale, study.name).resolved
    if Path(path).resolve() != Path(own).resolve():
        raise RescanError(f"{path}: its results are looked for beside {own}; run this in the folder that has it there")
    sections: tuple[tuple[str, str | None, Mapping[str, Any]], ...] = (
        ("arm", arm, study.arms),
        ("preparation", preparation, study.preparations),
        ("autoencoder", autoencoder, study.autoencoders),
    )
    for kind, name, entries in sections:
        if name is not None and name not in entries:
            raise RescanError(f"{path}: no {kind} {name!r}{catalogue.suggest(name, entries)}")
    if fold >= study.split.fold_count:
        raise RescanError(f"{path}: no fold {fold}: the last one is {study.split.fold_count - 1}")
    return study


def write_resolved(study: Study, path: str | Path) -> None:
    """Write a resolved study as JSON; and each of its external data sets, in a folder of its own beside it."""
    with together():
        for name, data_set in study.externals.items():
            write_resolved(data_set, Path(path).parent / EXTERNAL / name / Path(path).name)
        with writing(path) as temporary:
            temporary.write_text(study.model_dump_json(indent=1) + "\n", "utf-8")
