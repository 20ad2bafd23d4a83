"""BIDS: participants in a table, their files by session, datatype and suffix."""

from __future__ import annotations

import pytest
from layout_cases import faults, fill, small_study

from rescan.data.layouts.reading import read_layout, tables_of

FILES = [
    f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}_{suffix}.nii.gz"
    for subject in ("01", "02")
    for session in ("a", "b")
    for suffix in ("T1w", "T2w")
]
TABLE = "participant_id\tdiagnosis\tage\tsex\nsub-01\tglioma\t45\tF\nsub-02\tnotumor\tn/a\tM\nsub-03\tglioma\t1\tM\n"


def study_of(**options):
    layout = {"name": "bids", "columns": {"label": "diagnosis"}, **options}
    return small_study(layout=layout, classes=["glioma", "notumor"], split={"test": 0.2})


@pytest.fixture
def root(tmp_path):
    fill(
        tmp_path,
        *FILES,
        "sub-01/anat.json",
        "derivatives/seg/sub-01/anat/sub-01_T1w.nii.gz",
        "sub-09/anat/sub-09_T1w.nii",
    )
    (tmp_path / "participants.tsv").write_text(TABLE)
    return tmp_path


def test_files_are_picked_by_datatype_suffix_and_session(root):
    manifest = read_layout(study_of(datatype="anat", suffix="T1w"), root)
    assert manifest["path"].tolist() == [file for file in FILES if "T1w" in file]
    assert manifest[["patient", "study", "label", "age", "sex"]].drop_duplicates().to_numpy().tolist() == [
        ["01", "ses-a", "glioma", "45", "F"],
        ["01", "ses-b", "glioma", "45", "F"],
        ["02", "ses-a", "notumor", "", "M"],
        ["02", "ses-b", "notumor", "", "M"],
    ]
    one = read_layout(study_of(suffix="T2w", session="ses-b"), root)
    assert one["path"].tolist() == [file for file in FILES if "ses-b" in file and "T2w" in file]
    assert len(read_layout(study_of(), root)) == len(FILES)


def test_what_is_there_is_said(root):
    (line,) = faults(study_of(suffix="bold"), root)
    assert "no file is read; there are anat/T1w, anat/T2w; set datatype, suffix and session of data.layout" in line


def test_sessions_say_labels_and_ages(root):
    """A table of each participant, or one of all; the label may stand there alone."""
    (root / "sub-01/sub-01_sessions.tsv").write_text(
        "session_id\tage\tdiagnosis\nses-a\t50\tglioma\nses-b\t51\tnotumor\n"
    )
    (root / "sub-02/sub-02_sessions.tsv").write_text("session_id\tage\tdiagnosis\nses-b\tn/a\tglioma\n")
    columns = ["patient", "study", "label", "age", "sex"]
    expected = [
        ["01", "ses-a", "glioma", "50", "F"],
        ["01", "ses-b", "notumor", "51", "F"],
        ["02", "ses-a", "notumor", "", "M"],
        ["02", "ses-b", "glioma", "", "M"],
    ]
    assert read_layout(study_of(suffix="T1w"), root)[columns].to_numpy().tolist() == expected
    (root / "participants.tsv").write_text("participant_id\tsex\n1\tF\n2\tM\n")
    (line,) = faults(study_of(suffix="T1w"), root)
    assert "no label" in line
    for file in root.glob("sub-*/*_sessions.tsv"):
        file.unlink()
    (root / "sessions.tsv").write_text(
        "participant_id\tsession_id\tdiagnosis\n1\ta\tglioma\n1\tb\tn/a\n2\tA\tnotumor\n2\tb\tglioma\n"
    )
    study = study_of(suffix="T1w")
    labels = {"glioma": "glioma", "notumor": "notumor"}
    study = study.model_copy(update={"data": study.data.model_copy(update={"labels": labels})})
    assert read_layout(study, root)[["patient", "study", "label", "sex"]].to_numpy().tolist() == [
        ["1", "ses-a", "glioma", "F"],
        ["2", "ses-a", "notumor", "M"],
        ["2", "ses-b", "glioma", "M"],
    ]
    assert tables_of(study.data.layout, root) == ["participants.tsv", "sessions.tsv"]
    (root / "sub-01/sub-01_sessions.tsv").write_text("age\n7\n")
    assert tables_of(study.data.layout, root)[-1] == "sub-01/sub-01_sessions.tsv"
    (line,) = faults(study, root)
    assert "sub-01_sessions.tsv: no column 'session_id'" in line
