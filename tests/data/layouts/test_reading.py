"""Labels of a data set become classes; extra sources are named."""

from __future__ import annotations

import logging

from layout_cases import faults, small_study, write_table

from rescan.data.layouts.reading import read_layout


def test_the_folder_is_not_there(tmp_path):
    (line,) = faults(small_study(), tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'} is not there" in line


def test_an_extra_source(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    root = tmp_path / "raw"
    write_table(root, "path,label,part,patient\na.png,glioma,test,7\nb (ä).png,notumor,train,\n")
    extra = {"more": {"source": {"path": "x"}, "layout": {"name": "table", "file": "samples.csv"}}}
    manifest = read_layout(small_study(extra=extra), root, "more")
    columns = ["sample", "path", "label", "patient", "published_part", "origin"]
    assert manifest[columns].to_numpy().tolist() == [
        ["more/a.png", "a.png", "glioma", "more/7", "extra", "more"],
        ["more/b (ä).png", "b (ä).png", "notumor", "", "extra", "more"],
    ]
    write_table(root, "path,label,part\na.png,glioma,\nb (ä).png,,unlabeled\n")
    with caplog.at_level(logging.INFO, "rescan"):
        assert read_layout(small_study(extra=extra), root, "more")["sample"].tolist() == ["more/a.png"]
    assert "more: 1 samples without a label are not read" in caplog.text


def test_a_table_with_other_columns_and_labels(acdc, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    caplog.set_level(logging.INFO, "rescan")
    layout = {"name": "table", "file": "labels.csv", "label": "group", "patient": "patient_id"}
    labels = {"NOR": "normal", "DCM": "abnormal"}
    study = small_study(layout=layout, classes=["normal", "abnormal"], labels=labels, split={"test": 0.2})
    manifest = read_layout(study, acdc)
    assert manifest[["path", "label", "patient"]].to_numpy().tolist() == [
        ["volumes/patient002_frame01.nii.gz", "abnormal", "patient002"],
        ["volumes/patient004_frame01.nii.gz", "normal", "patient004"],
    ]
    assert manifest.attrs["dropped"] == {"RV": 1}
    assert caplog.messages == [
        f"{acdc}/labels.csv: 3 columns are not read: label, abnormal, nx",
        f"{acdc}: 1 samples are dropped, whose label data.labels does not name: RV 1",
    ]
    twice = {"NOR": "normal", "dcm": "abnormal", "RV": "abnormal"}
    caplog.clear()
    kept = read_layout(small_study(layout=layout, classes=study.data.classes, labels=twice, split={"test": 0.2}), acdc)
    assert len(kept) == 2
    assert "the dropped label 'DCM' and 'dcm' of data.labels differ only in case" in caplog.text
    by_number = small_study(
        layout={**layout, "label": "label"}, classes=["DCM", "NOR", "RV"], labels={"0": "DCM", "3": "NOR", "4": "RV"}
    )
    assert "no labeled test part" in faults(by_number, acdc)[0]
    by_number = by_number.model_copy(update={"split": study.split})
    assert read_layout(by_number, acdc)["label"].tolist() == ["DCM", "NOR", "RV"]
    (line,) = faults(small_study(layout={**layout, "patient": "subject"}), acdc)
    assert "labels.csv: no column 'subject'" in line


def test_labels_without_a_class_are_named(acdc, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("rescan"), "propagate", True)
    study = small_study(
        layout={"name": "table", "file": "labels.csv", "label": "group"},
        classes=["normal", "abnormal"],
        labels={"NOR": "normal", "dcm": "abnormal"},
        split={"test": 0.2},
    )
    (line,) = faults(study, acdc)
    assert "by data.labels no sample is 'abnormal'; the labels there are: DCM 1, NOR 1, RV 1" in line
    data = study.data.model_copy(update={"labels": {**study.data.labels, "RV": "abnormal"}})
    assert len(read_layout(study.model_copy(update={"data": data}), acdc)) == 2
    assert "no sample has the label 'dcm' that data.labels names" in caplog.text


def test_labels_of_extra_sources_are_mapped_too(tmp_path):
    write_table(tmp_path / "raw", "path,label\na.png,NOR\nb (ä).png,RV\n")
    extra = {"more": {"source": {"path": "x"}, "layout": {"name": "table"}}}
    study = small_study(classes=["normal", "abnormal"], labels={"NOR": "normal", "DCM": "abnormal"}, extra=extra)
    assert read_layout(study, tmp_path / "raw", "more")[["path", "label"]].to_numpy().tolist() == [["a.png", "normal"]]


def test_grades_merged_by_labels(tmp_path):
    (tmp_path / "train_images").mkdir()
    for name in "abc":
        (tmp_path / "train_images" / f"{name}.png").write_bytes(b"")
    (tmp_path / "train.csv").write_text("id_code,diagnosis\na,0\nb,2\nc,1\n")
    study = small_study(
        layout="aptos", classes=["none", "ill"], ordered=True, labels={"0": "none", "2": "ill"}, split={"test": 0.2}
    )
    manifest = read_layout(study, tmp_path)
    assert manifest[["sample", "label"]].to_numpy().tolist() == [["a", "none"], ["b", "ill"]]
    assert manifest.attrs["dropped"] == {"1": 1}
