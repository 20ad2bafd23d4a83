"""audit.json: what the audit found; and groups.csv: the group of each sample, and what its file is."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Optional

from pydantic import BeforeValidator, SerializerFunctionWrapHandler, WrapSerializer, model_validator
from typing_extensions import Self

from rescan.results.csv_table import Column, Table
from rescan.results.json_result import Count, JsonResult, Part

GROUPS = Table(
    "audit",
    (
        Column("sample"),
        Column("group"),  # what must never be on both sides of a split
        Column("problem", empty=True),  # why the file cannot be read
        Column("depth", "integer", low=0),  # in voxels; 0 of an image
        Column("width", "integer", low=0),
        Column("height", "integer", low=0),
        Column("mode", empty=True),  # the pixel format's name
        Column("bytes", "integer", low=0),
        Column("sha256", empty=True),
        Column("conflict", "integer", low=0, high=1),  # 1: the very image exists under another label too
        Column(
            "relative", empty=True, optional=True
        ),  # of an external sample: one at home, of the same patient or alike
    ),
    key=("sample",),
)

ClassCounts = dict[str, Count]  # class → samples


class UnreadableSample(Part):
    """A sample whose file cannot be read, and why."""

    sample: str
    problem: str


class Unlisted(Part):
    """Files that the data set's own tables do not list: how many, and the first of them."""

    files: Count
    such_as: list[str]


class Copies(Part):
    """Pairs of copies of an image, and how often their labels agree.

    Attributes:
        pairs: All pairs of samples that are copies of each other.
        groups: How many groups of copies there are.
        conflicting_pairs: Pairs with different labels.
        conflicting_groups: Groups with different labels.
        label_agreement: Share of pairs with the same label; None without a pair.
        quadratic_kappa: Of the two labels of each pair, in both orders; of grades only. None if it is undefined.
    """

    pairs: Count
    groups: Count
    conflicting_pairs: Count
    conflicting_groups: Count
    label_agreement: Optional[float]
    quadratic_kappa: Optional[float] = None


class IdenticalFiles(Part):
    """Pairs of samples whose files are the same, byte by byte."""

    byte_pairs: Count


class Identical(Copies, IdenticalFiles):  # in the file the last base's fields come first
    """Copies whose pixels are the same; and pairs of a labeled sample and one without a label."""

    pairs_with_unlabeled: Count


class NearDuplicates(Part):
    """Images that look alike: pairs in all, pairs that match mirrored or turned only, and groups."""

    pairs: Count
    groups: Count
    mirrored_pairs: Count


class LargestGroup(Part):
    """The largest group that copies alone make."""

    group: str
    size: Count
    samples: list[str]


class LinkedShare(Part):
    """The share of test samples with a copy in training: as it lies, or mirrored and turned too."""

    n: Count
    same_orientation: float
    any_orientation: float


class LinkedTest(LinkedShare):
    """The share of the whole published test part, and of each of its classes."""

    classes: dict[str, LinkedShare]


class Baseline(Part):
    """Balanced accuracy of a prediction without the image, with its 95 % interval, and that of chance."""

    balanced_accuracy: float
    low: float
    high: float
    chance: float


class KappaInterval(Part):
    """Quadratic kappa with its 95 % interval."""

    value: float
    low: float
    high: float


class Confounds(Part):
    """How well the files' metadata alone predict the label. Only `warnings` if there is nothing to predict from.

    Attributes:
        features: The balanced accuracy that each feature reaches alone.
        quadratic_kappa: Of grades only.
    """

    balanced_accuracy: Optional[float] = None
    low: Optional[float] = None
    high: Optional[float] = None
    chance: Optional[float] = None
    features: Optional[dict[str, float]] = None
    warnings: list[str]
    quadratic_kappa: Optional[KappaInterval] = None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        together = (self.balanced_accuracy, self.low, self.high, self.chance, self.features)
        if any(value is None for value in together) != all(value is None for value in together):
            raise ValueError("balanced_accuracy, low, high, chance and features belong together")
        return self


def _empty_if_none(value: Any, write: SerializerFunctionWrapHandler) -> Any:
    return {} if value is None else write(value)


class AuditReport(JsonResult):
    """What the audit found. Labels, parts and confounds are those of the study's own labeled samples that can be read.

    Attributes:
        samples: How many there are.
        volumes: How many of them are volumes.
        dropped: How many samples each label has that the study drops.
        unlisted: Files that the data set's own tables do not list.
        unreadable: Samples that are left out.
        constant: Samples with one gray level only.
        classes: Part → class → samples; the part is "all" if none are published.
        unlabeled: How many samples have no label.
        extra: Extra source → class → samples.
        linked_extra: Extra source → samples with a relative among the study's own.
        identical: Copies whose pixels are the same.
        near_duplicates: Images that look alike.
        copies: Both, together.
        largest_group: The largest group that copies alone make.
        mixed_label_groups: The samples of each group of copies with several labels.
        several_patient_groups: The samples of each group of copies with one label and several patients.
        linked_test: Test samples with a copy in training; None (`{}` in the file) without a published test part.
        patients_known: Whether all patients are known.
        patients_in_both_parts: Patients in the published training and test part.
        confounds: What the files' metadata alone predict.
        attributes: What the field of view, site or device alone predict.
        subgroups: Column → value → class → samples.
        warnings: All that a reader must know, in sentences.
    """

    step: ClassVar[str] = "audit"

    samples: Count
    volumes: Count
    dropped: dict[str, Count]
    unlisted: Unlisted
    unreadable: list[UnreadableSample]
    constant: list[str]
    classes: dict[str, ClassCounts]
    unlabeled: Count
    extra: dict[str, ClassCounts]
    linked_extra: dict[str, Count]
    identical: Identical
    near_duplicates: NearDuplicates
    copies: Copies
    largest_group: LargestGroup
    mixed_label_groups: list[list[str]]
    several_patient_groups: list[list[str]]
    linked_test: Annotated[
        Optional[LinkedTest], BeforeValidator(lambda value: value or None), WrapSerializer(_empty_if_none)
    ]
    patients_known: bool
    patients_in_both_parts: Count
    confounds: Confounds
    attributes: dict[str, Baseline]
    subgroups: dict[str, dict[str, ClassCounts]]
    warnings: list[str]
