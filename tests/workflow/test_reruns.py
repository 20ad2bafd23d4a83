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
