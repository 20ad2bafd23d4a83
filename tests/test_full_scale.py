"""The rehearsal at full scale: its stand-ins have the numbers of the real data sets, its study files are sound."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from tests import full_scale, stand_ins

from rescan.study import Settings
from rescan.study.file import load


@pytest.fixture
def planned(monkeypatch):
    """The pictures that would be written, by study."""
    pictures = []
    monkeypatch.setattr(stand_ins, "_bases", lambda *_: [])
    monkeypatch.setattr(stand_ins, "_write_all", lambda new, *_: pictures.extend(new))
    return pictures


@pytest.mark.parametrize("study", sorted(full_scale.ARMS))
def test_the_study_file_runs_one_short_arm(tmp_path, study):
    full_scale.write_study(study, tmp_path, None)
    resolved = load(tmp_path / f"studies/{study}.yaml", Settings("full", weights="none", source=str(tmp_path)))
    assert [run.fold_and_seed for run in resolved.runs("short")] == [(0, 0)]
    assert [*resolved.arms] == ["short"]
    assert all(stage.steps is not None for stage in resolved.arms["short"].stages.values())


@pytest.mark.parametrize("study", ["brain_tumor", "aptos2019"])
def test_stand_ins_have_the_counts_that_the_study_expects(tmp_path, planned, study):
    data = load(full_scale.ROOT / f"studies/{study}.yaml", Settings("full")).data
    stand_ins.make(study, tmp_path, 1)
    assert len({picture.path for picture in planned}) == len(planned) == full_scale.SAMPLES[study]
    if study == "aptos2019":
        table = pd.read_csv(tmp_path / "train.csv")
        assert set(table["id_code"]) == {Path(picture.path).stem for picture in planned}
        counts = {"all": {data.classes[grade]: n for grade, n in Counter(table["diagnosis"]).items()}}
    else:
        of_class = Counter(tuple(picture.path.split("/")[:2]) for picture in planned)
        parts = {"Training": "train", "Testing": "test"}
        counts = {parts[part]: {} for part, _ in of_class}
        for (part, label), n in of_class.items():
            counts[parts[part]][label] = n
    assert counts == data.expected


def test_the_stand_in_of_mura_has_its_patients_studies_and_images(tmp_path, planned):
    stand_ins.make("mura", tmp_path, 1)
    assert len(planned) == full_scale.SAMPLES["mura"]
    for part, numbers in stand_ins.MURA.items():
        paths = [picture.path for picture in planned if picture.path.startswith(part)]
        patients, studies = ({path.rsplit("/", levels)[0] for path in paths} for levels in (2, 1))
        assert (len(patients), len(studies), len({*paths})) == numbers
        listed = (tmp_path / f"MURA-v1.1/{part}_image_paths.csv").read_text().splitlines()
        assert listed == [f"MURA-v1.1/{path}" for path in paths]


@pytest.mark.parametrize("fov", ["6mm", "3mm"])
def test_every_volume_of_hard_links_has_all_rows_and_its_own_order(fov):
    (_, height, _), scans = stand_ins.SCANS[fov]
    volumes = [*stand_ins._strips(fov, sum(stand_ins.DISEASES[fov].values()))]
    for scan, row in volumes:
        assert len(scan) == len(row) == height
        assert 0 <= scan.min() <= scan.max() < scans
        np.testing.assert_array_equal(np.sort(row), np.arange(height))
    assert len({(scan.tobytes(), row.tobytes()) for scan, row in volumes}) == len(volumes)


def test_pictures_of_one_phantom_are_no_near_duplicates(tmp_path):
    import cv2

    from rescan.data.audit import duplicates

    base = tmp_path / "base.png"
    cv2.imwrite(str(base), cv2.resize(np.random.default_rng(0).integers(0, 255, (12, 12), np.uint8), (200, 220)))
    pictures = [stand_ins.Picture(f"{number}.png", number, 90, 110) for number in range(100)]
    for picture in pictures:
        stand_ins._write(picture, tmp_path, [base])
    images = [cv2.imread(str(tmp_path / picture.path), cv2.IMREAD_UNCHANGED) for picture in pictures]
    assert {image.shape for image in images} == {(90, 110)}
    assert len(duplicates.near_duplicates(np.stack([duplicates.thumbnail(image) for image in images]))) == 0
