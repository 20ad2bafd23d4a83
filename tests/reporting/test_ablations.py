"""What the page says of ablations: sentences in points, and a figure of all arms."""

from contextlib import contextmanager

import numpy as np
import pytest
from sample_files import write_history

from rescan.paths import Paths
from rescan.reporting.figures import comparison_figures, style, training_figures
from rescan.reporting.page.ablation_view import ablation_views
from rescan.results.comparison import Comparison
from rescan.study import Study

STAGES = {"main": {"steps": 50, "optimizer": {"name": "sgd"}}}
ARM = {"preparation": "p", "network": {"encoder": "resnet18"}, "stages": STAGES}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Study.model_validate(
        {
            "name": "s",
            "scale": "demo",
            "title": "S",
            "data": {"source": {"path": "x"}, "layout": "class_folders", "classes": ["a", "b"]},
            "preparations": {"p": {"steps": ["resize"]}},
            "split": {"seeds": [0, 1]},
            "arms": {"base": ARM, "deeper_two": ARM, "lr_0.1": ARM, "lr_0.5": ARM},
            "ablations": {
                "deeper": {"question": "adding two convolutions", "base": "base", "arms": {"deeper_two": "two"}},
                "lr": {"question": "another rate", "base": "base", "arms": {"lr_0.1": "0.1", "lr_0.5": "0.5"}},
            },
        }
    )


def row(arm, difference, low, high, verdict, level="image", reason=""):
    return Comparison(
        "arms" if level == "image" else "ablation",
        arm,
        "base",
        metric="accuracy",
        level=level,
        difference=difference,
        difference_low=low,
        difference_high=high,
        verdict=verdict,
        reason=reason,
    )


def test_a_sentence_per_arm(study):
    rows = [
        row("deeper_two", -0.004, -0.021, 0.012, "inconclusive"),
        row("deeper_two", -0.05, -0.1, 0.0, "inconclusive", "patient"),
        row("lr_0.1", 0.0312, 0.002, 0.06, "higher"),
        row("lr_0.5", None, None, None, "not run", reason="no test result of lr_0.5"),
    ]
    deeper, rate = ablation_views(study, rows)
    assert deeper.sentences == [
        "Adding two convolutions changed test accuracy by −0.4 points (−2.1 to 1.2): no difference shown."
    ]
    assert rate.sentences == [
        "Another rate (0.1) changed test accuracy by +3.1 points (0.2 to 6.0): higher.",
        "Another rate (0.5): not run (no test result of lr_0.5).",
    ]
    assert (deeper.steps, deeper.base) == (50, "base")
    (changes,) = deeper.rows
    by_image, by_study, by_patient = changes.differences
    assert (changes.arm, by_study, by_patient.difference) == ("deeper_two", None, -0.05)
    assert by_image.difference == -0.004


def test_the_figure_shows_the_mean_of_the_seeds_of_training_and_test(study, monkeypatch):
    figures = []
    original = style.canvas

    @contextmanager
    def canvas(out, height, **more):
        with original(out, height, **more) as figure:
            figures.append(figure)
            yield figure

    monkeypatch.setattr(training_figures, "canvas", canvas)
    for arm in study.arms:
        for seed in (0, 1):
            columns = {}
            for part, value in (("train", 0.9), ("validation", 0.1), ("test", 0.6)):
                columns |= {f"{part}_accuracy": value + 0.1 * seed, f"{part}_loss": 1 - value}
            write_history(f"results/demo/s/{arm}/fold0_seed{seed}/history.csv", 2, step=[10, 20], **columns)
    comparison_figures.ablations(study, list(study.arms), Paths("demo", "s").comparison_figures)
    assert ablation_views(study, [])[1].figure.width > 300
    accuracy = figures[1].axes[0]
    lines = [
        (line.get_linestyle(), line.get_label(), line.get_ydata()[0])
        for line in accuracy.lines
        if len(line.get_ydata())
    ]
    assert [(style, value) for style, _, value in lines] == [
        ("--", pytest.approx(0.95)),
        ("-", pytest.approx(0.65)),
    ] * 3
    assert [label for style, label, _ in lines if style == "-"] == ["base", "0.1", "0.5"]
    assert accuracy.lines[0].get_color() == accuracy.lines[1].get_color() == "#000000"
    assert figures[1].axes[1].get_xlabel() == "step of the optimizer"
    assert np.all(accuracy.lines[0].get_xdata() == [10, 20])
