"""Tables of samples with several labels: joined in one column, or a column per class."""

from __future__ import annotations

import logging

import pandas as pd
import pytest
from layout_cases import faults, fill, small_study, write_table
from pydantic import ValidationError

from rescan.data.audit.copies import agreement
from rescan.data.layouts.reading import read_layout
from rescan.results.agreement import class_counts

FINDINGS = ["Atelectasis", "Effusion", "Mass"]


def several(layout="table", **data):
    return small_study(layout=layout, split={"test": 0.2}, multilabel=True, **{"classes": FINDINGS, **data})


def labels(root, **data):
    manifest = read_layout(several(**data), root)
    return dict(zip(manifest["path"], manifest["label"]))


def test_labels_joined_in_one_column_as_of_chestxray14(tmp_path, caplog):
    names = [f"{number}.png" for number in range(5)]
    texts = ["Effusion|Atelectasis", "No Finding", "", " Mass ", "Mass | Effusion"]
    rows = "\n".join(f"{name},{text}" for name, text in zip(names, texts))
    root = fill(tmp_path / "raw", *names, samples=f"Image Index,Finding Labels\n{rows}\n")
    columns = {"path": "Image Index", "label": "Finding Labels"}
    with caplog.at_level(logging.WARNING):
        found = labels(root, layout={"name": "table", "columns": columns})
    assert list(found.values()) == ["Atelectasis|Effusion", "none", "none", "Mass", "Effusion|Mass"]
    assert "1 of 5 rows have no label: they count as none of the classes" in caplog.text


def test_a_column_per_class_as_of_chexpert(tmp_path, caplog):
    names = [f"{number}.png" for number in range(4)]
    values = ["1.0,,0.0", "-1.0,1,", ",,", "0,-1,TRUE"]
    rows = "\n".join(f"{name},{text}" for name, text in zip(names, values))
    root = fill(tmp_path / "raw", *names, samples=f"path,Atelectasis,Effusion,Mass\n{rows}\n")
    with caplog.at_level(logging.WARNING):
        assert list(labels(root).values()) == ["Atelectasis", "Effusion", "none", "Mass"]
    assert "2 labels are uncertain (-1) and count as absent; data.layout.uncertain changes that" in caplog.text
    present = labels(root, layout={"name": "table", "uncertain": "present"})
    assert list(present.values()) == ["Atelectasis", "Atelectasis|Effusion", "none", "Effusion|Mass"]


def test_labels_of_the_source_become_classes(tmp_path):
    mapped = {"labels": {"effusion, left": "fluid", "effusion, right": "fluid", "mass": "mass"}}
    table = 'path,label\na.png,"mass|effusion, right|rib"\nb (ä).png,rib\n'
    write_table(tmp_path / "raw", table)
    assert list(labels(tmp_path / "raw", classes=["mass", "fluid"], **mapped).values()) == ["mass|fluid", "none"]
    write_table(tmp_path / "raw", 'path,"effusion, left","effusion, right",mass\na.png,1,1,0\nb (ä).png,0,0,1\n')
    assert list(labels(tmp_path / "raw", classes=["mass", "fluid"], **mapped).values()) == ["fluid", "mass"]


def test_a_class_may_be_called_like_a_column(tmp_path):
    write_table(tmp_path / "raw", "path,device,Mass,site\na.png,1,0,x\nb (ä).png,0,1,y\n")
    manifest = read_layout(several(classes=["device", "Mass"]), tmp_path / "raw")
    assert manifest["label"].tolist() == ["device", "Mass"]
    assert "device" not in manifest
    assert manifest["site"].tolist() == ["x", "y"]


def test_every_fault_is_said(tmp_path):
    write_table(tmp_path / "raw", "path,label\na.png,Effusion|Mas\nb (ä).png,No Finding|Mass\n")
    wrong, both = faults(several(), tmp_path / "raw")
    assert wrong == "samples.csv: line 2: no class 'Mas'; did you mean 'Mass'?; several are joined by |"
    assert both == "samples.csv: line 3: 'No Finding|Mass' names a finding and none; correct it"
    write_table(tmp_path / "raw", "path,Atelectasis,Effusion,Mass\na.png,2,0,0\nb (ä).png,0,0,0\n")
    assert faults(several(), tmp_path / "raw") == [
        "samples.csv: line 2: Atelectasis is '2'; use 1, 0, -1 where it is uncertain, or nothing"
    ]
    write_table(tmp_path / "raw", "path,Finding Labels\na.png,Mass\nb (ä).png,Mass\n")
    (nameless,) = faults(several(), tmp_path / "raw")
    assert nameless.startswith("samples.csv: no column 'label'; its columns are path, Finding Labels; add it")
    write_table(tmp_path / "raw", "path,Atelectasis\na.png,1\nb (ä).png,0\n")
    missing = faults(several(), tmp_path / "raw")
    assert [line.split(";")[0] for line in missing] == [f"samples.csv: no column {name!r}" for name in FINDINGS[1:]]


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        ({"ordered": True}, "multilabel: grades exclude each other"),
        ({"layout": "class_folders"}, "multilabel: layout class_folders has one label; use layout: table"),
        ({"classes": ["mass", "No Finding"]}, "multilabel: 'No Finding' can be no class"),
        ({"classes": ["mass", "a|b"]}, "multilabel: 'a|b' can be no class"),
        ({"classes": [f"c{number}" for number in range(63)]}, "multilabel: 63 classes; 62 labels at most"),
        ({"phantom": "radiograph"}, "multilabel: phantom radiograph has one label"),
    ],
)
def test_what_cannot_have_several_labels_is_refused(data, fault):
    with pytest.raises(ValidationError, match=fault):
        several(**data)


def test_targets_are_bits_and_labels_are_counted_by_class():
    outcome = several().data.outcome
    texts = ["none", "Atelectasis", "Effusion", "Atelectasis|Effusion", "Mass", "Atelectasis|Mass"]
    assert [outcome.target(text) for text in ["", *texts]] == [-1, 0, 1, 2, 3, 4, 5]
    assert [outcome.label(target) for target in range(6)] == texts
    assert [text for text in ("Effusion|Atelectasis", "", "Mas", *texts) if outcome.is_label(text)] == texts
    table = pd.DataFrame({"label": texts, "published_part": ["train"] * 3 + ["test"] * 3})
    assert class_counts(table)["train"] == dict.fromkeys(texts[:3], 1)  # each sample once
    assert class_counts(outcome.by_class(table)) == {
        "train": {"Atelectasis": 1, "Effusion": 1},
        "test": {"Atelectasis": 2, "Effusion": 1, "Mass": 2},
    }
    assert outcome.has(table["label"], "Mass").tolist() == [False] * 4 + [True] * 2
    copies = table.assign(pixels=["a", "a", "b", "b", "b", "c"]).assign(label=["Mass", "Mass", *texts[2:]])
    assert agreement(several().data, copies, "pixels").conflicting_pairs == 3  # Effusion is not Atelectasis|Effusion
