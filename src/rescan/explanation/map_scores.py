"""How much of an arm's maps lies inside known lesions, with the references of `faithfulness`."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rescan.explanation import faithfulness, pointing
from rescan.explanation.map_checks import randomized
from rescan.explanation.maps import Explained, Images, in_batches, targets_of_rows
from rescan.results.map_checks_file import HITS, OVERLAPS, Located, Mean
from rescan.results.map_files import SHARES
from rescan.results.trained_model import ModelHeader

SCORED = 200  # test items with a lesion mask whose maps are scored, at most
MEASURES = (faithfulness.energy_inside, pointing.hits, pointing.overlaps)
BY_CHANCE = (faithfulness.area_share, pointing.hits_by_chance, pointing.overlaps_by_chance)  # of a flat map


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
        return pd.DataFrame(columns=[*columns, *SHARES, *HITS, *OVERLAPS])
    places = np.linspace(0, len(lesions) - 1, min(SCORED, len(lesions))).round().astype(int)
    scored = rows.iloc[np.asarray(lesions)[places]].reset_index(drop=True)
    items = scored["item"].to_numpy()
    targets = targets_of_rows(explained.head, scored)[:, :1]

    def measures(network: Explained) -> NDArray[np.float64]:  # (N, measures)
        batches = in_batches(network, images, items, targets)
        return np.concatenate(
            [np.stack([measure(raw[:, 0], masks[items[here]]) for measure in MEASURES], 1) for here, raw, _ in batches]
        )

    of_random = np.ma.masked_invalid([measures(network) for network in randomized(explained, header)]).mean(0)
    bump = faithfulness.centered_gaussian(masks.shape[1:])
    flat = np.array([[chance(masks[[item]])[0] for chance in BY_CHANCE] for item in items])
    gaussian = np.array([[measure(bump, masks[[item]])[0] for measure in MEASURES] for item in items])
    values = np.stack([measures(explained), flat, gaussian, of_random.filled(np.nan)], 2)
    names = (SHARES, HITS, OVERLAPS)
    return scored[columns].assign(
        **{name: values[:, place, of] for place, group in enumerate(names) for of, name in enumerate(group)}
    )


def average(scores: pd.DataFrame) -> tuple[dict[str, Mean], int]:
    """Average the energies of the maps that point somewhere.

    Returns:
        The mean of each of SHARES, with an interval by patient or, where patients are unknown, by group; nothing if
        there is no such map. And how many such maps there are.
    """
    complete = scores.dropna(subset=list(SHARES))
    return _means(complete, SHARES), len(complete)


def located(scores: pd.DataFrame, shape: tuple[int, ...]) -> Located:
    """Average the other measures over all scored maps, of images of a shape; an empty map misses."""
    return Located(
        n=len(scores),
        tolerance=pointing.margins(shape),
        hits=_means(scores, HITS, of_hits=True),
        overlaps=_means(scores, OVERLAPS),
    )


def _means(scores: pd.DataFrame, names: tuple[str, ...], *, of_hits: bool = False) -> dict[str, Mean]:
    if scores.empty:
        return {}
    units = faithfulness.units_of(scores)
    return {name: faithfulness.mean_interval(scores[name].to_numpy(), units, of_hits=of_hits) for name in names}
