"""How large a study's data are: counted, or as its phantom or its file says, or guessed."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rescan import catalogue
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.source import SourceData, SourceReport
from rescan.study import DataSet, Study
from rescan.walk import files_below

GUESS = {2: 10_000, 3: 500}  # samples of a data set that nobody has counted: images, volumes
SUFFIXES = (".bmp", ".dcm", ".jpeg", ".jpg", ".nii", ".nii.gz", ".png", ".tif", ".tiff")
MEGABYTES_PER_MEGAPIXEL = 0.4  # of compressed images

Known = Literal["counted", "phantom", "expected", "files", "published", "guessed"]


@dataclass(frozen=True)
class DataSize:
    """The size of a data set.

    Attributes:
        train: Samples outside of a published test part; all, if there is none.
        test: Samples of the published test part.
        unlabeled: Samples without a label.
        megapixels: Of a sample; of a volume millions of voxels.
        megabytes: Of all files.
        known: Where the counts are from: `counted` by the download, the options of the `phantom`, `expected` in the
            study file, the `files` of a local source whose names end as those of images (at most as many samples), the
            `published` size of the data set that has this layout, or `guessed`.
    """

    train: int
    test: int
    unlabeled: int
    megapixels: float
    megabytes: float
    known: Known

    @property
    def samples(self) -> int:
        """All samples."""
        return self.train + self.test + self.unlabeled


def data_size(study: Study, origin: str = "") -> DataSize:
    """The size of a study's own data (""), or of an extra source; reads no image."""
    data = study.data.extra[origin] if origin else study.data
    megapixels = _megapixels(data)
    report = None
    with suppress(RescanError):  # a damaged file is the download's to tell
        report = SourceReport.read_if_there(Paths(study.scale, study.name).source)
    entry: SourceData | None = (report and report.extra.get(origin)) if origin else report
    if report and entry:
        parts = {part: sum(classes.values()) for part, classes in entry.classes.items()}
        test = parts.pop("test", 0)
        unlabeled = 0 if origin else report.unlabeled
        return DataSize(sum(parts.values()), test, unlabeled, megapixels, entry.bytes / 1e6, "counted")
    train, test, unlabeled, known = _uncounted(study, data, origin)
    samples = train + test + unlabeled
    return DataSize(train, test, unlabeled, megapixels, samples * megapixels * MEGABYTES_PER_MEGAPIXEL, known)


def _uncounted(study: Study, data: DataSet, origin: str) -> tuple[int, int, int, Known]:
    """Samples outside and inside of the published test part, those without a label, and how they are known."""
    published = 0.25 if study.split.test == "published" and not origin else 0.0
    if data.phantom is not None:
        test = round(data.phantom["samples"] * data.phantom.get("test", published))
        return data.phantom["samples"] - test, test, data.phantom.get("unlabeled", 0), "phantom"
    local = data.source.path
    if not origin and study.data.expected:
        parts = {part: sum(classes.values()) for part, classes in study.data.expected.items()}
        return parts.get("train", 0) + parts.get("all", 0), parts.get("test", 0), 0, "expected"
    own_train, own_test = catalogue.LAYOUTS[data.layout["name"]].samples
    if own_train and not (local and Path(local).is_dir()):
        return own_train, own_test, 0, "published"
    volumes = any(preparation.reads == "volume" for preparation in study.preparations.values())
    known: Known = "guessed"
    samples = GUESS[3 if volumes else 2]
    if local and Path(local).is_dir() and not volumes:
        files = files_below(local, failed=lambda _: None)
        if count := sum(file.name.lower().endswith(SUFFIXES) for file in files):
            known, samples = "files", count
    test = round(samples * published)
    return samples - test, test, 0, known


def _megapixels(data: DataSet) -> float:
    if data.phantom is None:
        return catalogue.LAYOUTS[data.layout["name"]].megapixels
    size = data.phantom["size"]
    return (math.prod(size) if isinstance(size, list) else size**2) / 1e6
