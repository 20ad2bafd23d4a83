"""What the page says of probabilities."""

from __future__ import annotations

from pathlib import Path

from rescan.paths import Paths
from rescan.reporting.page.calibration_view import calibration_view
from rescan.reporting.page.report import report
from rescan.reporting.text import calibration_words
from rescan.results.metrics_file import read_metrics
from rescan.results.reliability import Calibration, Range, Referral, Reliability


def quantity(value=None, low=None, high=None) -> Range:
    return Range(value=value, low=low, high=high)


def calibration_of(slope, intercept, ece=(0.1, 0.0, 0.2), undefined="") -> Calibration:
    numbers = {"slope": quantity(*slope), "intercept": quantity(*intercept), "ece": quantity(*ece)}
    after = Reliability(bins=[], brier=quantity(0.1, 0.05, 0.2), **numbers)
    return Calibration(kind="class", n=40, present=10, groups=20, after=after, before=None, undefined=undefined)


def test_a_sentence_says_what_the_intervals_show():
    found = {
        "a": calibration_of((0.5, 0.3, 0.8), (-1, -2, -0.1)),
        "b": calibration_of((1.2, 0.8, 1.6), (0, -0.3, 0.3)),
        "c": calibration_of((1.5, 1.1, 1.9), (0.4, 0.1, 0.7)),
        "d": calibration_of((), (), undefined="none has it"),
        "e": calibration_of((), (), ece=(0.2, 0.1, 0.3), undefined="all have it"),
    }
    shown, *others = calibration_words.reading(found, {name: name.upper() for name in found})
    assert shown == (
        "Shown to be miscalibrated: A (too extreme and too high on average), C (not extreme enough and too low on "
        "average) and E (off by 0.100 at least)."
    )
    assert others == [
        "Of the others, no miscalibration is shown, which does not prove that there is none.",
        "D has no slope: of 40 predictions, none has it.",
        "E has no slope: of 40 predictions, all have it.",
    ]


def referral_of(values, needed, surely, gain) -> Referral:
    accuracy = [quantity(value, value - 0.1, 1.0) for value in values]
    shares = [0, 0.2, 0.4]
    target = (1 + values[0]) / 2
    return Referral(
        referred=shares,
        accuracy=accuracy,
        sensitivity=[],
        specificity=[],
        target=target,
        needed=needed,
        surely_needed=surely,
        gain=quantity(*gain),
    )


def test_what_referring_gains_in_words():
    text = calibration_words.referral("", referral_of((0.6, 0.7, 0.8), 0.4, None, (0.1, 0.05, 0.15)), "image")
    assert text == (
        "If the 20 % of images that each network is least sure of are referred to a human, accuracy on the rest is "
        "0.700 (0.600–1.000) instead of 0.600 (0.500–1.000). To halve the error rate, 40 % must be referred. Its order "
        "is better than a random one: averaged over all shares, the error rate of the rest is "
        "0.100 (0.050–0.150) lower."
    )
    worse = referral_of((0.6, 0.5, 0.4), None, None, (-0.1, -0.15, -0.05))
    text = calibration_words.referral("any_disease", worse, "image")
    assert text.startswith("any disease: if the 20 % of images")
    assert "No share up to 40 % halves the error rate." in text
    assert "Its order is worse than a random one" in text
    assert text.endswith("the error rate of the rest is 0.100 (0.050–0.150) higher.")
    perfect = calibration_words.referral("", referral_of((1, 1, 1), 0, None, (0, 0, 0)), "image")
    assert "There is no error to avoid." in perfect


def test_the_page_has_a_table_figures_and_a_reason_where_there_are_none(graded, monkeypatch):
    folder, study = graded
    monkeypatch.chdir(folder)
    view = calibration_view(study, read_metrics(study, "simple"), None)
    names = [*study.data.classes, "any disease (≥ mild)", "referable (≥ moderate)"]
    assert [row.title for row in view.rows] == names
    assert len(view.figures) == 2
    assert view.caption.startswith("Test part, the 2 runs together: 200 predictions of ")
    none = calibration_view(study, read_metrics(study, "multitask"), None)
    assert none.rows == []
    report(study)
    page = Path(Paths(study.scale, study.name).page).read_text("utf-8")
    assert page.count("Probability of") == 1
    assert page.count("which gives no probabilities of classes") == len(study.arms) - 2  # without simple and absent
