"""What the page says of how far an arm's maps can be believed: each check one number and one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rescan.paths import ArmFolder
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.text.words import Quantity, Value, number, several
from rescan.results.map_checks_file import Located, MapChecks, Mean, Similarity
from rescan.results.map_files import MapSummary

ALIKE = 0.5  # a rank correlation from which maps are called alike
SCORES = {"probability": "the probability of the explained class", "grade": "the grade"}
FIGURE = (
    "The mean of {score} while blocks of the image are blurred, the highest of the map first (deletion), and while "
    "they come back into the blurred image (insertion). The farther the map's curve runs below the random one in the "
    "first and above it in the second, the better the map says what the network goes by."
)


@dataclass(frozen=True)
class Check:
    """One check: its name, its number, and what that says."""

    title: str
    value: Quantity
    text: str


@dataclass(frozen=True)
class MapChecksView:
    """The checks of an arm's maps.

    Attributes:
        checks: Each a row.
        caption: Stands below them.
        figure: The curves of deletion and insertion.
    """

    checks: Sequence[Check]
    caption: str
    figure: Picture | None


def map_checks_view(folder: ArmFolder, arm: str) -> MapChecksView | None:
    """Collect what the page says of an arm's maps; None if there are none.

    Raises:
        RescanError: A file of them is damaged.
    """
    summary = MapSummary.read_if_there(folder.gradcam.summary)
    if summary is None:
        return None
    checks, score = summary.checks, SCORES[summary.checks.score]
    rows = [*_deletion_and_insertion(checks, score), *_similarities(checks), *_located(summary.located, summary.kind)]
    text = FIGURE.format(score=score)
    figure = picture(folder.gradcam.checks_figure, "gradcam", f"{arm}: deletion and insertion", text)
    return MapChecksView(rows, _caption(summary), figure)


def _caption(summary: MapSummary) -> str:
    checks, noun = summary.checks, summary.kind.rstrip("s")
    empty = f", {checks.empty:,} of them with an empty map, whose order is random" if checks.empty else ""
    blocks = " × ".join(map(str, checks.blocks))
    located = (
        f" Lesions: {several(summary.located.n, f'test {noun}')} with a known lesion; an empty map misses."
        if summary.located.n
        else ""
    )
    of = f"{several(checks.units, 'patient')} (or groups, where patients are unknown)"
    return (
        f"{several(checks.n, f'test {noun}')}, drawn at random{empty}, of {of}, by which the intervals are; "
        f"{blocks} blocks; {several(checks.orders, 'random order')} of each {noun}.{located}"
    )


def _deletion_and_insertion(checks: MapChecks, score: str) -> list[Check]:
    blurring = _compared(
        checks.deletion,
        f"Blurring what the map marks first lowers {score} faster than random order does",
        f"Blurring what the map marks first lowers {score} more slowly than random order does: the network goes by "
        "other places",
        f"Blurring what the map marks first does not demonstrably lower {score} faster than random order does",
    )
    restoring = _compared(
        checks.insertion,
        f"Restoring what the map marks first raises {score} faster than random order does",
        f"Restoring what the map marks first raises {score} more slowly than random order does: the network goes by "
        "other places",
        f"Restoring what the map marks first does not demonstrably raise {score} faster than random order does",
    )
    return [
        Check("Deletion: area below random order", checks.deletion, blurring),
        Check("Insertion: area above random order", checks.insertion, restoring),
    ]


def _compared(mean: Mean, better: str, worse: str, same: str) -> str:
    return f"{better if mean.low > 0 else worse if mean.high < 0 else same}."


def _similarities(checks: MapChecks) -> list[Check]:
    random, seeds = checks.randomized, checks.seeds
    return [
        Check("Random weights: rank correlation", random or Value(None), _of_random(random)),
        Check("Other seeds: rank correlation", seeds or Value(None), _of_seeds(seeds)),
    ]


def _of_random(random: Similarity | None) -> str:
    if random is None:
        return "Not measured: no map could be compared with one of a network with random weights."
    of = f"{several(random.networks, 'network')} with random weights"
    if random.low > ALIKE:
        return f"The maps are much like those of {of}: they show the images or the architecture, not what was learned."
    if random.high < ALIKE:
        return f"The maps differ from those of {of}, as they must if they show what was learned."
    return f"Whether the maps differ from those of {of} cannot be told."


def _of_seeds(seeds: Similarity | None) -> str:
    if seeds is None:
        return "Not measured: this needs maps of two seeds or more that mark something."
    of = f"networks of {several(seeds.networks + 1, 'seed')}"
    if seeds.low > ALIKE:
        return f"The maps of {of} agree: what they mark does not hang on the seed."
    if seeds.high < ALIKE:
        return f"The maps of {of} agree little: what they mark hangs on the seed, so no single map should be relied on."
    return f"Whether the maps of {of} agree cannot be told."


def _located(located: Located, kind: str) -> list[Check]:
    if not located.n:
        return []
    margin = " × ".join(map(str, located.tolerance))
    pixels = "voxels" if kind == "volumes" else "pixels"
    hit = f"Share of the {kind} whose map has its maximum in a lesion or up to {margin} {pixels} beside it"
    overlap = f"Intersection over union of the lesion and as many of the map's highest {pixels} as the lesion has"
    return [
        Check("Pointing game: hits", located.hits["hit"], _beside(hit, located.hits, "hit")),
        Check("Overlap with the lesion", located.overlaps["overlap"], _beside(overlap, located.overlaps, "overlap")),
    ]


def _beside(text: str, means: dict[str, Mean], name: str) -> str:
    """A text with the references; and whether the map's interval lies above each of theirs."""
    references = {
        "chance": means[f"{name}_by_chance"],
        "a centered Gaussian": means[f"{name}_gaussian"],
        "networks with random weights": means[f"{name}_randomized"],
    }
    listed = ", ".join(f"{number(mean.value)} by {title}" for title, mean in references.items())
    better = all(means[name].low > mean.high for mean in references.values())
    verdict = "more than each reference" if better else "not demonstrably more than each reference"
    return f"{text}: {verdict} ({listed})."
