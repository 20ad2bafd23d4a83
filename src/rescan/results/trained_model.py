"""The headers of model files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Optional, TypeVar

from pydantic import ConfigDict, ValidationError

from rescan.results.arrays import CHECKSUM, read_metadata
from rescan.results.damage import damaged
from rescan.results.json_result import Part
from rescan.results.provenance_file import CodeUsed
from rescan.study import Autoencoder, Preparation, Recipe

STEP = "train"
Header = TypeVar("Header", bound=Part)


class StartWeights(Part):
    """The file that an encoder started from: published, or of a person's own.

    Attributes:
        source: Its name.
        sha256: Of its content; None where an older version brought it.
    """

    source: str
    sha256: Optional[str] = None

    @property
    def words(self) -> str:
        """Its name and the beginning of its checksum."""
        return self.source + (f" (SHA-256 {self.sha256[:16]}…)" if self.sha256 else "")


class TrainedModel(Part):
    """The part of a model file's header that the page shows, whatever version wrote it.

    Attributes:
        version: Of Rescan.
        torch: Its version.
        code: What trained it: several where a training was resumed with other code; none known of older files.
        start: What its encoder started from, if that was a file; unknown of older files.
    """

    model_config = ConfigDict(extra="ignore")

    version: str
    torch: str
    code: list[CodeUsed] = []
    start: Optional[StartWeights] = None


class _Origin(Part):
    """Where a network comes from.

    Attributes:
        version: Of Rescan.
        study: The study.
        scale: Its scale.
        fold: The fold.
        seed: The seed.
        preparation: How its inputs are prepared.
        input: (C, *spatial) of what it takes.
        torch: Torch's version.
        training_version: The trainer's version.
        diverged: Where the loss stopped being finite, if it did; then the last finite weights were kept.
        code: What trained it (`TrainedModel.code`).
    """

    version: str
    study: str
    scale: str
    fold: int
    seed: int
    preparation: Preparation
    input: list[int]
    torch: str
    training_version: int
    diverged: Optional[str] = None
    code: list[CodeUsed] = []


class ModelHeader(_Origin):
    """The header of an arm's model: what is needed to build its network and to use it.

    Attributes:
        arm: The arm.
        recipe: Its recipe.
        classes: The classes, in the order of the outputs.
        start: What its encoder started from (`TrainedModel.start`).
    """

    arm: str
    recipe: Recipe
    classes: list[str]
    start: Optional[StartWeights] = None


class EncoderHeader(_Origin):
    """The header of an autoencoder's encoder.

    Attributes:
        autoencoder: The autoencoder.
        settings: Its settings.
    """

    autoencoder: str
    settings: Autoencoder


def read_trained_model(path: str | Path) -> TrainedModel:
    """Read the header of a model file.

    Raises:
        RescanError: The file is missing or damaged, or is no model file of Rescan.
    """
    return _header(path, TrainedModel)


def header_of(path: str | Path) -> ModelHeader:
    """Read the whole header of an arm's model file, without its weights.

    Raises:
        RescanError: As `read_trained_model`; or of another version of Rescan.
    """
    return _header(path, ModelHeader)


def _header(path: str | Path, model: type[Header]) -> Header:
    try:
        content = json.loads(str(read_metadata(path, STEP).get("rescan", "")))
        content.pop(CHECKSUM, None)
        return model.model_validate_json(json.dumps(content), strict=True)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        reason = str(error)
    raise damaged(path, STEP, f"its header is not that of a Rescan model ({reason})")


def model_checksum(path: str | Path) -> Optional[str]:
    """The checksum that a model file holds of its weights and header; None in one of an older version.

    Raises:
        RescanError: The file is missing or damaged.
    """
    try:
        header = json.loads(read_metadata(path, STEP).get("rescan", "{}"))
    except (ValueError, RecursionError) as error:
        raise damaged(path, STEP, f"its header is no JSON object ({error})") from None
    return header.get(CHECKSUM) if isinstance(header, dict) else None
