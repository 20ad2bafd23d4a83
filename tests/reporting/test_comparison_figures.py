"""What the figures of a comparison hold."""

from __future__ import annotations

from types import SimpleNamespace

from sample_predictions import make_study

from rescan.reporting.figures import comparison_figures
from rescan.reporting.text.words import Value


def test_the_forest_has_published_numbers_of_its_metric_by_image_alone(monkeypatch, tmp_path):
    """Its scores are by image: a published number by patient would stand beside what it is not of."""
    monkeypatch.chdir(tmp_path)
    of = {"arm": "one", "metric": "accuracy", "n": 100, "who": "the paper"}
    others = [{**of, "level": "patient", "value": 0.9}, {**of, "metric": "kappa", "value": 0.7}]
    study = make_study(published=[{**of, "value": 0.8}, *others])
    metrics = SimpleNamespace(arm="one", estimate=lambda _: Value(0.75))
    drawn = []
    monkeypatch.setattr(comparison_figures, "read_metrics", lambda *_: metrics)
    monkeypatch.setattr(comparison_figures, "forest_lines", lambda *_: [])
    monkeypatch.setattr(comparison_figures.overview_figures, "forest", lambda rows, *_: drawn.extend(rows))
    comparison_figures.forest(study, ["one"], tmp_path / "forest.png")
    assert [row.published for row in drawn] == [[0.8]]
