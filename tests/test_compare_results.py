"""The script that compares two trees of results sees what matters, and only that."""

import importlib.util
import json
import shutil
from pathlib import Path

import cv2
import nibabel
import numpy as np
import pytest
from safetensors.numpy import save_file

SPEC = importlib.util.spec_from_file_location("compare_results", Path(__file__).with_name("compare_results.py"))
script = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(script)


@pytest.fixture
def trees(tmp_path):
    """Two equal trees of one arm."""
    arm = tmp_path / "old/study/arm"
    for folder in ("fold0_seed0", "gradcam/images", "gradcam/volumes", "figures"):
        (arm / folder).mkdir(parents=True)
    (tmp_path / "old/study/forest.png").touch()
    (arm / "fold0_seed0/predictions.csv").write_text("item,classification_0\n0,0.25\n1,0.75\n")
    (arm / "fold0_seed0/history.csv").write_text("epoch,train_loss,seconds\n0,0.5,1.1\n1,0.25,1.2\n")
    metrics = {"result_key": "a", "parts": {"test": {"n": 4, "accuracy": 0.5}}, "warnings": ["one a sample"]}
    (arm / "metrics.json").write_text(json.dumps(metrics))
    save_file({"weight": np.ones(3, np.float32)}, arm / "fold0_seed0/model.safetensors")
    np.save(arm / "gradcam/maps.npy", np.array([1, np.nan], np.float32))
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), np.eye(4)), arm / "gradcam/volumes/0_map.nii.gz")
    for picture in ("gradcam/images/0.png", "figures/roc.png"):
        cv2.imwrite(str(arm / picture), np.full((4, 4, 3), 9, np.uint8))
    (tmp_path / "old/study/index.html").write_text("<style>p {}</style><p>One row <b>a</b> sample</p>")
    shutil.copytree(tmp_path / "old", tmp_path / "new")
    (tmp_path / "new/study/comparison_figures").mkdir()
    (tmp_path / "new/study/forest.png").rename(tmp_path / "new/study/comparison_figures/forest.png")
    for forest in tmp_path.rglob("forest.png"):
        cv2.imwrite(str(forest), np.zeros((2, 2), np.uint8))
    return tmp_path / "old", tmp_path / "new"


def rewrite(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_equal_trees_do_not_differ(trees, capsys):
    assert script.main(*trees) == 0
    assert "0 files differ; 0 in words or figures only" in capsys.readouterr().out


def test_clock_fingerprints_and_figures_do_not_matter_and_mended_words_are_shown(trees, capsys):
    arm = trees[1] / "study/arm"
    rewrite(arm / "fold0_seed0/history.csv", "1.2", "9.9")
    rewrite(arm / "metrics.json", '"a"', '"b"')
    rewrite(arm / "metrics.json", "one a sample", "one per sample")
    rewrite(trees[1] / "study/index.html", "<b>a</b>", "per")
    cv2.imwrite(str(arm / "figures/roc.png"), np.zeros((4, 4, 3), np.uint8))
    assert script.main(*trees) == 0
    printed = capsys.readouterr().out
    assert "-One row a sample\n  +One row per sample" in printed
    assert "warnings[0]: 'one a sample', now 'one per sample'" in printed
    assert "0 files differ; 3 in words or figures only" in printed


def change_array(path):
    np.save(path, np.array([2, np.nan], np.float32))


def change_volume(path):
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 2), np.float32), np.diag([2, 1, 1, 1])), path)


@pytest.mark.parametrize(
    ("file", "change", "text"),
    [
        ("fold0_seed0/predictions.csv", lambda path: rewrite(path, "0.75", "0.750"), "first in line 3"),
        ("fold0_seed0/history.csv", lambda path: rewrite(path, "0.25", "0.26"), "first '0.25', now '0.26'"),
        ("fold0_seed0/model.safetensors", lambda path: save_file({"weight": np.zeros(3, np.float32)}, path), "3 of 3"),
        ("metrics.json", lambda path: rewrite(path, "0.5", "0.51"), "parts.test.accuracy: 0.5, now 0.51"),
        ("metrics.json", lambda path: rewrite(path, '["one a sample"]', "[]"), "warnings: "),
        ("metrics.json", lambda path: path.unlink(), "only in the old tree"),
        ("gradcam/maps.npy", change_array, "array: "),
        ("gradcam/volumes/0_map.nii.gz", change_volume, "affine: 1 of 16"),
        ("gradcam/images/0.png", lambda path: cv2.imwrite(str(path), np.zeros((4, 4, 3), np.uint8)), "48 of 48"),
    ],
)
def test_a_difference_is_printed_and_fails(trees, capsys, file, change, text):
    change(trees[1] / "study/arm" / file)
    assert script.main(*trees) == 1
    printed = capsys.readouterr().out
    assert f"study/arm/{file}:\n  DIFFERS " in printed
    assert text in printed
    assert "1 files differ" in printed


def test_empty_trees_fail(tmp_path):
    assert script.main(tmp_path, tmp_path) == 1
