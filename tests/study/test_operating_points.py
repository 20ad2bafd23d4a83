"""The section `operating_points`: names, what they are of, faults, and what reruns."""

from __future__ import annotations

import pytest
from sample_predictions import make_graded, make_study

from rescan.errors import RescanError
from rescan.study.keys import recipe_key, result_key
from rescan.study.operating_points import OperatingPoint, points_asked


def with_points(text: str, points: str) -> str:
    return text + f"\noperating_points: {points}\n"


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ("youden", "youden"),
        ({"sensitivity": 0.95}, "sensitivity_95"),
        ({"specificity": 0.975}, "specificity_97.5"),
        ({"ppv": 0.57}, "ppv_57"),
        ({"cost": {"fn": 5, "fp": 1}}, "cost_fn5_fp1"),
        ({"threshold": 0.3}, "threshold_0.3"),
        (0.3, "threshold_0.3"),
        ({"youden": True, "of": "ill"}, "youden"),
    ],
)
def test_names(point, name):
    assert OperatingPoint.model_validate(point).name == name


def asked_of(study):
    return [
        (point.name, question.name, question.kind)
        for point, question in points_asked(study.operating_points, study.data.outcome)
    ]


def test_what_a_point_is_of_if_it_does_not_say_so():
    assert asked_of(make_study(classes=2, operating_points=["youden"])) == [("youden", "b", "class")]
    endpoints = [("youden", "any_disease", "endpoint"), ("youden", "referable", "endpoint")]
    assert asked_of(make_graded(operating_points=["youden"])) == endpoints
    of_class = make_graded(operating_points=[{"youden": True, "of": "b"}])
    assert asked_of(of_class) == [("youden", "b", "class")]
    assert [name for _, name, _ in asked_of(make_study(operating_points=["youden"]))] == list("abcd")


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        ("[yuden]", "operating_points.0: 'yuden' is no rule; use youden, a number, or a mapping such as"),
        ("[null]", "operating_points.0: None is no rule"),
        ("[true]", "operating_points.0: True is no rule"),
        ("[{}]", "needs exactly one of youden, sensitivity, specificity, ppv, cost, threshold, not none"),
        ("[{sensitivity: 0.9, ppv: 0.8}]", "not sensitivity and ppv"),
        ("[{sensitivit: 0.9}]", "unknown key; did you mean 'sensitivity'?"),
        ("[{sensitivity: 95}]", "operating_points.0.sensitivity: input should be less than 1, not 95"),
        ("[{specificity: 0}]", "input should be greater than 0, not 0"),
        ("[{ppv: .nan}]", ".nan is no finite number"),
        ("[{cost: {fn: 1e7, fp: 1}}]", "cost.fn: input should be less than or equal to 1000000, not 10000000.0"),
        ("[{cost: {fn: 5}}]", "cost.fp: missing; add this key"),
        ("[{youden: true, prevalence: 1}]", "prevalence: input should be less than 1"),
        ("[1.5]", "threshold_1.5: threshold: arm base gives probabilities; use a number below 1"),
        (
            "[{youden: true, of: glioms}]",
            "youden: of: no question about 'glioms'; did you mean 'glioma'?",
        ),
        ("[youden, youden]", "youden: is there twice of glioma; take one out"),
        ("[{youden: true, of: other, predicts: true}]", "is for two classes or several labels, not of other"),
    ],
)
def test_faults_are_one_line(load, minimal, points, fault):
    text = minimal.replace("[no, yes]", "[glioma, notumor, other]")
    assert text != minimal
    with pytest.raises(RescanError) as caught:
        load(with_points(text, points), "full")
    assert fault in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_of_two_classes_and_labels_one_point_predicts(load, several):
    predicts = "[{youden: true, predicts: true}, {sensitivity: 0.9, of: mass, predicts: true}]"
    with pytest.raises(RescanError, match="another point predicts mass, too; keep one"):
        load(with_points(several, predicts), "full")
    two = several.replace("keep: last", "keep: last\n  posttrain: {thresholds: youden}")
    with pytest.raises(RescanError, match="arm one has posttrain thresholds or cuts already; keep one of the two"):
        load(with_points(two, "[{youden: true, predicts: true}]"), "full")
    grades = {"source": {"path": "r"}, "layout": "class_folders", "classes": list("abc"), "ordered": True}
    with pytest.raises(ValueError, match=r"of grades, add data\.endpoints, or name a class by of"):
        make_study(data=grades, operating_points=["youden"])


def test_points_rerun_results_and_no_training():
    plain, other = (make_study(classes=2, **more) for more in ({}, {"operating_points": ["youden"]}))
    assert recipe_key(plain, "one") == recipe_key(other, "one")
    keys = {result_key(plain, "one"), result_key(other, "one")}
    for point in ({"youden": True, "prevalence": 0.1}, {"youden": True, "predicts": True}, {"sensitivity": 0.9}):
        keys.add(result_key(make_study(classes=2, operating_points=[point]), "one"))
    assert len(keys) == 5
