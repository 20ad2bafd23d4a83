"""A folder that is watched: each file has exactly one row, that of `rescan predict`, whatever ended the watch."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from dicom_files import write_dicom
from sample_files import model_header
from small_arms import write_arm

from rescan import arm_models
from rescan.errors import RescanError
from rescan.handover import growing_table
from rescan.handover import watch as module
from rescan.handover.watch import TABLE, check_places, watch
from rescan.locks import locked
from rescan.models.model_files import save
from rescan.models.networks import build
from rescan.predict import predict
from rescan.stopping import LINE, Stopped
from rescan.study import Preparation, Recipe

CLASSES = ["cat", "dog"]
RECIPE = Recipe.model_validate(
    {
        "preparation": "p",
        "network": {"encoder": "cnn5", "weights": "none", "neck": "avg"},
        "normalization": "unit",
        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
    }
)
PREPARATION = Preparation.model_validate({"channels": "gray", "steps": [{"name": "resize", "size": [32, 32]}]})
SECONDS = 120  # that a process may take


class Killed(BaseException):
    """A kill, of a process that goes on to look at what it left."""


def made(folder, recipe, preparation, shape):
    """The folder of an arm of one untrained network."""
    torch.manual_seed(0)
    header = model_header(recipe, CLASSES, shape, preparation=preparation)
    save(folder / "fold0_seed0/model.safetensors", build(recipe, 2, shape), header)
    write_arm(folder, ["fold0_seed0"], classes=2)
    return folder


@pytest.fixture(scope="module")
def arm(tmp_path_factory):
    return made(tmp_path_factory.mktemp("watch") / "arm", RECIPE, PREPARATION, (1, 32, 32))


@pytest.fixture
def inbox(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def put(path, seed):
    """An image, renamed into its place when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 255, (40, 36), np.uint8)
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    part.rename(path)


def once(arm, inbox, out, **options):
    watch(arm, inbox, out, **{"settle": 0, "every": 0.1, "once": True, "device": "cpu", **options})
    return table(out)


def table(out):
    return pd.read_csv(out / TABLE, keep_default_na=False, dtype=str)


def predicted(arm, inbox, out, **options):
    """What `rescan predict` says of all files, with their paths from the folder."""
    predict(arm, [inbox], out, None, "cpu", **options)
    rows = pd.read_csv(out, keep_default_na=False, dtype=str)
    return rows.assign(image=[Path(image).relative_to(inbox).as_posix() for image in rows["image"]])


def same(watched, of_predict):
    watched = watched[list(of_predict)].sort_values("image", ignore_index=True)
    pd.testing.assert_frame_equal(watched, of_predict.sort_values("image", ignore_index=True))


def test_each_file_has_the_row_of_predict_once(arm, inbox, tmp_path):
    for seed, name in enumerate(["b.png", "a.png", "sub/c.png", "=d.png"]):
        put(inbox / name, seed)
    (inbox / "damaged.png").write_bytes((inbox / "a.png").read_bytes()[:200])
    write_dicom(inbox / "frames.dcm", np.arange(3 * 32 * 32).reshape(3, 32, 32).astype(np.uint8))
    out, note = tmp_path / "out", tmp_path / "maps/.notes.2024.txt"
    note.parent.mkdir()
    note.touch()
    first = once(arm, inbox, out, gradcam=tmp_path / "maps")
    assert note.exists()
    of_predict = predicted(arm, inbox, tmp_path / "p.csv")
    same(first, of_predict.assign(image=of_predict["image"].str.replace("^=", "./=", regex=True)))
    assert first["image"].tolist() == [
        *("b.png", "a.png", "sub/c.png", "./=d.png", "damaged.png"),
        *("frames.dcm#1", "frames.dcm#2", "frames.dcm#3"),
    ]
    assert first["state"].ne("").tolist() == [*[True] * 5, False, False, True]
    assert first["time"].str.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ").all()
    maps = {path.relative_to(tmp_path / "maps").as_posix() for path in (tmp_path / "maps").rglob("*.png")}
    assert maps == {f"{name.removeprefix('./')}.png" for name in first["image"] if name != "damaged.png"}
    before = (out / TABLE).read_bytes()
    assert len(once(arm, inbox, out)) == len(first)
    (inbox / "a.png").touch()  # sent again, the same
    assert (out / TABLE).read_bytes() == before
    once(arm, inbox, out)
    assert (out / TABLE).read_bytes() == before
    put(inbox / "a.png", 9)
    put(inbox / "damaged.png", 10)
    (inbox / "b.png").unlink()
    last = once(arm, inbox, out)
    assert last["image"].tolist()[len(first) :] == ["a.png", "damaged.png"]
    newest = last.drop_duplicates("image", keep="last").replace("./=d.png", "=d.png")
    same(newest[newest["image"] != "b.png"], predicted(arm, inbox, tmp_path / "p.csv"))


def test_folders_of_slices_are_predicted_as_volumes(inbox, tmp_path):
    steps = [{"name": "resize_volume", "size": [32, 32, 32]}]
    deep = Preparation.model_validate({"reads": "volume", "channels": "gray", "steps": steps})
    recipe = RECIPE.model_copy(update={"network": RECIPE.network.model_copy(update={"encoder": "cnn5_3d"})})
    arm = made(tmp_path / "deep", recipe, deep, (1, 32, 32, 32))
    for scan in ("patient1/left", "patient2"):
        for number in range(1, 4):
            put(inbox / scan / f"{number}.png", number)
    rows = once(arm, inbox, tmp_path / "out")
    assert rows["image"].tolist() == ["patient1/left", "patient2"]
    same(rows, predicted(arm, inbox, tmp_path / "p.csv"))
    put(inbox / "patient2/4.png", 4)
    assert once(arm, inbox, tmp_path / "out")["image"].tolist() == ["patient1/left", "patient2", "patient2"]


@pytest.mark.parametrize("seed", range(12))
def test_a_kill_at_any_moment_costs_no_row_and_doubles_none(arm, inbox, tmp_path, monkeypatch, seed):
    draw = random.Random(seed)
    monkeypatch.setattr(arm_models, "CHUNK", 2)
    for number in range(5):
        put(inbox / f"{number}.png", number)
    out = tmp_path / "out"
    calls, moment = 0, draw.randrange(16)

    def deadly(function, *, part=False):
        def call(*arguments):
            nonlocal calls
            calls += 1
            if calls > moment:
                if part:
                    function(arguments[0], arguments[1][: draw.randrange(len(arguments[1]))])
                raise Killed
            return function(*arguments)

        return call

    with monkeypatch.context() as patched:
        own = {**vars(os), "write": deadly(os.write, part=True), "ftruncate": deadly(os.ftruncate)}
        patched.setattr(growing_table, "os", SimpleNamespace(**own))
        patched.setattr(growing_table, "sync", deadly(growing_table.sync))
        patched.setattr(module, "state_of", deadly(module.state_of))
        patched.setattr(module.Inbox, "look", deadly(module.Inbox.look))
        with suppress(Killed):
            once(arm, inbox, out)
    put(inbox / "late.png", 99)
    same(once(arm, inbox, out), predicted(arm, inbox, tmp_path / "p.csv"))


def start(arm, inbox, out, *options):
    command = [sys.executable, "-m", "rescan", "watch", *map(str, (arm, inbox, out)), "--device", "cpu", *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)


def wait_for_rows(out, count, process):
    until = time.monotonic() + SECONDS
    while not (out / TABLE).exists() or (out / TABLE).read_bytes().count(b"\n") <= count:
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM])
def test_a_process_that_is_killed_and_started_again(arm, inbox, tmp_path, number):
    out = tmp_path / "out"
    for seed in range(150):
        put(inbox / f"{seed}.png", seed)
    process = start(arm, inbox, out, "--settle", "0.2", "--every", "0.1")
    wait_for_rows(out, 1, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=SECONDS)
    assert process.returncode == -signal.SIGKILL
    process = start(arm, inbox, out, "--settle", "0.2", "--every", "0.1")
    try:
        wait_for_rows(out, 150, process)
        put(inbox / "late/a.png", 1000)
        wait_for_rows(out, 151, process)
    finally:
        process.send_signal(number)
        said = process.communicate(timeout=SECONDS)[1]
    assert process.returncode == 128 + number
    assert said.splitlines()[-1].endswith(LINE % number.name)
    same(table(out), predicted(arm, inbox, tmp_path / "p.csv"))


def test_a_chunk_that_is_under_way_is_written_before_it_ends(arm, inbox, tmp_path, monkeypatch):
    monkeypatch.setattr(arm_models, "CHUNK", 2)
    for seed in range(6):
        put(inbox / f"{seed}.png", seed)
    outputs = arm_models._outputs

    def asked(*arguments):
        os.kill(os.getpid(), signal.SIGTERM)
        return outputs(*arguments)

    monkeypatch.setattr(arm_models, "_outputs", asked)
    with pytest.raises(Stopped):
        once(arm, inbox, tmp_path / "out")
    assert table(tmp_path / "out")["image"].tolist() == ["0.png", "1.png"]


def test_a_file_that_changes_while_it_is_read_is_predicted_when_it_is_whole(arm, inbox, tmp_path, monkeypatch):
    put(inbox / "a.png", 0)
    put(inbox / "b.png", 1)
    put(inbox / "gone.png", 2)
    outputs = arm_models._outputs

    def meanwhile(*arguments):
        put(inbox / "a.png", 5)
        (inbox / "gone.png").unlink()
        return outputs(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(arm_models, "_outputs", meanwhile)
        assert once(arm, inbox, tmp_path / "out")["image"].tolist() == ["b.png", "gone.png"]
    rows = once(arm, inbox, tmp_path / "out")
    assert rows["image"].tolist() == ["b.png", "gone.png", "a.png"]
    same(rows[rows["image"] != "gone.png"], predicted(arm, inbox, tmp_path / "p.csv"))


def test_what_fills_faster_than_it_is_read_is_taken_in_order_and_a_run_of_cron_ends(arm, inbox, tmp_path, monkeypatch):
    monkeypatch.setattr(arm_models, "CHUNK", 2)
    outputs, numbers = arm_models._outputs, iter(range(100, 10_000))

    def filled(*arguments):
        for _ in range(4):
            put(inbox / f"{next(numbers)}.png", 0)
        return outputs(*arguments)

    for seed in range(5):
        put(inbox / f"{9 - seed}.png", seed)
    monkeypatch.setattr(arm_models, "_outputs", filled)
    rows = once(arm, inbox, tmp_path / "out")
    assert rows["image"].tolist() == ["9.png", "8.png", "7.png", "6.png", "5.png"]


def test_a_second_watch_and_folders_that_lie_in_each_other_are_refused(arm, inbox, tmp_path):
    out = tmp_path / "out"
    with (
        locked(out / TABLE, "watch"),
        pytest.raises(
            RescanError, match=r"another `watch` of it is under way \(pid .*; stop that one, or give another"
        ),
    ):
        once(arm, inbox, out)
    (tmp_path / "link").symlink_to(inbox)
    for inner, outer in ((inbox, inbox), (inbox, inbox / "out"), (inbox, tmp_path), (inbox, tmp_path / "link/a")):
        with pytest.raises(RescanError, match="lie one in the other; give two folders apart"):
            check_places(inner, outer)
        with pytest.raises(RescanError, match="lie one in the other"):
            check_places(inner, out, outer)
    with pytest.raises(RescanError, match="nothing: no such folder to watch"):
        check_places(tmp_path / "nothing", out)


def test_another_model_does_not_go_on_with_the_table(arm, inbox, tmp_path):
    put(inbox / "a.png", 0)
    once(arm, inbox, tmp_path / "out")
    fitted = arm / "posttraining.json"
    before = fitted.read_text()
    try:
        fitted.write_text(before.replace('"whole": 2.0', '"whole": 3.0'))
        with pytest.raises(RescanError, match=r"predictions.csv: is of another model"):
            once(arm, inbox, tmp_path / "out")
    finally:
        fitted.write_text(before)
