"""Faults of the machine are one line, whichever library meets them."""

from __future__ import annotations

import builtins
import errno
import os
from pathlib import Path

import numpy as np
import pytest

from rescan.data.audit.inspection import inspect
from rescan.data.readers import images, volumes
from rescan.data.readers.kinds import kind_of
from rescan.errors import FAULTS, fault_of, in_words


@pytest.mark.parametrize("number", FAULTS)
def test_a_fault_of_the_system_names_the_file_and_says_what_to_do(number):
    line = in_words(OSError(number, os.strerror(number), "results/a.csv"))
    what, remedy = FAULTS[number]
    assert line == f"results/a.csv: {what}; {remedy}"
    assert in_words(OSError(number, os.strerror(number))) == f"{what}; {remedy}"


def test_other_faults_of_the_system_keep_its_words():
    assert in_words(OSError(errno.ENAMETOOLONG, "File name too long", b"x")) == (
        "x: File name too long; check the path, its permissions and the disk"
    )
    assert in_words(OSError("odd\nwords")) == "a file: odd words; check the path, its permissions and the disk"


def test_what_was_needed_is_said_of_a_full_disk_alone():
    assert "a: no space left; needs about 5 MB; make" in str(in_words(OSError(errno.ENOSPC, "", "a"), "5 MB"))
    assert "5 MB" not in str(in_words(OSError(errno.EIO, "", "a"), "5 MB"))


def test_memory_and_threads_in_the_words_of_libraries():
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    assert str(in_words(caught.value)).startswith("not enough memory; ")
    text = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
    assert str(in_words(RuntimeError(text))).startswith("not enough memory; ")
    assert str(in_words(RuntimeError("can't start new thread"))).startswith("no more processes or threads")
    loader = ImportError("libtorch.so: failed to map segment from shared object")
    assert str(in_words(loader)).startswith("not enough memory; ")
    assert str(in_words(ImportError("x.so: cannot open shared object file: Too many open files"))).startswith(
        "too many"
    )


def test_a_full_disk_behind_another_error_is_found_and_a_fault_of_the_code_is_none():
    closed = ValueError("I/O operation on closed file")
    closed.__context__ = OSError(errno.ENOSPC, "No space left on device", "a.pdf")
    assert str(in_words(closed)).startswith("a.pdf: no space left")
    mistake = KeyError("b")
    mistake.__context__ = FileNotFoundError(errno.ENOENT, "No such file", "b")
    assert in_words(mistake) is None


@pytest.mark.parametrize("read", [images.read, volumes.read, inspect, kind_of])
def test_no_image_is_taken_for_damaged_where_the_machine_has_a_fault(tmp_path, monkeypatch, read):
    def refuse(path, *_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), str(path))

    path = tmp_path / "a.nii"
    path.write_bytes(bytes(999))
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        read(path)


def test_an_error_that_comes_from_itself_ends():
    first, second = ValueError("first"), KeyError("second")
    first.__cause__, second.__context__ = second, first
    assert fault_of(first) is None
    assert in_words(first) is None
