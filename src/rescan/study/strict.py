"""The base of all sections of a study file: strict models, and names that become folders."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from rescan.paths import AUTOENCODERS, COMPARISON_FIGURES, DOWNLOAD, EXPLORE, EXTERNAL, RAW, RAW_EXTRA, TABLES


def not_reserved(*reserved: str) -> AfterValidator:
    """A validator that refuses the names of Rescan's own folders."""

    def check(name: str) -> str:
        if name in reserved:
            raise ValueError(f"{name!r} is the name of a folder that Rescan uses; take another")
        return name

    return AfterValidator(check)


# Names of folders: of a study, an arm, a preparation.
NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
Name = Annotated[str, Field(pattern=f"^{NAME}$")]
StudyName = Annotated[str, Field(pattern=f"^{NAME}(/{EXTERNAL}/{NAME})?$")]
ArmName = Annotated[Name, not_reserved(EXPLORE, COMPARISON_FIGURES, TABLES, AUTOENCODERS, EXTERNAL)]
AutoencoderName = Annotated[Name, not_reserved("imagenet", "none")]
PreparationName = Annotated[Name, not_reserved(RAW, RAW_EXTRA, DOWNLOAD, EXTERNAL)]


class Strict(BaseModel):
    """A model that refuses keys it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Extended(Strict):
    """A section with keys that came later: at their defaults they are not written, and fingerprints are as before."""

    LATER: ClassVar[frozenset[str]]

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, write: SerializerFunctionWrapHandler) -> dict[str, Any]:
        content: dict[str, Any] = write(self)
        fields = type(self).model_fields
        return {key: value for key, value in content.items() if key not in self.LATER or value != fields[key].default}
