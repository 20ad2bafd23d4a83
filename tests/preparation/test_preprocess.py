from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from dicom_files import deadly_dicom
from sample_files import read_json, read_table, write_groups, write_manifest, write_source

from rescan.data.readers.images import Unreadable
from rescan.errors import RescanError
from rescan.paths import Paths
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.preprocess import preprocess
from rescan.preparation.sample import prepare_image, stages_of
from rescan.preparation.store import open_store
from rescan.results.audit_report import GROUPS
from rescan.results.manifest import MANIFEST
from rescan.study import Preparation, Settings, Study
from rescan.study.file import load

PATHS = Paths("demo", "heads")
STORE = Path(PATHS.store("small"))
CROP_AND_RESIZE = [{"name": "crop_brain", "threshold": 45}, {"name": "resize", "size": [24, 32]}]


def make_study(steps=CROP_AND_RESIZE, channels="rgb", **data):
    stages = {"main": {"epochs": 1, "optimizer": "adam"}}
    return Study.model_validate(
        {
            "name": "heads",
            "scale": "demo",
            "title": "Heads",
            "data": {"source": {"path": "raw"}, "layout": "class_folders", "classes": ["a", "b"], **data},
            "preparations": {"small": {"steps": steps, "channels": channels}},
            "arms": {"x": {"preparation": "small", "network": {"encoder": "resnet18"}, "stages": stages}},
        }
    )


def head(seed):
    rng = np.random.default_rng(seed)
    image = np.zeros((60, 70), np.uint8)
    image[10:50, 15:60] = rng.integers(100, 255, (40, 45))
    return image


@pytest.fixture
def write_data(tmp_path, monkeypatch):
    """A function that writes files, given as {path: image or bytes or None}; labels alternate; masks lie in masks/."""
    monkeypatch.chdir(tmp_path)

    def write(files, problems=None):
        for path, content in files.items():
            if content is not None:
                (tmp_path / "raw" / path).parent.mkdir(parents=True, exist_ok=True)
                data = content if isinstance(content, bytes) else cv2.imencode(".png", content)[1].tobytes()
                (tmp_path / "raw" / path).write_bytes(data)
        samples = [path for path in files if not path.startswith("masks/")]
        masks = [f"masks/{path}" if f"masks/{path}" in files else "" for path in samples]
        labels = ["ab"[index % 2] for index in range(len(samples))]
        write_manifest(PATHS, pd.DataFrame({"sample": samples, "label": labels, "mask": masks}))
        texts = [(problems or {}).get(path, "") for path in samples]
        write_groups(PATHS, pd.DataFrame({"sample": samples, "problem": texts}))
        write_source(PATHS)

    return write


@pytest.mark.parametrize("processes", [1, 2])
def test_store_holds_each_prepared_image_and_mask(write_data, processes):
    files = {f"{index}.png": head(index) for index in range(6)}
    mask = np.where(head(0) > 180, np.uint8(255), np.uint8(0))
    write_data({**files, "masks/0.png": mask})
    study = make_study()
    preprocess(study, "small", processes)
    array, items = open_store(STORE)
    assert array.shape == (6, 24, 32, 3)
    assert array.dtype == np.uint8
    digests = [hashlib.blake2b(image.tobytes(), digest_size=8).hexdigest() for image in array]
    expected = {"item": list(range(6)), "sample": list(files), "patch": [0] * 6, "mask": [1, 0, 0, 0, 0, 0]}
    assert items.drop(columns=["low", "high"]).to_dict("list") == {**expected, "digest": digests}
    assert items[["low", "high"]].isna().all(axis=None)
    for item, sample in enumerate(items["sample"]):
        np.testing.assert_array_equal(array[item], prepare_image(f"raw/{sample}", study.preparations["small"])[0])
    masks = np.load(STORE / "masks.npy", mmap_mode="r")
    expected = prepare_image("raw/0.png", study.preparations["small"], "raw/masks/0.png")[1]
    np.testing.assert_array_equal(masks[0], expected)
    assert 0 < masks[0].mean() < 255
    assert not masks[1:].any()
    about = read_json(STORE / "preparation.json")
    assert about["shape"] == [6, 24, 32, 3]
    assert about["left_out"] == []
    assert sorted(path.name for path in STORE.iterdir()) == ["images.npy", "items.csv", "masks.npy", "preparation.json"]


def test_what_cannot_be_prepared_is_listed_and_leaves_no_hole(write_data):
    black = np.zeros((60, 70), np.uint8)
    files = {
        "0.png": head(0),
        "black.png": black,
        "2.png": head(2),
        "3.png": head(3),
        "bad.png": b"x",
        "gone.png": None,
    }
    files["fat.png"] = head(5)
    write_data({**files, "masks/3.png": head(1), "masks/fat.png": black[:50]}, {"bad.png": "not an image"})
    preprocess(make_study(), "small", 1)
    array, items = open_store(STORE)
    assert items["sample"].tolist() == ["0.png", "2.png", "3.png"]
    assert items["mask"].tolist() == [0, 0, 1]
    for item, name in enumerate(items["sample"]):
        np.testing.assert_array_equal(array[item], prepare_image(f"raw/{name}", make_study().preparations["small"])[0])
    assert np.load(STORE / "masks.npy").any(axis=(1, 2)).tolist() == [False, False, True]
    left_out = {entry["sample"]: entry["problem"] for entry in read_json(STORE / "preparation.json")["left_out"]}
    assert left_out.pop("black.png").startswith("crop_brain: no contour above the threshold 45")
    assert left_out == {
        "bad.png": "not an image",
        "gone.png": "no such file",
        "fat.png": "mask is 70x50 pixels, image 70x60",
    }
    assert sorted(path.name for path in STORE.iterdir()) == ["images.npy", "items.csv", "masks.npy", "preparation.json"]


def test_a_file_that_ends_its_decoders_process_is_left_out(write_data):
    write_data({"a.dcm": deadly_dicom(), "b.png": head(1), "c.png": head(2)})
    preprocess(make_study(), "small", 1)
    assert read_table(STORE / "items.csv")["sample"].tolist() == ["b.png", "c.png"]
    assert [entry["sample"] for entry in read_json(STORE / "preparation.json")["left_out"]] == ["a.dcm"]


def test_the_checksum_follows_preparation_and_content(write_data):
    files = {f"{index}.png": head(index) for index in range(4)}
    write_data(files)
    checksums = []
    for study in (make_study(), make_study(), make_study(channels="gray")):
        preprocess(study, "small", 1)
        about = read_json(STORE / "preparation.json")
        checksums.append(about["checksum"])
    assert checksums[0] == checksums[1]
    assert checksums[0] != checksums[2]
    assert open_store(STORE)[0].shape == (4, 24, 32, 1)


def test_where_a_step_fails_for_all_the_arms_without_it_are_named(write_data):
    write_data({f"{number}.png": np.full((80, 80), 90, np.uint8) for number in range(4)})  # no dark border
    steps = {"cropped": ["crop_circle", "enhance"], "plain": [], "blurred": ["enhance"]}
    sized = {name: {"steps": [*own, {"name": "resize", "size": [32, 32]}]} for name, own in steps.items()}
    arms = {"first": {}, "enhanced": {"preparation": "plain"}, "other": {"preparation": "blurred"}}
    content = {
        "title": "Eyes",
        "data": {"source": {"path": "raw"}, "layout": "class_folders", "classes": ["a", "b"]},
        "preparations": sized,
        "recipe": {
            "preparation": "cropped",
            "network": {"encoder": "resnet18", "weights": "none"},
            "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
        },
        "arms": arms,
        "run": ["first"],
    }
    Path("heads.yaml").write_text(json.dumps(content))
    study = load("heads.yaml", Settings("demo"))
    with pytest.raises(
        RescanError, match=r"crop_circle: no circle.* an arm without crop_circle: enhanced \("
    ) as caught:
        preprocess(study, "cropped", 1)
    assert str(caught.value).endswith("(--config 'arms={heads: [enhanced]}')")
    assert "\n" not in str(caught.value)


def test_a_class_that_is_lost_and_sizes_that_differ_are_errors(write_data):
    black = np.zeros((60, 70), np.uint8)
    write_data({"0.png": head(0), "1.png": black})
    with pytest.raises(RescanError, match=r"\.small: no image of class 'b'.*1\.png: crop_brain: no contour"):
        preprocess(make_study(), "small", 1)
    write_data({"0.png": black, "1.png": black})
    with pytest.raises(RescanError, match="no image can be prepared"):
        preprocess(make_study(), "small", 1)
    write_data({"0.png": head(0), "1.png": head(1)[:55, :58]})
    with pytest.raises(RescanError, match=r"1\.png differs in size.*resize"):
        preprocess(make_study(steps=[{"name": "crop_brain"}]), "small", 1)
    assert [path.name for path in STORE.parent.iterdir() if "small" in path.name] == []


def test_a_full_disk_is_said_before_work_begins(write_data, monkeypatch):
    write_data({"0.png": head(0), "1.png": head(1)})
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000})())
    with pytest.raises(RescanError, match=r"small: no space left; needs about \d+ kB, 1 kB are free"):
        preprocess(make_study(), "small", 1)


def test_an_older_store_stays_as_it_was_until_a_new_one_is_whole(write_data):
    write_data({"0.png": head(0), "1.png": head(1)})
    preprocess(make_study(), "small", 1)
    before = {path.name: path.read_bytes() for path in STORE.iterdir()}
    write_data({"0.png": head(0), "1.png": np.zeros((60, 70), np.uint8)})
    with pytest.raises(RescanError):
        preprocess(make_study(), "small", 1)
    assert {path.name: path.read_bytes() for path in STORE.iterdir()} == before
    write_data({"0.png": head(0), "1.png": head(2)})
    preprocess(make_study(), "small", 1)
    assert (STORE / "images.npy").read_bytes() != before["images.npy"]
    assert [path.name for path in STORE.parent.iterdir() if "small" in path.name] == ["small"]


def test_a_killed_run_leaves_no_store_and_no_workers(write_data):
    big = cv2.imencode(".png", np.random.default_rng(0).integers(0, 255, (1500, 1500), dtype=np.uint8))[1].tobytes()
    write_data({f"{index}.png": big for index in range(200)})
    Path(PATHS.resolved).write_text(make_study().model_dump_json(), "utf-8")
    code = (
        "from rescan import study; from rescan.preparation.preprocess import preprocess; "
        f"preprocess(study.read({PATHS.resolved!r}), 'small', 2)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, start_new_session=True)
    deadline = time.monotonic() + 30
    while not list(STORE.parent.glob(".small.part/images.npy")) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(0.5)
    assert process.poll() is None
    process.kill()
    process.wait()
    with pytest.raises(RescanError):
        open_store(STORE)
    while time.monotonic() < deadline:
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("the workers outlived the step")


def test_prepare_image_channels_and_bad_files(tmp_path):
    color = np.dstack([head(0), head(1), head(2)])
    (tmp_path / "c.png").write_bytes(cv2.imencode(".png", color[..., ::-1])[1].tobytes())
    (tmp_path / "g.png").write_bytes(cv2.imencode(".png", head(3))[1].tobytes())
    steps = [{"name": "resize", "size": [60, 70]}]
    rgb, gray = (Preparation.model_validate({"steps": steps, "channels": channels}) for channels in ("rgb", "gray"))
    np.testing.assert_array_equal(prepare_image(tmp_path / "c.png", rgb)[0], color)
    np.testing.assert_array_equal(prepare_image(tmp_path / "g.png", rgb)[0], np.dstack([head(3)] * 3))
    np.testing.assert_array_equal(prepare_image(tmp_path / "g.png", gray)[0], head(3)[..., None])
    assert abs(prepare_image(tmp_path / "c.png", gray)[0][..., 0] - color @ [0.299, 0.587, 0.114]).max() < 1
    with pytest.raises(Unreadable):
        prepare_image(tmp_path / "none.png", gray)
    with pytest.raises(CannotPrepare, match="mask: no such file"):
        prepare_image(tmp_path / "g.png", gray, tmp_path / "none.png")


def test_items_are_a_table_that_others_can_read(write_data):
    write_data({"007.png": head(0), "b c(1) é.png": head(1)})
    preprocess(make_study(), "small", 1)
    assert read_table(STORE / "items.csv")["sample"].tolist() == ["007.png", "b c(1) é.png"]


def test_extra_and_unlabeled_samples_are_prepared_too(write_data, tmp_path):
    write_data({f"{index}.png": head(index) for index in range(4)})
    (tmp_path / "elsewhere").mkdir()
    cv2.imwrite(str(tmp_path / "elsewhere/9.png"), head(9))
    manifest = MANIFEST.read(PATHS.manifest)
    manifest.loc[3, ["label", "published_part"]] = ["", "unlabeled"]
    manifest.loc[3, "path"] = "black.png"
    cv2.imwrite(str(tmp_path / "raw/black.png"), np.zeros((60, 70), np.uint8))
    extra = pd.DataFrame(
        {"sample": ["more/9.png"], "path": "9.png", "label": "b", "origin": "more", "published_part": "extra"}
    )
    write_manifest(PATHS, pd.concat([manifest, extra]).fillna(""))
    groups = GROUPS.read(PATHS.groups)
    write_groups(PATHS, pd.concat([groups, groups[:1].assign(sample="more/9.png")]))
    write_source(PATHS, extra={"more": "elsewhere"})
    extra = {"more": {"source": {"path": "elsewhere"}, "layout": "class_folders"}}
    preprocess(make_study(extra=extra), "small", 1)
    array, items = open_store(STORE)
    assert items["sample"].tolist() == ["0.png", "1.png", "2.png", "more/9.png"]
    expected = prepare_image(tmp_path / "elsewhere/9.png", make_study().preparations["small"])[0]
    np.testing.assert_array_equal(array[3], expected)
    assert [entry["sample"] for entry in read_json(STORE / "preparation.json")["left_out"]] == ["3.png"]


def test_stages_are_the_image_after_each_step(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), head(0))
    preparation = make_study().preparations["small"]
    stages = stages_of(tmp_path / "a.png", preparation)
    assert [name for name, _ in stages] == ["raw", "crop_brain", "resize"]
    np.testing.assert_array_equal(stages[0][1], np.dstack([head(0)] * 3))
    assert stages[1][1].shape[0] < 60
    np.testing.assert_array_equal(stages[2][1], prepare_image(tmp_path / "a.png", preparation)[0])


def photograph():
    """A disc with fine and coarse texture, 2,400 × 1,800, and where the fine one is."""
    rows, columns = np.mgrid[:1800, :2400]
    disc = np.hypot(rows - 880, columns - 1230) < 820
    fine = disc & (np.hypot(rows - 700, columns - 900) < 200)
    texture = 110 + 50 * np.sin(columns / 60) * np.cos(rows / 45) + 30 * fine * np.sin(columns / 6)
    image = np.where(disc, texture, 0).astype(np.uint8)
    return np.dstack([image // 3, image // 2, image]), fine


@pytest.mark.parametrize(("size", "factor"), [(1100, 1), (512, 2), (128, 2)])
def test_a_scaled_decoding_changes_little(tmp_path, size, factor):
    image, lesion = photograph()
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    cv2.imwrite(str(tmp_path / "mask.png"), lesion.astype(np.uint8) * 255)
    steps = [
        "crop_circle",
        {"name": "resize", "size": [size, size], "keep_aspect": True},
        {"name": "enhance", "sigma": 30 * size / 512},
    ]
    full, scaled = (Preparation.model_validate({"steps": steps, "decode": decode}) for decode in ("full", "scaled"))
    assert stages_of(tmp_path / "a.jpg", scaled)[0][1].shape == (1800 // factor, 2400 // factor, 3)
    results = [prepare_image(tmp_path / "a.jpg", preparation, tmp_path / "mask.png") for preparation in (full, scaled)]
    assert abs(results[0][0].astype(int) - results[1][0]).mean() <= 2
    assert (results[0][1] != results[1][1]).mean() < 0.002
    assert results[1][1].any()


def test_a_scaled_decoding_needs_a_resize_and_a_jpeg(tmp_path):
    image, _ = photograph()
    cv2.imwrite(str(tmp_path / "a.jpg"), image)
    cv2.imwrite(str(tmp_path / "a.png"), image)
    cropped = Preparation.model_validate({"steps": ["crop_circle"], "decode": "scaled"})
    resized = Preparation.model_validate({"steps": [{"name": "resize", "size": [64, 64]}], "decode": "scaled"})
    assert stages_of(tmp_path / "a.jpg", cropped)[0][1].shape == image.shape
    assert stages_of(tmp_path / "a.png", resized)[0][1].shape == image.shape
    cv2.imwrite(str(tmp_path / "mask.png"), image[:900, :1200, 0])  # the size that is decoded, not that of the file
    with pytest.raises(CannotPrepare, match="mask is 1200x900 pixels, image 2400x1800"):
        prepare_image(tmp_path / "a.jpg", resized, tmp_path / "mask.png")
