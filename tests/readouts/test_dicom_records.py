"""DICOM files for patients' records: of the same patient, with what predictions.csv says, and the same again."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from dicom_files import write_dicom
from made_readouts import CLASSES, readout
from PIL import Image
from pydicom.data import get_charset_files, get_testdata_file
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import ComputedRadiographyImageStorage, EnhancedSRStorage, generate_uid

from rescan.arm_models import Arm
from rescan.data.index import Files
from rescan.data.readers.unreadable import Unreadable
from rescan.errors import RescanError
from rescan.log import logger
from rescan.predict import predict
from rescan.readouts.arm_facts import facts_of
from rescan.readouts.dicom_records import DicomRecords
from rescan.readouts.dicom_source import LONGEST, Instance, Source, new_file, own_code, source_of, uid_of, write
from rescan.readouts.readout import Readout

NAME = "CompressedSamples"  # of the patient of MR_small.dcm
SAME = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyID")


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A real MR slice, two frames of an invented patient with a name that is not Latin, and a PNG file."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copy(str(get_testdata_file("MR_small.dcm", download=False)), folder / "mr.dcm")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 40, 40), np.uint8)
    ids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    attributes = {
        "SpecificCharacterSet": "ISO_IR 192",
        "PatientName": "Ωμέγα^Άννα",
        "PatientID": "7",
        "BurnedInAnnotation": "YES",
        "LossyImageCompression": "01",
        "Laterality": "L",
    }
    write_dicom(folder / "frames.dcm", pixels, **ids, **attributes)
    write_dicom(folder / "nowhere.dcm", pixels[0])
    Image.fromarray(pixels[0]).save(folder / "plain.png")
    return folder


@pytest.fixture(scope="module")
def written(arm_folder, inputs, tmp_path_factory):
    """What predict writes of these; in log.txt its messages."""
    folder = tmp_path_factory.mktemp("written")
    logger.addHandler(handler := logging.FileHandler(folder / "log.txt"))
    logger.setLevel("INFO")
    predict(
        *(arm_folder, [inputs], folder / "out.csv", None, "cpu"),
        at="sensitivity_95",
        report=folder / "out.html",
        dicom=folder / "dicom",
    )
    logger.removeHandler(handler)
    handler.close()
    return folder


def contents(folder: Path, name: str) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(folder / f"{name}_{kind}.dcm") for kind in ("overlay", "report")]


def items(report: pydicom.Dataset) -> dict[str, pydicom.Dataset]:
    """The items of a report's group of measurements, by what they are called."""
    (container,) = [item for item in report.ContentSequence if item.ValueType == "CONTAINER"]
    (group,) = container.ContentSequence
    return {item.ConceptNameCodeSequence[0].CodeMeaning: item for item in group.ContentSequence}


def test_each_dicom_input_has_an_overlay_and_a_report(written):
    assert sorted(path.name for path in (written / "dicom").iterdir()) == [
        f"{name}_{kind}.dcm" for name in ("frames.dcm#1", "frames.dcm#2", "mr") for kind in ("overlay", "report")
    ]


def test_they_are_of_the_same_patient_and_study_and_refer_to_the_source(written, inputs):
    for name, file, frame in (("mr", "mr.dcm", None), ("frames.dcm#2", "frames.dcm", 2)):
        source = pydicom.dcmread(inputs / file)
        overlay, report = contents(written / "dicom", name)
        for made in (overlay, report):
            assert [str(made.get(key) or "") for key in SAME] == [str(source.get(key) or "") for key in SAME]
            assert made.SeriesInstanceUID != source.SeriesInstanceUID
            assert made.SOPInstanceUID != source.SOPInstanceUID
            assert made.file_meta.MediaStorageSOPInstanceUID == made.SOPInstanceUID
        assert overlay.SeriesInstanceUID != report.SeriesInstanceUID
        (of,) = overlay.SourceImageSequence
        (measured,) = items(report)["Source of Measurement"].ReferencedSOPSequence
        for item in (of, measured):
            assert item.ReferencedSOPInstanceUID == source.SOPInstanceUID
            assert item.ReferencedSOPClassUID == source.SOPClassUID
            assert item.get("ReferencedFrameNumber") == frame
        (study,) = report.CurrentRequestedProcedureEvidenceSequence
        assert study.StudyInstanceUID == source.StudyInstanceUID
        assert study.ReferencedSeriesSequence[0].SeriesInstanceUID == source.SeriesInstanceUID


def test_the_report_says_what_the_table_says(written):
    table = pd.read_csv(written / "out.csv").set_index("image")
    (row,) = [table.loc[name] for name in table.index if name.endswith("mr.dcm")]
    found = items(contents(written / "dicom", "mr")[1])
    for name in CLASSES:
        number = found[own_code(f"Probability of {name}").meaning].MeasuredValueSequence[0]
        assert float(number.NumericValue) == pytest.approx(row[name], abs=1e-6)
        assert number.MeasurementUnitsCodeSequence[0].CodeValue == "1"
    finding = found["Finding"].ConceptCodeSequence[0]
    assert (finding.CodeMeaning, finding.CodingSchemeDesignator) == (row["predicted"], "99RESCAN")
    answer = found["cat at sensitivity_95"].ConceptCodeSequence[0]
    assert (answer.CodeMeaning.lower(), answer.CodingSchemeDesignator) == (row["cat_at_sensitivity_95"], "SCT")
    assert found["Algorithm Name"].TextValue == "one of made_up"
    assert "Research use only" in found["Comment"].TextValue


def test_an_independent_reader_reads_the_report(written):
    if pydicom.__version__.startswith("2."):
        pytest.skip("highdicom needs pydicom 3")
    sr = pytest.importorskip("highdicom.sr")
    (group,) = sr.srread(written / "dicom/mr_report.dcm").content.get_image_measurement_groups()
    numbers = {number.name.meaning: number.value for number in group.get_measurements()}
    assert sum(numbers.values()) == pytest.approx(1, abs=1e-5)
    assert group.finding_type.meaning in CLASSES
    assert len(group.source_images) == 1


def test_the_overlay_shows_the_image_and_inherits_what_is_true_of_its_pixels(written):
    mr, frames = (contents(written / "dicom", name)[0] for name in ("mr", "frames.dcm#1"))
    pixels = mr.pixel_array
    assert pixels.shape == (mr.Rows, mr.Columns, 3)
    assert (pixels == 255).all(-1).mean() > 0.2  # what is burned in stands on white
    assert np.ptp(pixels.astype(int), axis=-1).max() > 60  # the map's colors
    assert "BurnedInAnnotation" not in mr  # nor does its source say it
    assert (frames.BurnedInAnnotation, frames.LossyImageCompression, frames.Laterality) == ("YES", "01", "L")
    assert mr.ImageComments.startswith("Research use only; not a medical device. Demo: trained on made images; ")
    assert str(frames.PatientName) == "Ωμέγα^Άννα"


def test_the_patients_name_is_in_no_table_page_or_message(written):
    texts = [(written / name).read_text() for name in ("out.csv", "out.html", "log.txt")]
    for text in texts:
        assert NAME not in text
        assert "Ωμέγα" not in text
    assert "an overlay and a report of 3 inputs; they name the patients as the inputs do" in texts[-1]
    assert "--dicom: 1 input is no DICOM file: it has none" in texts[-1]
    assert "nowhere.dcm: lacks a valid StudyInstanceUID; no DICOM files of it" in texts[-1]


def test_the_same_answer_has_the_same_uids_and_another_has_others(arm, point, inputs, tmp_path):
    own = readout(0, "mr")._replace(files=Files(inputs / "mr.dcm"))
    uids = []
    changed = {**own.row, CLASSES[0]: 0.6, CLASSES[1]: 0.3}
    for number, one in enumerate((own, own, own._replace(row=changed))):
        DicomRecords(arm, [point], tmp_path / str(number)).add(one)
        uids.append([pydicom.dcmread(path).SOPInstanceUID for path in sorted((tmp_path / str(number)).iterdir())])
    assert uids[0] == uids[1]
    assert not set(uids[0]) & set(uids[2])
    series = {pydicom.dcmread(path).SeriesInstanceUID for path in tmp_path.glob("*/*_report.dcm")}
    assert len(series) == 1


def test_flags_labels_and_grades_are_said(arm, inputs, tmp_path):
    records = DicomRecords(arm, [], tmp_path)
    records.multilabel = True
    own = readout(0, "labels", predicted=f"cat|{CLASSES[2]}", flags="too small; too dark")
    records.add(own._replace(files=Files(inputs / "mr.dcm")))
    overlay, report = contents(tmp_path, "labels")
    found = items(report)
    answers = [found[own_code(name).meaning].ConceptCodeSequence[0].CodeMeaning for name in CLASSES]
    assert answers == ["Yes", "No", "Yes"]
    assert "Finding" not in found
    assert "UNLIKE THE TRAINING IMAGES: too small; too dark." in overlay.ImageComments
    group = report.ContentSequence[-1].ContentSequence[0].ContentSequence
    assert [item.TextValue for item in group if item.ValueType == "TEXT"][-3:-1] == ["too small", "too dark"]
    records.multilabel = False
    row = {"predicted": "cat", "grade": 0.4567, "problem": ""}
    records.add(own._replace(called="grades", row=row, files=Files(inputs / "mr.dcm")))
    overlay, report = contents(tmp_path, "grades")
    grade = items(report)["Grade, by the classes' numbers from 0"].MeasuredValueSequence[0]
    assert float(grade.NumericValue) == pytest.approx(0.4567)
    assert "Read as cat, grade 0.46 of 0 to 2." in overlay.ImageComments


def test_a_volume_refers_to_all_its_slices(arm, tmp_path):
    ids = {name: generate_uid() for name in ("StudyInstanceUID", "SeriesInstanceUID")}
    (tmp_path / "series").mkdir()
    slices = [
        write_dicom(tmp_path / f"series/{number}.dcm", np.full((8, 8), number, np.uint16), **ids).SOPInstanceUID
        for number in range(3)
    ]
    flat = readout(0, "volume")
    volume = np.random.default_rng(0).integers(0, 256, (8, 8, 8, 1), np.uint8)
    maps = flat.maps._replace(scaled=np.random.default_rng(1).random((1, 8, 8, 8), np.float32), targets=np.array([0]))
    prepared = flat.prepared._replace(items=[volume], affine=np.eye(4))
    for called, own in (("maps", maps), ("none", None)):  # without maps as where a runtime computes none
        one = Readout(0, "volume", called, Files(tmp_path / "series"), flat.row, prepared, own)
        DicomRecords(arm, [], tmp_path / "out").add(one)
        overlay, report = contents(tmp_path / "out", called)
        assert {item.ReferencedSOPInstanceUID for item in overlay.SourceImageSequence} == set(slices)
        (series,) = report.CurrentRequestedProcedureEvidenceSequence[0].ReferencedSeriesSequence
        assert {item.ReferencedSOPInstanceUID for item in series.ReferencedSOPSequence} == set(slices)
        assert overlay.Columns > overlay.Rows


def test_a_source_is_dicom_or_none(inputs):
    assert source_of(Files(inputs / "plain.png")) is None
    assert source_of(Files(inputs / "mr.dcm")).instances[0].frame is None
    assert source_of(Files(inputs / "frames.dcm#2")).instances[0].frame == 2
    assert source_of(Files(inputs / "frames.dcm#2")).instances[0].sop_class == ComputedRadiographyImageStorage
    with pytest.raises(Unreadable, match=r"^lacks a valid StudyInstanceUID"):
        source_of(Files(inputs / "nowhere.dcm"))


@pytest.mark.parametrize("file", ["chrGerm.dcm", "chrH31.dcm", "chrI2.dcm", "chrRuss.dcm", "chrX2.dcm"])
def test_names_in_other_character_sets_are_the_same_in_utf_8(arm, tmp_path, file):
    header = pydicom.dcmread(next(path for path in get_charset_files() if path.endswith(file)))
    made = made_from(header, arm, tmp_path)
    assert made.SpecificCharacterSet == "ISO_IR 192"
    assert str(made.PatientName) == str(header.PatientName)


@pytest.mark.parametrize("name", ["PatientName", "PatientWeight", "StudyDate", "InstanceNumber"])
def test_broken_attributes_of_a_source_break_nothing(arm, tmp_path, name):
    header = pydicom.dcmread(str(get_testdata_file("MR_small.dcm", download=False)))
    for value in (b"\xff\xfe\x00\x80abc ", b"9" * 40, b"1\\2\\x ", b"\0" * 6):
        break_one(header, name, value)
        assert made_from(header, arm, tmp_path).PatientID == "4MR1"
    break_one(header, "SpecificCharacterSet", b"\xff\0abc ")
    with pytest.raises(Unreadable, match=r"its Patient\w+ cannot be read; mend the header"):
        made_from(header, arm, tmp_path)


def break_one(header: pydicom.Dataset, name: str, value: bytes) -> None:
    tag = tag_for_keyword(name)
    header._dict[tag] = RawDataElement(Tag(tag), dictionary_VR(tag), len(value), value, 0, False, True)


def made_from(header: pydicom.Dataset, arm: Arm, folder: Path) -> pydicom.Dataset:
    """A file of a source with this header, as it is read back."""
    for key in ("StudyInstanceUID", "SeriesInstanceUID"):
        setattr(header, key, "1.2")
    source = Source(header, [Instance(ComputedRadiographyImageStorage, "1.3", None)])
    write(folder / "made.dcm", new_file(source, facts_of(arm), "report", EnhancedSRStorage, "SR"))
    made = pydicom.dcmread(folder / "made.dcm")
    made.decode()
    return made


def test_codes_and_uids_fit_their_attributes():
    long = "a\\" + "b" * 80
    code = own_code(long, "study")
    assert len(code.value) == 16
    assert len(code.meaning) == LONGEST
    assert "\\" not in code.meaning
    assert own_code(long, "study") == code
    assert own_code(long, "other").value != code.value
    uid = pydicom.uid.UID(uid_of("a", "b"))
    assert uid.is_valid
    assert len(uid) <= 64
    assert uid_of("a", "b") != uid_of("ab", "")


def test_a_folder_that_holds_the_inputs_is_refused(arm_folder, inputs):
    before = sorted(inputs.iterdir())
    with pytest.raises(RescanError, match=r"--dicom: .*: holds images to predict, such as "):
        predict(arm_folder, [inputs], inputs.parent / "out.csv", None, "cpu", dicom=inputs)
    assert sorted(inputs.iterdir()) == before
