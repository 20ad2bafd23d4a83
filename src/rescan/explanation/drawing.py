"""Grad-CAM overlays as PNG files: the prepared image beside the same image under its maps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from rescan.explanation.letters import make_readable
from rescan.files import writing

COLORS = mpl.colormaps["inferno"]  # perceptually uniform: equal steps of a map look equal
OPACITY = 0.55  # at the map's maximum; it falls with the map, so that the anatomy stays visible where the map is low
OUTLINE = "#40e0ff"
PANEL, HEADING, TITLE, BAR, LINE, LEGEND = 1.7, 0.28, 0.42, 0.68, 0.14, 0.2  # inches
DPI = 120
LABEL = "Evidence for what the panel names, relative to the map's maximum"


class Tile(NamedTuple):
    """What is shown of one image.

    Attributes:
        title: Of the panel without a map. A title has room for 24 characters per line.
        image: (H, W, C) uint8, C = 1 or 3.
        maps: Title and map (H, W) in [0, 1] of each further panel.
        mask: (H, W), nonzero inside the lesion, or None without a known one.
    """

    title: str
    image: NDArray[np.uint8]
    maps: list[tuple[str, NDArray[np.float32]]]
    mask: NDArray[np.uint8] | None = None


def short(name: str, most: int = 18) -> str:
    """A name cut to `most` characters."""
    return name if len(name) <= most else f"{name[: most - 1]}…"


def overlay(image: NDArray[np.uint8], scaled: NDArray[np.floating]) -> NDArray[np.float64]:
    """Lay a map over an image.

    Args:
        image: (H, W, C) uint8, C = 1 or 3.
        scaled: (H, W) in [0, 1].

    Returns:
        (H, W, 3) in [0, 1].
    """
    opacity = OPACITY * scaled[..., None]
    blended: NDArray[np.float64] = (1 - opacity) * (image / 255) + opacity * COLORS(scaled)[..., :3]
    return blended


def draw(path: str | Path, rows: Sequence[tuple[str, Sequence[Tile]]], note: str) -> None:
    """Write rows of tiles as a PNG file (see `figure`)."""
    save(path, figure(rows, note))


def figure(rows: Sequence[tuple[str, Sequence[Tile]]], note: str) -> Figure:
    """Draw rows of tiles under a heading each, with one color bar.

    Args:
        rows: Heading ("" for none) and tiles, of two maps or more. Rows without tiles show their heading only.
        note: How the maps were made (see `Explained.note`); and more lines.
    """
    tiles = [tile for _, row in rows for tile in row]
    columns = max(sum(1 + len(tile.maps) for tile in row) for _, row in rows)
    height, width = tiles[0].image.shape[:2]
    body = PANEL * height / width + TITLE
    heights = [HEADING * bool(heading) + body * bool(row) for heading, row in rows]
    with_outline = any(tile.mask is not None for tile in tiles)
    heights.append(height_below(note, with_outline=with_outline))
    drawn = Figure((PANEL * columns, sum(heights)), layout="constrained")
    *bands, footer = drawn.subfigures(len(rows) + 1, 1, height_ratios=heights, squeeze=False)[:, 0]
    for band, (heading, row) in zip(bands, rows):
        if heading:
            band.suptitle(heading, x=0.01, ha="left", size=10, weight="bold" if row else "normal", parse_math=False)
        if row:
            _fill(band.subplots(1, columns, squeeze=False)[0], row)
    explain(footer, note, with_outline)
    return drawn


def height_below(note: str, *, with_outline: bool) -> float:
    """The inches that `explain` needs below the panels."""
    return BAR + LINE * note.count("\n") + LEGEND * with_outline


def save(path: str | Path, figure: Figure) -> None:
    """Write a figure as a PNG file."""
    make_readable(figure)
    with writing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)


def _fill(panels: NDArray[np.object_], row: Sequence[Tile]) -> None:
    """Draw a row's tiles into its panels; empty panels that are left over."""
    free = iter(panels)
    for tile in row:
        _show(next(free), tile.title, np.broadcast_to(tile.image / 255, (*tile.image.shape[:2], 3)))
        for title, scaled in tile.maps:
            axes = next(free)
            _show(axes, title, overlay(tile.image, scaled))
            if tile.mask is not None:
                axes.contour(tile.mask > 0, levels=[0.5], colors=OUTLINE, linewidths=1)
    for axes in free:
        axes.set_axis_off()


def _show(axes: Axes, title: str, image: NDArray[np.float64]) -> None:
    axes.imshow(image, interpolation="nearest")
    axes.set_axis_off()
    axes.set_title(title, size=8.5, pad=3, parse_math=False)


def explain(footer: SubFigure, note: str, with_outline: bool) -> None:
    """Draw the color bar as the maps look over middle gray, how they were made, and the legend of lesions' outlines."""
    axes = footer.subplots()
    ramp = np.linspace(0, 1, 256)[None]
    gray = np.full((1, 256, 1), 128, np.uint8)
    axes.imshow(overlay(gray, ramp), extent=(0, 1, 0, 1), aspect="auto")
    axes.set_yticks([])
    axes.set_xticks([0, 0.5, 1], ["0 (none)", "0.5", "1"], size=8)
    axes.set_xlabel(f"{LABEL}\n{note}", size=8, parse_math=False)
    if with_outline:
        handle = Line2D([], [], color=OUTLINE, label="lesion's outline")
        axes.legend(
            handles=[handle], loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False, borderaxespad=0.1
        )
