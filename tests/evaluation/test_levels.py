"""What is read off predictions by eye, by patient and as two classes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from rescan.evaluation.levels import by_unit
from rescan.evaluation.readings import Reading, endpoint
from rescan.evaluation.scoring import runs_of

ROWS = pd.DataFrame(
    {
        "part": "test",
        "fold": 0,
        "seed": 0,
        "item": range(5),
        "sample": list("abcde"),
        "group": ["g1"] * 3 + ["g2"] * 2,
        "patient": ["p1"] * 3 + ["p2"] * 2,
        "eye": ["left", "left", "right", "left", "right"],
        "target": [0, 0, 2, 1, 1],
    }
)
PROBABILITIES = np.array([[0.8, 0.1, 0.1], [0.4, 0.5, 0.1], [0.1, 0.2, 0.7], [0.2, 0.7, 0.1], [0.5, 0.3, 0.2]])
READING = Reading(ROWS, PROBABILITIES.argmax(1), PROBABILITIES @ np.arange(3), np.log(PROBABILITIES))


def test_a_patient_is_as_ill_as_the_worse_eye():
    eyes, ties = by_unit(READING, "eye", 3, ordered=True)
    assert ties == {}
    assert list(zip(eyes.rows["patient"], eyes.rows["eye"])) == [
        ("p1", "left"),
        ("p1", "right"),
        ("p2", "left"),
        ("p2", "right"),
    ]
    assert eyes.rows["target"].tolist() == [0, 2, 1, 1]
    assert eyes.predicted.tolist() == [1, 2, 1, 0]
    patients, _ = by_unit(READING, "patient", 3, ordered=True)
    assert patients.rows["target"].tolist() == [2, 1]
    assert patients.predicted.tolist() == [2, 1]
    assert patients.grade == pytest.approx([1.6, 0.9])
    assert patients.log_probabilities is None


def test_without_an_order_the_mean_probability_decides_and_ties_are_left_out():
    patients, ties = by_unit(READING, "patient", 3, ordered=False)
    assert ties == {}
    assert patients.rows["target"].tolist() == [0, 1]
    assert np.exp(patients.log_probabilities[0]) == pytest.approx(PROBABILITIES[:3].mean(0))
    tied = READING._replace(rows=ROWS.assign(target=[0, 0, 2, 1, 0]))
    patients, ties = by_unit(tied, "patient", 3, ordered=False)
    assert ties == {"test": 1}
    assert patients.rows["patient"].tolist() == ["p1"]


def test_the_majority_decides_a_tie_goes_to_the_mean_probability_and_mixed_patients_are_apart():
    """By hand: p1's images are called 0, 1, 2 (a tie; the mean probability is .43, .27, .30); p2's 1 and 0."""
    patients, ties = by_unit(READING, "patient", 3, ordered=False, majority=True)
    assert ties == {}
    assert patients.predicted.tolist() == [0, 1]
    votes = READING._replace(predicted=np.array([1, 1, 2, 1, 1]))
    patients, _ = by_unit(votes, "patient", 3, ordered=False, majority=True)
    assert patients.predicted.tolist() == [1, 1]  # two of three, though 0 is more probable
    assert by_unit(votes, "patient", 3, ordered=False)[0].predicted.tolist() == [0, 1]
    patients, _ = by_unit(READING, "patient", 3, ordered=False, consistent=True)
    assert patients.rows["patient"].tolist() == ["p2"]  # p1 has images of two labels


def test_studies_are_each_patient_s_own():
    rows = ROWS.assign(study=["s1", "s1", "s2", "s1", "s1"], target=[0, 0, 2, 1, 0])
    studies, ties = by_unit(READING._replace(rows=rows), "study", 3, ordered=False)
    assert list(zip(studies.rows["patient"], studies.rows["study"])) == [("p1", "s1"), ("p1", "s2")]
    assert ties == {"test": 1}


def test_an_endpoint_has_the_probability_of_its_grades():
    found = endpoint(READING, 1)
    assert found.rows["target"].tolist() == [0, 0, 1, 1, 1]
    assert found.predicted.tolist() == [0, 1, 1, 1, 0]
    assert np.exp(found.log_probabilities[:, 1]) == pytest.approx(PROBABILITIES[:, 1:].sum(1))


def test_an_endpoint_without_probabilities_is_ranked_by_the_grade():
    found = endpoint(READING._replace(log_probabilities=None), 2)
    (run,) = runs_of(found, "group", 2).values()
    assert run.probabilities is None
    order = run.rankings[1]
    assert order.positive.tolist() == [True, False, False, False, False]  # .7 · 2 + .2 is the highest grade
