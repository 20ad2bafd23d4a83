"""What is listed of a folder of data, and what is not."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from rescan.errors import RescanError
from rescan.walk import entries_of, files_below, name_fault


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names_below(root: Path) -> list[str]:
    return sorted(Path(file.path).relative_to(root).as_posix() for file in files_below(root))


def test_what_systems_leave_behind_is_not_listed(tmp_path):
    left = ["._a.png", ".DS_Store", ".git/x", "__MACOSX/a.png", "b/Thumbs.db", "b/@eaDir/a.png", "DICOMDIR", "Icon\r"]
    fill(tmp_path, "a.png", "b/c.png", "x.png/inner.png", *left)
    assert names_below(tmp_path) == ["a.png", "b/c.png", "x.png/inner.png"]
    assert [entry.name for entry in entries_of(tmp_path)] == ["a.png", "b", "x.png"]


def test_links_are_followed_and_circles_are_not(tmp_path):
    data = fill(tmp_path / "data", "own/a.png")
    fill(tmp_path / "elsewhere", "b.png", "deeper/c.png")
    for link, target in (("linked", tmp_path / "elsewhere"), ("a_circle", data), ("again", data / "own")):
        (data / link).symlink_to(target)
    (tmp_path / "elsewhere/deeper/back").symlink_to(tmp_path / "elsewhere")
    (data / "itself.png").symlink_to("itself.png")
    assert names_below(data) == ["itself.png", "linked/b.png", "linked/deeper/c.png", "own/a.png"]


def test_only_regular_files_are_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    fill(tmp_path, "a.png")
    os.mkfifo(tmp_path / "pipe.png")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind("socket.png")
        (tmp_path / "device.png").symlink_to(os.devnull)
        (tmp_path / "gone.png").symlink_to("nowhere")
        assert names_below(tmp_path) == ["a.png", "gone.png"]  # whoever reads a link to nothing says so


def test_what_rescan_wrote_is_no_data(tmp_path):
    written = [
        "results/demo/mine/study.json",
        "results/demo/mine/index.html",
        "results/small/mine/c.png",
        "results/index.html",
        "data/full/mine/x/images.npy",
        "logs/demo/a.log",
    ]
    fill(tmp_path, "normal/a.png", *written)
    assert names_below(tmp_path) == ["normal/a.png"]
    assert [entry.name for entry in entries_of(tmp_path)] == ["normal"]
    fill(tmp_path, "data/own.png", "results/other/b.png")
    assert names_below(tmp_path) == ["data/own.png", "normal/a.png", "results/other/b.png"]


def test_folders_called_as_rescans_are_data_where_it_did_not_run(tmp_path):
    fill(tmp_path, "data/full/a.png", "results/demo/b.png", "results/small/c.png")
    assert names_below(tmp_path) == ["data/full/a.png", "results/demo/b.png", "results/small/c.png"]


def test_a_folder_that_cannot_be_read(tmp_path):
    with pytest.raises(RescanError, match="nowhere: cannot be read"):
        entries_of(tmp_path / "nowhere")
    with pytest.raises(RescanError, match="nowhere: cannot be read"):
        list(files_below(tmp_path / "nowhere"))
    assert list(files_below(tmp_path / "nowhere", failed=lambda _: None)) == []


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\u2028b", "a\x00", "\tb"])
def test_names_that_would_end_a_line(name):
    assert "control character" in name_fault(name)


def test_names_that_are_text():
    assert name_fault("a (ä), 脑\u3000b\u200d") == ""
    assert name_fault(os.fsdecode(b"\xff.png")) == "is not valid UTF-8"
