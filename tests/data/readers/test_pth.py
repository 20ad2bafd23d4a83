"""Reading torch's files without running them."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch

from rescan.data.readers import pth
from rescan.errors import RescanError

FORMS = pytest.mark.parametrize("archive", [True, False], ids=["archive", "stream"])


def states():
    """A state with every shape and kind of tensor that a file may hold."""
    base = torch.arange(60, dtype=torch.float32).view(5, 12)
    return OrderedDict(
        plain=torch.rand(4, 3, 2),
        transposed=base.t(),
        strided=base[1:4:2, 2:9:3],
        shared=base,
        row=base[3],
        channels_last=torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        expanded=torch.tensor([[1.0], [2.0]]).expand(2, 3),
        scalar=torch.tensor(2.5),
        count=torch.tensor(7, dtype=torch.int64),
        half=torch.rand(3, 2).half(),
        double=torch.rand(3).double(),
        bytes=torch.tensor([0, 255], dtype=torch.uint8),
        truth=torch.tensor([True, False, True]),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.rand(2, 2)),
    )


@FORMS
def test_every_tensor_is_read_as_torch_wrote_it(tmp_path, archive):
    state = states()
    torch.save(state, tmp_path / "state.pth", _use_new_zipfile_serialization=archive)
    found = pth.read_pth(tmp_path / "state.pth")
    assert list(found) == list(state)
    for name, array in found.items():
        expected = state[name].detach().numpy()
        assert array.dtype == expected.dtype, name
        assert array.shape == expected.shape, name
        assert array.flags.c_contiguous, name
        np.testing.assert_array_equal(array, expected, err_msg=name)


@FORMS
def test_a_modules_state_dict_with_its_metadata(tmp_path, archive):
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
    torch.save(module.state_dict(), tmp_path / "state.pth", _use_new_zipfile_serialization=archive)
    found = pth.read_pth(tmp_path / "state.pth")
    assert found["1.num_batches_tracked"].shape == ()
    np.testing.assert_array_equal(found["0.weight"], module[0].weight.detach().numpy())


def test_the_stream_form_of_2017_with_parameters_and_storage_views(tmp_path):
    """What torch 0.1 wrote, opcode by opcode: `_rebuild_tensor`, a Parameter with its state, a view of a storage."""
    floats, tensor = b"ctorch\nFloatStorage\n", b"ctorch._utils\n_rebuild_tensor\n"
    whole = b"(U\x07storage" + floats + b"U\x0211U\x03cpuK\x06NtQ"
    view = b"(U\x07storage" + floats + b"U\x0211U\x03cpuK\x06(U\x0212K\x04K\x02ttQ"
    square = tensor + b"(" + whole + b"K\x01(K\x02K\x02t(K\x02K\x01ttR"
    line = tensor + b"(" + view + b"K\x00(K\x02t(K\x01ttR"
    parameter = b"ctorch.nn.parameter\nParameter\n(" + square + b"tR(\x88\x89Ntb"
    path = tmp_path / "old.pth"
    with path.open("wb") as stream:
        for value in (pth.STREAM_MAGIC, 1001, {"little_endian": True}):
            pickle.dump(value, stream, protocol=2)
        stream.write(b"\x80\x02}(U\x01a" + parameter + b"U\x01b" + line + b"u.")
        pickle.dump(["11"], stream, protocol=2)
        stream.write(struct.pack("<q6f", 6, *range(6)))
    found = pth.read_pth(path)
    np.testing.assert_array_equal(found["a"], [[1, 2], [3, 4]])
    np.testing.assert_array_equal(found["b"], [4, 5])


class Malice:
    """A pickle that runs a command when it is loaded."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@FORMS
def test_a_pickle_that_runs_code_is_refused_and_not_run(tmp_path, archive):
    torch.save({"a": Malice(f"touch {tmp_path}/ran")}, tmp_path / "bad.pth", _use_new_zipfile_serialization=archive)
    with pytest.raises(RescanError, match=r"bad.pth: refuses to run code: it calls (posix|nt)\.system"):
        pth.read_pth(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "value",
    [
        torch.nn.Linear(2, 2),
        {"a": 1},
        {"state_dict": {"a": 1}},
        [torch.zeros(1)],
        {"student": {"a": torch.zeros(1)}, "teacher": {"a": torch.zeros(1)}},
    ],
)
@FORMS
def test_other_content_is_refused(tmp_path, value, archive):
    torch.save(value, tmp_path / "other.pth", _use_new_zipfile_serialization=archive)
    with pytest.raises(RescanError, match=r"other.pth: (refuses to run code|holds something other)"):
        pth.read_pth(tmp_path / "other.pth")


@FORMS
def test_damaged_files_are_said_in_one_line(tmp_path, archive):
    buffer = io.BytesIO()
    torch.save({"a": torch.rand(100)}, buffer, _use_new_zipfile_serialization=archive)
    whole = buffer.getvalue()
    path = tmp_path / "damaged.pth"
    for content in (b"", b"hello", b"PK\x03\x04", *(whole[: len(whole) * part // 8] for part in range(1, 8))):
        path.write_bytes(content)
        with pytest.raises(RescanError) as caught:
            pth.read_pth(path)
        assert "damaged.pth" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(RescanError):
        pth.read_pth(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (5, (2,), (1,)), (0, (2,), (-1,)), (-1, (2,), (1,)), (0, (2,), ())],
)
def test_a_tensor_outside_its_storage_is_not_read(offset, shape, strides):
    tensor = pth._tensor(pth._Storage("0", "<f4", 0), offset, shape, strides)
    with pytest.raises(ValueError, match="outside its storage"):
        pth._array(tensor, np.zeros(6, np.float32))


def test_a_stream_that_says_it_has_any_number_of_values_is_refused(tmp_path):
    torch.save({"a": torch.arange(300.0)}, tmp_path / "x.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "x.pth").read_bytes()
    start = content.rindex(torch.arange(300.0).numpy().tobytes()) - 8
    for length in (2**62, 2**63 - 1, -1, 299, 301):
        (tmp_path / "y.pth").write_bytes(
            content[:start] + length.to_bytes(8, "little", signed=True) + content[start + 8 :]
        )
        with pytest.raises(RescanError, match=r"y\.pth"):
            pth.read_pth(tmp_path / "y.pth")


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model", "generator"])
@FORMS
def test_a_checkpoint_holds_the_state_beside_other_things(tmp_path, archive, key):
    """As MedicalNet's: the weights in one entry, the optimizer's state in another."""
    network = torch.nn.Sequential(torch.nn.Conv3d(1, 2, 3), torch.nn.BatchNorm3d(2))
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    network(torch.rand(2, 1, 4, 4, 4)).sum().backward()
    optimizer.step()
    state = {f"module.{name}": value for name, value in network.state_dict().items()}
    checkpoint = {"ecpoch": 3, "name": "resnet", "optimizer": optimizer.state_dict(), key: state}
    torch.save(checkpoint, tmp_path / "checkpoint.pth", _use_new_zipfile_serialization=archive)
    found = pth.read_pth(tmp_path / "checkpoint.pth")
    assert list(found) == list(state)
    for name, value in state.items():
        np.testing.assert_array_equal(found[name], value.numpy())
    assert pth.shapes_in_pth(tmp_path / "checkpoint.pth") == {name: tuple(value.shape) for name, value in state.items()}


@FORMS
def test_bfloat16_becomes_float32(tmp_path, archive):
    value = torch.tensor([0.0, -1.5, 3.140625, 1e30, -1e-30, float("inf")]).bfloat16()
    torch.save({"a": value.view(2, 3)}, tmp_path / "half.pth", _use_new_zipfile_serialization=archive)
    found = pth.read_pth(tmp_path / "half.pth")["a"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, value.view(2, 3).float().numpy())
