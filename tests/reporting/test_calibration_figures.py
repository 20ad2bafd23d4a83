"""What the figures of probabilities show, read back from the figure object."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from rescan.reporting.figures import calibration_figures as figures
from rescan.reporting.figures.calibration_figures import Panel, Series
from rescan.results.reliability import MassBin, Range, Referral

LONG = "a class whose name is far too long for an axis"


def bins(*points, rows=12):
    return [
        MassBin(rows=rows, lowest=p, highest=p, predicted=p, observed=Range(value=v, low=v - 0.1, high=v + 0.1))
        for p, v in points
    ]


def curve(*values):
    return [Range(value=v, low=None if v is None else v - 0.1, high=None if v is None else v + 0.1) for v in values]


def texts_fit(figure):
    """No text is cut off or too small, and none of a panel's title lies over another panel's."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    width, height = figure.bbox.size
    titles = []
    for axes in figure.axes:
        for text in (axes.title, axes._left_title, axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels()):
            if axes.get_visible() and text.get_visible() and text.get_text():
                box = text.get_window_extent(renderer)
                assert min(box.x0, box.y0) >= -1, text
                assert box.x1 <= width + 1, text
                assert box.y1 <= height + 1, text
                assert text.get_fontsize() >= 8
                titles += [box] if text is axes._left_title else []
    assert not any(a.overlaps(b) for k, a in enumerate(titles) for b in titles[:k])


def test_points_and_intervals_without_lines_between_them(tmp_path, canvases):
    series = [Series("before", bins((0.1, 0.2), (0.9, 0.6), rows=15)), Series("after", bins((0.2, 0.2), (0.7, 0.6)))]
    figures.reliability([Panel("b", series)], tmp_path / "out.png")
    (axes,) = canvases[0].axes
    diagonal, before, after = axes.lines
    assert diagonal.get_xydata().tolist() == [[0, 0], [1, 1]]
    assert [line.get_xydata().tolist() for line in (before, after)] == [
        [[0.1, 0.2], [0.9, 0.6]],
        [[0.2, 0.2], [0.7, 0.6]],
    ]
    assert {line.get_linestyle() for line in (before, after)} == {"None"}
    ends = [path.vertices.tolist() for bars in axes.collections for path in bars.get_paths()]
    assert ends[0] == [[0.1, pytest.approx(0.1)], [0.1, pytest.approx(0.3)]]
    assert len(ends) == 4
    assert axes.get_title(loc="left") == "b\n15 and 12 predictions per point"
    assert [text.get_text() for text in canvases[0].legends[0].get_texts()] == [
        "perfectly calibrated",
        "before",
        "after",
    ]
    texts_fit(canvases[0])


def test_a_panel_for_each_class_the_most_frequent_of_many(tmp_path, canvases):
    panels = [Panel(f"{number} {LONG}", [Series("model", bins((0.5, number / 20)))]) for number in range(14)]
    figures.reliability(panels[:3], tmp_path / "three.png")
    assert [axes.get_visible() for axes in canvases[0].axes] == [True, True, True, False]
    figures.reliability(panels, tmp_path / "many.png")
    shown = [axes.get_title(loc="left").split()[0] for axes in canvases[1].axes]
    assert shown == [str(number) for number in range(2, 14)]
    for canvas in canvases:
        texts_fit(canvas)


def test_accuracy_by_the_share_referred(tmp_path, canvases):
    one = Referral(
        referred=[0, 0.2, 0.4],
        accuracy=curve(0.7, 0.8, 0.9),
        sensitivity=curve(0.5, 0.4, None),
        specificity=curve(0.8, 0.9, 0.9),
        target=0.85,
        needed=0.4,
        surely_needed=None,
        gain=Range(value=0.1, low=0, high=0.2),
    )
    figures.selective({"": one, "referable": one}, tmp_path / "out.png")
    above, below = canvases[0].axes
    lines = {line.get_label(): line.get_xydata().tolist() for line in above.lines}
    assert lines["accuracy of the rest"] == [[0, 0.7], [0.2, 0.8], [0.4, 0.9]]
    assert lines["half the errors"] == [[0.4, 0.9]]
    assert lines["sensitivity"][:2] == [[0, 0.5], [0.2, 0.4]]
    assert above.get_ylim()[0] < 0.4
    assert below.get_title(loc="left") == "referable"
    assert below.get_xlabel() == "referred to a human, the least sure images first"
    texts_fit(canvases[0])
