from __future__ import annotations

import logging
import secrets
import stat
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from dicom_files import write_dicom
from sample_files import write_source

from rescan.data import headers
from rescan.data.audit.audit import audit
from rescan.data.headers import hashed, header_of, key_at, with_headers, years
from rescan.data.index import index
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.results.manifest import MANIFEST

PIXELS = np.random.default_rng(0).integers(0, 4096, (40, 20, 24)).astype(np.uint16)
SAID = {
    "PatientID": "MRN-0042",
    "PatientName": "Doe^Jane",
    "PatientBirthDate": "19610203",
    "AccessionNumber": "A7788",
    "StudyInstanceUID": "1.2.840.99",
    "ImageLaterality": "l",
    "ViewPosition": "PA",
    "PatientAge": "045Y",
    "PatientSex": "f",
    "InstitutionName": "St. Mary",
    "Manufacturer": "ACME",
    "ManufacturerModelName": "X 100",
    "BodyPartExamined": "KNEE",
    "BurnedInAnnotation": "YES",
}
AS_IS = {
    "patient": "MRN-0042",
    "study": "1.2.840.99",
    "eye": "L",
    "view": "PA",
    "age": "45",
    "sex": "F",
    "site": "St. Mary",
    "device": "ACME X 100",
    "body_part": "KNEE",
    "burned_in": "yes",
}


def test_a_header_says_what_manifests_know(tmp_path):
    write_dicom(tmp_path / "a", PIXELS[0], **SAID)
    assert header_of(tmp_path / "a", None) == AS_IS
    (tmp_path / "series").mkdir()
    (tmp_path / "a").rename(tmp_path / "series/a")
    (tmp_path / "series/.hidden").write_text("x")
    assert header_of(tmp_path / "series", None) == AS_IS
    key = b"k" * 32
    found = header_of(tmp_path / "series", key)
    assert found.pop("written") not in ("", found["patient"])
    assert found == {**AS_IS, "patient": hashed("MRN-0042", key, "p"), "study": hashed("1.2.840.99", key, "s")}
    assert found["patient"] != hashed("MRN-0042", b"l" * 32, "p")


def test_what_says_nothing_is_left_out(tmp_path):
    nothing = dict.fromkeys(SAID)
    write_dicom(
        tmp_path / "a", PIXELS[0], **{**nothing, "PatientID": "ANONYMOUS", "PatientSex": "O", "Laterality": "U"}
    )
    assert header_of(tmp_path / "a", None) == {}
    (tmp_path / "text").write_text("x" * 500)
    (tmp_path / "empty").mkdir()
    for path in (tmp_path / "text", tmp_path / "gone", tmp_path / "empty", None):
        assert header_of(path, None) == {}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("045Y", "45"),
        ("006M", "0.5"),
        ("010W", "0.19"),
        ("100D", "0.27"),
        ("45", "45"),
        ("45.0", "45"),
        ("45,5 years", "45.5"),
        ("18 months", "1.5"),
        (" 7y ", "7"),
        ("old", None),
        ("4-5", None),
        ("-3", None),
    ],
)
def test_ages_are_read_however_they_are_written(text, expected):
    assert years(text) == expected


def test_a_table_wins_over_headers(tmp_path):
    for name, patient in (("a", "1"), ("b", "1"), ("c", "2")):
        write_dicom(tmp_path / name, PIXELS[0], PatientID=patient, PatientAge="045Y", PatientSex="M")
    manifest = pd.DataFrame({"sample": list("abc"), "patient": ["anna", "", ""], "age": ["30", "", ""]})
    found = with_headers(manifest, [tmp_path / name for name in "abc"], None)
    assert found["patient"].tolist() == ["anna", "anna", "2"]  # the same patient under one name
    assert found["age"].tolist() == ["30", "45", "45"]
    assert found["sex"].tolist() == ["M"] * 3
    assert "site" not in found


def test_ids_that_differ_only_in_how_they_are_written_are_one_patient(tmp_path, caplog):
    for name, patient in (("a", "Mül 007"), ("b", "mül7"), ("c", "mül8")):
        write_dicom(tmp_path / name, PIXELS[0], SpecificCharacterSet="ISO_IR 192", PatientID=patient)
    files = [tmp_path / name for name in "abc"]
    manifest = pd.DataFrame({"sample": list("abc"), "patient": ""})
    with caplog.at_level(logging.WARNING, "rescan"):
        found = with_headers(manifest, files, b"k" * 32)["patient"].tolist()
    assert found[0] == found[1] != found[2]
    assert "1 patients are one each, though their ids in headers differ only in case, blanks" in caplog.text
    named = with_headers(manifest.assign(patient=["", "", "MÜL7"]), files, b"k" * 32)["patient"].tolist()
    assert named == ["MÜL7"] * 3  # as the table has it


def test_two_that_make_a_key_at_once_share_it(tmp_path, monkeypatch):
    """As the indexes of a study's own and of its external data may: another key would hide that patients are shared."""
    path, made, random = tmp_path / ".patients.key", [], secrets.token_bytes
    other = threading.Thread(target=lambda: made.append(key_at(str(path))))

    def late(count):
        if not other.ident:
            other.start()
            time.sleep(0.2)  # until it waits
        return random(count)

    monkeypatch.setattr(secrets, "token_bytes", late)
    key = key_at(str(path))
    other.join(timeout=60)
    assert made == [key]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_id_of_a_table_is_that_of_a_header(tmp_path):
    write_dicom(tmp_path / "b", PIXELS[0], PatientID="P1")
    write_dicom(tmp_path / "c", PIXELS[0], PatientID="P2")
    manifest = pd.DataFrame({"sample": list("abc"), "patient": ["P1", "", ""]})
    key = b"k" * 32
    found = with_headers(manifest, [None, tmp_path / "b", tmp_path / "c"], key)
    assert found["patient"].tolist() == ["P1", "P1", hashed("P2", key, "p")]


def test_the_key_is_made_once_for_its_owner(tmp_path):
    path = tmp_path / "data/.patients.key"
    key = key_at(str(path))
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key_at(str(path)) == key
    assert sorted(file.name for file in path.parent.iterdir()) == [path.name, f"{path.name}.lock"]
    path.write_bytes(b"")
    with pytest.raises(RescanError, match="is no key of 32 bytes; remove it"):
        key_at(str(path))


@pytest.fixture
def knees(tmp_path, monkeypatch, study):
    """A function that makes a study of 40 DICOM files of 20 patients, in a table with labels only."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    for number, pixels in enumerate(PIXELS):
        said = {**SAID, "PatientID": f"MRN-{number // 2}", "PatientAge": f"{20 + number:03d}Y"}
        said["BurnedInAnnotation"] = "YES" if number < 3 else "NO"
        write_dicom(tmp_path / f"raw/{number:02d}.dcm", pixels, 12, **said)
    rows = [f"{number:02d}.dcm,{['cat', 'dog'][number // 2 % 2]}" for number in range(40)]
    (tmp_path / "raw/samples.csv").write_text("\n".join(["path,label", *rows]))

    def make(**data):
        made = study({"layout": {"name": "table"}, **data}, test=0.25)
        write_source(Paths(made.scale, made.name), str(tmp_path / "raw"))
        return made

    return make


def written(folder):
    return b"".join(file.read_bytes() for file in Path(folder).rglob("*") if file.is_file())


def test_ids_are_hashed_in_all_that_is_written(knees):
    study = knees()
    index(study)
    paths = Paths(study.scale, study.name)
    manifest = MANIFEST.read(paths.manifest)
    assert manifest["patient"].nunique() == 20
    assert manifest["patient"].str.fullmatch("p[0-9a-f]{16}").all()
    assert manifest["age"].tolist() == [f"{age}" for age in range(20, 60)]
    write_source(paths, "raw", manifest=manifest)
    audit(study, 1)
    content = written("results")
    for secret in (b"MRN-", b"1.2.840.99", b"Doe", b"19610203", b"A7788", Path(paths.patients_key).read_bytes()):
        assert secret not in content
    before = Path(paths.manifest).read_bytes()
    index(study)
    assert Path(paths.manifest).read_bytes() == before
    assert "3 images have text burned into their pixels" in content.decode()


def test_ids_stay_as_they_are_where_the_study_asks_for_it(knees):
    study = knees(patients="as_is")
    index(study)
    paths = Paths(study.scale, study.name)
    assert set(MANIFEST.read(paths.manifest)["patient"]) == {f"MRN-{number}" for number in range(20)}
    assert not Path(paths.patients_key).exists()


def test_ages_of_a_table_are_read_and_others_said(knees, tmp_path, caplog):
    study = knees()
    ages = ["045Y", "old", "", "006M", *["50"] * 36]
    lines = (tmp_path / "raw/samples.csv").read_text().splitlines()
    table = [f"{lines[0]},age", *(f"{line},{age}" for line, age in zip(lines[1:], ages))]
    (tmp_path / "raw/samples.csv").write_text("\n".join(table))
    with caplog.at_level(logging.WARNING, "rescan"):
        index(study)
    assert MANIFEST.read(Paths(study.scale, study.name).manifest)["age"].tolist()[:5] == ["45", "", "22", "0.5", "50"]
    assert "1 ages are not read, such as 'old'" in caplog.text


def test_headers_are_read_in_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(headers, "SOME", 1)
    for number in range(4):
        write_dicom(tmp_path / str(number), PIXELS[0], PatientID=str(number + 1))
    found = with_headers(pd.DataFrame({"sample": range(4)}), [tmp_path / str(number) for number in range(4)], None)
    assert found["patient"].tolist() == ["1", "2", "3", "4"]


def test_external_data_share_the_key_of_the_study():
    assert Paths("full", "pets/external/h2").patients_key == Paths("full", "pets").patients_key
