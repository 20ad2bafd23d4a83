"""A folder of results is replaced as a whole: the old one goes only when the new one stands."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from rescan.files import together, write_json
from rescan.replacing import put_right, replacing


def fill(folder, text):
    with replacing(folder) as new:
        (new / "a.txt").write_text(text)


def test_a_new_folder_takes_the_place_of_the_old_one_with_all_that_was_in_it(tmp_path):
    fill(tmp_path / "maps", "old")
    (tmp_path / "maps/stale.png").touch()
    with replacing(tmp_path / "maps") as new:
        (new / "a.txt").write_text("new")
        assert (tmp_path / "maps/a.txt").read_text() == "old"
    assert [path.name for path in tmp_path.rglob("*")] == ["maps", "a.txt"]
    assert (tmp_path / "maps/a.txt").read_text() == "new"


def test_if_the_new_one_fails_the_old_one_is_as_it_was_and_the_error_names_what_it_was_to_be(tmp_path):
    fill(tmp_path / "maps", "old")
    with pytest.raises(FileNotFoundError) as caught, replacing(tmp_path / "maps") as new:
        (new / "no/b.txt").write_text("new")
    assert caught.value.filename == str(tmp_path / "maps/no/b.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["maps", "a.txt"]
    assert (tmp_path / "maps/a.txt").read_text() == "old"


def test_an_error_of_a_full_disk_without_a_name_gets_that_of_the_folder(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "maps"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "maps")
    assert list(tmp_path.iterdir()) == []


def test_if_the_new_one_cannot_get_the_name_the_old_one_has_it_again(tmp_path, monkeypatch):
    fill(tmp_path / "maps", "old")
    rename = Path.rename

    def refuse(path, target):
        if path.name == ".maps.part":
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="Input/output error"):
        fill(tmp_path / "maps", "new")
    assert [path.name for path in tmp_path.rglob("*")] == ["maps", "a.txt"]
    assert (tmp_path / "maps/a.txt").read_text() == "old"


def test_what_a_killed_process_left_is_put_right(tmp_path):
    """It was killed while it filled the new folder, or between the two renames."""
    fill(tmp_path / "maps", "old")
    (tmp_path / ".maps.part").mkdir()
    (tmp_path / ".maps.part/half.png").touch()
    put_right(tmp_path / "maps")
    assert [path.name for path in tmp_path.rglob("*")] == ["maps", "a.txt"]
    (tmp_path / "maps").rename(tmp_path / ".maps.old")
    (tmp_path / ".maps.part").mkdir()
    put_right(tmp_path / "maps")
    assert [path.name for path in tmp_path.rglob("*")] == ["maps", "a.txt"]
    assert (tmp_path / "maps/a.txt").read_text() == "old"


def test_a_link_stays_one(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "maps").symlink_to(tmp_path / "disk/maps")
    fill(tmp_path / "maps", "old")
    fill(tmp_path / "maps", "new")
    assert (tmp_path / "maps").is_symlink()
    assert (tmp_path / "disk/maps/a.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["maps"]


def test_a_folder_is_whole_also_among_files_that_wait_for_each_other(tmp_path):
    with together():
        write_json(tmp_path / "a.json", {})
        with replacing(tmp_path / "maps") as new:
            write_json(new / "b.json", {})
        assert [path.name for path in (tmp_path / "maps").iterdir()] == ["b.json"]
        assert not (tmp_path / "a.json").exists()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.json", "b.json", "maps"]
