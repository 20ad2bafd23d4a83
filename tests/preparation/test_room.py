from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from rescan.data.index import Files
from rescan.errors import RescanError
from rescan.preparation import room
from rescan.preparation.image_operators import CannotPrepare
from rescan.preparation.sample import prepare
from rescan.study import Preparation

GIB = 2**30


def steps(*own: dict, **more: object) -> Preparation:
    return Preparation.model_construct(steps=list(own), **more)


TOO_LARGE = {
    "resize": (
        steps({"name": "resize", "size": [100_000, 100_000]}),
        "resize: an item of 100000 x 100000 takes about 360 GB",
    ),
    "clahe": (
        steps({"name": "clahe", "tiles": 4000}, {"name": "resize", "size": [64, 64]}),
        "clahe: an item of 256 x 256",
    ),
    "resize_volume": (
        steps({"name": "resize_volume", "size": [2000] * 3}, reads="volume", channels="gray"),
        "resize_volume: an item of 2000 x 2000 x 2000 takes about 96 GB",
    ),
    "patches": (
        steps({"name": "resize", "size": [4000, 4000]}, {"name": "patches", "grid": [4000, 4000]}),
        "patches: 16000000 items of 1 x 1 takes about",
    ),
    "patches of nothing": (
        steps({"name": "resize", "size": [224, 224]}, {"name": "patches", "grid": [1000, 1000]}),
        "patches: makes items of 0 x 0 pixels",
    ),
}


@pytest.mark.parametrize(("preparation", "reason"), TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_takes_more_memory_than_there_is_is_said_before_a_file_is_read(preparation, reason, monkeypatch, tmp_path):
    monkeypatch.setattr(room, "free_memory", lambda: 2 * GIB)
    with pytest.raises(CannotPrepare, match=f"^{reason}"):
        prepare(Files(Path("is not there.png")), preparation)
    with pytest.raises(RescanError, match=f"^mine: {reason}"):
        room.check_room(preparation, "mine", tmp_path / "store", 10, 1)


def test_the_estimate_is_above_what_a_preparation_takes(tmp_path):
    """Counted by Python's allocator, which numpy and OpenCV's arrays go through."""
    cv2.imwrite(str(tmp_path / "x.png"), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    preparation = steps({"name": "resize", "size": [1500, 1500]}, channels="rgb")
    tracemalloc.start()
    prepare(Files(tmp_path / "x.png"), preparation)
    taken = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert taken <= room.peak_of(preparation).bytes <= 20 * taken


def test_the_disk_is_looked_at_too(tmp_path, monkeypatch):
    preparation = steps({"name": "resize", "size": [1000, 1000]}, channels="gray", dtype="uint8")
    usage = type("Usage", (), {"free": 10**9})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    room.check_room(preparation, "mine", tmp_path / "a/store", 1000, 1)
    reason = "a/store: no space left; needs about 1 GB, 1 GB are free; make room there, or make items smaller"
    with pytest.raises(RescanError, match=reason):
        room.check_room(preparation, "mine", tmp_path / "a/store", 1001, 1)


def test_too_many_processes_are_warned_of(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(room, "free_memory", lambda: GIB)
    preparation = steps({"name": "resize", "size": [3000, 3000]}, channels="rgb")
    room.check_room(preparation, "mine", tmp_path, 1, 3)
    assert caplog.text == ""
    room.check_room(preparation, "mine", tmp_path, 1, 4)
    assert "4 processes more than the 1.07 GB that are free" in caplog.text
