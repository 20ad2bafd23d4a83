"""What the figures show, read back from the figure object, and that nothing is cut off or too small."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from matplotlib.markers import MarkerStyle
from matplotlib.text import Text
from PIL import Image
from sample_files import write_history

from rescan.paths import Paths
from rescan.reporting.figures import decision_figures, embedding, grids, overview_figures, style, training_figures
from rescan.reporting.figures import evaluation_figures as figures
from rescan.reporting.figures.overview_figures import ForestRow
from rescan.reporting.text.words import Value
from rescan.results.curve_points import RocCurve, Spread
from rescan.results.decisions import NetBenefit, PrCurve
from rescan.results.parts import PARTS

LONG = ["glioma", "$\\frac{1}$ <b>", "a class whose name is far too long for an axis", "ü"]


def history(path, stages=("warm", "main", "main"), best=1):
    epochs = np.arange(len(stages))
    columns = {
        f"{part}_{metric}": 0.1 * (epochs + 1) for part in ("train", "validation") for metric in ("loss", "accuracy")
    }
    write_history(path, len(stages), stage=stages, kept=(epochs == best).astype(int), **columns)
    return path


def draw_all(folder):
    """One of each figure, with names that are hard to place."""
    k = len(LONG)
    image = np.full((40, 80, 3), 200, np.uint8)
    random = np.random.default_rng(0)
    line = RocCurve(fpr=[0, 0.5, 1], tpr=[0, 0.9, 1])
    area = Value(0.7, 0.61, 0.79)
    arm = ForestRow(LONG[2], Value(0.7, 0.6, 0.8), [0.9])
    training_figures.curves(history(folder / "h.csv"), folder / "curves.png")
    figures.confusion(random.integers(0, 9999, (k, k)), LONG, folder / "confusion.png")
    figures.roc(dict.fromkeys(LONG, line), dict.fromkeys(LONG, area), folder / "roc.png")
    marks = [decision_figures.Marked("cost_fn5_fp1", 0.9, 0.5, 0.6), decision_figures.Marked("youden", 0.8, 0.6, None)]
    curve = PrCurve(recall=[0.1, 1], precision=[0.9, 0.4], prevalence=0.3)
    of_all = (dict.fromkeys(LONG, curve), dict.fromkeys(LONG, area), dict.fromkeys(LONG, marks))
    decision_figures.precision_recall(*of_all, folder / "precision_recall.png")
    shares = {"low": [0.1, 0], "model": [0.2, 0.1], "high": [0.3, 0.2], "treat_all": [0.2, -0.5]}
    benefit = NetBenefit(thresholds=[0.1, 0.9], **shares)
    decision_figures.net_benefit(dict.fromkeys(LONG[:2], benefit), folder / "net_benefit.png")
    spreads = [Spread(label=name, n=12345, mean=1.5, spread=[-1, 0, 1, 2, 9]) for name in LONG]
    figures.grades(spreads, folder / "grades.png")
    counts = {part: dict.fromkeys(LONG, 12345) for part in PARTS}
    beside = ["and 12,345 without a label", "and 35,126 of another source, for training only"]
    overview_figures.class_distribution(counts, LONG, folder / "classes.png", beside)
    lines = [(f"always “{LONG[2]}”", 0.25), ("file metadata alone", 0.4)]
    overview_figures.forest([arm], "test accuracy", folder / "forest.png", lines)
    grids.grid([(LONG[2] * 3, [image] * 6, [LONG[2]] * 6)], folder / "grid.png")
    grids.grid([("", [image] * 4, [f"{LONG[2]}\n{LONG[2]}"] * 4)], folder / "each.png", 4)
    points = {perplexity: random.normal(size=(50, 2)) for perplexity in (40, 10, 80)}
    title = "gray images of 256 × 256 pixels, 50 principal components"
    embedding.scatter(points, [LONG[2]] * 50, ["train"] * 50, LONG, folder / "scatter.png", title=title)
    overview_figures.note("There are no duplicates.", folder / "note.png")


def test_nothing_is_cut_off_or_too_small(tmp_path, monkeypatch):
    texts = []

    def draw(text, renderer):
        original(text, renderer)
        if text.get_text().strip():
            texts.append(
                (text.get_text(), text.get_fontsize(), text.get_window_extent(renderer), text.figure.bbox.bounds)
            )

    original = Text.draw
    monkeypatch.setattr(Text, "draw", draw)
    draw_all(tmp_path)
    assert len(list(tmp_path.glob("*.png"))) == 12
    assert len(texts) > 100
    for text, size, box, (_, _, width, height) in texts:
        assert size >= 8, text
        assert min(box.x0, box.y0) >= -1, (text, box)
        assert box.x1 <= width + 1, (text, box)
        assert box.y1 <= height + 1, (text, box)


def test_files_are_sharp_and_modest(tmp_path):
    draw_all(tmp_path)
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            assert image.width >= 700
            assert image.info["dpi"][0] == pytest.approx(image.width / style.WIDTH, rel=0.01)
        assert path.stat().st_size < 200_000


def test_figures_lie_there_as_svg_and_pdf_too_with_letters_and_always_the_same_bytes(tmp_path):
    """But for pictures made of pixels; letters can be searched for and edited, and no date or random id is in them."""
    rows = [ForestRow("an arm", Value(0.7, 0.6, 0.8), [0.9])]
    for folder in (tmp_path / "one", tmp_path / "two"):
        overview_figures.forest(rows, "test accuracy", folder / "forest.png")
        grids.grid([("", [np.zeros((9, 9), np.uint8)], [])], folder / "grid.png")
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert sorted(one) == ["forest.pdf", "forest.png", "forest.svg", "grid.png"]
    assert one == two
    svg = ET.fromstring(one["forest.svg"])
    texts = [text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")]
    assert {"an arm", "test accuracy", "published"} <= {*texts}
    assert b"/Subtype /Type3" not in one["forest.pdf"]
    assert b"/FontFile2" in one["forest.pdf"]
    assert b"/CreationDate" not in one["forest.pdf"]


def test_a_figure_that_has_no_vectors_leaves_none_of_before(tmp_path):
    overview_figures.forest([], "accuracy", tmp_path / "a.png")
    overview_figures.note("nothing", tmp_path / "a.png")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_white_paper_stays_white(tmp_path):
    overview_figures.forest([ForestRow("an arm", Value(0.7, 0.6, 0.8))], "accuracy", tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_parts_look_the_same_in_every_figure(tmp_path, canvases):
    """Whichever parts there are: a figure without training does not give validation the look of training."""
    for parts in (["train", "validation", "test"], ["validation", "test"], ["train", "test"]):
        embedding.scatter({5: np.zeros((len(parts), 2))}, ["a"] * len(parts), parts, ["a"], tmp_path / "t.png")
        counts = {part: {"a": 1} for part in parts}
        overview_figures.class_distribution(counts, ["a"], tmp_path / "c.png")
        scatter, bars = canvases[-2:]
        drawn = [c.get_paths()[0].vertices.shape for c in scatter.axes[0].collections if len(c.get_offsets())]
        looks = [style.PART_LOOKS[part] for part in parts]
        expected = [MarkerStyle(look.marker).get_path().vertices.shape for look in looks]
        assert drawn == expected
        assert [to_hex(bar.get_facecolor()).upper() for bar in bars.axes[0].patches] == [look.color for look in looks]
        assert {look.name for look in looks} <= {text.get_text() for text in bars.legends[0].get_texts()}


def test_no_two_meanings_share_a_look():
    looks = [*style.PART_LOOKS.values(), style.KEPT, style.PUBLISHED, style.MEAN]
    assert len({look.marker for look in looks}) == len(looks)
    assert len({(look.color, look.line) for look in looks}) == len(looks)


def test_curves_mark_stages_and_the_kept_epoch(tmp_path, canvases):
    files = [history(tmp_path / "a.csv"), history(tmp_path / "b.csv", best=2)]
    training_figures.curves(files, tmp_path / "out.png")
    loss, accuracy = canvases[0].axes
    dots = [
        tuple(line.get_xydata()[0])
        for line in loss.lines
        if line.get_marker() == style.KEPT.marker and len(line.get_xdata())
    ]
    assert dots == [pytest.approx((2, 0.2)), pytest.approx((3, 0.3))]
    marks = [line.get_xdata()[0] for line in accuracy.lines if line.get_linestyle() == ":"]
    assert marks == [0.5, 1.5]
    assert {"warm", "main"} <= {text.get_text() for text in accuracy.texts}
    assert [text.get_text() for text in canvases[0].legends[0].get_texts()] == ["training", "validation", "kept epoch"]


def test_losses_of_a_run_without_a_finite_one_are_drawn_without_a_warning(tmp_path, canvases):
    pd.DataFrame({"step": [1, 2], "loss": ["", ""]}).to_csv(tmp_path / "losses.csv", index=False)
    training_figures.losses([tmp_path / "losses.csv"], tmp_path / "out.png")
    assert canvases[0].axes[0].get_xlabel() == "step of the optimizer"


def test_confusion_shows_counts_and_shares_of_the_true_class(tmp_path, canvases):
    figures.confusion([[3, 1], [0, 0]], ["a", "b"], tmp_path / "out.png")
    assert [text.get_text() for text in canvases[0].axes[0].texts] == ["3\n75%", "1\n25%", "0\n0%", "0\n0%"]


def test_confusion_of_a_mean_over_runs_keeps_its_fraction(tmp_path, canvases):
    figures.confusion([[2.5, 1.5], [0, 4]], ["a", "b"], tmp_path / "out.png")
    assert canvases[0].axes[0].texts[0].get_text() == "2.5\n62%"


def test_roc_names_area_and_interval(tmp_path, canvases):
    areas = {"a": Value(0.75, 0.625, 0.8), "b": Value(0.5)}
    line = RocCurve(fpr=[0, 1], tpr=[0, 1])
    figures.roc({"a": line, "b": line, "c": line}, areas, tmp_path / "out.png")
    texts = [text.get_text() for text in canvases[0].legends[0].get_texts()]
    assert texts == ["a  0.750 (0.625–0.800)", "b  0.500", "c"]


def test_class_distribution_has_a_bar_for_each_class_and_part(tmp_path, canvases):
    counts = {"test": {"a": 5}, "train": {"a": 7, "b": 2}}
    overview_figures.class_distribution(counts, ["a", "b"], tmp_path / "out.png")
    assert [bar.get_width() for bar in canvases[0].axes[0].patches] == [7, 2, 5, 0]


def test_forest_draws_interval_and_published_value(tmp_path, canvases):
    rows = [
        ForestRow("one", Value(0.7, 0.6, 0.8), [0.9]),
        ForestRow("two", Value(0.5)),
        ForestRow("three", None),
    ]
    overview_figures.forest(rows, "accuracy", tmp_path / "out.png")
    lines = [line for line in canvases[0].axes[0].lines if len(line.get_xdata())]
    assert [list(line.get_xdata()) for line in lines] == [[0.6, 0.7, 0.8], [0.9], [0.5, 0.5, 0.5]]


def test_scatter_marks_classes_by_color_and_parts_by_marker(tmp_path, canvases):
    points = {40: np.zeros((3, 2)), 10: np.ones((3, 2))}
    embedding.scatter(points, ["a", "b", "b"], ["train", "train", "test"], ["a", "b"], tmp_path / "out.png")
    large, small = canvases[0].axes
    assert [axes.get_title(loc="left") for axes in (large, small)] == ["perplexity 40", "perplexity 10"]
    markers = [(len(c.get_offsets()), to_hex(c.get_facecolor()[0]).upper()) for c in large.collections[:4]]
    assert markers == [(1, style.COLORS[0]), (0, style.COLORS[0]), (1, style.COLORS[1]), (1, style.COLORS[1])]
    assert small.collections[0].get_offsets().tolist() == [[1, 1]]
    assert [t.get_text() for legend in canvases[0].legends for t in legend.get_texts()] == [
        *("a", "b", "training", "test")
    ]


def test_grades_get_darker_and_classes_distinct_colors():
    def lightness(color):  # of CIELAB, from sRGB
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in to_rgb(color)]
        return 116 * np.dot([0.2126, 0.7152, 0.0722], linear) ** (1 / 3) - 16

    steps = np.diff([lightness(color) for color in style.class_colors("abcde", ordered=True)])
    assert (steps < -10).all()
    assert style.class_colors("abcde", ordered=False) == list(style.COLORS[:5])


def test_grades_are_boxes_between_percentiles_on_the_line(tmp_path, canvases):
    spreads = [
        Spread(label="no DR", n=1200, mean=0.2, spread=[-0.1, 0.0, 0.1, 0.3, 0.8]),
        Spread(label="mild", n=0, mean=None, spread=None),
        Spread(label="moderate", n=3, mean=1.7, spread=[1.0, 1.5, 1.8, 2.0, 2.2]),
    ]
    figures.grades(spreads, tmp_path / "out.png")
    axes = canvases[0].axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "no DR\nn = 1,200",
        "mild\nn = 0",
        "moderate\nn = 3",
    ]
    boxes = [patch.get_path().get_extents() for patch in axes.patches]
    assert [(box.y0, box.y1) for box in boxes] == [(0.0, 0.3), (1.5, 2.0)]
    assert [(box.x0 + box.x1) / 2 for box in boxes] == [0, 2]
    mean = next(line for line in axes.lines if line.get_label() == "mean")
    assert mean.get_xydata().tolist() == [[0, 0.2], [2, 1.7]]
    ends = {value for line in axes.lines for value in line.get_ydata()}
    assert {-0.1, 0.8, 1.0, 2.2} <= ends  # the whiskers


def test_curves_of_grades_show_kappa_and_survive_a_towering_loss(tmp_path, canvases):
    table = pd.read_csv(history(tmp_path / "a.csv", stages=["one"] * 20))
    table["validation_quadratic_kappa"] = np.linspace(-0.1, 0.7, 20)
    table.loc[0, "validation_loss"] = 500
    table.loc[1, "validation_loss"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)
    training_figures.curves(tmp_path / "a.csv", tmp_path / "out.png", graded=True)
    loss, _, kappa = canvases[0].axes
    assert 2 < loss.get_ylim()[1] < 10
    assert loss.get_ylabel() == "loss"
    assert kappa.get_ylabel() == "quadratic kappa"
    assert kappa.get_ylim()[0] < -0.1
    assert [len(axes.lines) for axes in (loss, kappa)] == [3, 2]  # no training kappa


def test_principal_components_are_those_of_a_singular_value_decomposition():
    vectors = np.random.default_rng(0).integers(0, 255, (30, 9000), np.uint8)
    centered = vectors - vectors.mean(0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    expected = left[:, :4] * values[:4]
    scores = embedding.principal_components(vectors, 4)
    signs = np.sign((scores * expected).sum(0))
    np.testing.assert_allclose(scores * signs, expected, rtol=1e-3, atol=0.5)
    assert embedding.principal_components(vectors).shape == (30, 30)


def test_perplexities_above_a_third_of_the_points_are_left_out():
    vectors = np.random.default_rng(0).normal(size=(60, 5))
    assert list(embedding.tsne(vectors, 0, (10, 80))) == [20, 10]
    assert list(embedding.tsne(vectors[:12], 0, (10, 80))) == [4]


@pytest.mark.parametrize("vectors", [np.full((20, 6), 7, np.uint8), np.tile(np.arange(6.0), (20, 1))])
def test_equal_vectors_lie_on_one_point(vectors):
    for points in embedding.tsne(vectors, 0, (5,)).values():
        assert not points.any()


def test_each_arm_gets_the_figures_that_apply(graded):
    folder, study = graded
    paths = Paths("full", study.name)
    of_grades = {"confusion", "curves", "endpoints", "features", "grades", "precision_recall"}
    expected = {
        "multitask": of_grades,
        "tested": of_grades,  # a softmax for an ordinal head gives no probabilities either
        "simple": {*of_grades, "roc", "reliability", "selective", "net_benefit"},
        "ensemble": of_grades - {"curves", "features"},
        "cuts": of_grades,
    }
    for arm, names in expected.items():
        assert {path.stem for path in (folder / paths.arm(arm) / "figures").iterdir()} == names, arm


def test_an_arm_of_other_models_shows_their_training(graded, monkeypatch, canvases):
    folder, study = graded
    monkeypatch.chdir(folder)
    figures.evaluation(study, "cuts")
    path = f"{Paths('full', study.name).run('multitask', 0, 0)}/history.csv"
    history = pd.read_csv(path, float_precision="round_trip")  # older ones of pandas read the last digit otherwise
    lines = [list(line.get_ydata()) for line in canvases[0].axes[0].lines]
    assert history["train_loss"].tolist() in lines


def test_features_of_another_inference_are_not_drawn(graded, monkeypatch, tmp_path):
    folder, study = graded
    run = Paths("full", study.name).run("multitask", 0, 0)
    monkeypatch.chdir(tmp_path)
    rows = pd.read_csv(folder / run / "predictions.csv")
    (tmp_path / run).mkdir(parents=True)
    rows.head(20).to_csv(tmp_path / run / "predictions.csv", index=False)
    np.save(tmp_path / run / "vectors.npy", np.load(folder / run / "vectors.npy"))
    figures.features(study, "multitask", tmp_path / "features.png")
    assert not (tmp_path / "features.png").exists()


def test_a_tile_keeps_the_aspect(tmp_path, canvases):
    grids.grid([("wide", [np.full((10, 20), 255, np.uint8)], [])], tmp_path / "out.png")
    tile = canvases[0].axes[0].images[0].get_array()
    assert tile.shape[0] == tile.shape[1]
    assert (tile[..., 0] > 128).mean() == pytest.approx(0.5, abs=0.02)
