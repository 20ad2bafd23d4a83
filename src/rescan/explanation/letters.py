"""Letters that matplotlib's own font lacks, such as Chinese ones: it would draw them as empty boxes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from matplotlib import font_manager
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from rescan.log import logger

OWN = "DejaVu Sans"


def make_readable(figure: Figure) -> None:
    """Draw letters that matplotlib's font lacks in an installed font that has them; where none has, write their codes.

    Args:
        figure: The figure, before it is drawn.
    """
    for axis in figure.findobj(Axis):
        labels = [label.get_text() for label in axis.get_ticklabels()] if isinstance(axis, Axis) else []
        if isinstance(axis, Axis) and any(_lacking(label) for label in labels):
            axis.set_ticklabels([_spelled(label) for label in labels])  # else drawing would set the old ones again
    for text in figure.findobj(Text):
        if isinstance(text, Text) and (lacking := _lacking(text.get_text())):
            text.set_fontfamily([OWN, *sorted({font for font in map(_font_with, lacking) if font})])
            text.set_text(_spelled(text.get_text()))


def _lacking(text: str) -> set[str]:
    """The letters that matplotlib's own font lacks."""
    return {letter for letter in text if not letter.isspace()} - _letters(font_manager.findfont(OWN))


def _spelled(text: str) -> str:
    """A text with the codes of letters that no font has."""
    unknown = {letter for letter in _lacking(text) if _font_with(letter) is None}
    return "".join(f"[U+{ord(letter):04X}]" if letter in unknown else letter for letter in text)


@cache
def _letters(font: str) -> frozenset[str]:
    """What a font's file can draw."""
    try:
        return frozenset(map(chr, FT2Font(font).get_charmap()))
    except (RuntimeError, OSError):  # a kind of font that matplotlib cannot read
        return frozenset()


@cache
def _font_with(letter: str) -> str | None:
    """The name of an installed font with a letter, one without serifs first; None and a warning without any."""
    files = [file for file in font_manager.findSystemFonts() if letter in _letters(file)]
    if not files:
        code = f"U+{ord(letter):04X}"
        logger.warning("no installed font has %s (%s): figures show its code; install one, as Noto Sans", letter, code)
        return None
    best = min(
        files, key=lambda file: ("serif" in Path(file).name.lower(), "sans" not in Path(file).name.lower(), file)
    )
    font_manager.fontManager.addfont(best)
    return font_manager.FontProperties(fname=best).get_name()
