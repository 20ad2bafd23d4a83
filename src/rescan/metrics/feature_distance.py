"""How far an image lies from the training images in feature space: a distance from a Gaussian of their vectors.

The Gaussian is that of probabilistic principal component analysis: the leading components with their variances, and one
variance for all directions (Tipping and Bishop 1999). So the distance is Mahalanobis' (Lee et al. 2018) without an
inverse of a covariance of thousands of dimensions, of which few images say nothing.
"""

from __future__ import annotations

from math import ceil, sqrt
from typing import NamedTuple

import numpy as np
from scipy.stats import t as student

from rescan.results.training_range import Gaussian

MOST_COMPONENTS = 64
MOST_NUMBERS = 1 << 18  # of the components: 1 MB
LEAST_SHARE = 1e-3  # of the whole variance, that each direction has at least: else what never varied decides alone
BLOCK = 256  # vectors
TINY = 1e-9  # the same of the vectors' square, where a network gives all images one vector
QUANTILE = 0.995  # of images that the network did not see lie within the limit; there are two distances


class Fitted(NamedTuple):
    """A Gaussian, and the variance that each direction has beside that of its components."""

    gaussian: Gaussian
    noise: float


def fit(vectors: np.ndarray, seed: int) -> Fitted:
    """The Gaussian of some vectors.

    Args:
        vectors: (n, D) float32, finite; n of 2 or more.
        seed: Draws where the search for the components starts.
    """
    from sklearn.utils.extmath import randomized_svd

    count, size = vectors.shape
    center = vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    centered = vectors - center
    whole = float(np.einsum("ij,ij->", centered, centered, dtype=np.float64)) / (count - 1)
    kept = max(1, min(MOST_COMPONENTS, count - 1, size, MOST_NUMBERS // size))
    _, lengths, components = randomized_svd(centered, kept, random_state=seed % 2**32)
    variances = lengths.astype(np.float64) ** 2 / (count - 1)
    rest = max(0.0, whole - variances.sum()) / max(1, size - kept)
    least = LEAST_SHARE * whole + TINY * (float(np.square(center, dtype=np.float64).sum()) + TINY)
    return Fitted(Gaussian(center, components.astype(np.float32), variances.astype(np.float32)), rest + least)


def distances(vectors: np.ndarray, gaussian: Gaussian, noise: float) -> np.ndarray:
    """The Mahalanobis distance of vectors (n, D) from a Gaussian: (n,) float64, 0 at its center, without units."""
    if len(vectors) > BLOCK:  # copies of all vectors would be large
        parts = (vectors[start : start + BLOCK] for start in range(0, len(vectors), BLOCK))
        return np.concatenate([distances(part, gaussian, noise) for part in parts])
    centered = vectors.astype(np.float64) - gaussian.center
    along = centered @ gaussian.components.T.astype(np.float64)
    inside = (along**2 / (gaussian.variances.astype(np.float64) + noise)).sum(axis=1)
    outside = np.clip((centered**2).sum(axis=1) - (along**2).sum(axis=1), 0, None) / noise
    return np.sqrt(inside + outside)


def limit_of(held_out: np.ndarray) -> float:
    """The distance that about one in two hundred images like those of the training exceeds.

    Training vectors say too little: a network knows its training images, so that others lie farther from their center.
    Of 199 images or more it is the quantile of conformal prediction (Vovk et al. 2005), which holds for any
    distribution. Of fewer, the largest would be exceeded more often; it is the upper prediction limit of a normal
    distribution, if that lies above all of them.

    Args:
        held_out: (n,) distances of images that the network did not see in training; n of 1 or more.
    """
    count = len(held_out)
    rank = ceil((count + 1) * QUANTILE)
    if rank <= count:
        return float(np.sort(held_out)[rank - 1])
    largest = float(held_out.max())
    if count < 3:
        return largest
    width = student.ppf(QUANTILE, count - 1) * held_out.std(ddof=1) * sqrt(1 + 1 / count)
    return max(largest, float(held_out.mean() + width))


def mean_by(values: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """The mean of items' values over those of each sample.

    Args:
        values: (n, D), of items.
        numbers: (n,) int, the sample of each: 0 to m − 1, each at least once.

    Returns:
        (m, D) float32, by the samples' numbers.
    """
    counts = np.bincount(numbers)
    sums = np.zeros((len(counts), *values.shape[1:]), np.float64)
    np.add.at(sums, numbers, values)
    return (sums / counts[:, None]).astype(np.float32)
