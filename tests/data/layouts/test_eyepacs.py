"""A table of grades of left and right eyes."""

from __future__ import annotations

from layout_cases import faults, fill, graded_study

from rescan.data.layouts.reading import read_layout


def test_eyepacs(tmp_path):
    images = [f"train/{name}" for name in ("10_left.jpeg", "10_right.JPG", "x_1_left.png")]
    fill(tmp_path / "raw", *images, trainLabels="image,level\n10_left,0\n10_right,2\nx_1_left,1\n")
    manifest = read_layout(graded_study("eyepacs"), tmp_path / "raw")
    assert manifest[["sample", "path", "label", "patient", "eye"]].to_numpy().tolist() == [
        ["10_left", "train/10_left.jpeg", "no DR", "10", "left"],
        ["10_right", "train/10_right.JPG", "moderate", "10", "right"],
        ["x_1_left", "train/x_1_left.png", "mild", "x_1", "left"],
    ]
    fill(tmp_path / "raw", "train/7.png", "train/7_lefty.png", trainLabels="image,level\n7,1\n7_lefty,2\n10_left,0\n")
    assert faults(graded_study("eyepacs"), tmp_path / "raw") == [
        f"trainLabels.csv: line {line}: {name!r} is not <patient>_left or <patient>_right; rename image and file"
        for line, name in ((2, "7"), (3, "7_lefty"))
    ]
