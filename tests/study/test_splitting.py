from __future__ import annotations

import pytest

from rescan.errors import RescanError
from rescan.study import FoldsBy


def with_split(text: str, split: str) -> str:
    return f"{text}split: {split}\n"


def test_folds_of_a_column_are_counted(minimal, load):
    study = load(with_split(minimal, "{test: {site: [kyoto, 7]}, folds: {by: fov, values: [3mm, [6mm, 9]]}}"), "full")
    assert study.split.test == {"site": ["kyoto", "7"]}
    assert study.split.folds == FoldsBy(by="fov", values=[["3mm"], ["6mm", "9"]])
    assert [run.fold for run in study.runs("base")] == [0, 1]
    assert [
        run.fold
        for run in load(with_split(minimal, "{folds: {by: fov, values: [a, b]}}"), "full", folds=3).runs("base")
    ] == [0, 1, 2]


def test_a_list_of_patients_may_be_a_file(minimal, load, tmp_path):
    text = with_split(minimal, "{test: {patients_file: lists/test.txt}}")
    (tmp_path / "lists").mkdir()
    for content in ("p2\n\np1\np2\n", "\ufeffpatient\np2\np1\n", "age,patient\n5,p2\n6,p1\n7,\n"):
        (tmp_path / "lists" / "test.txt").write_text(content, "utf-8")
        assert load(text, "full").split.test == {"patient": ["p2", "p1"]}
    for content, fault in (("", "lists no patient"), ("a,b\n1,2\n", "none called patient")):
        (tmp_path / "lists" / "test.txt").write_text(content)
        with pytest.raises(RescanError, match=fault):
            load(text, "full")
    (tmp_path / "lists" / "test.txt").unlink()
    with pytest.raises(RescanError, match=r"mine\.yaml: split\.test\.patients_file: .*test\.txt: cannot be read"):
        load(text, "full")


@pytest.mark.parametrize(
    ("split", "fault"),
    [
        ("{test: {sit: kyoto}}", r"split: test: no column 'sit'; did you mean 'site'\?"),
        ("{test: {site: kyoto, device: a}}", "split: test: name one column"),
        ("{test: {}}", "split: test: name one column"),
        ("{folds: {by: sites, values: [a, b]}}", r"split: folds: by: no column 'sites'; did you mean 'site'\?"),
        ("{folds: {by: site, values: [a, [b, a]]}}", "split: folds: values: 'a' is named twice"),
        ("{folds: {by: site}}", r"split\.folds\.values: missing; add this key"),
        ("{folds: {by: site, values: [a]}}", r"split\.folds\.values: list should have at least 2 items"),
        ("{folds: {by: site, valuess: [a, b]}}", r"split\.folds\.valuess: unknown key; did you mean 'values'"),
        ("{folds: 0}", r"split\.folds: input should be greater than 0, not 0"),
        ("{folds: many}", r"split\.folds: input should be a valid integer"),
        ("{test: 1.5}", r"split\.test: input should be less than 1, not 1\.5"),
        ("{test: publishd}", r"split\.test: input should be 'published', not 'publishd'"),
        ("{test: {site: []}}", r"split\.test\.site: value should have at least 1 item"),
    ],
)
def test_faults_of_a_split(minimal, load, split, fault):
    with pytest.raises(RescanError, match=fault) as caught:
        load(with_split(minimal, split), "full")
    assert "published, or" not in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 2, str(caught.value)
