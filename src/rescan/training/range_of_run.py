"""What images a run's network was trained on: the content of its `training_range.safetensors`."""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

import numpy as np
import pandas as pd

from rescan import __version__
from rescan.data.gray_statistics import STATISTICS, as_vectors, gray_statistics
from rescan.metrics.feature_distance import distances, fit, limit_of, mean_by
from rescan.preparation.store import open_beside
from rescan.results.agreement import read_samples
from rescan.results.trained_model import model_checksum
from rescan.results.training_range import (
    LEVELS,
    SIZES,
    Gaussian,
    Measured,
    RangeHeader,
    Spread,
    TrainingRange,
    extent_of,
)
from rescan.study import Run
from rescan.training.randomness import seed_of

TRAINED_ON = ["train", "extra"]
MOST_IMAGES = 5000  # of the training part that are looked at, and as many that are held out
MOST_NUMBERS = 1 << 25  # of the vectors of either: 134 MB
FEWEST = 100  # images, however long their vectors
LARGEST = 1e15  # in a vector: of larger numbers no distance can be computed
FEWEST_OF_DEVICE = 5  # groups, such as patients: the name of a device with fewer is kept out


class _Sides(NamedTuple):
    """The same quantity of training images, and of those held out; a row each."""

    training: np.ndarray
    held_out: np.ndarray


def chosen_items(run: Run, items: pd.DataFrame, size: int) -> pd.DataFrame:
    """The items that are looked at: of some training samples, drawn by the run's seed, and of some held out.

    Extra training data count as training samples. Those held out are of the validation part; without one, of the test
    part, which the run validates on. All items of a sample are chosen, or none.

    Args:
        run: The run.
        items: Its items (`loader.read_items`).
        size: Numbers in a vector.

    Returns:
        Columns `row`, of `items`; `sample`; `held_out`, bool. In the order of `items`.
    """
    part = "validation" if (items["part"] == "validation").any() else "test"
    most = max(FEWEST, min(MOST_IMAGES, MOST_NUMBERS // size))
    chosen = []
    for side, parts in (("train", TRAINED_ON), (part, [part])):
        own = items.loc[items["part"].isin(parts), ["sample"]]
        names = own["sample"].drop_duplicates().to_numpy()
        patches = max(1, len(own) // max(1, len(names)))
        if len(names) > (count := max(2, most // patches)):
            generator = np.random.default_rng(seed_of(run.seed, f"range of {side}"))
            names = generator.choice(names, count, replace=False)
        chosen.append(own[own["sample"].isin(names)].assign(held_out=side != "train"))
    return pd.concat(chosen).rename_axis("row").reset_index().sort_values("row", ignore_index=True)


def range_of(
    run: Run, items: pd.DataFrame, chosen: pd.DataFrame, images: np.ndarray, vectors: np.ndarray
) -> TrainingRange:
    """What is known of a run's training images.

    Args:
        run: The run.
        items: Its items.
        chosen: Those that are looked at (`chosen_items`).
        images: (N, *spatial, C) of the store.
        vectors: (n, D) float32, what the heads take of the chosen items.
    """
    statistics = gray_statistics(images[item] for item in items["item"].to_numpy()[chosen["row"]])
    gray = _by_sample(chosen, statistics)
    pictures = _Sides(*map(as_vectors, gray))
    seed = seed_of(run.seed, "range")
    found = {"features": _distance(_by_sample(chosen, vectors), seed), "picture": _distance(pictures, seed)}
    sizes, devices, others = _of_files(run, items)
    header = RangeHeader(
        version=__version__,
        study=run.study.name,
        arm=run.trained.name,
        fold=run.fold,
        seed=run.seed,
        model=model_checksum(run.trained.folder.model),
        images=len(gray.training),
        held_out=len(gray.held_out),
        gray={
            name: Spread(**_quantiles(_Sides(*(side[:, place] for side in gray))))
            for place, name in enumerate(STATISTICS)
        },
        sizes=sizes,
        extents=_extents(run, items["item"].to_numpy()[chosen.loc[~chosen["held_out"], "row"]], images.shape[1:-1]),
        devices=devices,
        other_devices=others,
        **{name: None if distance is None else distance[0] for name, distance in found.items()},
    )
    return TrainingRange(header, {name: distance[1] for name, distance in found.items() if distance is not None})


def _by_sample(chosen: pd.DataFrame, values: np.ndarray) -> _Sides:
    """The mean of (n, …) values of items over those of each sample."""
    sides = []
    for held_out in (False, True):
        own = (chosen["held_out"] == held_out).to_numpy()
        numbers = pd.factorize(chosen.loc[own, "sample"])[0]
        sides.append(mean_by(values[own], numbers))
    return _Sides(*sides)


def _distance(vectors: _Sides, seed: int) -> Optional[tuple[Measured, Gaussian]]:
    """A distance and what it is from; None where vectors are no numbers."""
    if not all(len(side) and (np.abs(side) < LARGEST).all() for side in vectors) or len(vectors.training) < 2:
        return None
    gaussian, noise = fit(vectors.training, seed)
    measured = _Sides(*(distances(side, gaussian, noise) for side in vectors))
    return Measured(**_quantiles(measured), limit=limit_of(measured.held_out), noise=noise), gaussian


def _quantiles(values: _Sides) -> dict[str, Any]:
    """Of both sides; where nothing is held out, those of the training stand for both."""
    sides = {"training": values.training, "held_out": values.held_out if len(values.held_out) else values.training}
    return {side: np.quantile(own, LEVELS).tolist() for side, own in sides.items()}


def _extents(run: Run, training: np.ndarray, shape: tuple[int, ...]) -> dict[str, tuple[float, float]]:
    """What prepared volumes of the training part measure; nothing of images."""
    affines = open_beside(run.store, "affines")
    if affines is None:
        return {}
    extents = extent_of(affines[training], shape)
    return {name: (float(own.min()), float(own.max())) for name, own in zip(SIZES, extents.T)}


def _of_files(run: Run, items: pd.DataFrame) -> tuple[dict[str, tuple[int, int]], list[str], int]:
    """The sizes of the training samples' files, their common devices, and how many samples are of other devices."""
    training = items.loc[items["part"].isin(TRAINED_ON), "sample"]
    samples = read_samples(run.study)
    samples = samples[samples["sample"].isin(training)]
    known = {name: values for name in SIZES if (values := samples.loc[samples[name] > 0, name]).size}
    sizes = {name: (int(values.min()), int(values.max())) for name, values in known.items()}
    if "device" not in samples:
        return sizes, [], 0
    named = samples[samples["device"] != ""].groupby("device")["group"]
    common = named.nunique() >= FEWEST_OF_DEVICE
    return sizes, sorted(map(str, common.index[common])), int(named.size()[~common].sum())
