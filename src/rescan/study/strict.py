"""What all sections of a study file are made of: strict models, and names of folders."""

from __future__ import annotations

from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
)

from rescan.paths import AUTOENCODERS, COMPARISON_FIGURES, DOWNLOAD, EXPLORE, RAW, RAW_EXTRA

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(gt=0)]


def _no_folder_of_ours(*reserved: str) -> AfterValidator:
    def check(name: str) -> str:
        if name in reserved:
            raise ValueError(f"{name!r} is the name of a folder that Rescan uses; take another")
        return name

    return AfterValidator(check)


# Names of folders: of a study, an arm, a preparation.
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$")]
ArmName = Annotated[Name, _no_folder_of_ours(EXPLORE, COMPARISON_FIGURES, AUTOENCODERS)]
AutoencoderName = Annotated[Name, _no_folder_of_ours("imagenet", "none")]
PreparationName = Annotated[Name, _no_folder_of_ours(RAW, RAW_EXTRA, DOWNLOAD)]


class Strict(BaseModel):
    """A model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)
