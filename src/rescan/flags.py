"""Flags of new images: what tells that they are unlike those that a network was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rescan.arm_rows import shown
from rescan.data.gray_statistics import STATISTICS, gray_statistics
from rescan.data.headers import header_of
from rescan.data.index import Files
from rescan.log import logger
from rescan.metrics.feature_distance import distances
from rescan.paths import RunFolder
from rescan.preparation.sample import Prepared
from rescan.results.damage import damaged
from rescan.results.trained_model import ModelHeader, model_checksum
from rescan.results.training_range import STEP, RangeHeader, Spread, TrainingRange, read_range

LOWEST, HIGHEST = 0.001, 0.999  # quantiles: what lies outside these …
BESIDE = 0.1  # … by more than this share of what lies between them is flagged
SIZES = (0.8, 1.25)  # a source smaller than the smallest, or larger than the largest, times this is flagged
WORDS = {
    "mean": "gray levels outside those of the training images (mean {}, training {})",
    "spread": "contrast outside that of the training images (standard deviation of gray levels {}, training {})",
    "detail": "detail outside that of the training images (mean difference of neighboring pixels {}, training {})",
}


def known_range(model: str, header: ModelHeader) -> TrainingRange | None:
    """What a network was trained on, from the file beside its model; None, with a warning, if there is none.

    Args:
        model: The model file.
        header: Its header.

    Raises:
        RescanError: The file is damaged, or is of another network.
    """
    path = RunFolder(Path(model).parent).training_range
    if not Path(path).is_file():
        logger.warning(
            "%s: no such file, so that no image is flagged as unlike the training images; run infer again", path
        )
        return None
    training = read_range(path)
    own = training.header
    for key in ("study", "arm", "fold", "seed"):
        if getattr(own, key) != getattr(header, key):
            fault = f"is of {key} {getattr(own, key)!r}, the network of {getattr(header, key)!r}"
            raise damaged(path, STEP, fault)
    if own.model is not None and Path(model).suffix == ".safetensors" and own.model != model_checksum(model):
        raise damaged(path, STEP, f"is of other weights than {Path(model).name} has")
    return training


def flags_of(
    training: TrainingRange, files: Sequence[Files], samples: Sequence[Prepared], vectors: np.ndarray
) -> list[str]:
    """What is unusual about samples, in sentences that are joined by "; "; "" of one like the training images.

    Args:
        training: What the network was trained on.
        files: The samples' files.
        samples: As they were prepared.
        vectors: (n, D) float32, what the heads take of each; the mean over its patches.

    Raises:
        RescanError: The range is of vectors of another length.
    """
    header, gaussian = training.header, training.gaussian
    if gaussian is not None and vectors.shape[1:] != gaussian.center.shape:
        fault = f"is of vectors of {len(gaussian.center)} numbers, the network's have {vectors.shape[1]}"
        raise damaged(training.file, STEP, fault)
    far = [None] * len(samples) if gaussian is None else distances(vectors, gaussian, header.noise).tolist()
    return [
        "; ".join([*_of_distance(header, distance), *_of_gray(header, sample), *_of_file(header, own, sample)])
        for own, sample, distance in zip(files, samples, far)
    ]


def _of_distance(header: RangeHeader, distance: float | None) -> Iterator[str]:
    if distance is not None and header.distance is not None and not distance <= header.limit:
        known, _ = header.distance.at(HIGHEST)
        yield (
            f"farther from the training images than 99 % of images like them (distance {distance:.3g}, limit "
            f"{header.limit:.3g}; 99.9 % of the training images: below {known:.3g})"
        )


def _of_gray(header: RangeHeader, sample: Prepared) -> Iterator[str]:
    values = gray_statistics(sample.items).mean(axis=0)
    for name, value in zip(STATISTICS, values):
        if name in header.gray:
            low, high = _bounds(header.gray[name])
            beside = BESIDE * (high - low)
            if not low - beside <= value <= high + beside:
                yield WORDS[name].format(f"{value:.3g}", f"{low:.3g} to {high:.3g}")


def _bounds(spread: Spread) -> tuple[float, float]:
    """What nearly all images lie between, of the training and held out."""
    return min(spread.at(LOWEST)), max(spread.at(HIGHEST))


def _of_file(header: RangeHeader, files: Files, sample: Prepared) -> Iterator[str]:
    names = ("depth", "height", "width")[-len(sample.source) :] if sample.source else ()
    known = {name: header.sizes[name] for name in names if name in header.sizes}
    least, most = SIZES
    sizes = dict(zip(names, sample.source))
    if any(not least * low <= sizes[name] <= most * high for name, (low, high) in known.items()):
        own = " × ".join(f"{size:,}" for size in sample.source)
        theirs = " × ".join(f"{low:,}" if low == high else f"{low:,} to {high:,}" for low, high in known.values())
        yield f"size {own}, training {theirs} ({' × '.join(known)})"
    known = header.devices and files.array is None
    device = header_of(files.path, None).get("device", "") if known else ""
    if device and device not in header.devices:
        common = "the common ones" if header.other_devices else "those"
        yield f"device {shown(device)} is not among {common} of training"
