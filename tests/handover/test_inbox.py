"""What counts as arrived and finished in a folder that is watched."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from rescan.handover import inbox
from rescan.handover.inbox import Inbox, digest_of, state_of

IMAGE = cv2.imencode(".png", np.arange(32 * 32, dtype=np.uint8).reshape(32, 32))[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def put(path, content=IMAGE, arrived=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if arrived is not None:
        os.utime(path, (arrived, arrived))


def names(box, now, known=lambda _: None):
    return [arrival.name for arrival in box.look(known, now)]


def test_a_file_is_taken_when_nothing_of_it_changed_for_the_settle_time(folder):
    box = Inbox(folder, 5, reads_volumes=False)
    put(folder / "a.png", IMAGE[:100], 1)
    assert names(box, 100) == []
    put(folder / "a.png", IMAGE[:200], 1)  # still written, by a program that keeps the time of its source
    assert names(box, 104) == []
    assert names(box, 108.9) == []
    assert names(box, 109) == ["a.png"]
    assert box.waiting == 1
    assert names(Inbox(folder, 0, reads_volumes=False), 0) == ["a.png"]


def test_what_is_predicted_is_taken_again_when_it_changes(folder):
    put(folder / "a.png")
    box = Inbox(folder, 0, reads_volumes=False)
    [arrival] = box.look(lambda _: None, 0)
    assert arrival.state == state_of(folder / "a.png")
    known = {"a.png": arrival.state}
    assert names(box, 1, known.get) == []
    assert box.waiting == 0
    other = folder / ".a"
    put(other, IMAGE[::-1])  # of the same size …
    os.utime(other, ns=((folder / "a.png").stat().st_mtime_ns,) * 2)  # … and time
    other.rename(folder / "a.png")
    box = Inbox(folder, 0, reads_volumes=False)
    put(folder / "b.png", b"")
    assert names(box, 2, known.get) == ["a.png", "b.png"]


def test_only_samples_with_final_names_are_taken(folder, caplog):
    for name in ("a.png", "sub/deep/b.png", "no_ending"):
        put(folder / name)
    for name in (".hidden.png", "c.png.part", "d.tmp", "e.PNG~", "series.tmp/f.png", ".g/h.png", "Thumbs.db"):
        put(folder / name)
    put(folder / "notes.txt", b"text")
    os.mkfifo(folder / "pipe.png")
    (folder / "to_nothing.png").symlink_to("nothing")
    (folder / "sub/around").symlink_to(folder)
    box = Inbox(folder, 0, reads_volumes=False)
    with caplog.at_level("INFO", "rescan"):
        assert sorted(names(box, 0)) == ["a.png", "no_ending", "sub/deep/b.png"]
        assert sorted(names(box, 1)) == ["a.png", "no_ending", "sub/deep/b.png"]
    assert caplog.messages == ["notes.txt: is no image; left out"]
    assert box.waiting == 3
    put(folder / "notes.txt")
    assert "notes.txt" in names(box, 2)


def test_samples_come_in_order_of_arrival_and_not_all_at_once(folder, monkeypatch):
    monkeypatch.setattr(inbox, "MOST", 3)
    order = ["c.png", "a.png", "d.png", "b.png", "e.png"]
    states = {}
    for name in order:
        put(folder / name)
    arrived = {name: 100 + place for place, name in enumerate(order)}
    monkeypatch.setattr(
        Inbox,
        "_stamps",
        lambda _: ((name, (1, 1, arrived[name])) for name in sorted(order)),
    )
    box = Inbox(folder, 1, reads_volumes=False)
    seen = []
    for now in range(6):
        found = box.look(states.get, now)
        seen.append([arrival.name for arrival in found])
        states.update({arrival.name: arrival.state for arrival in found})
    assert seen == [[], order[:3], [], order[3:], [], []]
    assert box.waiting == 0


def test_a_folder_that_cannot_be_read_is_said_once(tmp_path, caplog):
    box = Inbox(tmp_path / "unmounted", 0, reads_volumes=False)
    assert names(box, 0) == names(box, 1) == []
    assert caplog.messages == [
        f"{tmp_path}/unmounted: cannot be read (No such file or directory); it is tried again and again"
    ]


def test_a_series_is_finished_when_none_of_its_slices_changed(folder, caplog):
    box = Inbox(folder, 5, reads_volumes=True)
    for number in range(3):
        put(folder / f"scan/{number}.png")
    assert names(box, 0) == []
    put(folder / "scan/3.png")
    assert names(box, 6) == []  # the last slice is new
    put(folder / "other/brain.nii.gz")
    assert names(box, 11) == ["scan"]
    [scan] = box.look({}.get, 12)
    known = {"scan": scan.state}
    assert scan.state == state_of(folder / "scan")
    digest = digest_of(folder / "scan")
    assert names(box, 16, known.get) == ["other/brain.nii.gz"]
    put(folder / "scan/4.png")
    assert names(box, 17, known.get) == ["other/brain.nii.gz"]
    assert sorted(names(box, 22, known.get)) == ["other/brain.nii.gz", "scan"]
    assert digest_of(folder / "scan") != digest
    assert caplog.messages == []


def test_volumes_that_lie_together_wait_one_by_one(folder):
    box = Inbox(folder, 5, reads_volumes=True)
    for number in range(3):
        put(folder / f"{number}.nii.gz")
        put(folder / f"scan/{number}.png")
    assert names(box, 0) == []
    assert box.waiting == 4
    names(box, 6)
    assert box.waiting == 4


def test_slices_that_lie_loose_are_said_and_left_out(folder, caplog):
    box = Inbox(folder, 0, reads_volumes=True)
    put(folder / "1.png")
    assert names(box, 0) == names(box, 1) == []
    assert caplog.messages == [f"{folder}: holds slices itself; each volume's slices need a folder of their own in it"]
    put(folder / "scan/1.png")
    assert names(box, 2) == names(box, 3) == ["scan"]
    assert caplog.messages[1:] == [f"{folder}/1.png: is no volume, and lies beside some; left out"]


def test_what_cannot_be_read_has_no_digest(folder):
    assert digest_of(folder / "nothing") == ""
    assert state_of(folder / "nothing") is None
