"""Do maps say what the network goes by: deletion and insertion, networks with random weights, other seeds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

from rescan.explanation import deletion
from rescan.explanation.faithfulness import Floats, mean_interval, units_of
from rescan.explanation.maps import Explained, Images, in_batches, targets_of_rows
from rescan.heads.outputs import HEADS
from rescan.models.networks import build
from rescan.results.map_checks_file import MapChecks, ScoreCurves, Similarity
from rescan.results.trained_model import ModelHeader

CHECKED = 24  # test items, at most, drawn with seed 0
RANDOMIZED = 3  # networks with fresh random weights (Adebayo et al. 2018): a single one can have empty maps for a class
DIGITS = 5  # of a block's value, as a share of the map's highest
MOST_SEEDS = 5  # whose maps are compared, each with each


def randomized(explained: Explained, header: ModelHeader) -> Iterator[Explained]:
    """Build networks like the explained one, with fresh random weights, on its device, one after the other.

    Args:
        explained: The network and its head.
        header: Of the model's file: the recipe, classes and input.
    """
    device = next(explained.network.parameters()).device
    for seed in range(RANDOMIZED):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = build(header.recipe, len(header.classes), tuple(header.input))
        yield explained._replace(network=fresh.eval().to(device))


def rank_correlation(maps: Floats, others: Floats) -> Floats:
    """Spearman's rank correlation of each map with another one; what differs by rounding alone has one rank.

    Args:
        maps: (N, B).
        others: (N, B).

    Returns:
        (N,) in [−1, 1]; NaN where one of the two is the same everywhere.
    """
    highest = (np.abs(values).max(1, keepdims=True) for values in (maps, others))
    shares = (values / np.where(most > 0, most, 1) for values, most in zip((maps, others), highest))
    ranks = (rankdata(values.round(DIGITS), axis=1) for values in shares)
    first, second = (values - values.mean(1, keepdims=True) for values in ranks)
    norms = np.sqrt((first**2).sum(1) * (second**2).sum(1))
    return np.divide((first * second).sum(1), norms, out=np.full(len(norms), np.nan), where=norms > 0)


def check(
    rows: pd.DataFrame,
    images: Images,
    explained: Explained,
    header: ModelHeader,
    other_seeds: Iterable[Explained],
    cells: Sequence[int],
) -> tuple[MapChecks, pd.DataFrame]:
    """Check the first map of some test items, by the blocks of `deletion`.

    Args:
        rows: Test items (see `selection.test_rows`), one per sample.
        images: The store's images or volumes.
        explained: The network and its head.
        header: Of the model's file.
        other_seeds: The networks of the same arm and fold with other seeds.
        cells: How many a map has along each axis.

    Returns:
        The means, and one row per checked item, the columns of MAP_CHECKS.
    """
    drawn = np.random.default_rng(0).permutation(len(rows))[:CHECKED]
    checked = rows.iloc[np.sort(drawn)].reset_index(drop=True)
    items, targets = checked["item"].to_numpy(), targets_of_rows(explained.head, checked)[:, :1]
    grid, classes, units = deletion.block_grid(cells), len(header.classes), units_of(checked)

    def values(network: Explained) -> Floats:
        batches = in_batches(network, images, items, targets)
        return np.concatenate([deletion.block_means(raw[:, 0], grid) for _, raw, _ in batches])

    own = values(explained)
    curves = deletion.curves(explained, images, items, targets[:, 0], own, grid, classes)
    of_random = np.stack([rank_correlation(own, values(network)) for network in randomized(explained, header)])
    of_seeds = [own, *(values(network) for network in other_seeds)]
    pairs = [rank_correlation(a, b) for place, a in enumerate(of_seeds) for b in of_seeds[:place]]
    seeds = np.stack(pairs) if pairs else np.full((1, len(items)), np.nan)
    by_deletion, by_insertion = curves.gains
    table = checked[["sample", "group", "patient", "target", "predicted"]].assign(
        deletion=by_deletion, insertion=by_insertion, randomized=_mean_of_known(of_random), seeds=_mean_of_known(seeds)
    )
    checks = MapChecks(
        n=len(checked),
        units=len(np.unique(units)),
        empty=int((own.max(1) <= 0).sum()),
        score="probability" if HEADS[explained.head].of_classes else "grade",
        blocks=list(grid),
        orders=deletion.ORDERS,
        curves=ScoreCurves(
            shares=curves.shares.tolist(),
            deletion=curves.deletion.mean(0).tolist(),
            insertion=curves.insertion.mean(0).tolist(),
            random=curves.random.mean(0).tolist(),
        ),
        deletion=mean_interval(by_deletion, units, lowest=-1),
        insertion=mean_interval(by_insertion, units, lowest=-1),
        randomized=_similarity(table["randomized"].to_numpy(), units, RANDOMIZED),
        seeds=_similarity(table["seeds"].to_numpy(), units, len(of_seeds) - 1),
    )
    return checks, table


def _mean_of_known(values: Floats) -> Floats:
    """The mean over the first axis without NaN; NaN where there is nothing else."""
    return np.asarray(np.ma.masked_invalid(values).mean(0).filled(np.nan))


def _similarity(values: Floats, units: NDArray[np.str_], networks: int) -> Similarity | None:
    known = ~np.isnan(values)
    if not known.any():
        return None
    mean = mean_interval(values[known], units[known], lowest=-1)
    return Similarity(**mean.model_dump(), n=int(known.sum()), networks=networks)
