"""Near-duplicate images, mirrored and rotated copies too, and the groups that they form.

A 256-bit perceptual hash (the low frequencies of a discrete cosine transform, DCT, against their median) proposes
pairs; the correlation of thumbnails decides. Neither depends on gain or offset.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import cv2
import numpy as np
from scipy.fft import dct
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from rescan.log import progress

THUMBNAIL_SIDE = 64
HASH_SIDE = 16
MAX_DISTANCE = 16  # of HASH_SIDE² bits
MIN_CORRELATION = 0.95
NEARER = 0.1  # a copy of a volume is this much nearer to 1 than the usual pair of volumes
COMPARED = 1000  # volumes by which the usual pair is known
ORIENTATIONS = 8  # bit 0: mirrored left-right, bit 1: upside down, bit 2: transposed before that
BLOCK = 1024  # images compared at once
# Every third bit, compared first: hashes are too far apart if these alone are, and nearly all pairs are.
FEW_BITS = slice(1, None, 3)
# Orthonormal DCT-II: coefficients = BASIS @ thumbnail @ BASIS.T
BASIS = dct(np.eye(THUMBNAIL_SIDE), axis=0, norm="ortho")[:HASH_SIDE].astype(np.float32)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Shrink an image, (H, W) or (H, W, 3) uint8, to (64, 64) float16 gray in [0, 255]; proportions are not kept."""
    gray = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(gray.astype(np.float32), (THUMBNAIL_SIDE, THUMBNAIL_SIDE), interpolation=cv2.INTER_AREA)
    return small.astype(np.float16)


def oriented(images: np.ndarray, orientation: int) -> np.ndarray:
    """Turn images, (N, S, S) of any type, into one of the 8 orientations of a square."""
    if orientation & 4:
        images = images.swapaxes(1, 2)
    return images[:, :: -1 if orientation & 2 else 1, :: -1 if orientation & 1 else 1]


def coefficients(thumbnails: np.ndarray) -> np.ndarray:
    """Low frequencies of the two-dimensional DCT: (N, 64, 64) to (N, 16, 16) float32."""
    return np.concatenate([BASIS @ block.astype(np.float32) @ BASIS.T for block in _blocks(thumbnails)])


def hashes(coefficients: np.ndarray, orientation: int = 0) -> np.ndarray:
    """Perceptual hashes of images in one orientation, from the coefficients of the images as they are.

    Mirroring an image changes the sign of its odd frequencies, transposing it transposes them: no pixel is moved.

    Args:
        coefficients: (N, 16, 16) float32.
        orientation: Which of the 8 orientations.

    Returns:
        (N, 256) float32 of ±1, so that a matrix product counts equal bits. The mean brightness's is always -1.
    """
    alternating = np.where(np.arange(HASH_SIDE) % 2, -1, 1).astype(np.float32)
    frequencies = coefficients.swapaxes(1, 2) if orientation & 4 else coefficients
    frequencies = frequencies * alternating[:, None] if orientation & 2 else frequencies
    frequencies = frequencies * alternating if orientation & 1 else frequencies
    flat = frequencies.reshape(len(frequencies), -1)
    bits = flat > np.median(flat[:, 1:], axis=1, keepdims=True)
    bits[:, 0] = False
    return np.where(bits, np.float32(1), np.float32(-1))


def least_correlation(thumbnails: np.ndarray) -> float:
    """The correlation that makes two volumes copies, in sets of volumes that all look alike.

    Projections of registered brains correlate by .97 without being of one patient. So a copy must be NEARER than the
    median of all pairs, by its distance from 1.

    Args:
        thumbnails: (N, 64, 64) of a set of volumes.
    """
    if len(thumbnails) < 3:  # the only pair may be one of copies
        return MIN_CORRELATION
    rows = np.unique(np.linspace(0, len(thumbnails) - 1, COMPARED).astype(int))
    standardized = _standardized(thumbnails[rows])
    usual = np.median((standardized @ standardized.T)[np.triu_indices(len(rows), 1)])
    return max(MIN_CORRELATION, 1 - NEARER * (1 - float(usual)))


def near_duplicates(thumbnails: np.ndarray, correlation: float = MIN_CORRELATION) -> np.ndarray:
    """Find all pairs of images that match in some orientation.

    Args:
        thumbnails: (N, 64, 64), from `thumbnail`.
        correlation: The least one of a pair's thumbnails.

    Returns:
        (P, 3) int64 rows of (first, second, orientation), first < second: `second` turned into `orientation` looks like
        `first`. A pair has a row for every orientation it matches in. Images without contrast match nothing.
    """
    frequencies = coefficients(thumbnails)
    upright = hashes(frequencies)
    few = np.ascontiguousarray(upright[:, FEW_BITS])
    matches = [np.empty((0, 3), np.int64)]
    starts = range(0, len(thumbnails), BLOCK)
    for start in progress(starts, len(starts), "near-duplicates"):
        block = frequencies[start : start + BLOCK]
        all_hashes = np.concatenate([hashes(block, orientation) for orientation in range(ORIENTATIONS)])
        few_of_all = np.ascontiguousarray(all_hashes[:, FEW_BITS])
        for before in range(0, start + 1, BLOCK):
            # One product for all orientations: while other processes compete for the cores, many small ones wait.
            close = few_of_all @ few[before : before + BLOCK].T >= few.shape[1] - 2 * MAX_DISTANCE
            row, first = np.divmod(np.flatnonzero(close), close.shape[1])  # much quicker than `np.nonzero`
            orientation, second = np.divmod(row, len(block))
            near = _near(upright[before : before + BLOCK], all_hashes, np.stack([first, row], axis=1))
            pairs = np.stack([first + before, second + start, orientation], axis=1)[near]
            pairs = pairs[pairs[:, 0] < pairs[:, 1]]
            matches.append(pairs[_correlations(thumbnails, pairs) >= correlation])
    return np.concatenate(matches)


def _near(first: np.ndarray, second: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """Whether hashes, (N, 256) and (M, 256), of pairs of their rows differ in MAX_DISTANCE bits at most: (P,) bool."""
    products = [np.einsum("ij,ij->i", first[block[:, 0]], second[block[:, 1]]) for block in _blocks(pairs)]
    return np.concatenate([np.empty(0), *products]) >= HASH_SIDE**2 - 2 * MAX_DISTANCE


def _correlations(thumbnails: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """The correlations of thumbnails of (P, 3) int rows of (first, second, orientation of the second): (P,)."""
    correlations = [np.empty(0, np.float32)]
    for block in _blocks(pairs):
        first, second = thumbnails[block[:, 0]], thumbnails[block[:, 1]]
        for orientation in range(ORIENTATIONS):
            rows = block[:, 2] == orientation
            second[rows] = oriented(second[rows], orientation)
        correlations.append((_standardized(first) * _standardized(second)).sum(axis=1))
    return np.concatenate(correlations)


def _standardized(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 64, 64) to (N, 4096) float32 of mean 0 and length 1; all 0 for an image without contrast."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.where(length > 1e-3, flat / np.maximum(length, 1e-3), 0)


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))


def components(count: int, *relations: np.ndarray) -> np.ndarray:
    """Number the connected components of samples that are related by any of some relations.

    Args:
        count: Number of samples.
        relations: (P, 2+) int rows that begin with two related samples' indices.

    Returns:
        (count,) int: each sample's component, numbered from 0 in the order of their first samples.
    """
    pairs = np.concatenate([np.empty((0, 2), np.int64), *(relation[:, :2] for relation in relations)])
    graph = coo_matrix((np.ones(len(pairs), bool), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    numbers = connected_components(graph, directed=False)[1]
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def same(keys: Iterable[str]) -> np.ndarray:
    """The relation of having the same key, as a chain: (P, 2) int rows of samples' indices. "" relates to nothing."""
    last: dict[str, int] = {}
    pairs = []
    for index, key in enumerate(keys):
        if key and key in last:
            pairs.append((last[key], index))
        last[key] = index
    return np.array(pairs, np.int64).reshape(-1, 2)
