"""How every figure looks, and how it becomes a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Union

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from rescan.explanation.letters import make_readable
from rescan.files import writing

PathLike = Union[str, Path]
WIDTH = 5.0  # inches; narrow on purpose: 11 points in it stay 10 pixels high on a phone
DPI = 240
PHOTO_DPI = 150  # of grids of images, whose bytes are mostly noise
# Okabe and Ito's palette, told apart with every common color vision deficiency; yellow left out: faint on white.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":")


class Look(NamedTuple):
    """What something looks like in every figure that shows it: its name, color, marker and line."""

    name: str
    color: str
    marker: str
    line: str


PART_LOOKS = {
    "train": Look("training", COLORS[0], "o", "--"),
    "validation": Look("validation", COLORS[1], "^", "-."),
    "test": Look("test", COLORS[2], "s", "-"),
    "external": Look("external data", COLORS[3], "v", ":"),
}
KEPT = Look("kept epoch", COLORS[1], "*", "")  # of the validation part
PUBLISHED = Look("published", COLORS[6], "D", "")
MEAN = Look("mean", COLORS[6], "P", "-")
POINTS = ("<", ">", "p", "h", "d", "8", "X")  # of operating points, in their order; markers that no part has
GRADES = ("viridis", 0.84, 0.0)  # of grades, light to dark: told apart without color, too; no yellow
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
    "svg.fonttype": "none",  # letters stay letters
    "pdf.fonttype": 42,
    "svg.hashsalt": "rescan",  # else the ids in it change with each run
}
VECTORS = (".svg", ".pdf")


@contextmanager
def canvas(
    out: PathLike, height: float, width: float = WIDTH, dpi: int = DPI, *, dither: bool = False, vectors: bool = True
) -> Iterator[Figure]:
    """Yield a figure of `width` × `height` inches; write it as a PNG of at most 256 colors (a third of the bytes).

    Beside it lies the same as SVG and as PDF. The same data make the same bytes.

    Args:
        out: The PNG.
        height: Inches.
        width: Inches.
        dpi: Dots per inch.
        dither: Mix the colors in patterns, without which photographs have bands.
        vectors: Whether SVG and PDF are written too; pictures made of pixels gain nothing by them.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        agg: Any = FigureCanvasAgg(figure)
        yield figure
        make_readable(figure)
        figure.set_dpi(dpi)
        agg.draw()
        image = Image.fromarray(np.asarray(agg.buffer_rgba())).convert("RGB")
        with writing(out) as temporary:
            (_dithered(image) if dither else _indexed(image)).save(temporary, optimize=True, dpi=(dpi, dpi))
        if vectors:
            figure.set_layout_engine("none")  # what stands where is settled
            _write_vectors(figure, Path(out))
        else:
            for suffix in VECTORS:
                Path(out).with_suffix(suffix).unlink(missing_ok=True)


def _write_vectors(figure: Figure, out: Path) -> None:
    """Write a figure that is laid out as SVG and as PDF, beside its PNG; without a date."""
    with writing(out.with_suffix(".svg")) as temporary:
        FigureCanvasSVG(figure).print_svg(temporary, metadata={"Date": None})  # type: ignore[no-untyped-call]
    with writing(out.with_suffix(".pdf")) as temporary:
        FigureCanvasPdf(figure).print_pdf(temporary, metadata={"CreationDate": None})  # type: ignore[no-untyped-call]


def _indexed(image: Image.Image) -> Image.Image:
    """An image of at most 256 colors, by octree: a tenth of the time of Pillow's default, and fewer bytes."""
    indexed = image.quantize(256, method=Image.Quantize.FASTOCTREE)
    colors = np.array(indexed.getpalette()).reshape(-1, 3)
    if 255 in np.asarray(image):  # the paper's white, which an octree's average misses
        colors[int(colors.sum(1).argmax())] = 255
    indexed.putpalette(colors.astype(np.uint8).tobytes())
    return indexed


def _dithered(image: Image.Image) -> Image.Image:
    """An image of 256 colors mixed in patterns, but for its white, which stays the paper's."""
    palette = image.quantize(256)
    mixed = image.quantize(palette=palette)
    colors = np.array(palette.getpalette()).reshape(-1, 3)
    white = int(colors.sum(1).argmax())
    colors[white] = 255
    pixels = np.where((np.asarray(image) == 255).all(-1), np.uint8(white), np.asarray(mixed))
    indexed = Image.frombytes("P", image.size, pixels.tobytes())
    indexed.putpalette(colors.astype(np.uint8).tobytes())
    return indexed


def class_colors(classes: Sequence[str], ordered: bool) -> list[str]:
    """A color for each class: of grades, the darker the higher; else as distinct as possible, repeating after seven."""
    if not ordered:
        return [COLORS[number % len(COLORS)] for number in range(len(classes))]
    name, first, last = GRADES
    return [to_hex(mpl.colormaps[name](place)) for place in np.linspace(first, last, len(classes))]


def legend_above(figure: Figure, columns: int = 2) -> None:
    """Put the first panel's legend above everything, where it can hide nothing."""
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=1.8)


def short(name: object, most: int = 22) -> str:
    """A name cut to `most` characters."""
    text = str(name)
    return text if len(text) <= most else text[: most - 1] + "…"
