"""What the page shows of external data."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from sample_files import write_groups, write_known, write_splits
from sample_predictions import make_graded, make_table, write_arm, write_run

from rescan.evaluation.evaluate import evaluate
from rescan.paths import Paths
from rescan.reporting.figures.evaluation_figures import evaluation
from rescan.reporting.page.external_view import external_views
from rescan.reporting.page.report import report
from rescan.results.metrics_file import read_metrics
from rescan.study import Study


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A scored study of grades with an external data set, of which two samples are left out."""
    monkeypatch.chdir(tmp_path)
    content = make_graded(seeds=1).model_dump()
    external = {"h2": {"source": {"path": "raw2"}, "layout": "table"}}
    study = Study.model_validate({**content, "data": {**content["data"], "external": external}})
    write_arm(study, "one")
    apart = study.external("h2")
    table = make_table(0, 0, sizes={"external": 40}, luck=3)
    write_run(apart, "one", 0, 0, table)
    names = [*table["sample"], "left1", "left2"]
    labels = ["abcd"[target] for target in table["target"]] + ["a", "a"]
    paths = Paths(apart.scale, apart.name)
    groups, parts = [*table["group"], "left1", "left2"], ["external"] * 40 + ["left_out"] * 2
    splits = pd.DataFrame({"sample": names, "group": groups, "label": labels, "fold": 0, "part": parts})
    write_splits(paths, splits)
    write_known(paths, splits)
    write_groups(paths, splits[["sample", "group"]].assign(relative=[""] * 40 + ["<home>/7.png", ""]))
    evaluate(study, "one")
    return study


def test_rows_are_those_of_metrics_json(study):
    metrics = read_metrics(study, "one")
    (view,) = external_views(study, [metrics])
    assert view.counts == {"a": 10, "b": 10, "c": 10, "d": 10}
    assert view.left_out == [("left1", "<home>/7.png"), ("left2", "")]
    titles = [row.metric for row in view.rows]
    assert titles[0] == "quadratic kappa"
    assert {"sensitivity, any disease", "specificity, referable"} < set(titles)
    assert view.is_calibrated
    there = metrics.confidence.calibration["external/h2"]
    assert {one.n for one in there.values()} == {40 * len(metrics.runs)}
    first = view.rows[0]
    assert first.external == metrics.estimate("quadratic_kappa", "external/h2")
    assert first.difference.value == pytest.approx(first.external.value - first.test.value)


def test_they_have_a_part_of_the_page(study):
    evaluation(study, "one")
    report(study)
    page = Path(Paths("full", study.name).page).read_text("utf-8")
    part = page[page.index('id="heads-external"') :].partition("</section>")[0]
    assert "40 samples: a 10, b 10, c 10, d 10." in part
    assert "2 samples left out" in part
    assert "&lt;home&gt;/7.png" in part
    assert "Reliability of one on h2 and on the home test part" in part
    assert part.count("<img") == 1
    assert page.count('href="#heads-external"') == 1
    assert "external/h2" in page
    kappa = read_metrics(study, "one").estimate("quadratic_kappa", "external/h2")
    assert f"On h2, external data of 40 samples: quadratic kappa {kappa.value:.2f} ({kappa.low:.3f}" in page


def test_what_has_not_run_is_said(study):
    (view,) = external_views(study.model_copy(update={"name": "other"}), [])
    assert (view.counts, view.left_out, view.rows, view.source) == ({}, [], [], None)
