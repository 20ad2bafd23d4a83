from __future__ import annotations

import shutil
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from rescan.explanation import letters
from rescan.explanation.letters import make_readable

TITLES = {"usual": "näiv Größe 2 µm → α", "strange": "a \U0001f9a0 b"}


@pytest.fixture(autouse=True)
def _no_fonts_are_remembered():
    letters._font_with.cache_clear()
    yield
    letters._font_with.cache_clear()


def figure_of(name):
    figure = Figure()
    axes = figure.subplots()
    axes.set_title(name)
    axes.plot([0, 1], label=name)
    axes.legend()
    axes.set_yticks([0, 1], [name, "plain"])
    return figure


def shown(figure):
    """All texts after drawing, and the warnings of letters that were not found."""
    FigureCanvasAgg(figure).draw()
    axes = figure.axes[0]
    return [axes.get_title(), axes.get_legend().get_texts()[0].get_text(), axes.get_yticklabels()[0].get_text()]


def test_what_the_usual_font_has_is_left_alone(monkeypatch):
    monkeypatch.setattr(letters.font_manager, "findSystemFonts", lambda: pytest.fail("no other font is needed"))
    figure = figure_of(TITLES["usual"])
    make_readable(figure)
    assert shown(figure) == [TITLES["usual"]] * 3


def test_letters_that_no_font_has_are_given_by_their_codes(monkeypatch, caplog, recwarn):
    monkeypatch.setattr(letters.font_manager, "findSystemFonts", list)
    figure = figure_of("肿 瘤")
    make_readable(figure)
    assert shown(figure) == ["[U+80BF] [U+7624]"] * 3
    assert "no installed font has 肿 (U+80BF): figures show its code" in caplog.text
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_an_installed_font_that_has_them_is_used(monkeypatch, tmp_path, recwarn):
    """A mathematical letter, which matplotlib's STIX fonts have and its usual one has not."""
    letter = "\U0001d4d0"
    stix = next(Path(mpl.get_data_path()).rglob("STIXGeneral.ttf"))
    assert letter not in letters._letters(letters.font_manager.findfont(letters.OWN))
    other = next(Path(mpl.get_data_path()).rglob("cmr10.ttf"))
    files = [shutil.copy(file, tmp_path) for file in (other, stix)]
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    monkeypatch.setattr(letters.font_manager, "findSystemFonts", lambda: [*files, str(tmp_path / "broken.ttf")])
    figure = figure_of(f"class {letter}")
    make_readable(figure)
    assert shown(figure) == [f"class {letter}"] * 3
    assert figure.axes[0].title.get_fontfamily() == [letters.OWN, "STIXGeneral"]
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]
    pixels = np.asarray(figure.canvas.buffer_rgba())
    assert pixels.min() < 128
