"""Folders of results, wherever they lie: Rescan looks for files below the working folder."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from rescan.errors import RescanError
from rescan.paths import EXTERNAL, Paths
from rescan.study import Study

STUDY = "study.json"


def studies_below(results: Path) -> list[Path]:
    """The folders of studies: the folder itself, or those in it (`results/<scale>`) or one deeper (`results`).

    Raises:
        RescanError: There is none.
    """
    for depth in ("", "*/", "*/*/"):
        if found := sorted(results.glob(f"{depth}{STUDY}")):
            return [file.parent for file in found]
    raise RescanError(
        f"{results}: no {STUDY} here or in its folders; name results/<scale>/<study>, or a folder of such"
    )


def with_externals(folder: Path) -> list[Path]:
    """A study's folder and those of its external data sets."""
    return [folder, *(file.parent for file in sorted(folder.glob(f"{EXTERNAL}/*/{STUDY}")))]


@contextmanager
def in_place(folder: Path) -> Iterator[Study]:
    """Work where the study of a folder is found by its name; for a copy that lies elsewhere, such a place is made.

    Raises:
        RescanError: The folder's study.json cannot be read.
    """
    folder = folder.resolve()
    study = _read(folder / STUDY)
    own = Path(Paths(study.scale, study.name).results)
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="rescan-verify-") as temporary:
        root = Path(temporary)
        if folder.parts[-len(own.parts) :] == own.parts:
            root = folder.parents[len(own.parts) - 1]
        else:
            (root / own).parent.mkdir(parents=True)
            (root / own).symlink_to(folder, target_is_directory=True)
        os.chdir(root)
        try:
            yield study
        finally:
            os.chdir(before)


def _read(path: Path) -> Study:
    try:
        return Study.model_validate_json(path.read_bytes())
    except OSError as error:
        raise RescanError(f"{path}: cannot be read ({error.strerror}); make it with `rescan resolve`") from None
    except ValidationError:
        remedy = "run the workflow again, or the version of Rescan that made it"
        raise RescanError(f"{path}: damaged, or not a resolved study of this version; {remedy}") from None
