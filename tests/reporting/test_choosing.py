"""Which arm a sentence names: validation's, whatever the test says; and whether validation can tell."""

from __future__ import annotations

from types import SimpleNamespace

from rescan.reporting.page.comparison_view import p_text, pairs_view
from rescan.reporting.text.choosing import chosen, told_apart
from rescan.reporting.text.words import Value
from rescan.results.choice import preferred
from rescan.results.comparison import Comparison


def arm(name, validation, test):
    """As much of an arm's results as a choice needs."""
    values = {"validation": validation, "test": test}

    def estimate(_, part="test"):
        return None if values[part] is None else Value(values[part], values[part] - 0.1, values[part] + 0.05)

    return SimpleNamespace(arm=name, estimate=estimate)


def choice(best, against, difference, verdict):
    ends = (None, None) if difference is None else (difference - 0.05, difference + 0.05)
    return Comparison(
        "choice",
        best,
        against,
        metric="accuracy",
        part="validation",
        difference=difference,
        difference_low=ends[0],
        difference_high=ends[1],
        verdict=verdict,
    )


ARMS = [arm("base", 0.7, 0.6), arm("rate_0.1", 0.75, 0.62), arm("rate_0.01", 0.72, 0.9), arm("ensemble", None, 0.95)]


def test_the_best_test_score_is_never_picked():
    assert preferred("accuracy", ARMS).arm == "rate_0.1"
    assert preferred("accuracy", [arm("one", 0.5, 0.1), arm("two", 0.5, 0.9)]).arm == "one"
    assert preferred("accuracy", ARMS[3:]) is None
    rows = [choice("rate_0.1", "base", 0.05, "inconclusive"), choice("rate_0.1", "rate_0.01", 0.06, "higher")]
    assert chosen("accuracy", ARMS[:3], rows) == (
        "validation prefers rate_0.1, with accuracy 0.75 (0.650–0.800); on test it has 0.62 (0.520–0.670). "
        "Validation cannot tell it from base: they differ there by +0.05 (0.00 to 0.10)."
    )
    assert chosen("accuracy", ARMS[:1], rows) == ""


def test_whether_validation_can_tell():
    higher = [choice("a", name, 0.2, "higher") for name in "bcd"]
    assert told_apart("a", "bcd", higher).startswith("Validation tells it from all others")
    assert told_apart("a", "b", higher) == "Validation tells it from b: they differ there by +0.20 (0.15 to 0.25)."
    close = [choice("a", name, 0.0, "inconclusive") for name in "bcdefg"]
    assert told_apart("a", "bcdefg", close) == (
        "Validation cannot tell it from b, c, d, e and 2 more: the intervals of the differences contain 0."
    )
    unlike = [*higher, choice("a", "e", None, "not comparable")]
    assert told_apart("a", "bcde", unlike) == "Validated on other samples: e."
    assert told_apart("a", ["b", "ensemble"], higher).endswith("Without validation scores: ensemble.")
    assert told_apart("a", "b", []) == ""


def test_the_page_shows_first_metrics_by_image_and_counts_the_rest():
    study = SimpleNamespace(data=SimpleNamespace(ordered=False, multilabel=False))
    rows = [
        Comparison("arms", "a", "b", metric="accuracy", p=0.0004, p_adjusted=0.0008, difference=0.1),
        Comparison("arms", "a", "b", metric="mcc", p=0.04),
        Comparison("arms", "a", "b", metric="accuracy", level="patient", p=0.04),
        choice("a", "b", 0.1, "higher"),
    ]
    view = pairs_view(study, rows)
    assert [(one.row.metric, one.p, one.adjusted) for one in view.rows] == [("accuracy", "< 0.001", "< 0.001")]
    assert (view.family, view.more) == (1, 2)
    assert p_text(None) == "–"
