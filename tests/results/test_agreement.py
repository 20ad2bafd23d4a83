"""Tables that contradict each other give one line that names both files and what makes them anew."""

import numpy as np
import pandas as pd
import pytest
from layout_cases import small_study
from sample_files import write_groups, write_manifest, write_splits, write_store

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.agreement import check_items, read_manifest, read_samples, read_splits
from rescan.results.packed_store import ITEMS, LeftOut, PackedStore

PATHS = Paths("demo", "brain")
STORE = PATHS.store("small")
SAMPLES = pd.DataFrame(
    {"sample": ["a", "b", "c", "old/d"], "label": "glioma", "published_part": ["", "test", "", "extra"]}
)
GROUPS = pd.DataFrame({"sample": ["a", "b", "c", "old/d"], "group": ["g1", "g2", "g3", "g4"]})
SPLITS = GROUPS.assign(label="glioma", part=["train", "test", "validation", "extra"])
EXTRA = {"origin": ["", "", "", "old"]}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_manifest(PATHS, SAMPLES.assign(**EXTRA))
    write_groups(PATHS, GROUPS)
    write_splits(PATHS, SPLITS.assign(**EXTRA))
    write_store(STORE, np.zeros((4, 4, 4, 1), np.uint8), SAMPLES[["sample"]])
    return small_study(extra={"old": {"source": {"path": "x"}, "layout": "table"}})


def line(function, *arguments):
    with pytest.raises(RescanError) as error:
        function(*arguments)
    return str(error.value)


def test_files_that_agree(study):
    samples, splits = read_samples(study), read_splits(study)
    assert samples["sample"].tolist() == ["a", "b", "c", "old/d"]
    check_items(study, splits, ITEMS.read(STORE.items), STORE)
    write_splits(PATHS, SPLITS.assign(**EXTRA)[:3])
    check_items(study, read_splits(study), ITEMS.read(STORE.items), STORE)  # a fold may leave out extra samples


def test_groups_of_other_samples(study):
    write_groups(PATHS, GROUPS[:3])
    assert line(read_samples, study) == f"{PATHS.groups}: lacks sample 'old/d' of {PATHS.manifest}; run audit again"
    write_groups(PATHS, pd.concat([GROUPS, pd.DataFrame({"sample": ["e"], "group": ["g5"]})]))
    expected = f"{PATHS.manifest}: lacks sample 'e' of {PATHS.groups}; run index and run audit again"
    assert line(read_splits, study) == expected


def test_splits_and_items_of_other_samples(study):
    splits, items = read_splits(study), ITEMS.read(STORE.items)
    expected = f"{PATHS.splits}: lacks sample 'b' of {STORE.items}; run split and run preprocess again"
    assert line(check_items, study, splits.iloc[[0, 2, 3]], items, STORE) == expected
    expected = f"{STORE.items}: lacks sample 'a' of {PATHS.splits}; run preprocess again"
    assert line(check_items, study, splits, items[1:], STORE) == expected
    left_out = [LeftOut(sample="a", problem="damaged")]
    PackedStore.read(STORE.preparation).model_copy(update={"left_out": left_out}).write(STORE.preparation)
    check_items(study, splits, items[1:], STORE)
    write_splits(PATHS, SPLITS.assign(**EXTRA).iloc[[0, 2, 3]])
    assert line(read_splits, study) == f"{PATHS.splits}: lacks sample 'b' of {PATHS.groups}; run split again"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"group": ["g2", "g2", "g3", "g4"]}, f"line 2: group 'g2' does not agree with {PATHS.groups}"),
        ({"conflict": [0, 0, 1, 0]}, f"line 4: conflict 1 does not agree with {PATHS.groups}"),
        (
            {"label": ["glioma", "notumor", "glioma", "glioma"]},
            f"line 3: label 'notumor' does not agree with {PATHS.manifest}",
        ),
        ({"patient": ["p", "", "", ""]}, f"line 2: patient 'p' does not agree with {PATHS.manifest}"),
        (
            {"part": ["test", "test", "validation", "extra"]},
            f"line 2: part 'test' does not agree with {PATHS.manifest}",
        ),
        ({"part": ["train", "train", "test", "extra"]}, f"line 3: part 'train' does not agree with {PATHS.manifest}"),
        (
            {"part": ["train", "test", "external", "extra"]},
            f"line 4: part 'external' does not agree with {PATHS.manifest}",
        ),
        ({"part": ["train", "test", "zzz", "extra"]}, "line 4: part is 'zzz', not one of train, validation, test"),
        ({"linked": [1, 0, 0, 0]}, "line 2: linked 1 does not agree with the groups of its test part"),
    ],
)
def test_splits_that_contradict_the_manifest_the_groups_or_themselves(study, change, fault):
    write_splits(PATHS, SPLITS.assign(**{**EXTRA, **change}))
    assert line(read_splits, study).startswith(f"{PATHS.splits}: {fault}")
    assert line(read_splits, study).endswith("; delete it and run split again")


def test_a_test_row_that_is_repeated_as_one_to_train_on(study):
    again = SPLITS[1:2].assign(part="train", group="g9")
    write_splits(PATHS, pd.concat([SPLITS, again]).assign(origin=["", "", "", "old", ""]))
    assert "line 6: a second row of sample b, fold 0" in line(read_splits, study)


def test_a_group_on_both_sides_is_refused_wherever_splits_are_read(study):
    write_groups(PATHS, GROUPS.assign(group=["g1", "g2", "g1", "g4"]))
    write_splits(PATHS, SPLITS.assign(**EXTRA, group=["g1", "g2", "g1", "g4"]))
    said = line(read_splits, study)
    assert said.startswith(f"{PATHS.splits}: group 'g1', one of 1, lies in more than one part of fold 0")


def test_an_unreadable_sample_in_the_splits(study):
    write_groups(PATHS, GROUPS.assign(problem=["cut off", "", "", ""]))
    assert f"holds sample 'a', which {PATHS.groups} calls unreadable" in line(read_splits, study)


def test_a_test_part_that_differs_between_folds(study):
    cut = study.model_copy(update={"split": study.split.model_copy(update={"test": 0.3, "folds": 2})})
    rows = SPLITS.assign(**EXTRA, fold=0)
    write_splits(PATHS, pd.concat([rows, rows.assign(fold=1, part=["train", "validation", "test", "extra"])]))
    assert "line 3: part 'test' does not agree with its other folds" not in line(read_splits, cut)
    assert "line 4: part 'validation' does not agree with its other folds" in line(read_splits, cut)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"label": ["bird", *["glioma"] * 3]}, "line 2: label is 'bird' in part ''"),
        ({"published_part": ["", "unlabeled", "", "extra"]}, "line 3: label is 'glioma' in part 'unlabeled'"),
        ({"label": ["glioma", "glioma", "", "glioma"]}, "line 4: label is '' in part ''"),
        ({"origin": ["", "", "", "new"]}, "line 5: origin is 'new' in part 'extra'"),
        ({"origin": ["old", "", "", "old"]}, "line 2: origin is 'old' in part ''"),
    ],
)
def test_values_that_the_study_does_not_have(study, change, fault):
    write_manifest(PATHS, SAMPLES.assign(**{**EXTRA, **change}))
    assert fault in line(read_manifest, study)
    assert line(read_manifest, study).endswith("; delete it and run index again")


def test_folds_that_the_study_does_not_have(study):
    write_splits(PATHS, SPLITS.assign(**EXTRA, fold=1))
    assert line(read_splits, study) == f"{PATHS.splits}: has the folds [1], the study 1; delete it and run split again"
