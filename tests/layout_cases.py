"""Studies of which only the data matter, and the faults that a layout finds in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from rescan.data.layouts.reading import read_layout
from rescan.errors import RescanError
from rescan.study import Data, Split, Study

CLASSES = ["glioma", "meningioma", "notumor", "pituitary"]
GRADES = ["no DR", "mild", "moderate"]


def small_study(split: dict[str, Any] | None = None, **data: Any) -> Study:
    """What a layout needs of a study."""
    data = {"source": {"path": "raw"}, "layout": "class_folders", "classes": CLASSES, **data}
    return Study.model_construct(
        name="brain", scale="demo", data=Data.model_validate(data), split=Split.model_validate(split or {})
    )


def graded_study(layout: str) -> Study:
    """The same of grades, without a published test part."""
    return small_study(split={"test": 0.2}, layout=layout, classes=GRADES, ordered=True)


def faults(study: Study, root: Path) -> list[str]:
    """The lines of the error that reading a folder raises, without the study's name and the folder."""
    with pytest.raises(RescanError) as raised:
        read_layout(study, root)
    lines = str(raised.value).splitlines()
    assert all(line.startswith(f"{study.name}: ") for line in lines)
    return [line.split(": ", 1)[1].replace(f"{root}/", "") for line in lines]


def fill(root: Path, *images: str, **tables: str | bytes) -> Path:
    """Write images, which no layout decodes, and CSVs by name."""
    for name in images:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"not an image: nothing is decoded")
    for name, text in tables.items():
        root.mkdir(parents=True, exist_ok=True)
        (root / f"{name}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return root


def write_table(root: Path, text: str, encoding: str = "utf-8") -> None:
    """Write two images and samples.csv."""
    root.mkdir(exist_ok=True)
    for name in ("a.png", "b (ä).png"):
        (root / name).write_bytes(b"")
    (root / "samples.csv").write_text(text, encoding)
