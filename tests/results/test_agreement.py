"""Tables that contradict each other give one line that names both files and what makes them anew."""

import numpy as np
import pandas as pd
import pytest
from layout_cases import small_study
from sample_files import write_groups, write_manifest, write_splits, write_store

from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.agreement import check_items, check_splits, read_manifest, read_samples, read_splits
from rescan.results.packed_store import ITEMS, LeftOut, PackedStore

PATHS = Paths("demo", "brain")
STORE = PATHS.store("small")
SAMPLES = pd.DataFrame({"sample": ["a", "b", "old/c"], "label": "glioma", "published_part": ["", "", "extra"]})
SPLITS = pd.DataFrame(
    {"sample": ["a", "b", "old/c"], "group": "g", "label": "glioma", "part": ["train", "test", "extra"]}
)
EXTRA = {"origin": ["", "", "old"]}


@pytest.fixture
def study(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_manifest(PATHS, SAMPLES.assign(**EXTRA))
    write_groups(PATHS, SAMPLES[["sample"]])
    write_splits(PATHS, SPLITS.assign(**EXTRA))
    write_store(STORE, np.zeros((3, 4, 4, 1), np.uint8), SAMPLES[["sample"]])
    return small_study(extra={"old": {"source": {"path": "x"}, "layout": "table"}})


def line(function, *arguments):
    with pytest.raises(RescanError) as error:
        function(*arguments)
    return str(error.value)


def test_files_that_agree(study):
    samples, splits = read_samples(study), read_splits(study)
    assert samples["sample"].tolist() == ["a", "b", "old/c"]
    check_splits(study, samples, splits)
    check_items(study, splits, ITEMS.read(STORE.items), STORE)
    check_splits(study, samples, splits[:2])  # a fold may leave out extra samples
    check_items(study, splits[:2], ITEMS.read(STORE.items), STORE)


def test_groups_of_other_samples(study):
    write_groups(PATHS, SAMPLES[["sample"]][:2])
    assert line(read_samples, study) == f"{PATHS.groups}: lacks sample 'old/c' of {PATHS.manifest}; run audit again"
    write_groups(PATHS, pd.concat([SAMPLES[["sample"]], pd.DataFrame({"sample": ["d"]})]))
    expected = f"{PATHS.manifest}: lacks sample 'd' of {PATHS.groups}; run index and run audit again"
    assert line(read_samples, study) == expected


def test_splits_and_items_of_other_samples(study):
    samples, splits, items = read_samples(study), read_splits(study), ITEMS.read(STORE.items)
    expected = f"{PATHS.splits}: lacks sample 'b' of {PATHS.groups}; run split again"
    assert line(check_splits, study, samples, splits.iloc[[0, 2]]) == expected
    expected = f"{PATHS.splits}: lacks sample 'b' of {STORE.items}; run split and run preprocess again"
    assert line(check_items, study, splits.iloc[[0, 2]], items, STORE) == expected
    expected = f"{STORE.items}: lacks sample 'a' of {PATHS.splits}; run preprocess again"
    assert line(check_items, study, splits, items[1:], STORE) == expected
    left_out = [LeftOut(sample="a", problem="damaged")]
    PackedStore.read(STORE.preparation).model_copy(update={"left_out": left_out}).write(STORE.preparation)
    check_items(study, splits, items[1:], STORE)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"label": ["bird", "glioma", "glioma"]}, "line 2: label is 'bird' in part ''"),
        ({"published_part": ["", "unlabeled", "extra"]}, "line 3: label is 'glioma' in part 'unlabeled'"),
        ({"label": ["glioma", "", "glioma"]}, "line 3: label is '' in part ''"),
        ({"origin": ["", "", "new"]}, "line 4: origin is 'new' in part 'extra'"),
        ({"origin": ["old", "", "old"]}, "line 2: origin is 'old' in part ''"),
    ],
)
def test_values_that_the_study_does_not_have(study, change, fault):
    write_manifest(PATHS, SAMPLES.assign(**{**EXTRA, **change}))
    assert fault in line(read_manifest, study)
    assert line(read_manifest, study).endswith("; delete it and run index again")


def test_folds_that_the_study_does_not_have(study):
    write_splits(PATHS, SPLITS.assign(**EXTRA, fold=1))
    assert line(read_splits, study) == f"{PATHS.splits}: has the folds [1], the study 1; delete it and run split again"
