"""Files are written whole, whatever characters are in them, or stay as they were."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

from rescan.errors import RescanError
from rescan.files import at_home, read_bytes, regular, shown, write_table, write_tensors


@pytest.fixture
def _small_files():
    """No file may grow beyond 1,000 bytes, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("_small_files")
def test_a_full_disk_is_an_error_of_the_system_that_names_the_file_and_keeps_the_old_one(tmp_path):
    path = tmp_path / "model.safetensors"
    write_tensors(path, save_file, {"weight": np.arange(4)}, {"key": "value"})
    with pytest.raises(OSError, match="File too large") as raised:
        write_tensors(path, save_file, {"weight": np.zeros(10_000)})
    assert raised.value.filename == str(path)
    assert raised.value.strerror
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    np.testing.assert_array_equal(load_file(path)["weight"], np.arange(4))


def test_a_table_keeps_odd_characters(tmp_path):
    texts = ["a\rb", 'say "x"', "a,b\nc", "脑 ä", ""]
    write_table(tmp_path / "x.csv", pd.DataFrame({"name": texts, "number": range(5), "share": [0.5, None, 1, 2, 3]}))
    table = pd.read_csv(tmp_path / "x.csv", keep_default_na=False)
    assert table["name"].tolist() == texts
    assert table["number"].tolist() == [0, 1, 2, 3, 4]
    assert table["share"].tolist() == ["0.5", "", "1.0", "2.0", "3.0"]
    write_table(tmp_path / "x.csv", pd.DataFrame({"name": [os.fsdecode(b"\xff.png")]}))
    assert (tmp_path / "x.csv").read_bytes() == b"name\n\\udcff.png\n"


def test_a_home_that_is_not_known_leaves_the_path(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert at_home("~/a/~b") == Path("/home/me/a/~b")
    assert at_home("~no-such-user/a") == Path("~no-such-user/a")


def test_only_a_regular_file_of_a_bounded_size_is_read(tmp_path):
    file, link, pipe = tmp_path / "file", tmp_path / "link", tmp_path / "pipe"
    file.write_bytes(b"12345")
    link.symlink_to(file)
    os.mkfifo(pipe)
    assert regular(link, most=5) == link
    assert read_bytes(str(link), most=5) == b"12345"
    refused = {
        pipe: "is a pipe, device or socket, not a file",
        tmp_path: "is a folder, not a file",
        Path("/dev/zero"): "is a pipe, device or socket, not a file",
        tmp_path / "none": r"cannot be read \(No such file or directory\)",
        tmp_path / ("x" * 300): r"cannot be read \(File name too long\)",
        tmp_path / "a\0b": r"a\\x00b: cannot be read \(embedded null byte\)",
        file: "has 5 bytes, more than the 4 that are read",
    }
    for path, fault in refused.items():
        with pytest.raises(RescanError, match=f"{fault}; look again$"):
            read_bytes(path, 4, "look again")


def test_a_name_is_shown_in_one_line():
    assert shown(Path("a\nb\r\0\x1b[0m ä\u2028\udcff.png")) == "a\\nb\\r\\x00\\x1b[0m ä\\u2028\\udcff.png"
