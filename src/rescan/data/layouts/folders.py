"""What layouts share: the columns that they give, the folders that they walk, and how their errors name the study."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from rescan.errors import RescanError
from rescan.results.manifest import MANIFEST, OTHER_PATH
from rescan.study import Study

COLUMNS = [column.name for column in MANIFEST.columns if not column.optional]
PARTS = {"training": "train", "train": "train", "testing": "test", "test": "test"}  # by what a data set calls them


def entries_of(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without hidden files and what macOS adds to archives."""
    return sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__MACOSX")))


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
        raise RescanError(f"{study.name}: {error.filename}: {error.strerror}; mend or remove it") from None
