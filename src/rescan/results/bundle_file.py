"""`bundle.json` of a bundle: what the one file holds, of which arm, trained on what; no ids, no names of samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar, Literal, Optional

from pydantic import Field

from rescan.errors import RescanError
from rescan.results.json_result import Count, JsonResult, Part

FORMAT = 1  # of bundles: raised when one that is written today could not be read by yesterday's Rescan
LARGEST = 10_000_000  # bytes of a bundle.json


class BundledFile(Part):
    """A file of the bundle.

    Attributes:
        bytes: Its size.
        sha256: Of its content, in hexadecimal.
    """

    bytes: Count
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class BundledNetwork(Part):
    """A trained network of the bundle.

    Attributes:
        file: Its model file in the bundle.
        arm: The arm that it was trained as: of an ensemble a member.
        fold: The fold.
        seed: The seed.
    """

    file: str
    arm: str
    fold: int
    seed: int


class DataPart(Part):
    """How large a part of the data was.

    Attributes:
        samples: Images or volumes.
        classes: How many of them have each class, or label.
        groups: Of what is never on both sides of a split.
        patients: How many, of the samples whose patients are known; None where none is.
    """

    samples: Count
    classes: dict[str, Count]
    groups: Count
    patients: Optional[Count] = None


class TrainingData(Part):
    """The data that the networks were trained on, in numbers.

    Attributes:
        kind: How they came; "unknown" where that was not found.
        origin: Whose they are, in words.
        folds: How many ways they were split.
        parts: By part (train, validation, test), as split in the first network's fold.
        extra: Of the further data sets that it was trained on, how many samples each has.
        values: Of what is known of how images were taken (site, device), how many different values are in training.
    """

    kind: Literal["phantom", "path", "url", "kaggle", "unknown"]
    origin: str
    folds: Count
    parts: dict[str, DataPart]
    extra: dict[str, Count] = {}
    values: dict[str, Count] = {}


class Bundle(JsonResult):
    """What a bundle holds.

    Attributes:
        format: Of bundles.
        version: The Rescan that wrote it.
        study: The study's name.
        scale: Its scale: networks of the demo know nothing but phantoms.
        arm: The arm.
        classes: K names, in the order of the outputs.
        title: The study's; "" where it was not known.
        cite: What the study reproduces; "" where it was not known.
        license: Of networks and data, as who made the bundle said; "" if not.
        intended_use: The same.
        networks: Those whose outputs are averaged.
        data: What they were trained on; None where the study's tables were not there.
        files: All other files of the bundle, by name.
    """

    step: ClassVar[str] = "bundle"

    format: int
    version: str
    study: str
    scale: str
    arm: str
    classes: list[str] = Field(min_length=1)
    title: str = ""
    cite: str = ""
    license: str = ""
    intended_use: str = ""
    networks: list[BundledNetwork] = Field(min_length=1)
    data: Optional[TrainingData] = None
    files: dict[str, BundledFile]


def check_format(path: str | Path, content: bytes) -> None:
    """Refuse the bundle.json of a format that this Rescan does not know, before its keys are looked at.

    Raises:
        RescanError: It is one, and what to do.
    """
    try:
        number = json.loads(content)["format"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return  # whoever reads it whole says what is wrong
    if isinstance(number, int) and number > FORMAT:
        raise RescanError(
            f"{path}: is a bundle of format {number}, this Rescan reads up to {FORMAT}: update it (pip install -U)"
        )
