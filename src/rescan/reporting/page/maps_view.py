"""What the page shows of an arm's Grad-CAM maps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rescan.catalogue import CAM_METHODS, READERS
from rescan.paths import ArmFolder
from rescan.reporting.page.picture import Picture, picture
from rescan.reporting.text.words import Quantity, listed, number, several
from rescan.results.damage import damaged
from rescan.results.map_files import FEWEST_CELLS, BrowsedVolume, MapBrowser, MapSummary, is_too_coarse

MAPS = {  # the names of shares in summary.json, and their titles
    "energy_inside": "this model's maps",
    "randomized": "maps of networks with random weights",
    "gaussian": "a centered Gaussian",
    "area_share": "a flat map (the lesion's share of the area)",
}
PANELS = (
    "Test volumes: [A] a cut, with the depth of D; [B] the projection, with the place of A; [C] the map of the arm "
    "that is named, or the highest along the depth, over it; [D] a slice; [E] the map over it. A and D go through the "
    "lesion where it is largest, or, where none is known, through the map's maximum. Maps of"
)


@dataclass(frozen=True)
class MapsView:
    """The maps of an arm.

    Attributes:
        shares: The mean share of a map's energy inside the lesion, of the arm's maps and of references.
        caption: Stands below these.
        warnings: What keeps the maps from being read.
        sheet: Some samples under their maps.
        volumes: What the slice browser leafs through.
    """

    shares: Sequence[tuple[str, Quantity]]
    caption: str
    warnings: Sequence[str]
    sheet: Picture | None
    volumes: Sequence[BrowsedVolume]


def maps_view(folder: ArmFolder, arm: str) -> MapsView | None:
    """Collect what the page shows of an arm's maps; None if there are none.

    Raises:
        RescanError: A file of them is damaged.
    """
    summary = MapSummary.read_if_there(folder.gradcam.summary)
    if summary is None:
        return None
    if summary.head not in READERS:
        raise damaged(folder.gradcam.summary, MapSummary.step, f"no head {summary.head!r}")
    browser = MapBrowser.read_if_there(folder.gradcam.browser)
    shares = [(title, summary.energies[name]) for name, title in MAPS.items() if name in summary.energies]
    sheet = picture(folder.gradcam.sheet, "gradcam", f"{arm}: Grad-CAM", _sheet_caption(summary))
    warnings = [text] if (text := _coarse_warning(summary)) else []
    return MapsView(shares, _shares_caption(summary), warnings, sheet, browser.volumes if browser else ())


def _shares_caption(summary: MapSummary) -> str:
    if not summary.energies:
        return f"No lesion is known in these {summary.kind}, so the maps are not scored."
    noun = summary.kind.rstrip("s")
    empty = f"; {several(summary.empty, noun)} with an empty map left out" if summary.empty else ""
    return (
        f"{several(summary.n, f'test {noun}')} with a known lesion{empty}; {summary.scored} is scored. A map says "
        f"something about the lesion only as far as its share exceeds those below it. {_finding(summary)}"
    )


def _finding(summary: MapSummary) -> str:
    """Whether the maps' share lies above that of each reference, with intervals apart."""
    own, flat = summary.energies["energy_inside"], summary.energies["area_share"]
    weak = [title for name, title in MAPS.items() if name != "energy_inside" and summary.energies[name].high >= own.low]
    if weak:
        return f"Not shown to find the lesion: the interval of its share is not above that of {listed(weak)}."
    times = f", {number(own.value / flat.value, 1)} times that of the flat map" if flat.value else ""
    return f"It finds the lesion: its share lies above each of them, with intervals apart{times}."


def _sheet_caption(summary: MapSummary) -> str:
    panels = PANELS if summary.kind == "volumes" else "Test images under the maps of"
    run, head, method = summary.run, READERS[summary.head].title, CAM_METHODS[summary.method].sentence
    return (
        f"{panels} {summary.shown}, by {method}; {head}, fold {run.fold}, seed {run.seed}. The network's "
        f"maps of {summary.layer} have {_cells(summary)} cells and are smoothed. {summary.rule}"
    )


def _cells(summary: MapSummary) -> str:
    return " × ".join(map(str, summary.cells))


def _coarse_warning(summary: MapSummary) -> str:
    """That maps are too coarse to read, and what to do; "" of those that are not."""
    if not is_too_coarse(summary.cells):
        return ""
    return (
        f"Too coarse to read: the maps have {_cells(summary)} cells, fewer than {FEWEST_CELLS} along a side, and what "
        "they look like between is interpolation. A finer block of the encoder (gradcam: layer), or larger inputs, "
        "give more cells."
    )
