"""What layouts share: the columns that they give, the folders that they walk, and how their errors name the study."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from unicodedata import normalize

import pandas as pd

from rescan.data.readers.images import SUFFIXES
from rescan.data.readers.kinds import kind_of
from rescan.errors import RescanError, is_of_machine
from rescan.results.manifest import MANIFEST, OTHER_PATH
from rescan.study import Study
from rescan.walk import entries_of, files_below

COLUMNS = [column.name for column in MANIFEST.columns if not column.optional]
# By what a data set calls them. A validation part is joined to training: Rescan cuts its own, by group.
NAMES_OF_PARTS = {
    "train": ("training", "train"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("testing", "test"),
}
ENDS_OF_PARTS = ("", "set", *(joint + word for joint in "_- " for word in ("set", "data", "images")))
PARTS = {name + end: part for part, names in NAMES_OF_PARTS.items() for name in names for end in ENDS_OF_PARTS}
MASKS = {"mask", "masks"}  # folders that hold no samples
JOINED = "the validation part that the data come with is joined to training; Rescan cuts its own, by group"
OF_VOLUMES = (".nii", ".nii.gz", ".mgz", ".mgh", ".nrrd", ".mha", ".mhd")
ENDING = re.compile(r"(\.nii)?\.[A-Za-z0-9]{1,6}$")


def is_sample(path: str | Path) -> bool:
    """Whether a file is one to look at: an image, a DICOM file, a volume; or it is called so, and may be damaged."""
    return str(path).lower().endswith((*SUFFIXES, *OF_VOLUMES, ".dcm")) or kind_of(path) is not None


def is_volume_file(path: str | Path) -> bool:
    """Whether a file is one volume, or is called so, and may be damaged."""
    return str(path).lower().endswith(OF_VOLUMES) or kind_of(path) == "volume"


def samples_below(folder: Path, sample: str = "file") -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Find the samples below a folder, and its other files, both sorted, by their paths from it.

    Args:
        folder: The folder.
        sample: What one is: each `file`, or each `folder` that holds slices.
    """
    start = len(str(folder)) + 1
    found: set[PurePosixPath] = set()
    others: set[PurePosixPath] = set()
    for file in files_below(folder):
        path = PurePosixPath(file.path[start:])
        is_one = is_sample(file.path)
        (found if is_one else others).add(path.parent if is_one and sample == "folder" else path)
    return sorted(found), sorted(others)


def spelled(name: str) -> str:
    """A name as it is compared: without case, accents composed (NFC), as file systems and tables may not have them."""
    return normalize("NFC", name).casefold()


def stem_of(name: str) -> str:
    """A file's name without its ending, that of `x.nii.gz` is `x`."""
    return ENDING.sub("", name)


def top_of(root: Path, file: str) -> Path:
    """The folder that holds a file or folder of the layout: `root`, or the one in it that does."""
    inner = [entry for entry in entries_of(root) if (entry / file).exists()]
    return inner[0] if len(inner) == 1 and not (root / file).exists() else root


def path_columns(table: pd.DataFrame) -> list[str]:
    """The columns of a manifest, or of a data set's own table, that hold paths."""
    return [name for name in map(str, table) if name in ("path", "mask", "layers") or name.startswith(OTHER_PATH)]


@contextmanager
def naming(study: Study) -> Iterator[None]:
    """Put the study's name before each line of a `RescanError`; name a file that cannot be read, in one line."""
    try:
        yield
    except RescanError as error:
        raise RescanError("\n".join(f"{study.name}: {line}" for line in str(error).splitlines())) from None
    except OSError as error:
        if is_of_machine(error):
            raise
        raise RescanError(f"{study.name}: {error.filename}: {error.strerror}; mend or remove it") from None
