from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_files import write_groups, write_manifest

from rescan.data.split import cut, split, training_samples
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.agreement import check_no_leak
from rescan.results.manifest import MANIFEST
from rescan.results.splits import SPLITS

PATHS = Paths("demo", "pets")


def write(tmp_path, monkeypatch, groups, labels, parts=None, problems=None, conflicts=None, origins=""):
    """Write a manifest and groups.csv for samples s000, s001, …"""
    monkeypatch.chdir(tmp_path)
    names = [f"s{index:03d}" for index in range(len(groups))]
    manifest = {"sample": names, "label": labels, "published_part": parts or "", "origin": origins}
    write_manifest(PATHS, pd.DataFrame(manifest))
    table = {"sample": names, "group": groups, "problem": problems or "", "conflict": conflicts or 0}
    write_groups(PATHS, pd.DataFrame(table))


def some(count=240):
    """Groups of 1 to 4 samples of one label each."""
    rng = np.random.default_rng(0)
    groups = np.sort(rng.integers(0, count // 2, count))
    return [f"g{group}" for group in groups], [("cat", "dog")[int(group % 3 == 0)] for group in groups]


def run(study):
    split(study)
    return SPLITS.read(PATHS.splits)


def test_cuts_test_and_validation_by_group_stratified(tmp_path, monkeypatch, study):
    groups, labels = some()
    write(tmp_path, monkeypatch, groups, labels)
    splits = run(study(test=0.25, validation=0.2))
    assert sorted(splits["sample"]) == [f"s{index:03d}" for index in range(240)]
    assert splits.groupby("group")["part"].nunique().max() == 1
    assert (splits["linked"] == 0).all()
    for label, rows in splits.groupby("label"):
        counts = rows["part"].value_counts()
        assert counts["test"] == pytest.approx(0.25 * len(rows), abs=2), label
        assert counts["validation"] == pytest.approx(0.2 * 0.75 * len(rows), abs=2), label
        groups_of = rows.groupby("part")["group"].nunique()
        assert groups_of["test"] == pytest.approx(0.25 * groups_of.sum(), rel=0.4), label


def test_several_labels_are_stratified_one_by_one(tmp_path, monkeypatch, study):
    rng = np.random.default_rng(0)
    findings = rng.random((400, 3)) < [0.4, 0.15, 0.08]  # eight sets of labels, some of two samples
    joined = ["|".join(np.array(["cat", "dog", "owl"])[row]) or "none" for row in findings]
    write(tmp_path, monkeypatch, [f"g{number // 2}" for number in range(400)], joined)
    plain = study(test=0.25, validation=0.2)
    data = plain.data.model_copy(update={"classes": ["cat", "dog", "owl"], "multilabel": True})
    splits = run(plain.model_copy(update={"data": data}))
    assert splits.groupby("group")["part"].nunique().max() == 1
    for column, name in enumerate(["cat", "dog", "owl"]):
        rows = splits[splits["label"].str.split("|").map(lambda names, name=name: name in names)]
        assert len(rows) == findings[:, column].sum()
        assert (rows["part"] == "test").sum() == pytest.approx(0.25 * len(rows), abs=2), name
        assert (rows["part"] == "validation").sum() == pytest.approx(0.15 * len(rows), abs=2), name
    assert (
        training_samples(splits, 0, "all", 0, data.outcome) == splits.loc[splits["part"] == "train", "sample"].tolist()
    )


def test_is_the_same_each_time_and_for_other_seeds(tmp_path, monkeypatch, study):
    write(tmp_path, monkeypatch, *some())
    first = run(study(test=0.2, seeds=[0]))
    pd.testing.assert_frame_equal(first, run(study(test=0.2, seeds=[5, 6])))


def test_folds_validate_on_every_rest_sample_once(tmp_path, monkeypatch, study):
    groups, labels = some()
    write(tmp_path, monkeypatch, groups, labels)
    splits = run(study(test=0.2, folds=4))
    assert len(splits) == 4 * 240
    tests = [set(rows["sample"]) for _, rows in splits[splits["part"] == "test"].groupby("fold")]
    assert all(test == tests[0] for test in tests)
    validation = splits[splits["part"] == "validation"]
    assert validation["sample"].is_unique
    assert set(validation["sample"]) | tests[0] == set(splits["sample"])
    assert validation["fold"].value_counts().max() - validation["fold"].value_counts().min() <= 4
    assert splits.groupby(["fold", "group"])["part"].nunique().max() == 1


def test_published_test_part_stays_and_relatives_are_flagged(tmp_path, monkeypatch, study, caplog):
    groups, labels = some()
    parts = ["test" if index % 5 == 0 else "train" for index in range(240)]
    problems = ["empty file" if index in (3, 5) else "" for index in range(240)]
    write(tmp_path, monkeypatch, groups, labels, parts, problems)
    with caplog.at_level(logging.WARNING, "rescan"):
        splits = run(study()).set_index("sample")
    assert "both sides of the published test part" in caplog.text
    assert {"s003", "s005"}.isdisjoint(splits.index)
    assert len(splits) == 238
    for index in range(0, 240, 5):
        if index != 5:
            assert splits.loc[f"s{index:03d}", "part"] == "test"
    assert (splits["part"] == "test").sum() == 47
    in_test = set(splits.loc[splits["part"] == "test", "group"])
    expected = (splits["part"] != "test") & splits["group"].isin(in_test)
    assert (splits["linked"] == expected).all()
    assert splits["linked"].any()


def test_says_what_is_wrong(tmp_path, monkeypatch, study, caplog):
    groups, labels = some()
    write(tmp_path, monkeypatch, groups, labels)
    with pytest.raises(RescanError, match=r"pets: split\.test: there is no published test part"):
        split(study())
    write(tmp_path, monkeypatch, groups, ["cat"] * 240)
    with pytest.raises(RescanError, match="class 'dog' has no readable sample in part 'train' of fold 0"):
        split(study(test=0.2))
    write(tmp_path, monkeypatch, [f"g{index}" for index in range(40)], ["cat", "dog"] * 20)
    with caplog.at_level(logging.WARNING, "rescan"):
        split(study(test=0.5, validation=0.5))
    assert "class 'cat' has only 5 groups in part 'validation'" in caplog.text
    assert "part 'test'" not in caplog.text


def test_warns_once_of_a_class_and_part_with_few_groups(tmp_path, monkeypatch, study, caplog):
    write(tmp_path, monkeypatch, [f"g{index}" for index in range(40)], ["cat"] * 34 + ["dog"] * 6)
    with caplog.at_level(logging.WARNING, "rescan"):
        split(study(test=0.2, folds=5))
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 5  # dogs in each part, cats in validation and test, whatever the folds
    assert "class 'dog' has only 1 group in part 'validation' of fold 0; 5 of 5 folds have fewer than 10" in said
    assert "class 'dog' has only 1 group in part 'test'" in said


@pytest.mark.parametrize("published", [False, True])
def test_samples_without_a_label_and_of_extra_sources(tmp_path, monkeypatch, study, caplog, published):
    groups, labels = some()
    parts = ["test" if published and index % 6 == 0 else "train" if published else "" for index in range(240)]
    write(tmp_path, monkeypatch, groups, labels, parts)
    alone = run(study(test="published" if published else 0.2, folds=3))
    kinds = [("", "unlabeled", ""), ("dog", "extra", "more"), ("cat", "extra", "other")]
    added = [(group, *kinds[index % 3]) for index, group in enumerate(sorted(set(groups)) + ["new1", "new2", "new3"])]
    columns = [list(column) for column in zip(*[*zip(groups, labels, parts, [""] * 240), *added])]
    write(tmp_path, monkeypatch, *columns[:3], origins=columns[3])
    with caplog.at_level(logging.INFO, "rescan"):
        extra = {name: {"source": {"path": name}, "layout": "table"} for name in ("more", "other")}
        splits = run(study({"extra": extra}, test="published" if published else 0.2, folds=3))
    own = splits[~splits["part"].isin(["unlabeled", "extra"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(own, alone)  # they change nothing of the study's own split
    assert (splits["part"] == "unlabeled").sum() == 3 * sum(part == "unlabeled" for _, _, part, _ in added)
    for fold, rows in splits.groupby("fold"):
        held_out = set(rows.loc[rows["part"].isin(["validation", "test"]), "group"])
        extra = rows[rows["part"] == "extra"]
        expected = [(group, origin) for group, _, part, origin in added if part == "extra" and group not in held_out]
        assert list(zip(extra["group"], extra["origin"])) == expected
        left_out = sum(part == "extra" for _, _, part, _ in added) - len(expected)
        assert f"fold {fold}: {left_out} extra samples are left out" in caplog.text
        names = training_samples(splits, fold, "all", 0)
        assert set(names) <= set(rows.loc[rows["origin"] == "", "sample"])


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab")), min_size=1, max_size=120),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_cut_takes_whole_groups_near_the_share(rows, share, seed):
    samples = pd.DataFrame(rows, columns=["group", "stratum"]).astype(str)
    taken = cut(samples, share, seed)
    assert taken <= set(samples["group"])
    assert taken == cut(samples, share, seed)
    sizes = samples.groupby("stratum").size()
    largest = (pd.crosstab(samples["group"], samples["stratum"]) / sizes).to_numpy().max()
    got = samples[samples["group"].isin(taken)].groupby("stratum").size().reindex(sizes.index, fill_value=0) / sizes
    assert np.linalg.norm(got - share) <= max(np.sqrt(len(sizes)) * largest, 1e-9) + largest


def test_cut_of_everything_takes_everything():
    groups, labels = some()
    assert cut(pd.DataFrame({"group": groups, "stratum": labels}), 1, 0) == set(groups)


def test_parts_hold_the_same_share_of_every_field_of_view(tmp_path, monkeypatch, study):
    """Of a label that is rare in one field of view, each part holds its share in both."""
    count = 400
    labels = ["cat" if index % 4 else "dog" for index in range(count)]
    write(tmp_path, monkeypatch, [f"g{index}" for index in range(count)], labels)
    manifest = MANIFEST.read(PATHS.manifest)
    fov = ["3mm" if index % (2 if label == "dog" else 10) == 0 else "6mm" for index, label in enumerate(labels)]
    MANIFEST.write(PATHS.manifest, manifest.assign(fov=fov, age=[40 + index % 2 for index in range(count)]))
    split(study(test=0.2, stratify_by=["age"]))  # numbers
    split(study(test=0.2, validation=0.25, stratify_by=["fov"]))
    splits = SPLITS.read(PATHS.splits).merge(MANIFEST.read(PATHS.manifest)[["sample", "fov"]], on="sample")
    shares = pd.crosstab([splits["label"], splits["fov"]], splits["part"], normalize="index")
    assert (shares["test"] - 0.2).abs().max() < 0.03
    assert (shares["validation"] - 0.2).abs().max() < 0.03
    with pytest.raises(RescanError, match=r"stratify_by: no sample has a 'site'; known of this data: "):
        split(study(test=0.2, stratify_by=["site"]))


def table(rows):
    columns = ["sample", "group", "label", "part", "linked", "conflict"]
    return pd.DataFrame(rows, columns=columns).assign(fold=0, patient="")


def test_a_leak_is_refused_or_flagged():
    clean = [("a", "g1", "x", "train", 0, 0), ("b", "g2", "x", "validation", 0, 0), ("c", "g3", "x", "test", 0, 0)]
    assert check_no_leak(table(clean), published=False, path="splits.csv") == []
    assert check_no_leak(table(clean), published=True, path="splits.csv") == []
    across = table([*clean, ("d", "g3", "x", "train", 1, 0), ("e", "g4", "x", "test", 0, 0)])
    with pytest.raises(RescanError, match=r"'g3'.*fold 0"):
        check_no_leak(across, published=False, path="splits.csv")
    (warning,) = check_no_leak(across, published=True, path="splits.csv")
    assert "1 groups" in warning
    assert "50.0%" in warning
    inside = table([*clean, ("d", "g2", "x", "train", 0, 0)])
    for published in (False, True):
        with pytest.raises(RescanError, match="'g2'"):
            check_no_leak(inside, published, "splits.csv")


@pytest.mark.parametrize("published", [False, True])
def test_a_relative_in_an_extra_source_is_refused_and_one_without_a_label_is_not(published):
    own = [("a", "g1", "x", "train", 0, 0), ("b", "g2", "x", "validation", 0, 0), ("c", "g3", "x", "test", 0, 0)]
    fine = [("e", "g1", "x", "extra", 0, 0), ("f", "g4", "x", "extra", 0, 0)]
    unlabeled = [(f"u{group}", group, "", "unlabeled", 0, 0) for group in ("g1", "g2", "g3")]
    assert check_no_leak(table([*own, *fine, *unlabeled]), published, "splits.csv") == []
    for group in ("g2", "g3"):
        with pytest.raises(RescanError, match=group):
            check_no_leak(table([*own, *fine, ("z", group, "x", "extra", 0, 0)]), published, "splits.csv")
    elsewhere = table([("z", "g2", "x", "extra", 0, 0)]).assign(fold=1)
    assert check_no_leak(pd.concat([table(own), elsewhere]), published, "splits.csv") == []


def test_training_subsets():
    train = [
        (f"{label}{i}", f"g{label}{i}", label, "train", int(i < n), int(i > 17))
        for label, n in (("x", 3), ("y", 8))
        for i in range(20)
    ]
    splits = table([*train, ("v", "gv", "x", "validation", 1, 1), ("t", "gx0", "x", "test", 0, 0)])
    everything = [row[0] for row in train]
    assert training_samples(splits, 0, "all", 0) == everything
    assert training_samples(splits, 0, "leak_free", 0) == [row[0] for row in train if row[4] == 0]
    assert training_samples(splits, 0, "clean_labels", 0) == [row[0] for row in train if row[5] == 0]
    matched = training_samples(splits, 0, "size_matched", 0)
    assert [sum(name.startswith(label) for name in matched) for label in "xy"] == [17, 12]
    assert matched == [name for name in everything if name in matched]
    assert matched == training_samples(splits, 0, "size_matched", 0)
    assert matched != training_samples(splits, 0, "size_matched", 1)


def test_a_subset_without_a_class_is_an_error():
    splits = table([("a", "g1", "x", "train", 1, 0), ("b", "g2", "y", "train", 0, 0)])
    with pytest.raises(RescanError, match="leak_free: no training sample of class 'x'"):
        training_samples(splits, 0, "leak_free", 0)
