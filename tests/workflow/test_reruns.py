from __future__ import annotations

from types import SimpleNamespace

import pytest

from rescan.study import Study
from rescan.study.keys import study_key
from rescan.workflow.reruns import Keys

STUDY = {
    "name": "pets",
    "scale": "demo",
    "title": "Pets",
    "data": {"source": {"path": "raw"}, "layout": "class_folders", "classes": ["cat", "dog"]},
    "split": {},
    "preparations": {"small": {"steps": ["resize"]}},
    "arms": {
        "a": {
            "preparation": "small",
            "network": {"encoder": "resnet18"},
            "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
        }
    },
}
INDEX = ("data.layout", "data.classes", "data.labels", "data.ordered", "data.extra", "split.test")
AUDIT = ("data.classes", "data.ordered", "data.extra", "split.group_by")


def test_several_labels_rerun_all_that_reads_labels():
    one = Study.model_validate({**STUDY, "data": {**STUDY["data"], "layout": "table"}})
    several = one.model_copy(update={"data": one.data.model_copy(update={"multilabel": True})})
    for step in ("data", "index", "audit"):
        keys = [
            getattr(Keys(SimpleNamespace(everything={"pets": study})), step)(SimpleNamespace(study="pets"))
            for study in (one, several)
        ]
        assert keys[0] != keys[1]


@pytest.mark.parametrize(
    ("step", "sections", "change"),
    [
        ("index", INDEX, {"data": {**STUDY["data"], "patients": "as_is"}}),
        ("audit", AUDIT, {"preparations": {"small": {"steps": ["resize"], "nan": "black"}}}),
    ],
)
def test_what_came_later_reruns_a_step_only_where_it_is_asked_for(step, sections, change):
    keys = []
    for content in (STUDY, {**STUDY, **change}):
        study = Study.model_validate(content)
        plan = SimpleNamespace(everything={"pets": study})
        keys.append(getattr(Keys(plan), step)(SimpleNamespace(study="pets")))
    assert keys[0] == study_key(Study.model_validate(STUDY), *sections)
    assert keys[1] != keys[0]


def test_a_preparation_may_have_a_dot_in_its_name_and_its_key_is_as_that_of_its_section():
    study = Study.model_validate(STUDY)
    dotted = study.model_copy(update={"preparations": {"v1.2": study.preparations["small"]}})
    keys = [
        Keys(SimpleNamespace(everything={"pets": own})).preparation(SimpleNamespace(study="pets", preparation=name))
        for own, name in ((study, "small"), (dotted, "v1.2"))
    ]
    assert keys == [study_key(study, "preparations.small")] * 2


def test_operating_points_rerun_results_and_no_training():
    keys = []
    for points in ([], ["youden"]):
        study = Study.model_validate({**STUDY, "operating_points": points})
        plan, of_arm = Keys(SimpleNamespace(everything={"pets": study})), SimpleNamespace(study="pets", arm="a")
        keys.append((plan.training(of_arm), plan.results(of_arm)))
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]
