"""The figure of a volume and its map, in five panels.

[A] a section through the lesion, or, where none is known, through the map's maximum; [B] the projection, [C] the
projection under a map, [D] a slice through the same place as [A], [E] the slice under the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from rescan.data.gray_levels import stretched
from rescan.explanation.drawing import HEADING, OUTLINE, explain, height_below, overlay, save, short

Pixels = NDArray[np.uint8]
Map = NDArray[np.float32]
PANEL, TITLE = 1.9, 0.46  # inches
FLATTEST, TALLEST = 0.5, 1.35  # of a row of panels: its height by a panel's width
FLAT = 0.2  # a section is shown at least so high, by its width
LINE = 26  # characters of a line of a panel's title
MARK = "#ffe14d"


class Panel(NamedTuple):
    """One of the five.

    Attributes:
        title: Two lines of LINE characters, at most.
        image: (H, W) or (H, W, C) uint8.
        size: Millimeters along H and W.
        scaled: The map over it, (H, W) in [0, 1], or None.
        mask: (H, W), nonzero inside the lesion, or None without a known one.
        mark: Row of the image that another panel is of, and that panel's letter; or None.
    """

    title: str
    image: Pixels
    size: tuple[float, float]
    scaled: Map | None = None
    mask: Pixels | None = None
    mark: tuple[int, str] | None = None


class Beside(NamedTuple):
    """The map of an image network for the same sample.

    Attributes:
        arm: Whose network it is.
        image: (H, W, C) uint8, as that network sees it.
        scaled: (H, W) in [0, 1].
        mask: (H, W), nonzero inside the lesion, or None without a known one.
    """

    arm: str
    image: Pixels
    scaled: Map
    mask: Pixels | None = None


def voxel_sizes(affine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Millimeters that a voxel measures along each axis of the array that an affine belongs to."""
    sizes: NDArray[np.float64] = np.linalg.norm(affine[:3, :3], axis=0)
    return sizes


def is_patient(affine: NDArray[np.float64]) -> bool:
    """Whether slices follow each other from feet to head, as those of NIfTI and DICOM do; B-scans' depth does not."""
    return int(np.abs(affine[:3, 0]).argmax()) == 2


def peak(scaled: Map) -> tuple[int, int, int]:
    """Where a map is highest: depth, row and column; the middle of a map that is zero everywhere."""
    if not scaled.any():
        depth, height, width = (size // 2 for size in scaled.shape)
        return depth, height, width
    depth, height, width = np.unravel_index(int(scaled.argmax()), scaled.shape)
    return int(depth), int(height), int(width)


def opening(scaled: Map, mask: Pixels | None) -> tuple[int, int]:
    """Where a volume is opened: the slice and the row with most of the lesion, the middle of several; or the peak's.

    Args:
        scaled: (D, H, W).
        mask: (D, H, W), nonzero inside the lesion; None or empty without a known one.
    """
    if mask is None or not mask.any():
        return peak(scaled)[:2]
    areas = ((mask > 0).sum(axes) for axes in ((1, 2), (0, 2)))
    depth, row = (np.flatnonzero(of_axis == of_axis.max()) for of_axis in areas)
    return int(depth[len(depth) // 2]), int(row[len(row) // 2])


def panels(
    volume: Pixels,
    scaled: Map,
    affine: NDArray[np.float64],
    target: str,
    mask: Pixels | None = None,
    beside: Beside | None = None,
) -> list[Panel]:
    """Make the five panels of a volume.

    Args:
        volume: (D, H, W) uint8, prepared.
        scaled: Its map, (D, H, W) in [0, 1].
        affine: (4, 4), of the index (d, h, w) to millimeters.
        target: What the map is evidence for.
        mask: (D, H, W), nonzero inside the lesion, or None without a known one.
        beside: What [C] shows; without it, the volume's own map, projected.
    """
    (d, h), (depth, height, width) = opening(scaled, mask), voxel_sizes(affine) * volume.shape
    slices, rows = volume.shape[:2]
    section, projected, slice_ = "B-scan", "en-face projection", "en-face slice"
    if upright := is_patient(affine):
        section, projected, slice_ = "section at row", "projection", "slice"
    turn = slice(None, None, -1) if upright else slice(None)  # heads are up, the surface of a retina, too
    line = slices - 1 - d if upright else d
    face, size = stretched(volume.mean(0)), (height, width)
    depth, stretch = max(depth, FLAT * width), ",\nstretched along depth" if depth < FLAT * width else ""
    over_d = "3D map over D" if scaled.any() else "empty map over D"
    across, through, over = (None,) * 3 if mask is None else (mask[turn, h], mask.max(0), mask[d])
    third = Panel("[C] 3D map over B,\nmaximum along depth", face, size, scaled.max(0), through)
    if beside is not None:
        of = beside.image.shape
        third = Panel(f"[C] 2D map of arm\n{short(beside.arm, LINE)}", beside.image, of[:2], beside.scaled, beside.mask)
    return [
        Panel(f"[A] {section} {h + 1} of {rows}{stretch}", volume[turn, h], (depth, width), None, across, (line, "D")),
        Panel(f"[B] {projected}:\nmean, contrast stretched", face, size, None, through, (h, "A")),
        third,
        Panel(f"[D] {slice_} {d + 1} of {slices},\nat the line in A", volume[d], size, None, over),
        Panel(f"[E] {over_d},\n{short(target, LINE)}", volume[d], size, scaled[d], over),
    ]


def draw(path: str | Path, rows: Sequence[tuple[str, Sequence[Panel]]], note: str) -> None:
    """Write rows of panels as a PNG file (see `figure`)."""
    save(path, figure(rows, note))


def figure(rows: Sequence[tuple[str, Sequence[Panel]]], note: str) -> Figure:
    """Draw rows of panels under a heading each, with one color bar.

    Args:
        rows: Heading and panels; a row without panels shows its heading only.
        note: How the maps were made (see `Explained.note`); and more lines.
    """
    with_outline = any(panel.mask is not None and panel.mask.any() for _, row in rows for panel in row)
    heights = [HEADING + (TITLE + PANEL * _aspect(row) if row else 0) for _, row in rows]
    heights.append(height_below(note, with_outline=with_outline))
    drawn = Figure((PANEL * max(len(row) for _, row in rows), sum(heights)), layout="constrained")
    *bands, footer = drawn.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    for band, (heading, row) in zip(bands, rows):
        band.suptitle(heading, x=0.01, ha="left", size=10, weight="bold" if row else "normal", parse_math=False)
        for axes, panel in zip(band.subplots(1, len(row), squeeze=False)[0] if row else [], row):
            _show(axes, panel)
    explain(footer, note, with_outline)
    return drawn


def _aspect(row: Sequence[Panel]) -> float:
    highest = max(panel.size[0] / panel.size[1] for panel in row)
    return float(np.clip(highest, FLATTEST, TALLEST))


def _show(axes: Axes, panel: Panel) -> None:
    (height, width), pixels = panel.size, panel.image
    pixels = pixels if pixels.ndim == 3 else pixels[..., None]
    blended: NDArray[Any] = np.broadcast_to(pixels / 255, (*pixels.shape[:2], 3))
    if panel.scaled is not None:
        blended = overlay(pixels, panel.scaled)
    axes.imshow(blended, interpolation="nearest", extent=(0, width, height, 0))
    axes.set_axis_off()
    axes.set_anchor("N")
    axes.set_title(panel.title, size=8.5, pad=3, loc="left", parse_math=False)
    if panel.mask is not None and panel.mask.any() and not panel.mask.all():
        across, down = ((np.arange(n) + 0.5) / n * size for n, size in zip(panel.mask.shape[::-1], (width, height)))
        axes.contour(across, down, panel.mask > 0, levels=[0.5], colors=OUTLINE, linewidths=1)
    if panel.mark is not None:
        (row, letter), dark = panel.mark, [withStroke(linewidth=2, foreground="#000000")]
        place = (row + 0.5) / len(pixels) * height
        axes.plot([0, width], [place] * 2, color=MARK, linewidth=0.9, linestyle=(0, (4, 3)), scalex=False, scaley=False)
        above = place > 0.5 * height
        text = axes.text(0.98 * width, place, letter, color=MARK, size=9, weight="bold", ha="right")
        text.set(va="bottom" if above else "top", path_effects=dark)
