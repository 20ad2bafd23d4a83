from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from rescan.errors import RescanError
from rescan.phantoms.radiograph.radiograph_findings import TRANSFORMS, make

CLASSES = ["metal", "ly sis", "fräcture"]


def phantom(folder, samples=120, size=72, **options):
    make(folder, CLASSES, samples=samples, size=size, **options)
    truth = pd.read_csv(folder / "phantom.csv", keep_default_na=False)
    table = pd.read_csv(folder / "samples.csv", keep_default_na=False)
    assert list(table) == ["path", "label", "patient", "body_part", "mask"]
    assert table[["path", "label", "patient"]].equals(truth[["path", "label", "patient"]])
    return truth.assign(mask=table["mask"])


def has(labels):
    return np.array([[name in label.split("|") for name in CLASSES] for label in labels])


def pixels(path):
    return np.asarray(Image.open(path)).astype(int)


def test_each_finding_has_a_mask_of_its_own_where_it_shows(tmp_path):
    truth = phantom(tmp_path / "with", duplicates=0.0)
    phantom(tmp_path / "without", duplicates=0.0, contrast=0.0)
    counts = has(truth["label"]).sum(1)
    assert set(counts) == {0, 1, 2, 3}
    correlations = np.corrcoef(has(truth["label"]).T)[np.triu_indices(3, 1)]
    assert np.abs(correlations).max() < 4 / np.sqrt(len(truth))
    for row, present in zip(truth.itertuples(), has(truth["label"])):
        image, plain = (pixels(tmp_path / name / row.path) for name in ("with", "without"))
        masks = [tmp_path / f"with/masks/{kind}" / row.path.removeprefix("images/") for kind in range(3)]
        assert [mask.exists() for mask in masks] == present.tolist()
        assert (row.mask != "") == present.any()
        if not present.any():
            assert (image == plain).all()
            continue
        own = np.stack([pixels(mask) > 0 for mask in masks if mask.exists()])
        assert (own.any(0) == (pixels(tmp_path / "with" / row.mask) > 0)).all()
        for name, mask in zip(np.array(CLASSES)[present], own):
            change = (image - plain)[mask & (own.sum(0) == 1)]
            assert change.size == 0 or (change.mean() > 0) == (name == "metal")


def test_switches(tmp_path):
    options = {"samples": 96, "duplicates": 0.0}
    null = phantom(tmp_path / "null", null=True, **options)
    assert not (tmp_path / "null/masks").exists()
    assert set(null["true_label"]) == {""}
    plain = phantom(tmp_path / "plain", **options)
    assert sorted(null["label"]) == sorted(plain["label"])
    assert (null["label"] != plain["label"]).any()
    noisy = phantom(tmp_path / "noise", label_noise=0.25, **options)
    wrong = has(noisy["label"]) != has(noisy["true_label"])
    assert sorted(wrong.sum(1), reverse=True) == [1] * 24 + [0] * 72
    confounded = phantom(tmp_path / "confound", confound=1.0, **options)
    assert confounded.groupby(has(confounded["label"])[:, 0])["height"].nunique().tolist() == [1, 1]
    assert (plain.groupby("patient").size() == 2).all()


def test_copies_are_of_further_patients_and_labeled_alike(tmp_path):
    truth = phantom(tmp_path, samples=80, duplicates=0.2).set_index("path")
    copies = truth[truth["duplicate_of"] != ""]
    assert copies["transform"].value_counts().to_dict() == dict.fromkeys(TRANSFORMS, 4)
    sources = truth.loc[copies["duplicate_of"]]
    assert copies["label"].tolist() == sources["label"].tolist()
    assert not set(copies["patient"]) & set(sources["patient"])
    assert copies["patient"].is_unique
    for path, row in copies[copies["transform"] == "mirrored"].iterrows():
        assert (pixels(tmp_path / path) == pixels(tmp_path / row["duplicate_of"])[:, ::-1]).all()


@pytest.mark.parametrize(
    ("classes", "options", "fault"),
    [
        (4, {}, "3 classes at most, not 4"),
        (3, {"samples": 8}, "fewer than two originals per class"),
        (3, {"size": 32}, "show no lesions"),
    ],
)
def test_faults(tmp_path, classes, options, fault):
    with pytest.raises(RescanError, match=fault):
        make(tmp_path, [f"c{number}" for number in range(classes)], **options)
    assert not list(tmp_path.iterdir())
