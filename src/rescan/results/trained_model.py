"""What a model file says of its making, read without torch."""

from __future__ import annotations

from pathlib import Path

from pydantic import ConfigDict, ValidationError

from rescan.results.arrays import read_metadata
from rescan.results.damage import damaged
from rescan.results.json_result import Part

STEP = "train"


class TrainedModel(Part):
    """The part of a model file's header that the page shows; the rest builds the network (`models.model_files`).

    Attributes:
        version: Of Rescan.
        torch: Its version.
    """

    model_config = ConfigDict(extra="ignore")

    version: str
    torch: str


def read_trained_model(path: str | Path) -> TrainedModel:
    """Read the header of a model file.

    Raises:
        RescanError: The file is missing or damaged, or is no model file of Rescan.
    """
    header = str(read_metadata(path, STEP).get("rescan", ""))
    try:
        return TrainedModel.model_validate_json(header, strict=True)
    except ValidationError as error:
        reason = error.errors(include_url=False)[0]["msg"]
        raise damaged(path, STEP, f"its header is not that of a Rescan model ({reason})") from None
