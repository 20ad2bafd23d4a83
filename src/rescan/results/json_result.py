"""JSON files between steps: frozen models that are written and read whole."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import Self

from rescan import touched
from rescan.files import write_json
from rescan.results.damage import damaged, missing

SHOWN = 60  # characters of a wrong value in a message

Count = Annotated[int, Field(ge=0)]


class Part(BaseModel):
    """A part of a JSON file: frozen, without unknown keys, without NaN and infinity (JSON has none; use None)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class JsonResult(Part):
    """A whole JSON file. A field that was not set when the model was made is not written; one set to None is, as null.

    Attributes:
        step: The step that makes the file.
    """

    step: ClassVar[str]

    def write(self, path: str | Path) -> None:
        """Write the file beside its place and rename it into it."""
        write_json(path, self.model_dump(mode="json", exclude_unset=True, by_alias=True))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read and check the file.

        Raises:
            RescanError: It is missing, empty, truncated or not JSON; a key is missing, unknown, twice there or of a
                wrong type.
        """
        touched.read(path)
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            raise missing(path, cls.step) from None
        return cls.parse(content, path)

    @classmethod
    def parse(cls, content: bytes, path: str | Path) -> Self:
        """Check what is read of a file.

        Args:
            content: The file's.
            path: What messages call it.

        Raises:
            RescanError: As `read`, but for a file that is missing.
        """
        try:
            result = cls.model_validate_json(content, strict=True)
            json.loads(content, object_pairs_hook=_once)
        except ValidationError as error:
            raise damaged(path, cls.step, fault_in(error)) from None
        except (ValueError, RecursionError) as error:
            raise damaged(path, cls.step, str(error)) from None
        return result

    @classmethod
    def read_if_there(cls, path: str | Path) -> Self | None:
        """Read the file; None if there is none, as where a run is not finished."""
        return cls.read(path) if Path(path).is_file() else None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The keys and values of a JSON object; the standard allows a key twice, and readers take either."""
    content = dict(pairs)
    if len(content) < len(pairs):
        (twice, _), *_ = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} is there twice")
    return content


def fault_in(error: ValidationError) -> str:
    """A fault of a validation in words: a missing key if there is one; pydantic promises no order."""
    fault: Any = min(error.errors(include_url=False), key=lambda fault: fault["type"] != "missing")
    key = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "json_invalid":
        return f"not valid JSON ({fault['ctx']['error']})"
    if fault["type"] == "missing":
        return f"{key} is missing"
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key}"
    message = fault["msg"][0].lower() + fault["msg"][1:]
    return f"{key}: {message}, not {fault['input']!r:.{SHOWN}}".removeprefix(": ")
