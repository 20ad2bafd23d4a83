from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sample_files import write_groups, write_manifest

from rescan.data.headers import hashed, key_at
from rescan.data.split import split
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.splits import SPLITS

PATHS = Paths("demo", "pets")
SITES = ["kyoto", "osaka", "kobe"]


def write(rows: pd.DataFrame) -> None:
    """Write a manifest and groups.csv of rows with columns group, label, site and what else is known."""
    names = [f"s{index:03d}" for index in range(len(rows))]
    columns = rows.columns.difference(["group"])
    write_manifest(PATHS, rows[columns].assign(sample=names))
    write_groups(PATHS, pd.DataFrame({"sample": names, "group": rows["group"]}))


def sites(count: int = 30) -> pd.DataFrame:
    """Samples of each site, each a group of its own, of both labels."""
    rows = [(f"{site}{number // 1}", ("cat", "dog")[number % 2], site) for site in SITES for number in range(count)]
    return pd.DataFrame(rows, columns=["group", "label", "site"])


def run(study) -> pd.DataFrame:
    split(study)
    return SPLITS.read(PATHS.splits).merge(pd.read_csv(PATHS.manifest, keep_default_na=False)[["sample", "site"]])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_holds_out_one_value_or_several(study):
    write(sites())
    for values in ("kyoto", ["kyoto", "kobe"]):
        splits = run(study(test={"site": values}))
        test = splits[splits["part"] == "test"]
        assert set(test["site"]) == ({values} if isinstance(values, str) else set(values))
        assert len(test) == 30 * test["site"].nunique()
        assert set(splits["part"]) == {"train", "validation", "test"}


def test_relatives_of_the_test_part_are_left_out_and_said(study, caplog):
    rows = sites()
    rows.loc[[40, 41], "group"] = "kyoto3"  # two of osaka, of a patient who was in kyoto, too
    rows.loc[[70], "site"] = ""
    write(rows)
    with caplog.at_level(logging.INFO, "rescan"):
        splits = run(study(test={"site": "kyoto"}))
    assert set(splits.loc[splits["part"] == "left_out", "sample"]) == {"s040", "s041", "s070"}
    assert set(splits.loc[splits["part"] == "test", "site"]) == {"kyoto"}
    assert "2 samples are left out: they share a group with the test part" in caplog.text
    assert "1 samples are left out: their site is unknown" in caplog.text


def test_tests_on_a_list_of_patients(study):
    rows = sites().assign(patient=[f"p{number // 3}" for number in range(90)])
    write(rows.assign(group=rows["patient"]))
    splits = run(study(test={"patient": ["p0", "p11", "p29"]}))
    test = splits[splits["part"] == "test"]
    assert set(test["patient"]) == {"p0", "p11", "p29"}
    assert len(test) == 9


def test_patients_are_listed_as_headers_have_them_or_by_their_hashes(study):
    """Ids from headers are hashed; a list of them is one of the hospital's own ids."""
    key = key_at(PATHS.patients_key)
    hashes = [hashed(f"MRN {number // 3:03d}", key, "p") for number in range(90)]
    rows = sites().assign(patient=hashes)
    write(rows.assign(group=rows["patient"]))
    for listed in ("MRN 005", "mrn5", hashes[15]):
        splits = run(study(test={"patient": [listed]}))
        assert set(splits.loc[splits["part"] == "test", "patient"]) == {hashes[15]}
    with pytest.raises(RescanError) as raised:
        split(study(test={"patient": ["MRN 99"]}))
    assert "'MRN 99' among 30; ids from DICOM headers are known by their hashes only: list" in str(raised.value)
    folds = {"by": "patient", "values": [[f"MRN {number}" for number in part] for part in (range(14), range(14, 29))]}
    splits = run(study(test={"patient": "MRN 29"}, folds=folds))
    assert splits.groupby("fold")["part"].value_counts().to_dict() == {
        (0, "train"): 45,
        (0, "validation"): 42,
        (0, "test"): 3,
        (1, "train"): 42,
        (1, "validation"): 45,
        (1, "test"): 3,
    }


def test_a_value_that_differs_only_in_how_it_is_written_is_not_trained_on(study):
    rows = sites()
    rows.loc[:3, "site"] = "Kyoto "
    write(rows)
    for split_by in ({"test": {"site": "kyoto"}}, {"test": 0.2, "folds": {"by": "site", "values": SITES}}):
        with pytest.raises(RescanError, match="site 'Kyoto ' and 'kyoto' differ only in case, blanks"):
            split(study(**split_by))
    splits = run(study(test={"site": ["kyoto", "Kyoto "]}))
    assert (splits["part"] == "test").sum() == 30
    with pytest.raises(RescanError, match="no sample of site 'KOBE'; did you mean 'kobe'"):
        split(study(test={"site": "KOBE"}))


def test_folds_may_leave_one_patient_out(study):
    patients = [f"p{number // 30}" for number in range(90)]
    write(sites().assign(patient=patients, group=patients))
    splits = run(study(test={"patient": "p2"}, folds={"by": "patient", "values": ["p0", "p1"]}))
    assert splits.groupby(["fold", "part"])["patient"].agg(set).to_dict() == {
        (0, "train"): {"p1"},
        (0, "validation"): {"p0"},
        (0, "test"): {"p2"},
        (1, "train"): {"p0"},
        (1, "validation"): {"p1"},
        (1, "test"): {"p2"},
    }


def test_each_fold_holds_out_a_site_and_no_sample_is_validated_twice(study):
    rows = sites()
    rows.loc[35, "group"] = "kobe5"
    write(rows)
    folds = {"by": "site", "values": SITES}
    splits = run(study(test=0.2, folds=folds))
    validation = splits[splits["part"] == "validation"]
    tested = set(splits.loc[splits["part"] == "test", "sample"])
    assert {fold: set(of["site"]) for fold, of in validation.groupby("fold")} == {
        0: {"kyoto"},
        1: {"osaka"},
        2: {"kobe"},
    }
    assert sorted(validation["sample"]) == sorted({f"s{n:03d}" for n in range(90)} - tested)
    assert (splits[splits["part"] == "train"].groupby("fold")["site"].nunique() == 2).all()
    if "s035" not in tested:  # its relative is in kobe: neither trains the network that the other validates
        left_out = splits[splits["part"] == "left_out"].set_index("fold")["sample"]
        assert left_out[2] == "s035"
        assert splits.loc[splits["sample"] == left_out[1], "group"].unique() == ["kobe5"]
    joined = run(study(test=0.2, folds={"by": "site", "values": ["kyoto", ["osaka", "kobe"]]}))
    assert set(joined["fold"]) == {0, 1}


def test_extra_samples_of_what_is_held_out_do_not_train(study):
    rows = sites()
    sites_of_more = ["kyoto", "nara", "nara", "Kyoto "]
    more = pd.DataFrame({"group": ["e1", "e2", "kyoto1", "e3"], "label": "cat", "site": sites_of_more})
    more = more.assign(origin="more", published_part="extra")
    write(pd.concat([rows, more], ignore_index=True).fillna(""))
    data = {"extra": {"more": {"source": {"path": "more"}, "layout": "table"}}}
    splits = run(study(data, test={"site": "kyoto"}))
    assert splits.loc[splits["part"] == "extra", "sample"].tolist() == ["s091"]


@given(
    groups=st.lists(st.integers(0, 40), min_size=90, max_size=90),
    places=st.lists(st.sampled_from([*SITES, ""]), min_size=90, max_size=90),
    test=st.sampled_from([0.2, {"site": ["kyoto"]}, {"patient": ["p1", "p2"]}]),
    by_site=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_group_is_ever_on_two_sides(study, groups, places, test, by_site):
    patients = [f"p{group}" for group in groups]
    labels = ["cat" if number % 2 else "dog" for number in range(90)]
    write(pd.DataFrame({"group": patients, "patient": patients, "label": labels, "site": places}))
    values = [value for value in SITES if test != {"site": ["kyoto"]} or value != "kyoto"]
    folds = {"by": "site", "values": values} if by_site else 2
    Path(PATHS.splits).unlink(missing_ok=True)
    try:
        splits = run(study(test=test, folds=folds))
    except RescanError:  # too few patients, a class on one side
        assert not Path(PATHS.splits).exists()
        return
    sides = splits[splits["part"].isin(["train", "validation", "test"])]
    assert sides.groupby(["fold", "group"])["part"].nunique().max() == 1
    assert (splits.groupby("fold").size() == 90).all()
    if by_site:
        for _, fold in sides.groupby("fold"):
            validated = set(fold.loc[fold["part"] == "validation", "site"])
            assert validated.isdisjoint(fold.loc[fold["part"] == "train", "site"])
            assert "" not in set(fold.loc[fold["part"] != "test", "site"])


@pytest.mark.parametrize(
    ("change", "options", "fault"),
    [
        ({}, {"test": {"site": "kyto"}}, r"split\.test: no sample of site 'kyto'; did you mean 'kyoto'\?"),
        ({}, {"test": {"device": "A"}}, r"split\.test: no sample has a 'device'; add the column"),
        ({"site": ""}, {"test": {"site": "kyoto"}}, r"split\.test: no sample has a 'site'"),
        ({}, {"test": 0.2, "folds": {"by": "site", "values": ["kyoto", "osaka"]}}, "lacks some of site: kobe"),
        ({}, {"test": 0.2, "folds": {"by": "site", "values": ["kyoto", "nara"]}}, "no sample of site 'nara'"),
        (
            {"site": ["kobe"] * 3 + ["kyoto"] * 40 + ["osaka"] * 47},
            {"test": 0.1, "folds": {"by": "site", "values": SITES}},
            "site kobe has only 3 samples of 3 patients or groups, a fold needs 5",
        ),
        (
            {"label": ["cat"] * 30 + ["dog"] * 60},
            {"test": {"site": "kyoto"}},
            "class 'cat' has no readable sample in part 'train' of fold 0; the held out site kyoto have all of it",
        ),
        (
            {"label": ["cat"] * 30 + ["dog"] * 60},
            {"test": {"site": ["osaka", "kobe"]}},
            "class 'dog' has no readable sample in part 'train' of fold 0; the held out site osaka, kobe have all",
        ),
        (
            {"label": ["cat"] * 30 + ["dog"] * 60},
            {"test": 0.2, "folds": {"by": "site", "values": SITES}},
            "part 'train' of fold 0; all of it are of site kyoto",
        ),
        (
            {"patient": "p1", "group": "g1"},
            {"test": 0.2},
            r"all 90 samples are of one patient \('p1'\); training, validation and test need one each",
        ),
        (
            {"patient": ["p1"] * 45 + ["p2"] * 45, "group": ["g1"] * 45 + ["g2"] * 45},
            {"test": 0.3},
            "all 90 samples are of 2 patients; training, validation and test need one each",
        ),
        (
            {"patient": ["p1", "p2", "p3"] * 30, "group": ["g1", "g2", "g3"] * 30},
            {"test": {"patient": "p1"}, "folds": 3},
            "all 60 samples are of 2 patients; 3 folds need one each",
        ),
    ],
)
def test_faults_are_said_before_a_training(study, change, options, fault):
    write(sites().assign(**change))
    with pytest.raises(RescanError, match=fault):
        split(study(**options))
    assert not Path(PATHS.splits).exists()
