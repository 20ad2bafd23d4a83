"""Files are written whole, whatever characters are in them, or stay as they were."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from PIL import Image
from safetensors.numpy import load_file, save_file

from rescan.errors import RescanError, shown
from rescan.files import together, write_table, write_tensors, writing
from rescan.named_files import at_home, output, read_bytes, regular


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


def test_files_that_are_written_together_take_their_places_together_or_not_at_all(tmp_path):
    names = ["a.csv", "b/c.json"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("old")
    with pytest.raises(ZeroDivisionError), together():
        write_table(tmp_path / "a.csv", pd.DataFrame({"x": [1 / len(write_all(tmp_path, names))]}))
    assert {path.name for path in tmp_path.rglob("*")} == {"a.csv", "b", "c.json"}
    assert [(tmp_path / name).read_text() for name in names] == ["old", "old"]
    with together():
        write_all(tmp_path, names)
        assert [(tmp_path / name).read_text() for name in names] == ["old", "old"]
    assert [(tmp_path / name).read_text() for name in names] == ["new", "new"]
    assert {path.name for path in tmp_path.rglob("*")} == {"a.csv", "b", "c.json"}


def write_all(folder, names):
    for name in names:
        with writing(folder / name) as temporary:
            temporary.write_text("new")
    return []


def _png(path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 200), np.uint8)).save(path)


def _pdf(path):
    figure = Figure()
    figure.subplots().plot(np.random.default_rng(0).random(5000))
    figure.savefig(path)


WRITERS = {
    "a.png": _png,
    "a.pdf": _pdf,
    "a.svg": _pdf,
    "a.npy": lambda path: np.save(path, np.zeros(9999)),
    "a.csv": lambda path: pd.DataFrame({"a": range(9999)}).to_csv(path),
    "a.json": lambda path: path.write_text("x" * 9999),
    "a.nii.gz": lambda path: path.write_bytes(bytes(9999)),
}


@pytest.mark.usefixtures("_small_files")
@pytest.mark.parametrize("name", WRITERS)
def test_whichever_library_writes_a_full_disk_is_an_error_that_names_the_file(tmp_path, name):
    with pytest.raises(OSError, match="File too large") as raised, writing(tmp_path / name) as temporary:
        WRITERS[name](temporary)
    assert raised.value.errno == errno.EFBIG
    assert raised.value.filename == str(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_a_named_output_is_a_regular_file_or_what_a_link_leads_to(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("file.csv")
    (tmp_path / "dangling.csv").symlink_to("folder/new.csv")
    (tmp_path / "null").symlink_to("/dev/null")
    os.link(tmp_path / "file.csv", tmp_path / "hard.csv")
    reading, writing_end = os.pipe()
    for name in ("pipe", "folder", "null", "/dev/null", "/dev/full", f"/dev/fd/{writing_end}"):
        path = tmp_path / name
        if path.exists():  # not all are everywhere
            with pytest.raises(RescanError, match=f"{path}: is a folder, or no regular file; give the name of a file"):
                output(path)
    os.close(reading)
    os.close(writing_end)
    with pytest.raises(RescanError, match=r"file\.csv is no folder"):
        output(tmp_path / "file.csv/a.csv")
    assert output(tmp_path / "dangling.csv") == tmp_path.resolve() / "folder/new.csv"
    write_table(output(tmp_path / "link.csv"), pd.DataFrame({"new": []}))
    assert (tmp_path / "link.csv").is_symlink()
    assert (tmp_path / "file.csv").read_text() == "new\n"
    assert (tmp_path / "hard.csv").read_text() == "old"


def test_a_result_takes_the_place_of_no_pipe_and_no_folder(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    for name in ("pipe.csv", "folder.csv"):
        with pytest.raises(RescanError, match=f"{name}: is a folder, or no regular file; move it away"):
            write_table(tmp_path / name, pd.DataFrame())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.csv", "pipe.csv"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_that_may_not_be_written_to_is_not_replaced(tmp_path):
    (tmp_path / "file.csv").touch(0o444)
    with pytest.raises(RescanError, match="may not be written to; remove it"):
        output(tmp_path / "file.csv")
