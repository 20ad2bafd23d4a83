"""Arrays and safetensors headers are read without pickle; damaged ones give one line."""

import json
import struct

import numpy as np
import pytest

from rescan.errors import RescanError
from rescan.results.arrays import read_array, read_metadata


@pytest.fixture
def array(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.arange(24, dtype=np.uint8).reshape(4, 3, 2))
    return path


def test_an_array_is_memory_mapped(array):
    read = read_array(array, "preprocess", dtypes=("uint8", "uint16"), dimensions=3, rows=4)
    assert isinstance(read, np.memmap)
    np.testing.assert_array_equal(read, np.arange(24).reshape(4, 3, 2))


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ({"dtypes": ("uint16",)}, "holds uint8 values, not uint16"),
        ({"dtypes": ("uint8",), "dimensions": 4}, "has 3 dimensions, not 4"),
        ({"dtypes": ("uint8",), "rows": 5}, "has 4 rows, not 5"),
    ],
)
def test_another_array_gives_one_line(array, wanted, fault):
    with pytest.raises(RescanError, match=f"a.npy: {fault}; delete it and run preprocess again"):
        read_array(array, "preprocess", **wanted)


@pytest.mark.parametrize("size", [0, 5, 40, 127, 140])
def test_a_truncated_array_gives_one_line(array, size):
    array.write_bytes(array.read_bytes()[:size])
    with pytest.raises(RescanError, match=r"not a whole \.npy array"):
        read_array(array, "preprocess", dtypes=("uint8",))


def test_pickles_and_archives_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "b.npz", a=np.zeros(2))
    (tmp_path / "c.npy").write_bytes(b"\x93NUMPY\x01\x00" + b"v\x00{'descr': garbage" + b" " * 90 + b"\n")
    (tmp_path / "d.npy").write_bytes(b"PK\x03\x04" + bytes(40))
    for name in ("a.npy", "b.npz", "c.npy", "d.npy"):
        with pytest.raises(RescanError, match=r"not a( whole)? \.npy array"):
            read_array(tmp_path / name, "preprocess", dtypes=("uint8",))


def test_metadata_of_a_safetensors_file(tmp_path):
    path = tmp_path / "m.safetensors"
    header = json.dumps({"__metadata__": {"rescan": "{}"}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    assert read_metadata(path, "train") == {"rescan": "{}"}
    for content in (
        b"",
        b"\x01",
        struct.pack("<Q", 50) + header[:20],
        b"\xff" * 64,
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", 99_999) + b"[" * 99_999,
    ):
        path.write_bytes(content)
        with pytest.raises(RescanError, match=r"m.safetensors: not a safetensors file.*run train again"):
            read_metadata(path, "train")
