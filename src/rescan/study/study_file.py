"""A study file as it is written: its sections."""

from __future__ import annotations

from typing import Annotated, Any, Union

from pydantic import Field

from rescan.study.autoencoder import Autoencoder
from rescan.study.bounds import MOST_ENTRIES
from rescan.study.data import Data
from rescan.study.explanation import Explanation
from rescan.study.operating_points import OperatingPoint
from rescan.study.preparation import Preparation
from rescan.study.published import Claim, Published, Question
from rescan.study.settings import BLOCKS
from rescan.study.splitting import Split
from rescan.study.strict import ArmName, AutoencoderName, Name, NoTwins, PreparationName, Strict


class StudyFile(Strict):
    """A study file as written: arms are differences from `recipe`, and `run` picks some of them.

    A task is another question on the same data, such as more classes: a difference from the whole file.
    """

    title: str
    cite: str = ""
    notes: list[str] = Field(default=[])
    data: Data
    split: Split = Split()
    preparations: Annotated[dict[PreparationName, Preparation], Field(min_length=1, max_length=MOST_ENTRIES), NoTwins]
    autoencoders: Annotated[dict[AutoencoderName, Autoencoder], NoTwins] = Field(default={})
    recipe: dict[str, Any]
    arms: Annotated[dict[ArmName, Union[dict[str, Any], None]], Field(min_length=1, max_length=MOST_ENTRIES), NoTwins]
    run: Annotated[list[str], Field(max_length=MOST_ENTRIES)] | None = None
    published: list[Published] = Field(default=[], max_length=MOST_ENTRIES)
    claims: list[Claim] = Field(default=[], max_length=MOST_ENTRIES)
    ablations: dict[Name, Question] = Field(default={})
    gradcam: Explanation = Explanation()
    operating_points: list[OperatingPoint] = Field(default=[])
    tasks: dict[Name, dict[str, Any]] = Field(default={})


def is_key_path(text: str) -> bool:
    """Whether a text starts as the dotted key paths of a study file do."""
    return text.partition(".")[0] in (*StudyFile.model_fields, *BLOCKS)
