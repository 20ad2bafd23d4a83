"""What would fail later is said before anything runs."""

from __future__ import annotations

import logging
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pydicom
import pytest

from rescan.errors import RescanError
from rescan.look.check import check_data

STUDY = """
title: Mine
data: {source: {path: raw}, layout: %(layout)s, classes: [a, b]%(more)s}
split: {test: %(test)s, folds: %(folds)s}
preparations: {p: {%(preparation)s}}
recipe:
  preparation: p
  network: {encoder: %(encoder)s, weights: none}
  stages: {main: {epochs: 1, optimizer: adam%(stage)s}}
arms: {first: {}}
"""
IMAGE = "channels: gray, steps: [{name: resize, size: [64, 64]}]"
VOLUME = "reads: volume, channels: gray, steps: [{name: clip_percentiles}]"


@pytest.fixture
def said(caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.INFO, "rescan")
    return caplog


@pytest.fixture
def faults(tmp_path):
    """A function that writes a study file beside the data, and gives what its check finds."""

    def find(**settings) -> list[str]:
        usual = {
            "layout": "table",
            "test": 0.2,
            "folds": 1,
            "preparation": IMAGE,
            "encoder": "cnn5",
            "more": "",
            "stage": "",
        }
        (tmp_path / "mine.yaml").write_text(STUDY % {**usual, **settings})
        try:
            check_data(tmp_path / "mine.yaml")
        except RescanError as error:
            return str(error).splitlines()
        return []

    return find


def write(root: Path, count: int, *, dtype=np.uint8, side=lambda _: 64, patient=str, part=lambda _: "") -> None:
    root.mkdir()
    lines = ["path,label,patient,part\n"]
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 255, (side(number), 80)).astype(dtype)
        cv2.imwrite(str(root / f"{number}.png"), pixels * (1 if dtype == np.uint8 else 200))
        lines.append(f"{number}.png,{'ab'[number % 2]},{patient(number)},{part(number)}\n")
    (root / "samples.csv").write_text("".join(lines))


def test_what_is_there_is_said(tmp_path, faults, said):
    write(tmp_path / "raw", 24, patient=lambda number: number // 2)
    (tmp_path / "raw/3.png").write_bytes(b"")
    assert faults() == []
    assert f"mine: 24 samples in {tmp_path / 'raw'}: a 12, b 12" in said.messages
    assert "mine: 12 patients" in said.messages
    assert "mine: preparations: p: 1 of 24 samples cannot be used, such as 3.png: empty file" in said.messages
    assert "mine: preparations: p: of 64 × 80, becomes 64 × 64 gray (24 of 24 looked at)" in said.messages


def test_deep_images_need_a_window(tmp_path, faults):
    write(tmp_path / "raw", 12, dtype=np.uint16)
    (line,) = faults()
    assert line.startswith("mine: preparations: p: 0.png: more than 8 bits: add clip_percentiles or window")
    steps = "channels: gray, steps: [{name: clip_percentiles}, {name: resize, size: [64, 64]}]"
    assert faults(preparation=steps) == []


def test_sizes_that_differ_and_images_that_are_too_small(tmp_path, faults):
    write(tmp_path / "raw", 12, side=lambda number: 64 + number)
    (line,) = faults(preparation="channels: gray, steps: [{name: clahe}]")
    assert "samples become of different sizes (0.png 64 × 80, 1.png 65 × 80); add resize" in line
    (line,) = faults(preparation="channels: gray, steps: [{name: resize, size: [8, 8]}]")
    assert "mine: arms: first: preparation p: images of 8 × 8 pixels are too small for cnn5" in line


def test_volumes_that_are_too_small_for_the_network(tmp_path, faults):
    for number in range(12):
        file = tmp_path / f"raw/{'ab'[number % 2]}/{number}.nii.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        voxels = np.random.default_rng(number).normal(100, 20, (32, 32, 8)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), file)
    (line,) = faults(layout="class_folders", preparation=VOLUME, encoder="cnn5_3d")
    assert "volumes of 8 × 32 × 32 voxels are too small for cnn5_3d; make them" in line
    larger = (
        "reads: volume, channels: gray, steps: [{name: resize_volume, size: [64, 64, 64]}, {name: clip_percentiles}]"
    )
    assert faults(layout="class_folders", preparation=larger, encoder="cnn5_3d") == []


def test_classes_that_a_part_lacks(tmp_path, faults, said):
    write(tmp_path / "raw", 12, part=lambda number: "test" if number in (0, 2) else "train")
    (line,) = faults(test="published")
    assert line.startswith(
        "mine: class 'b' has 0 patients in part 'test'; its parts and folds need 1 or more; get more"
    )
    assert faults() == []
    assert "mine: class 'a' has only 6 patients; scores will say little" in said.messages


def test_patients_that_are_too_few(tmp_path, faults):
    write(tmp_path / "raw", 12, patient=lambda number: number % 4)
    lines = faults()
    assert [line.split(";")[0] for line in lines] == [f"mine: class {label!r} has 2 patients" for label in "ab"]
    (tmp_path / "raw/samples.csv").write_text("path,label,patient\n0.png,a,p\n1.png,b,p\n")
    (line,) = faults()
    assert "all samples are of one patient, 'p'" in line


def test_data_that_are_not_there(tmp_path, faults, said, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (line,) = faults()
    assert f"mine: the source {tmp_path / 'raw'} is not there" in line
    (tmp_path / "raw").write_bytes(b"an archive")
    assert faults() == []
    assert "mine: its data are no folder of this machine; nothing of them was checked" in said.messages


def add_column(table: Path, name: str, values) -> None:
    """Add a column to a table, whose values are those of a function of the row's number."""
    header, *lines = table.read_text().splitlines()
    rows = [f"{header},{name}", *(f"{line},{values(number)}" for number, line in enumerate(lines))]
    table.write_text("\n".join(rows))


def test_columns_that_are_held_out(tmp_path, faults, said):
    write(tmp_path / "raw", 24)
    (line,) = faults(test="{site: kyoto}")
    assert line == "mine: split.test: no sample has a 'site'; add the column, or split by another"
    add_column(tmp_path / "raw/samples.csv", "site", lambda number: ("kyoto", "osaka", "Kobe", "kobe")[number // 6])
    assert faults(test="{site: kyoto}") == []
    assert "mine: site: 'Kobe' and 'kobe' differ only in case" in said.text
    (line,) = faults(test="{site: kyotto}")
    assert "split.test: no sample of site 'kyotto'; did you mean 'kyoto'?" in line
    (line,) = faults(test="{site: kobe}")
    assert "split.test: site 'Kobe' and 'kobe' differ only in case" in line
    (line,) = faults(test="{site: kyoto}", folds="{by: site, values: [osaka, kobe]}")
    assert "split.folds: site 'Kobe' and 'kobe' differ only in case" in line
    assert faults(test="{site: kyoto}", folds="{by: site, values: [osaka, [kobe, Kobe]]}") == []


def test_a_site_of_one_class_alone(tmp_path, faults):
    write(tmp_path / "raw", 24)
    add_column(tmp_path / "raw/samples.csv", "site", lambda number: "x" if number % 2 else f"y{number % 3}")
    (line,) = faults(test="{site: x}")
    assert (
        "split: class 'b' has no readable sample in part 'train' of fold 0; the held out site x have all of it" in line
    )


def test_columns_of_weights(tmp_path, faults):
    write(tmp_path / "raw", 24)
    stage = ", class_weights: {within: body_part}"
    assert faults(stage=stage) == ["mine: class_weights: within: 24 samples have no body_part; fill it in"]
    add_column(tmp_path / "raw/samples.csv", "body_part", lambda number: "NA" if number < 2 else "hand")
    assert faults(stage=stage) == ["mine: class_weights: within: 2 samples have no body_part; fill it in"]


def test_external_data_are_looked_at(tmp_path, faults, said):
    write(tmp_path / "raw", 24)
    write(tmp_path / "two", 12, patient=lambda number: f"{number:03d}" if number < 3 else f"q{number}", dtype=np.uint16)
    more = ", external: {h2: {source: {path: two}, layout: table}}"
    lines = faults(more=more)
    assert len(lines) == 1
    assert lines[0].startswith("mine/external/h2: preparations: p: 0.png: more than 8 bits: add clip_percentiles")
    assert f"mine/external/h2: 12 samples in {tmp_path / 'two'}: a 6, b 6" in said.text
    assert "mine/external/h2: 3 samples are of patients or files of the study's own data, and will be left" in said.text
    (line,) = faults(more=more.replace("two", "raw"))
    assert "mine/external/h2: all 24 labeled samples are of the study's own patients or files; give other data" in line
    (line,) = faults(more=more.replace("two", "three"))
    assert f"the source {tmp_path / 'three'} is not there; check the path" in line


def test_listed_patients_of_headers(tmp_path, faults):
    content = pydicom.dcmread(pydicom.data.get_testdata_file("CT_small.dcm"))
    for number in range(24):
        path = tmp_path / f"raw/{'ab'[number % 2]}/IM{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        content.PatientID = f"MRN{number // 2}"
        content.save_as(path)
    steps = "channels: gray, steps: [{name: clip_percentiles}, {name: resize, size: [64, 64]}]"
    assert faults(layout="class_folders", preparation=steps, test="{patient: [MRN3, mrn4]}") == []
    (line,) = faults(layout="class_folders", preparation=steps, test="{patient: [MRN99]}")
    assert "no sample of patient 'MRN99' among 12; ids from DICOM headers are known by their hashes only: list" in line
