"""Samples as pictures: as they lie on disk, after the steps of a preparation, in the store."""

from __future__ import annotations

import cv2
import numpy as np

from rescan.catalogue import OPERATORS
from rescan.data.gray_levels import stretched
from rescan.data.index import files_of
from rescan.data.readers import images, volumes
from rescan.data.readers.display import levels
from rescan.log import logger
from rescan.paths import Paths
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import stages_of
from rescan.results.agreement import read_manifest
from rescan.study import Preparation, Study

Looks = dict[str, np.ndarray]  # caption → picture, (H, W), (H, W, 1) or (H, W, 3) uint8

LARGE_SIDE = 420  # pixels, more than any grid shows of an image
SMALL_SIDE = 96  # voxels, of volumes that are augmented for looking at, of which many are in memory
# What the two pictures of a volume are called: of a stack of B-scans, of another, of that cut from the front.
STACK, OTHER, FRONT = (
    ("en face", "B-scan"),
    ("projection", "middle slice"),
    ("projection", "middle slice from the front"),
)


class Source:
    """Reads samples as they lie on disk, shrunk to what a grid can show; each only once."""

    def __init__(self, study: Study, preparation: Preparation) -> None:
        paths, manifest = Paths(study.scale, study.name), read_manifest(study)
        self.preparation = preparation
        self.files = dict(zip(manifest["sample"], files_of(paths, manifest, preparation.modality)))
        self.cache: dict[str, Looks] = {}

    @property
    def pictures(self) -> int:
        """How many pictures there are of a sample."""
        return 2 if self.preparation.reads == "volume" else 1

    def read(self, sample: str) -> Looks:
        """An image, without a caption; or of a volume the mean along its depth and a slice.

        The slice is the middle B-scan of a stack, else the middle one across the depth. Pictures of volumes have their
        proportions in millimeters, and gray levels from the 0.5th to the 99.5th percentile. Nothing, with a warning, of
        a file that is missing or cannot be read.
        """
        if sample not in self.cache:
            try:
                self.cache[sample] = self._read(sample)
            except images.Unreadable as error:
                logger.warning("explore: %s: %s", sample, error)
                self.cache[sample] = {}
        return self.cache[sample]

    def _read(self, sample: str) -> Looks:
        files = self.files[sample]
        if files is None:
            raise images.Unreadable(f"has no file of modality {self.preparation.modality!r}")
        gaps = self.preparation.nan == "black"
        if self.preparation.reads == "image":
            image, info = images.read(files.path, LARGE_SIDE, gaps=gaps)
            if info.views:
                image = levels(image, info.views[0]).round().astype(np.uint8)
            return {"": shrunk(image if image.dtype == np.uint8 else stretched(image))}
        volume = volumes.read(files.path, files.extent, gaps=gaps)
        depth, height, width = np.linalg.norm(volume.affine[:3, :3], axis=0)
        stack = volume.kind == "stack"
        above, slice_ = (stretched(picture) for picture in views(volume.values, 1 if stack else 0))
        names = STACK if stack else OTHER
        return {
            names[0]: _in_proportion(above, height, width),
            names[1]: _in_proportion(slice_, depth if stack else height, width),
        }

    def prepared(self, sample: str) -> Looks:
        """A sample raw and after those steps of the preparation that change the look; nothing, if that fails."""
        files = self.files[sample]
        try:
            return at_stages(stages_of(files, self.preparation)) if files else {}
        except (CannotPrepare, images.Unreadable) as error:  # the file has changed since it was prepared
            logger.warning("explore: %s: %s", sample, error)
            return {}


def at_stages(stages: list[tuple[str, np.ndarray]]) -> Looks:
    """Raw, cropped, enhanced… (what applies and is not the last but for its size), prepared or the first patch."""
    steps = [(OPERATORS[name], image) for name, image in stages[1:]]
    last = max((number for number, (operator, _) in enumerate(steps) if not operator.changes_size), default=0)
    changed: Looks = {operator.look: image for operator, image in steps[:last] if operator.look}
    final = "first patch" if any(operator.makes == "several" for operator, _ in steps) else "prepared"
    whole = {"raw": stages[0][1], **changed, final: stages[-1][1]}
    return {kind: shrunk(image) for kind, image in whole.items()}


def shrunk(image: np.ndarray, side: int = LARGE_SIDE) -> np.ndarray:
    """An image of at most `side` pixels a side, aspect kept."""
    scale = side / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    return image if scale >= 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _in_proportion(picture: np.ndarray, height: float, width: float) -> np.ndarray:
    """A picture, whose pixels have this height and width, with square ones, LARGE_SIDE on its longer side."""
    rows, columns = picture.shape[0] * height, picture.shape[1] * width
    scale = LARGE_SIDE / max(rows, columns)
    size = [max(1, round(length * scale)) for length in (columns, rows)]
    shrinks = size[0] <= picture.shape[1] and size[1] <= picture.shape[0]
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def views(volume: np.ndarray, across: int = 1) -> list[np.ndarray]:
    """The mean of a volume (D, H, W) along its depth, (H, W) float32, and the middle slice across an axis."""
    return [volume.mean(axis=0, dtype=np.float32), volume.take(volume.shape[across] // 2, across)]


def small(item: np.ndarray) -> np.ndarray:
    """An item of a store to be augmented: an image as it is, a volume averaged over blocks to SMALL_SIDE or less."""
    if item.ndim == 3:
        return item
    blocks = [-(-size // SMALL_SIDE) for size in item.shape[:3]]
    whole = item[tuple(slice(size // block * block) for size, block in zip(item.shape, blocks))]
    split = whole.reshape([part for size, block in zip(whole.shape, blocks) for part in (size // block, block)] + [-1])
    return split.mean(axis=(1, 3, 5), dtype=np.float32).round().astype(item.dtype)
