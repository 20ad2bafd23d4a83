"""A table that grows holds whole samples, whatever its writer died of."""

from __future__ import annotations

import errno
import os

import pandas as pd
import pytest

from rescan.errors import RescanError
from rescan.handover import growing_table
from rescan.handover.growing_table import GrowingTable

COLUMNS = ["image", "predicted", "cat", "problem", "model", "sha256", "state"]


def row(image, state="s", problem="", **cells):
    return {"image": image, "cat": 0.25, "problem": problem, "model": "m", "sha256": "d", "state": state, **cells}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "predictions.csv"


def opened(path):
    return GrowingTable(path, COLUMNS, "m")


def test_rows_are_those_of_write_table_and_are_known_again(path):
    table = opened(path)
    table.append([row("a, b.png", predicted="cat"), row("./=c.png", "t", "truncated", cat=None)])
    table.append([row("d#1", ""), row("d#2", "u")])
    expected = [
        row("a, b.png", predicted="cat"),
        row("./=c.png", "t", "truncated", cat=None),
        row("d#1", ""),
        row("d#2", "u"),
    ]
    text = pd.DataFrame(expected, columns=COLUMNS).to_csv(index=False)
    assert path.read_text() == text
    table = opened(path)
    assert table.count == 4
    assert [table.state(name) for name in ("a, b.png", "=c.png", "d", "e")] == ["s", "t", "u", None]
    assert [table.digest(name) for name in ("a, b.png", "=c.png", "d", "e")] == ["d", "", "d", ""]
    table.remember("e", "v", "f")
    assert (table.state("e"), table.digest("e")) == ("v", "f")


def test_wherever_it_was_cut_whole_samples_stay_and_nothing_else(path):
    """A power cut leaves any part of what was not synced; the frames of one file come together or not at all."""
    table = opened(path)
    table.append([row("a")])
    start = path.stat().st_size
    table.append([row("b#1", ""), row("b#2", ""), row("b#3"), row("c")])
    whole = path.read_bytes()
    ends = {len(whole): ["a", "b#1", "b#2", "b#3", "c"], whole.rindex(b"c,"): ["a", "b#1", "b#2", "b#3"]}
    near = {end + shift for end in (start, *ends) for shift in (-1, 0, 1)}
    for length in sorted({*range(start, len(whole), 9), *near} & {*range(start, len(whole) + 1)}):
        for lost in (b"", b"\0" * 40):
            path.write_bytes(whole[:length] + lost)
            table = opened(path)
            expected = ends[max([end for end in ends if end <= length], default=0)] if length >= min(ends) else ["a"]
            assert pd.read_csv(path)["image"].tolist() == expected
            assert table.state("b") == ("s" if len(expected) > 1 else None)
            table.append([row("z")])
            assert pd.read_csv(path)["image"].tolist() == [*expected, "z"]


@pytest.mark.parametrize("fails", ["write", "fsync"])
def test_a_full_disk_leaves_the_table_as_it_was(path, monkeypatch, fails):
    table = opened(path)
    table.append([row("a")])
    before = path.read_bytes()
    write = os.write

    def full(handle, content):
        if fails == "write" and len(content) < 20:
            raise OSError(errno.ENOSPC, "no space")
        return write(handle, content[:15] if fails == "write" else content)

    def unsynced(_):
        raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as patched:
        patched.setattr(growing_table.os, "write", full)
        patched.setattr(growing_table, "sync", unsynced)
        with pytest.raises(OSError, match="no space") as caught:
            table.append([row("b")])
    assert caught.value.filename == str(path)
    assert path.read_bytes() == before
    table.append([row("b")])
    assert opened(path).count == 2


def test_tables_of_others_are_refused(path):
    opened(path).append([row("a")])
    content = path.read_text()
    with pytest.raises(RescanError, match=r"predictions.csv: is of another model; give another folder"):
        GrowingTable(path, COLUMNS, "n")
    with pytest.raises(RescanError, match="has other columns"):
        GrowingTable(path, [*COLUMNS, "x"], "m")
    for damage, fault in ((f"{content}a,b\n", "line 3 is no row"), ("", "no line of columns"), ("\xff\n", "line 1")):
        path.write_text(damage, "latin-1")
        with pytest.raises(RescanError, match=fault):
            opened(path)
        assert path.read_text("latin-1") == damage


def test_a_table_that_somebody_changed_is_not_written_on(path):
    table = opened(path)
    path.write_text(path.read_text() + "x\n")
    with pytest.raises(RescanError, match="was changed by another"):
        table.append([row("a")])
    path.unlink()
    with pytest.raises(RescanError, match="was taken away"):
        table.append([row("a")])
    assert not path.exists()
