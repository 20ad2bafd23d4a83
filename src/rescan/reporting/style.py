"""How every figure looks, and how it becomes a file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Union

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from rescan.files import writing

PathLike = Union[str, Path]
WIDTH = 5.0  # inches; narrow on purpose: 11 points in it stay 10 pixels high on a phone
DPI = 240
PHOTO_DPI = 150  # of grids of images, whose bytes are mostly noise
# Okabe and Ito's palette, told apart with every common color vision deficiency; yellow left out: faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "^", "s", "D", "v", "P", "X")
LINES = ("-", "--", "-.", ":")
STYLE: dict[Any, Any] = {
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e3e6ea",
    "legend.frameon": False,
    "legend.fontsize": 10,
    "text.parse_math": False,  # a class may be called "$x$"
}


@contextmanager
def canvas(out: PathLike, height: float, width: float = WIDTH, dpi: int = DPI) -> Iterator[Figure]:
    """Yield a figure of `width` × `height` inches; write it as a PNG of at most 256 colors (a third of the bytes)."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        agg: Any = FigureCanvasAgg(figure)
        yield figure
        figure.set_dpi(dpi)
        agg.draw()
        image = Image.fromarray(np.asarray(agg.buffer_rgba())).convert("RGB")
    with writing(out) as temporary:
        image.quantize(256).save(temporary, optimize=True, dpi=(dpi, dpi))


def legend_above(figure: Figure, columns: int = 2) -> None:
    """Put the first panel's legend above everything, where it can hide nothing."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=1.8)


def short(name: object, most: int = 22) -> str:
    """A name cut to `most` characters."""
    text = str(name)
    return text if len(text) <= most else text[: most - 1] + "…"
