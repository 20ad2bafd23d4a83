"""External data sets: what they share with the home data, and what is tested on."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from sample_files import write_manifest, write_source

from rescan.data.audit.audit import audit
from rescan.data.headers import hashed, key_at
from rescan.data.index import index
from rescan.data.sources.download import download
from rescan.data.split import split
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.audit_report import GROUPS
from rescan.results.manifest import MANIFEST, DroppedSamples
from rescan.results.splits import SPLITS


@pytest.fixture
def hospital2(study, write_data, textures):
    """A function that writes home data and external ones, audits and splits the latter, and returns its splits.

    The home data are ten textures of patients p0 … p4; the external ones, `rows` of (label, image, patient).
    """
    images = textures(10)
    home = [(f"{n}.png", ("cat", "dog")[n % 2], image, {"patient": f"p{n // 2}"}) for n, image in enumerate(images)]

    def make(rows, options=None, group_by=("patient", "near_duplicate"), folds=1):
        write_data(home)
        external = {"h2": {"source": {"path": "raw2"}, "layout": "table", **(options or {})}}
        apart = study({"external": external}, test=0.3, folds=folds, group_by=list(group_by)).external("h2")
        paths = Paths(apart.scale, apart.name)
        names = [f"x{n}.png" for n in range(len(rows))]
        Path("raw2").mkdir(exist_ok=True)
        for name, (_, image, _) in zip(names, rows):
            cv2.imwrite(f"raw2/{name}", image)
        table = pd.DataFrame({"sample": names, "label": [row[0] for row in rows], "patient": [row[2] for row in rows]})
        table = table.assign(published_part=["unlabeled" if not row[0] else "" for row in rows], origin="")
        write_manifest(paths, table)
        write_source(paths, root="raw2", manifest=table)
        DroppedSamples(labels={}, unlisted=[]).write(paths.dropped)
        audit(apart, 1)
        split(apart)
        return SPLITS.read(paths.splits), GROUPS.read(paths.groups).set_index("sample")["relative"]

    make.images = images
    return make


def parts(splits: pd.DataFrame) -> dict[str, str]:
    return dict(zip(splits["sample"], splits["part"]))


def test_shared_groups_are_left_out_whole(hospital2, textures):
    new, at_home = textures(5, seed=1), hospital2.images
    rows = [
        ("cat", new[0], "q1"),
        ("dog", new[1], "p3"),  # a patient of the home data
        ("cat", at_home[4], "q2"),  # an image of the home data
        ("dog", new[2], "q2"),  # of the patient of that image
        ("cat", at_home[6][:, ::-1], "q3"),  # mirrored
        ("", new[3], "q4"),
        ("dog", new[4], ""),
    ]
    splits, relative = hospital2(rows, folds=2)
    out, tested = "left_out", "external"
    expected = [tested, out, out, out, out, "unlabeled", tested]
    for _, fold in splits.groupby("fold"):
        assert parts(fold) == {f"x{n}.png": part for n, part in enumerate(expected)}
    assert relative[["x0.png", "x1.png", "x2.png", "x4.png"]].tolist() == ["", "6.png", "4.png", "6.png"]


def test_patients_with_the_same_numbers_may_be_others(hospital2, textures):
    rows = [("dog", image, f"p{n}") for n, image in enumerate(textures(4, seed=1))]
    fault = r"pets/external/h2: no labeled sample is left .*4 samples of 4 groups .* pets .*same_patients: false"
    with pytest.raises(RescanError, match=fault):
        hospital2(rows)
    splits, _ = hospital2(rows, {"same_patients": False})
    assert set(splits["part"]) == {"external"}
    splits, _ = hospital2(rows, group_by=["near_duplicate"])
    assert set(splits["part"]) == {"external"}


def test_a_patient_of_a_table_at_home_is_that_of_a_header(hospital2, textures, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    key = key_at(Paths("demo", "pets").patients_key)
    splits, relative = hospital2(
        [("dog", textures(1, seed=1)[0], hashed("p3", key, "p")), ("cat", textures(1, seed=2)[0], "q")]
    )
    assert parts(splits) == {"x0.png": "left_out", "x1.png": "external"}
    assert relative["x0.png"] == "6.png"


def test_it_is_read_as_a_study_of_its_own(study, tmp_path, monkeypatch, textures):
    monkeypatch.chdir(tmp_path)
    for number, image in enumerate(textures(4)):
        file = tmp_path / f"raw2/{('Training', 'Testing')[number % 2]}/{('Katze', 'Hund')[number // 2]}/{number}.png"
        file.parent.mkdir(parents=True)
        cv2.imwrite(str(file), image)
    labels = {"Katze": "cat", "Hund": "dog"}
    settings = {"source": {"path": "raw2"}, "layout": "class_folders", "labels": labels}
    apart = study({"external": {"h2": settings}}).external("h2")  # test: published, which is of the home data
    download(apart)
    index(apart)
    manifest = MANIFEST.read("results/demo/pets/external/h2/manifest.csv")
    assert sorted(manifest["label"]) == ["cat", "cat", "dog", "dog"]
    assert set(manifest["published_part"]) == {""}
    assert not Path("data/demo/pets/source.json").exists()


def test_a_class_may_be_missing(hospital2, textures):
    splits, _ = hospital2([("dog", image, f"q{n}") for n, image in enumerate(textures(3, seed=1))])
    assert parts(splits) == {f"x{n}.png": "external" for n in range(3)}
    assert np.unique(splits["label"]).tolist() == ["dog"]
