"""The section `data`: where samples come from, and their classes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from rescan import catalogue
from rescan.spelling import ONLY_WRITTEN, alike, named
from rescan.study.bounds import MOST_ENTRIES, SampleCount
from rescan.study.named import Named
from rescan.study.strict import Name, Strict, not_reserved
from rescan.walk import name_fault

if TYPE_CHECKING:
    import pandas as pd

SEPARATOR = "|"  # of several labels of a sample, in the manifest
NO_LABEL = "none"  # there, of a sample with none of several labels
NO_LABELS = ("", NO_LABEL, "no finding", "no findings")  # in tables, case aside
THIS_COMPUTER = ("localhost", "127.0.0.1")
MOST_LABELS = 62  # of several labels a sample's are the bits of one integer


def _with_text_keys(value: Any) -> Any:
    """A mapping whose keys may be written as numbers, as labels in tables often are."""
    return {str(key): entry for key, entry in value.items()} if isinstance(value, dict) else value


def _with_columns(layout: Any) -> Any:
    """A table's layout, with the names of the columns `label` and `patient` as options of their own under `columns`."""
    if not isinstance(layout, dict) or layout.get("name") != "table":
        return layout
    columns, rest = {}, dict(layout)
    for name in ("label", "patient"):
        if isinstance(layout.get(name), str) and layout[name] and "(" not in layout[name]:  # else a pattern
            columns[name] = rest.pop(name)
    more = layout.get("columns", {})
    return {**rest, "columns": {**columns, **more}} if columns and isinstance(more, dict) else layout


def is_secure(url: str) -> bool:
    """Whether an address is of https, or of this computer: nobody on the way can read or change what comes from it."""
    try:
        parts = urlsplit(url)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:  # of brackets, or of the port
        return False
    secure = parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in THIS_COMPUTER)
    return sound and secure and url.isascii() and url.isprintable() and " " not in url


def _address(url: str) -> str:
    """Refuse what is no address that can be fetched from securely."""
    if not is_secure(url):
        raise ValueError(f"{url!r} is no https address, such as https://host/data.zip")
    return url


class Source(Strict):
    """Where the data come from: Kaggle, a URL with its SHA-256, or a local folder or archive."""

    kaggle_dataset: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+/[A-Za-z0-9_.-]+$")] | None = None
    kaggle_competition: Annotated[str, Field(pattern="^[A-Za-z0-9_.-]+$")] | None = None
    url: Annotated[str, AfterValidator(_address)] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    path: Annotated[str, Field(min_length=1)] | None = None

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
    layout: Annotated[dict[str, Any], Named("layout"), BeforeValidator(_with_columns)]
    phantom: Annotated[dict[str, Any], Named("phantom")] | None = None


class External(DataSet):
    """A labeled data set that networks are tested on, and nothing is trained, chosen or fitted on.

    `same_patients` says whether a patient's name means the same patient here and in the study's own data.
    """

    labels: Annotated[dict[str, str], BeforeValidator(_with_text_keys)] = Field(
        default={}, description="the class of each label of this source, if they are not those of data.labels"
    )
    same_patients: bool = True


@dataclass(frozen=True)
class Outcome:
    """What is predicted: the classes in the order of the network's outputs, and the questions about grades.

    Attributes:
        classes: K names.
        ordered: Whether they are grades, the lowest first.
        endpoints: By name, the lowest class for which the answer is yes.
        multilabel: Whether a sample may be of several classes, or of none: each is a question of its own.
    """

    classes: list[str]
    ordered: bool
    endpoints: dict[str, str]
    multilabel: bool = False

    @property
    def metric(self) -> str:
        """The main metric: quadratic kappa for grades, the mean AUROC of several labels, else accuracy."""
        return "quadratic_kappa" if self.ordered else "auroc" if self.multilabel else "accuracy"

    @property
    def positive(self) -> int | None:
        """The index of the positive class, the last of two; None for more classes, or several labels."""
        return len(self.classes) - 1 if len(self.classes) == 2 and not self.multilabel else None

    def classes_of(self, label: str) -> list[str]:
        """The classes that a label of the manifest names: one, or several; none of an unlabeled sample."""
        if not self.multilabel:
            return [label] if label else []
        return [] if label in ("", NO_LABEL) else label.split(SEPARATOR)

    def joined(self, names: Iterable[str]) -> str:
        """The label of a sample of several classes, in their order."""
        present = set(names)
        return SEPARATOR.join(name for name in self.classes if name in present) or NO_LABEL

    def is_label(self, label: str) -> bool:
        """Whether a label of the manifest is as this study has them."""
        return self.joined(self.classes_of(label)) == label if self.multilabel else label in self.classes

    def target(self, label: str) -> int:
        """What predictions are compared with: the class's index; of several Σ 2^index; −1 without a label."""
        if not label:
            return -1
        numbers = [self.classes.index(name) for name in self.classes_of(label)]
        return sum(1 << number for number in numbers) if self.multilabel else numbers[0]

    def label(self, target: int) -> str:
        """The label of a target: the inverse of `target`."""
        if not self.multilabel:
            return self.classes[target] if target >= 0 else ""
        return self.joined(name for number, name in enumerate(self.classes) if target >> number & 1)

    def has(self, labels: pd.Series[str], name: str) -> pd.Series[bool]:
        """Which labels of the manifest name a class."""
        return (
            labels.map(lambda label: name in self.classes_of(label)).astype(bool) if self.multilabel else labels == name
        )

    def by_class(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows with a column `label`, once for each class that it names."""
        if not self.multilabel:
            return rows
        rows = rows.assign(label=rows["label"].map(self.classes_of)).explode("label")
        return rows[rows["label"].notna()]


class Data(DataSet):
    """A study's own data set, its classes in the order of the network's outputs, and other ones.

    Those of `extra` are trained on only, those of `external` tested on only.

    `ordered` classes are grades, the lowest first. An endpoint is a yes-or-no question about a grade: is it at least
    this class? With `multilabel` a sample may be of several classes, or of none.
    """

    classes: Annotated[list[Annotated[str, Field(max_length=200)]], Field(min_length=2, max_length=MOST_ENTRIES)]
    labels: Annotated[dict[str, str], BeforeValidator(_with_text_keys)] = Field(
        default={}, description="the class of each label of the source; others are dropped"
    )
    ordered: bool = False
    multilabel: bool = Field(default=False, description="a sample may have several of the classes, or none")
    endpoints: dict[Name, str] = {}
    expected: dict[Literal["train", "test", "all"], dict[str, SampleCount]] = {}
    extra: dict[Annotated[Name, not_reserved("own")], DataSet] = {}
    external: dict[Name, External] = {}
    patients: Literal["hashed", "as_is"] = Field(
        default="hashed", description="how results show ids of patients and studies from DICOM headers"
    )
    frames: Literal["refused", "each"] = Field(
        default="refused", description="each: a DICOM file of several frames is as many samples, all of one patient"
    )

    @property
    def outcome(self) -> Outcome:
        """What is predicted."""
        return Outcome(self.classes, self.ordered, self.endpoints, self.multilabel)

    @model_validator(mode="after")
    def _classes_have_names_of_their_own(self) -> Data:
        for name in self.classes:
            if fault := name_fault(name) or ("" if name.strip() else "is empty"):
                raise ValueError(f"classes: {name!r} {fault}; give it another name, and its label in labels")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("classes: a class is named twice")
        if same := alike(self.classes):
            raise ValueError(f"classes: {named(same)} {ONLY_WRITTEN}; keep one, and map the others to it by labels")
        return self

    @model_validator(mode="after")
    def _classes_labels_and_endpoints_agree(self) -> Data:
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

    @model_validator(mode="after")
    def _several_labels_can_be_read(self) -> Data:
        sources = {"": self, **self.extra, **self.external}
        if not self.multilabel:
            for source in sources.values():
                if source.phantom is not None and catalogue.PHANTOMS[source.phantom["name"]].of_several:
                    raise ValueError(f"phantom {source.phantom['name']} has several labels; add multilabel: true")
            return self
        if self.ordered:
            raise ValueError("multilabel: grades exclude each other; take out multilabel, or ordered")
        if len(self.classes) > MOST_LABELS:
            raise ValueError(f"multilabel: {len(self.classes)} classes; {MOST_LABELS} labels at most are possible")
        if wrong := [name for name in self.classes if SEPARATOR in name or name.casefold() in NO_LABELS]:
            raise ValueError(f"multilabel: {wrong[0]!r} can be no class: it means none, or several; take it out")
        for name, source in sources.items():
            where = f"{name}: " if name else ""
            if source.layout["name"] != "table":
                raise ValueError(f"multilabel: {where}layout {source.layout['name']} has one label; use layout: table")
            if source.phantom is not None and not catalogue.PHANTOMS[source.phantom["name"]].of_several:
                raise ValueError(f"multilabel: {where}phantom {source.phantom['name']} has one label; use findings")
        return self

    @model_validator(mode="after")
    def _external_data_fit(self) -> Data:
        for name, other in self.external.items():
            if name in self.extra:
                raise ValueError(
                    f"external: {name}: is an extra source, which is trained on; give one of them another name"
                )
            for label, of in other.labels.items():
                if of not in self.classes:
                    near = catalogue.suggest(of, self.classes)
                    raise ValueError(f"external: {name}: labels: {label}: no class {of!r}{near}")
        return self
