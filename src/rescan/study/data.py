"""The section `data`: where samples come from, and their classes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from rescan import catalogue
from rescan.study.named import Named
from rescan.study.strict import Name, Strict, not_reserved


def _with_text_keys(value: Any) -> Any:
    """A mapping whose keys may be written as numbers, as labels in tables often are."""
    return {str(key): entry for key, entry in value.items()} if isinstance(value, dict) else value


class Source(Strict):
    """Where the data come from: Kaggle, a URL with its SHA-256, or a local folder or archive."""

    kaggle_dataset: str | None = None
    kaggle_competition: str | None = None
    url: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    path: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Source:
        places = (self.kaggle_dataset, self.kaggle_competition, self.url, self.path)
        if sum(place is not None for place in places) != 1:
            raise ValueError("needs exactly one of kaggle_dataset, kaggle_competition, url, path")
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 belong together")
        return self


class DataSet(Strict):
    """Where a data set comes from, its layout on disk, and the phantom that replaces it at `demo`."""

    source: Source
    layout: Annotated[dict[str, Any], Named("layout")]
    phantom: Annotated[dict[str, Any], Named("phantom")] | None = None


class Data(DataSet):
    """A study's own data set, its classes in the order of the network's outputs, and extra ones to train on only.

    `ordered` classes are grades, the lowest first. An endpoint is a yes-or-no question about a grade: is it at least
    this class?
    """

    classes: Annotated[list[str], Field(min_length=2)]
    labels: Annotated[dict[str, str], BeforeValidator(_with_text_keys)] = Field(
        default={}, description="the class of each label of the source; others are dropped"
    )
    ordered: bool = False
    endpoints: dict[Name, str] = {}
    expected: dict[Literal["train", "test", "all"], dict[str, int]] = {}
    extra: dict[Annotated[Name, not_reserved("own")], DataSet] = {}

    @model_validator(mode="after")
    def _classes_labels_and_endpoints_agree(self) -> Data:
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class is named twice")
        for label, name in self.labels.items():
            if name not in self.classes:
                raise ValueError(f"labels: {label}: no class {name!r}{catalogue.suggest(name, self.classes)}")
        if self.labels and (missing := [name for name in self.classes if name not in self.labels.values()]):
            raise ValueError(f"labels: none becomes class {missing[0]!r}; add one, or take the class out of classes")
        if self.endpoints and not self.ordered:
            raise ValueError("endpoints need ordered classes; add ordered: true")
        for name, lowest in self.endpoints.items():
            if lowest not in self.classes[1:]:
                near = catalogue.suggest(lowest, self.classes[1:])
                raise ValueError(f"endpoints: {name}: {lowest!r} is no class above the first{near}")
        return self
