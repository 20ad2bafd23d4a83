"""How much of an arm's maps lies inside known lesions, with the references of `faithfulness`."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from rescan.explanation import faithfulness
from rescan.explanation.maps import Explained, Images, in_batches, targets_of_rows
from rescan.models.networks import build
from rescan.results.map_files import SHARES, Mean
from rescan.results.trained_model import ModelHeader

SCORED = 200  # test items with a lesion mask whose maps are scored, at most
RANDOMIZED = 3  # networks with fresh random weights (Adebayo et al. 2018): a single one can have empty maps for a class


def score(
    rows: pd.DataFrame, images: Images, masks: Images | None, explained: Explained, header: ModelHeader
) -> pd.DataFrame:
    """Score the first map of test items with a lesion mask, evenly spaced over the items.

    Of several labels, only items that have one: a mask holds all that is to be seen.

    Args:
        rows: Test items (see `selection.test_rows`).
        images: The store's images or volumes.
        masks: (N, *spatial) uint8, nonzero inside the lesion; None if none is known.
        explained: The network and its head.
        header: Of the model's file: the recipe, classes and input of the random networks.

    Returns:
        One row per scored item, the columns of MAP_SCORES; an energy is NaN where the map is zero everywhere.
    """
    columns = ["sample", "group", "patient", "target", "predicted"]
    rows = rows[rows["labels"] == 1] if "labels" in rows else rows
    lesions = [] if masks is None else [place for place, item in enumerate(rows["item"]) if masks[item].any()]
    if masks is None or not lesions:
        return pd.DataFrame(columns=[*columns, *SHARES])
    places = np.linspace(0, len(lesions) - 1, min(SCORED, len(lesions))).round().astype(int)
    scored = rows.iloc[np.asarray(lesions)[places]].reset_index(drop=True)
    items = scored["item"].to_numpy()
    targets = targets_of_rows(explained.head, scored)[:, :1]

    def energies(network: Explained) -> NDArray[np.float64]:
        batches = in_batches(network, images, items, targets)
        return np.concatenate([faithfulness.energy_inside(raw[:, 0], masks[items[here]]) for here, raw, _ in batches])

    device = next(explained.network.parameters()).device
    randomized = []
    for seed in range(RANDOMIZED):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            fresh = build(header.recipe, len(header.classes), tuple(header.input))
        randomized.append(energies(explained._replace(network=fresh.eval().to(device))))
    values = np.ma.masked_invalid(randomized).mean(0).filled(np.nan)
    bump = faithfulness.centered_gaussian(masks.shape[1:])
    references = [
        (faithfulness.area_share(masks[[item]]), faithfulness.energy_inside(bump, masks[[item]])) for item in items
    ]
    areas, gaussian = (np.concatenate(column) for column in zip(*references))
    return scored[columns].assign(**dict(zip(SHARES, (energies(explained), areas, gaussian, values))))


def average(scores: pd.DataFrame) -> tuple[dict[str, Mean], int]:
    """Average the scores of the maps that point somewhere.

    Returns:
        The mean of each of SHARES, with an interval by patient or, where patients are unknown, by group; nothing if
        there is no such map. And how many such maps there are.
    """
    complete = scores.dropna(subset=list(SHARES))
    if complete.empty:
        return {}, 0
    units = complete["patient"].where(complete["patient"] != "", complete["group"]).to_numpy(str)
    intervals = {name: faithfulness.mean_interval(complete[name].to_numpy(), units) for name in SHARES}
    means = {name: Mean(value=value, low=low, high=high) for name, (value, low, high) in intervals.items()}
    return means, len(complete)
