"""Flags of new images: what tells that they are unlike those that a network was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from rescan.arm_rows import shown
from rescan.data.gray_statistics import STATISTICS, as_vectors, gray_statistics
from rescan.data.headers import header_of
from rescan.data.index import Files
from rescan.log import logger
from rescan.metrics.feature_distance import QUANTILE, distances
from rescan.onnx_networks import NAME as ONNX
from rescan.onnx_networks import read_header
from rescan.paths import RunFolder
from rescan.preparation.sample import Prepared
from rescan.results.damage import damaged
from rescan.results.trained_model import ModelHeader, model_checksum
from rescan.results.training_range import (
    SIZES,
    STEP,
    Measured,
    RangeHeader,
    Spread,
    TrainingRange,
    extent_of,
    read_range,
)

LOWEST, HIGHEST = 0.001, 0.999  # quantiles between which nearly all training images lie
SMALLEST, LARGEST = 0.8, 1.25  # a source smaller, or larger, than all those of the training by this factor is flagged
OF_100 = 100 * QUANTILE
WORDS = {
    "mean": "gray levels outside those of the training images (mean {}, training {})",
    "spread": "contrast outside that of the training images (standard deviation of gray levels {}, training {})",
}
DETAIL = "detail of {} pixels outside that of the training images (mean difference {}, training {})"


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
        place = Path(path)
        text = "%s: no %s beside the model: no image is flagged as unlike the training images; run infer again"
        logger.warning(text, place.parent.relative_to(place.parents[2]), place.name)
        return None
    training = read_range(path)
    own = training.header
    for key in ("study", "arm", "fold", "seed"):
        if getattr(own, key) != getattr(header, key):
            fault = f"is of {key} {getattr(own, key)!r}, the network of {getattr(header, key)!r}"
            raise damaged(path, STEP, fault)
    by_onnx = Path(model).name == ONNX
    if own.model is not None and own.model != (read_header(Path(model))[1] if by_onnx else model_checksum(model)):
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
    gaussians, header = training.gaussians, training.header
    if "features" in gaussians and vectors.shape[1:] != gaussians["features"].center.shape:
        known = len(gaussians["features"].center)
        fault = f"is of vectors of {known} numbers, the network's have {vectors.shape[1]}"
        raise damaged(training.file, STEP, fault)
    gray = np.stack([gray_statistics(sample.items).mean(axis=0) for sample in samples])
    of_features = _beyond(training, "features", vectors)
    of_picture = _beyond(training, "picture", as_vectors(gray))
    return [
        "; ".join([*_of_features(far), *_of_picture(odd, header, values), *_of_file(header, own, sample)])
        for own, sample, far, odd, values in zip(files, samples, of_features, of_picture, gray)
    ]


def _beyond(training: TrainingRange, name: str, vectors: np.ndarray) -> list[str]:
    """Of each of the vectors (n, D) its distance in words if it is beyond the limit; else ""."""
    measured: Measured | None = getattr(training.header, name)
    if measured is None:
        return [""] * len(vectors)
    far = distances(vectors, training.gaussians[name], measured.noise)
    by = f"limit {measured.limit:.3g} by {training.header.held_out:,} images held out"
    known = f"{by}, 99.9 % of the training images below {measured.at(HIGHEST)[0]:.3g}"
    return ["" if distance <= measured.limit else f"distance {distance:.3g}, {known}" for distance in far]


def _of_features(distance: str) -> Iterator[str]:
    if distance:
        yield f"farther from the training images in feature space than {OF_100:g} % of images like them ({distance})"


def _of_picture(distance: str, header: RangeHeader, values: np.ndarray) -> Iterator[str]:
    """Which of the statistics lie outside those of the training images; or that they are unusual together."""
    if not distance:
        return
    outside: dict[str, str] = {}
    for name, value in zip(STATISTICS, values):
        low, high = _bounds(header.gray[name])
        if not low <= value <= high:
            kind, _, scale = name.partition("_")  # of several details the finest tells enough
            numbers = f"{value:.3g}", f"{low:.3g} to {high:.3g}"
            outside.setdefault(kind, WORDS[kind].format(*numbers) if kind in WORDS else DETAIL.format(scale, *numbers))
    together = f"gray levels, contrast and detail together unlike those of the training images ({distance})"
    yield from outside.values() or [together]


def _bounds(spread: Spread) -> tuple[float, float]:
    """What nearly all images lie between, of the training and held out."""
    return min(spread.at(LOWEST)), max(spread.at(HIGHEST))


def _outside(own: Mapping[str, float], known: Mapping[str, tuple[float, float]]) -> str:
    """Sizes in words beside those of the training, if one lies outside; else ""."""
    known = {name: known[name] for name in own if name in known}
    if all(SMALLEST * low <= own[name] <= LARGEST * high for name, (low, high) in known.items()):
        return ""
    ranges = [list(dict.fromkeys(map(_number, ends))) for ends in known.values()]
    theirs = " × ".join(map(" to ".join, ranges))
    return f"{' × '.join(map(_number, own.values()))}, training {theirs} ({' × '.join(known)})"


def _number(size: float) -> str:
    return f"{round(size, 2):,.8g}"


def _of_file(header: RangeHeader, files: Files, sample: Prepared) -> Iterator[str]:
    sizes = dict(zip(SIZES[-len(sample.source) :], sample.source))
    if text := _outside(sizes, header.sizes):
        yield f"size {text}"
    if sample.affine is not None:
        extent = extent_of(sample.affine[None], sample.items[0].shape[:-1])[0]
        if text := _outside(dict(zip(SIZES, extent.tolist())), header.extents):
            yield f"measures {text}, in mm, or in voxels where a file says no mm"
    in_a_file = header.devices and files.array is None
    device = header_of(files.path, None).get("device", "") if in_a_file else ""
    if device and device not in header.devices:
        common = "the common ones" if header.other_devices else "those"
        yield f"device {shown(device)} is not among {common} of training"
