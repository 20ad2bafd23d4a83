"""Curves with operating points, read back from the figure object, and the table of points."""

from __future__ import annotations

import numpy as np
import pytest
from sample_predictions import make_study, make_table, write_run

from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.reporting.figures import evaluation_figures, style
from rescan.reporting.page.points_view import points_view
from rescan.results.metrics_file import read_metrics

POINTS = ["youden", {"sensitivity": 0.9, "prevalence": 0.1}, {"ppv": 0.99}]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study of two classes whose arm is evaluated, in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("decisions"))
        study = make_study(classes=2, seeds=2, operating_points=POINTS)
        for run in study.runs("one"):
            sizes = {"train": 20, "validation": 60, "test": 60}
            table = make_table(run.fold, run.seed, classes=2, skill=1, sizes=sizes)
            write_run(study, "one", run.fold, run.seed, table)
        posttrain(study, "one")
        evaluate(study, "one")
        yield study


def drawn(study, monkeypatch, name):
    """The figure of a name, as `evaluate` draws it."""
    figures = {}

    def figure(*args, **kwargs):
        figures[len(figures)] = original(*args, **kwargs)
        return figures[len(figures) - 1]

    original = style.Figure
    monkeypatch.setattr(style, "Figure", figure)
    evaluation_figures.evaluation(study, "one")
    return next(own for own in figures.values() if own.axes and own.axes[0].get_ylabel() == name)


@pytest.mark.parametrize(("name", "across"), [("sensitivity", "specificity"), ("PPV (precision)", "sensitivity")])
def test_points_lie_on_the_curve_of_the_first_run(study, monkeypatch, name, across):
    metrics = read_metrics(study, "one")
    axes = drawn(study, monkeypatch, name).axes[0]
    curve = next(line for line in axes.lines if len(line.get_xdata()) > 5)
    marks = {line.get_marker(): line for line in axes.lines if line.get_marker() != "None" and len(line.get_xdata())}
    up = "sensitivity" if name == "sensitivity" else "ppv"
    for point, marker in zip(metrics.decisions.points, style.POINTS):
        level = point.parts["test"]["image"].metrics
        x = level[across].runs[0] if across == "sensitivity" else 1 - level[across].runs[0]
        assert marks[marker].get_xydata()[0] == pytest.approx((x, level[up].runs[0]))
        places = np.column_stack([curve.get_xdata(), curve.get_ydata()])
        assert np.abs(places - [x, level[up].runs[0]]).max(1).min() < 1e-4
    legend = [text.get_text() for text in axes.figure.legends[0].get_texts()]
    assert legend[0].startswith("b  0.")
    assert legend[1:] == ["youden", "sensitivity_90", "ppv_99"]


def test_one_roc_curve_of_two_classes(study, monkeypatch):
    axes = drawn(study, monkeypatch, "sensitivity").axes[0]
    assert len([line for line in axes.lines if len(line.get_xdata()) > 5]) == 1


def test_the_decision_curve_stands_beside_everyone_and_no_one(study, monkeypatch):
    axes = drawn(study, monkeypatch, "net benefit").axes[0]
    model, everyone, no_one = axes.lines
    assert everyone.get_ydata()[0] == pytest.approx(0.5 - 0.5 * 0.02 / 0.98, abs=1e-5)
    assert model.get_ydata()[0] == pytest.approx(everyone.get_ydata()[0], abs=0.02)
    assert set(no_one.get_ydata()) == {0}


def test_the_table_has_a_row_per_point_and_part(study):
    view = points_view(study, read_metrics(study, "one"))
    names = ["youden", "", "sensitivity_90", "", "ppv_99", ""]
    assert [(row.name, row.where) for row in view.rows] == list(zip(names, ["test", "validation"] * 3))
    assert [row.prevalence for row in view.rows] == ["", "", "prevalence 10 %", "", "", ""]
    assert any(
        text.startswith("sensitivity_90 of b: validation, cross-fitted, has a sensitivity of 0.")
        for text in view.sentences
    )
    for row in view.rows:
        found, missed, alarms, spared = (float(count) for count in row.counts.split(" / "))
        assert (found + missed, alarms + spared) == (30, 30)
