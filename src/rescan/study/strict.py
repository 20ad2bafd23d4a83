"""The base of all sections of a study file: strict models, and names that become folders."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from rescan.paths import AUTOENCODERS, DOWNLOAD, EXTERNAL, RAW_EXTRA, Paths

NAME = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"  # of a folder: of a study, an arm, a preparation
NAME_IN_WORDS = "needs a name of letters a-z, digits, _ . and -, that does not start with . or -"
LONGEST_NAME = 100  # a file system takes 255 letters, with what is added
OF_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
# Such files lie beside the folders of arms; and `network.weights` is such a file, or an autoencoder.
OF_FILES = re.compile(r".*\.(csv|json|html|log|npy|safetensors|pth|pt)", re.IGNORECASE)


def _taken(folder: Callable[[Paths], str], *more: str) -> frozenset[str]:
    """The names in a study's folder that `Paths` gives away itself, in lower case, and more."""
    paths = Paths("demo", "study")
    own = [entry.fget(paths) for entry in vars(Paths).values() if isinstance(entry, property) and entry.fget]
    inside = [PurePosixPath(path).name for path in own if str(PurePosixPath(path).parent) == folder(paths)]
    return frozenset(name.casefold() for name in (*inside, *more))


def not_reserved(*reserved: str) -> AfterValidator:
    """A validator that refuses the names of Rescan's own files and folders, in any case."""

    def check(name: str) -> str:
        if name.casefold() in reserved or OF_FILES.fullmatch(name):
            raise ValueError(f"{name!r} is the name of a file or folder that Rescan uses; take another")
        return name

    return AfterValidator(check)


def _portable(name: str) -> str:
    """Refuse names of folders that a disk of Windows cannot have."""
    if OF_DEVICES.fullmatch(name) or name.endswith("."):
        raise ValueError(f"{name!r} can be no folder on Windows; take another name")
    return name


def no_twins(entries: dict[str, Any]) -> dict[str, Any]:
    """Refuse names that differ only in case: some disks take them for one folder."""
    seen: dict[str, str] = {}
    for name in entries:
        if (other := seen.setdefault(name.casefold(), name)) != name:
            raise ValueError(f"{other!r} and {name!r} differ only in case, and would be one folder on some disks")
    return entries


Name = Annotated[str, Field(pattern=f"^{NAME}$", max_length=LONGEST_NAME), AfterValidator(_portable)]
StudyName = Annotated[
    str,
    Field(pattern=f"^{NAME}(/{EXTERNAL}/{NAME})?$", max_length=2 * LONGEST_NAME),
    AfterValidator(lambda name: "/".join(map(_portable, name.split("/")))),
]
ArmName = Annotated[Name, not_reserved(*_taken(lambda paths: paths.results, AUTOENCODERS, EXTERNAL))]
AutoencoderName = Annotated[Name, not_reserved("imagenet", "none")]
PreparationName = Annotated[Name, not_reserved(*_taken(lambda paths: paths.data, RAW_EXTRA, DOWNLOAD, EXTERNAL))]
NoTwins = AfterValidator(no_twins)


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
