"""Deletion and insertion (Petsiuk et al. 2018): does the network read what a map marks, more than what it doesn't?

The image is cut into blocks. By deletion, they are blurred in a map's order, the highest first; by insertion, they come
back in this order into the blurred image. A blurred image is nearer to what the network knows than a gray one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.integrate import trapezoid
from scipy.ndimage import uniform_filter
from scipy.special import expit

from rescan.explanation.maps import Explained, Images, batch_size
from rescan.heads.outputs import HEADS
from rescan.models.normalization import normalize
from rescan.training import loader

Floats = NDArray[np.float64]
FINEST = 8  # blocks along each axis, at most
STEPS = 8  # of a curve, at most
ORDERS = 2  # random ones of each image
BLUR = 0.2  # width of a moving average along each axis, as a share of that axis
BLURS = 3  # moving averages in a row: nearly a Gaussian of a tenth of each axis, in far less time


class Curves(NamedTuple):
    """The explained score of N items while their blocks are blurred or come back.

    Attributes:
        shares: (S + 1,) of the blocks, from 0 to 1.
        deletion: (N, S + 1) the score where this share is blurred, in the map's order.
        insertion: (N, S + 1) the score where this share has come back, in the map's order.
        random: (N, S + 1) the score where this share is blurred, the mean over random orders. What comes back in a
            random order goes, backwards, in another one: insertion in a random order is the same curve from its end.
    """

    shares: Floats
    deletion: Floats
    insertion: Floats
    random: Floats

    @property
    def gains(self) -> tuple[Floats, Floats]:
        """How much less area than in random order lies under each deletion curve, and more under each insertion's."""
        deletion, insertion, random = (
            trapezoid(scores, self.shares, axis=1) for scores in (self.deletion, self.insertion, self.random)
        )
        return random - deletion, insertion - random


def block_grid(cells: Sequence[int]) -> tuple[int, ...]:
    """The blocks along each axis: a map's cells, FINEST at most."""
    return tuple(min(FINEST, count) for count in cells)


def block_means(maps: NDArray[np.floating], grid: Sequence[int]) -> Floats:
    """Average maps over blocks.

    Args:
        maps: (N, *spatial).
        grid: Blocks along each axis, at most as many as pixels. Pixel p of n is in block ⌊p · blocks / n⌋.

    Returns:
        (N, B), the blocks in C order.
    """
    sums, sizes = np.asarray(maps, np.float64), np.ones(())
    for axis, count in enumerate(grid, 1):
        size = maps.shape[axis]
        starts = -(-np.arange(count) * size // count)
        sums = np.add.reduceat(sums, starts, axis)
        sizes = np.multiply.outer(sizes, np.diff([*starts, size]))
    return (sums / sizes).reshape(len(maps), -1)


def order_of(values: Floats, rng: np.random.Generator) -> NDArray[np.intp]:
    """The blocks' order, (B,), the highest value first. Equal values, as of a map that is zero there, go by chance."""
    return np.lexsort((rng.random(len(values)), -values))


def explained_scores(head: str, output: Floats, target: int, classes: int) -> Floats:
    """Read from a head's output what a map is evidence for.

    Args:
        head: Its name.
        output: (N, width).
        target: The class or label, or 1 for a higher grade.
        classes: K.

    Returns:
        (N,) the probability of the class or label, without a temperature; of a head of grades, the grade as a share of
        the highest, which a regression may exceed.
    """
    reader = HEADS[head]
    if reader.of_classes:
        return np.asarray(np.exp(cast(Floats, reader.log_probabilities(output, classes))[:, target]))
    if output.shape[1] == classes:  # one softmax of all thresholds: the sum is always 1, so how high it lies
        return np.asarray(expit(output) @ np.linspace(0, 1, classes))
    return reader.grade(output, classes) / (classes - 1)


def curves(
    explained: Explained,
    images: Images,
    items: NDArray[np.integer],
    targets: NDArray[np.integer],
    values: Floats,
    grid: Sequence[int],
    classes: int,
) -> Curves:
    """Compute the curves of items, one after the other, in batches of versions of one.

    Args:
        explained: The network and its head.
        images: A store's images or volumes.
        items: (N,) which of them.
        targets: (N,) what their maps are evidence for, as for `explained_scores`.
        values: (N, B) the maps' means over blocks.
        grid: The blocks along each axis.
        classes: K.
    """
    blocks = int(np.prod(grid))
    counts = np.unique(np.linspace(0, blocks, STEPS + 1).round().astype(int))
    found = np.empty((3, len(items), len(counts)))
    for place, (item, target) in enumerate(zip(items, targets)):
        rng = np.random.default_rng([0, int(item)])
        order = order_of(values[place], rng)
        # The rank of each block in the order in which it is blurred: insertion blurs, backwards, the lowest first.
        orders = [order, order[::-1], *(rng.permutation(blocks) for _ in range(ORDERS))]
        ranks = np.argsort(orders, axis=1)
        blurred = [counts, blocks - counts, *[counts] * ORDERS]
        where = np.concatenate([rank < number[:, None] for rank, number in zip(ranks, blurred)])
        distinct, which = np.unique(where, axis=0, return_inverse=True)
        scores = _scores(explained, images[item], int(target), distinct.reshape(-1, *grid), classes)
        of_orders = scores[which.ravel()].reshape(len(orders), len(counts))
        found[:, place] = of_orders[0], of_orders[1], of_orders[2:].mean(0)
    return Curves(counts / blocks, *found)


def blurred(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur an image, (*spatial, C), so far that nothing smaller than a fifth of each axis can be made out."""
    widths = [*(max(1, round(BLUR * size)) for size in levels.shape[:-1]), 1]
    for _ in range(BLURS):
        levels = uniform_filter(levels, widths, mode="nearest")
    return levels


def _scores(
    explained: Explained, image: NDArray[np.generic], target: int, where: NDArray[np.bool_], classes: int
) -> Floats:
    """The explained score of versions of an image, blurred where (M, *grid) is true: (M,)."""
    device = next(explained.network.parameters()).device
    levels = loader.gray_levels(np.stack([image])).float().numpy()[0]
    shape = levels.shape[:-1]
    clear, faded = (
        torch.from_numpy(array).movedim(-1, 0).contiguous().to(device) for array in (levels, blurred(levels))
    )
    blocks = [np.arange(size) * count // size for size, count in zip(shape, where.shape[1:])]
    outputs = []
    with torch.no_grad():
        for some in np.array_split(where, math.ceil(len(where) / batch_size(shape))):
            pixels = torch.from_numpy(some[(slice(None), *np.ix_(*blocks))])
            versions = torch.where(pixels[:, None].to(device), faded, clear)
            output = explained.network(normalize(versions, explained.normalization))[explained.head]
            outputs.append(output.double().cpu().numpy())
    return explained_scores(explained.head, np.concatenate(outputs), target, classes)
