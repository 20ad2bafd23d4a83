"""What `gradcam` writes of how far an arm's maps can be believed: parts of summary.json, and checks.csv."""

from __future__ import annotations

from typing import Literal

from rescan.results.csv_table import Column, Table
from rescan.results.json_result import Count, Part

# Of the scored items with a lesion: by the map, by chance, by a centered Gaussian, by networks with random weights.
HITS = ("hit", "hit_by_chance", "hit_gaussian", "hit_randomized")  # is the maximum in the lesion
OVERLAPS = ("overlap", "overlap_by_chance", "overlap_gaussian", "overlap_randomized")  # intersection over union

# One row per checked item.
MAP_CHECKS = Table(
    "gradcam",
    (
        Column("sample"),
        Column("group", empty=True),
        Column("patient", empty=True),
        Column("target", "integer", low=0),
        Column("predicted", "integer", low=0),
        Column("deletion", "number"),  # area under the random curve − under the map's
        Column("insertion", "number"),  # area under the map's curve − under the random one
        Column("randomized", "number", empty=True),  # rank correlations; empty: with a map that is the same everywhere
        Column("seeds", "number", empty=True),
    ),
)


class Mean(Part):
    """A mean with its 95 % interval."""

    value: float
    low: float
    high: float


class Similarity(Mean):
    """A mean rank correlation of two networks' maps of the same items.

    Attributes:
        n: Number of items whose maps can be compared; a map that is the same everywhere cannot.
        networks: Number of other networks.
    """

    n: Count
    networks: Count


class ScoreCurves(Part):
    """The mean explained score while blocks of the images are blurred, or come back.

    Attributes:
        shares: Of the blocks, from 0 to 1.
        deletion: The score where this share is blurred, in the map's order.
        insertion: The score where this share has come back, in the map's order.
        random: The score where this share is blurred, in random order; backwards, that of insertion in random order.
    """

    shares: list[float]
    deletion: list[float]
    insertion: list[float]
    random: list[float]


class MapChecks(Part):
    """Checks that need no lesion mask, on some test items.

    Attributes:
        n: Number of the items.
        units: Number of patients, or of groups where patients are unknown, that they are of.
        empty: Number of items whose map is zero everywhere; their order is random.
        score: What the curves are of: the probability of the explained class, or the grade as a share of the highest.
        blocks: Along each axis.
        orders: Random orders of each item.
        curves: The mean curves.
        deletion: How much less area than in random order lies under the deletion curve.
        insertion: How much more area than in random order lies under the insertion curve.
        randomized: How similar the maps are to those of networks with random weights; None if no map can be compared.
        seeds: How similar the maps of different seeds are; None with one seed, or if no map can be compared.
    """

    n: Count
    units: Count
    empty: Count
    score: Literal["probability", "grade"]
    blocks: list[int]
    orders: Count
    curves: ScoreCurves
    deletion: Mean
    insertion: Mean
    randomized: Similarity | None
    seeds: Similarity | None


class Located(Part):
    """Whether maps find lesions, over all scored items; one with an empty map misses.

    Attributes:
        n: Number of the items.
        tolerance: Of the maximum beside the lesion, along each axis in pixels.
        hits: The mean of each of HITS; none if n is 0.
        overlaps: The mean of each of OVERLAPS; none if n is 0.
    """

    n: Count
    tolerance: list[int]
    hits: dict[str, Mean]
    overlaps: dict[str, Mean]
