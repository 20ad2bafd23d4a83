"""The section `split`: which samples are tested on, which are validated on in each fold."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Union

from pydantic import BeforeValidator, Discriminator, Field, Tag, WithJsonSchema, model_validator

from rescan import catalogue
from rescan.catalogue import KNOWN_COLUMNS
from rescan.errors import RescanError, shown
from rescan.named_files import at_home, read_bytes
from rescan.study.bounds import MOST_SEEDS, FoldCount, Seed, Share
from rescan.study.strict import Strict

MOST_BYTES = 10_000_000  # of a list of patients

COLUMNS = ("patient", "study", "eye", "sample", *KNOWN_COLUMNS)  # of the manifest, whose values may be held out
PATIENTS_FILE = "patients_file"


def _as_texts(value: Any) -> Any:
    """One value or several, which may be written as numbers."""
    values = value if isinstance(value, list) else [value]
    for entry in values:
        if isinstance(entry, bool) or not isinstance(entry, (str, int, float)):
            raise ValueError(f"needs text, or a list of texts, not {str(value)[:100]}; if it is meant so, use quotes")
    return [str(entry) for entry in values]


_VALUE: dict[str, Any] = {"type": ["string", "number"]}
_VALUES = {"anyOf": [_VALUE, {"type": "array", "items": _VALUE, "minItems": 1}]}
Values = Annotated[list[str], BeforeValidator(_as_texts), Field(min_length=1), WithJsonSchema(_VALUES)]


class FoldsBy(Strict):
    """A fold per value of a column, or per list of values: it is validated on them and trained on all others."""

    by: str
    values: Annotated[list[Values], Field(min_length=2)]


def _kind(value: Any) -> str:
    """Which branch of a union a value is meant for, so that only that one says what is wrong with it."""
    return "[mapping]" if isinstance(value, (dict, FoldsBy)) else "[word]" if isinstance(value, str) else "[number]"


Test = Annotated[
    Union[
        Annotated[Literal["published"], Tag("[word]")],
        Annotated[Share, Tag("[number]")],
        Annotated[dict[str, Values], Tag("[mapping]")],
    ],
    Discriminator(_kind),
]
Folds = Annotated[
    Union[Annotated[FoldCount, Tag("[number]")], Annotated[FoldsBy, Tag("[mapping]")]],
    Discriminator(lambda value: "[mapping]" if _kind(value) == "[mapping]" else "[number]"),
]


class Split(Strict):
    """How samples are split. `test: published` keeps the data set's own test part; `{site: kyoto}` holds out a site."""

    test: Test = "published"
    validation: Share = 0.2
    group_by: list[Literal["patient", "near_duplicate"]] = ["patient", "near_duplicate"]
    stratify_by: list[str] = Field(
        default=[],
        description="more than the label: columns of the manifest, such as fov, or any_positive (of a group)",
    )
    folds: Folds = 1
    seeds: Annotated[list[Seed], Field(min_length=1, max_length=MOST_SEEDS)] = [0]

    @model_validator(mode="after")
    def _sound(self) -> Split:
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("seeds: a seed is named twice")
        if isinstance(self.test, dict):
            if len(self.test) != 1:
                raise ValueError(f"test: name one column, as in {{site: kyoto}}, not {len(self.test)}")
            _check_column("test", *self.test)
        if isinstance(self.folds, FoldsBy):
            _check_column("folds: by", self.folds.by)
            values = [value for fold in self.folds.values for value in fold]
            if twice := [value for value, count in Counter(values).items() if count > 1]:
                raise ValueError(f"folds: values: {twice[0]!r} is named twice")
        return self

    @property
    def fold_count(self) -> int:
        """The number of folds."""
        return len(self.folds.values) if isinstance(self.folds, FoldsBy) else self.folds

    @property
    def fold_values(self) -> list[list[str]]:
        """The values of a column that each fold holds out; none where folds are cut."""
        return self.folds.values if isinstance(self.folds, FoldsBy) else []

    @property
    def test_column(self) -> str:
        """The column by whose values the test part is held out; "" without one."""
        return next(iter(self.test)) if isinstance(self.test, dict) else ""

    @property
    def held_out_column(self) -> str:
        """The column by whose values folds are made; "" without one."""
        return self.folds.by if isinstance(self.folds, FoldsBy) else ""


def _check_column(where: str, name: str) -> None:
    if name not in COLUMNS:
        raise ValueError(f"{where}: no column {name!r}{catalogue.suggest(name, COLUMNS)}")


def read_patients(whole: dict[str, Any], path: str | Path) -> None:
    """Put the patients that `split.test.patients_file` lists in its place, so that another list is another split.

    Args:
        whole: A merged study file.
        path: Of the study file: the list's path starts at its folder.

    Raises:
        RescanError: The list cannot be read, has no column of patients, or is empty.
    """
    split = whole.get("split")
    test = split.get("test") if isinstance(split, dict) else None
    if not isinstance(test, dict) or not isinstance(test.get(PATIENTS_FILE), str):
        return
    file = Path(path).parent / at_home(test.pop(PATIENTS_FILE))
    where = f"{shown(path)}: split.test.{PATIENTS_FILE}"
    try:
        text = read_bytes(file, MOST_BYTES).decode("utf-8-sig")
    except RescanError as error:
        raise RescanError(f"{where}: {error}") from None
    except UnicodeDecodeError as error:
        raise RescanError(f"{where}: {shown(file)}: no list of patients ({error}); write it as UTF-8 text") from None
    where = f"{where}: {shown(file)}"
    try:
        rows = [row for row in csv.reader(text.splitlines()) if any(row)]
    except csv.Error as error:
        raise RescanError(f"{where}: no list of patients ({error}); give one patient a line, as UTF-8 text") from None
    column = rows[0].index("patient") if rows and "patient" in rows[0] else None
    if column is None and any(len(row) > 1 for row in rows):
        raise RescanError(f"{where}: has several columns, none called patient; give one patient a line")
    listed = [row[column or 0].strip() for row in rows[0 if column is None else 1 :] if len(row) > (column or 0)]
    if not any(listed):
        raise RescanError(f"{where}: lists no patient; give one a line")
    test["patient"] = [*dict.fromkeys(filter(None, listed))]
