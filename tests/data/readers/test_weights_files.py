"""Files of weights that people have."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rescan.data.readers.weights_files import contents, read_weights
from rescan.errors import RescanError

STATE = {
    "single": torch.tensor([[1.5, -2.0]]),
    "half": torch.tensor([0.1, 65504.0, -6e-8]).half(),
    "brain": torch.tensor([0.1, 1e30, -1e-30]).bfloat16(),
    "double": torch.tensor([0.1], dtype=torch.float64),
    "count": torch.tensor(7),
}
NAMES = ["w.safetensors", "w.pth", "w.PT"]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a state under a name, in the form that the name says."""
    monkeypatch.chdir(tmp_path)

    def write(name, state, **more):
        save = save_file if name.endswith(".safetensors") else torch.save
        save(state, name, **more)
        return name

    return write


@pytest.mark.parametrize("name", NAMES)
def test_numbers_of_any_precision_become_single(write, name):
    path = write(name, STATE)
    found = read_weights(path)
    assert contents(path).shapes == {key: tuple(value.shape) for key, value in STATE.items()}
    assert {*found} == {*STATE}
    for key, value in STATE.items():
        assert found[key].dtype == (np.int64 if key == "count" else np.float32)
        np.testing.assert_array_equal(found[key], value.float().numpy() if key != "count" else 7)


def test_the_header_that_rescan_wrote_is_found(write):
    assert contents(write("w.safetensors", STATE, metadata={"rescan": json.dumps({"arm": "a"})})).header == {"arm": "a"}
    assert contents(write("w.safetensors", STATE, metadata={"format": "pt"})).header == {}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e39])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_number_is_refused(write, name, value):
    with pytest.raises(RescanError, match=rf"^{name}: layer\.weight holds values that are no numbers, or too large"):
        read_weights(write(name, {"layer.weight": torch.tensor([1.0, value], dtype=torch.float64)}))


@pytest.mark.parametrize("name", NAMES)
def test_variances_below_0_are_refused(write, name):
    variances = torch.tensor([0.0, 2.0])
    assert read_weights(write(name, {"norm.running_var": variances}))["norm.running_var"].tolist() == [0, 2]
    with pytest.raises(RescanError, match=rf"^{name}: norm\.running_var holds variances below 0; take another file$"):
        read_weights(write(name, {"norm.running_var": -variances}))


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_said_in_one_line(write, tmp_path, name):
    path = tmp_path / write(name, {"a": torch.rand(40), "b": torch.rand(3, 3)})
    whole = path.read_bytes()
    for content in (b"", b"hello", b"\xff" * 100, *(whole[: len(whole) * part // 8] for part in range(1, 8))):
        path.write_bytes(content)
        for read in (contents, read_weights):
            with pytest.raises(RescanError, match=r"^[^\n]*(damaged|not a file that torch wrote)[^\n]*get it again$"):
                read(path)


def test_folders_pipes_and_files_that_are_not_there(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "folder.safetensors").mkdir()
    for name, said in (("pipe.pth", "is a pipe"), ("folder.safetensors", "is a folder"), ("none.pth", "No such file")):
        for read in (contents, read_weights):
            with pytest.raises(RescanError, match=rf"^[^\n]*{name}: [^\n]*{said}[^\n]*; check network\.weights$"):
                read(tmp_path / name)


class Program:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_code_is_refused_and_not_run(write, tmp_path):
    path = write("bad.pth", {"a": Program()})
    for read in (contents, read_weights):
        with pytest.raises(RescanError, match=r"^bad\.pth: refuses to run code: it calls posix\.mkdir; save"):
            read(path)
    assert not (tmp_path / "ran").exists()


def test_torch_is_not_imported():
    code = "import sys, rescan.data.sources.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
