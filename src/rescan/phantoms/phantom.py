"""What all phantom data sets share: options, labels, copies, and how images are written."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import cv2
import numpy as np

from rescan.errors import RescanError

Array = np.ndarray
Label = TypeVar("Label")


@dataclass(frozen=True)
class PhantomOptions:
    """The options of every phantom data set. Each kind adds its own, its defaults, and what differs from the below.

    Attributes:
        samples: Number of images or scans, duplicates included.
        seed: Seed of everything. Lesions have a stream of their own: the same anatomy comes with any contrast.
        contrast: Multiplies the lesions' contrast: the difficulty.
        null: No lesion anywhere, the same nuisances, labels dealt out at random.
        confound: Probability that an image's height and aspect follow from its label (also if null).
        duplicates: Share of the samples that copy another one.
        patient_effect: Multiplies the differences between patients.
        label_noise: Share of the originals that have another label than their true one; copies follow them.
    """

    SHARES: ClassVar[tuple[str, ...]] = ("confound", "duplicates", "label_noise")  # options from 0 to 1
    AMOUNTS: ClassVar[tuple[str, ...]] = ("contrast", "patient_effect", "seed")  # finite options from 0 on

    samples: int = 320
    seed: int = 0
    contrast: float = 1.0
    null: bool = False
    confound: float = 0.5
    duplicates: float = 0.06
    patient_effect: float = 1.0
    label_noise: float = 0.0

    @property
    def copies(self) -> int:
        """How many of the samples are copies."""
        return round(self.duplicates * self.samples) if 0 <= self.duplicates <= 1 else 0

    @property
    def originals(self) -> int:
        """How many of the samples are not copies."""
        return self.samples - self.copies

    def rng(self, *stream: int) -> np.random.Generator:
        """A generator for one purpose: its first number says which, the rest says of what."""
        return np.random.default_rng([self.seed, *stream])

    def check(self, *faults: tuple[bool, str]) -> None:
        """Check the options that all kinds have.

        Args:
            *faults: Faults of the kind's own options: whether there is one, and its text.

        Raises:
            RescanError: Options are out of their range; one line per fault.
        """
        shares = {name: getattr(self, name) for name in self.SHARES}
        amounts = {name: getattr(self, name) for name in self.AMOUNTS}
        lines = [f"{name}: {value} is not a share; use 0 to 1" for name, value in shares.items() if not 0 <= value <= 1]
        lines += [
            f"{name}: {value} is not an amount; use 0 or more"
            for name, value in amounts.items()
            if not 0 <= value < math.inf
        ]
        lines += [text for wrong, text in faults if wrong]
        if lines:
            raise RescanError("\n".join(f"data.phantom: {line}" for line in lines))

    def fault_of_count(self, classes: int) -> tuple[bool, str]:
        """The fault of too few samples for two originals per class; an argument of `check`."""
        text = f"samples: {self.samples} with {self.copies} duplicates leave fewer than two originals per class"
        return self.originals < 2 * classes, f"{text}; raise it"


def relabel(
    labels: Sequence[Label],
    options: PhantomOptions,
    other: Callable[[Label, np.random.Generator], Label],
    groups: Sequence[Sequence[int]] | None = None,
) -> list[Label]:
    """Replace a share of the labels, `label_noise`; or, if null, deal them out anew, so that they mean nothing.

    Args:
        labels: (N,) true labels.
        options: For seed, null and label noise.
        other: Draws another label than the one it is called with.
        groups: The rows within which labels are dealt out, group by group; all rows if None.
    """
    rng = options.rng(5)
    new_labels = list(labels)
    if options.null:
        for rows in groups or [range(len(new_labels))]:
            for row, label in zip(rows, rng.permutation(np.array([labels[row] for row in rows])).tolist()):
                new_labels[row] = label
    else:
        for row in rng.permutation(len(new_labels))[: round(options.label_noise * len(new_labels))].tolist():
            new_labels[row] = other(new_labels[row], rng)
    return new_labels


def choose(rows: Sequence[int], count: int, rng: np.random.Generator) -> list[int]:
    """Choose which originals are copied, each once if there are enough."""
    sources: list[int] = rng.choice(rows, count, replace=count > len(rows)).tolist()
    return sources


def copy(
    image: Array, mask: Array, transform: str, rng: np.random.Generator, lossy: bool = False
) -> tuple[Array, Array]:
    """Copy an image and its mask.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        mask: (H, W) uint8.
        transform: "identical", "mirrored", "rotated" (by 180°), "gain", "resized" or "recompressed".
        rng: The copy's generator.
        lossy: Whether a resized image is recompressed before.
    """
    if transform == "mirrored":
        return cv2.flip(image, 1), cv2.flip(mask, 1)
    if transform == "rotated":
        return cv2.flip(image, -1), cv2.flip(mask, -1)
    if transform == "gain":
        return cv2.convertScaleAbs(image, alpha=rng.uniform(0.7, 0.85)), mask
    if transform == "recompressed":
        return _recompress(image, rng), mask
    if transform == "resized":
        size = np.rint(rng.uniform(0.7, 0.9) * np.array(mask.shape[::-1])).astype(int).tolist()
        image = cv2.resize(_recompress(image, rng) if lossy else image, size, interpolation=cv2.INTER_AREA)
        return image, cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    return image, mask


def _recompress(image: Array, rng: np.random.Generator) -> Array:
    """Compress as a coarse JPEG file, and read it again."""
    coded = np.frombuffer(encode(image, ".jpg", int(rng.integers(70, 85))), np.uint8)
    decoded: Any = cv2.imdecode(coded, cv2.IMREAD_UNCHANGED)
    return decoded


def encode(image: Array, suffix: str, quality: int = 95) -> bytes:
    """An image as the content of a file; only JPEG has a quality."""
    options = [cv2.IMWRITE_JPEG_QUALITY, quality] if suffix in (".jpg", ".jpeg") else []
    return bytes(cv2.imencode(suffix, np.ascontiguousarray(image), options)[1])


def save(path: Path, image: Array, quality: int = 95) -> None:
    """Write an image; its folder is made if needed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode(image, path.suffix, quality))
