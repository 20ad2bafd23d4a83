"""Reading torch's files without running them, and fetching pinned ones."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import struct
import subprocess
import sys
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets import senet
from monai.networks.nets.senet import SEResNext50
from safetensors.numpy import load_file
from torchvision import models
from torchvision.models.vision_transformer import MLPBlock

from rescan.catalogue.encoders import ENCODERS, PYTORCH
from rescan.data.sources import weights
from rescan.errors import RescanError
from rescan.models.networks import build, load_encoder_weights
from rescan.study import Recipe

# Files under the names that older versions of torchvision give them.
RENEWED = {
    "efficientnet_b0_rwightman-3dd342df.pth": "efficientnet_b0_rwightman-7f5810bc.pth",
    "efficientnet_b4_rwightman-7eb33cd5.pth": "efficientnet_b4_rwightman-23ab8bcd.pth",
    "efficientnet_b5_lukemelas-b6417697.pth": "efficientnet_b5_lukemelas-1a07897c.pth",
}
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
    found = weights.read_pth(tmp_path / "state.pth")
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
    found = weights.read_pth(tmp_path / "state.pth")
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
        for value in (weights.STREAM_MAGIC, 1001, {"little_endian": True}):
            pickle.dump(value, stream, protocol=2)
        stream.write(b"\x80\x02}(U\x01a" + parameter + b"U\x01b" + line + b"u.")
        pickle.dump(["11"], stream, protocol=2)
        stream.write(struct.pack("<q6f", 6, *range(6)))
    found = weights.read_pth(path)
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
        weights.read_pth(tmp_path / "bad.pth")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "value", [torch.nn.Linear(2, 2), {"a": 1}, {"state_dict": {"a": torch.zeros(1)}}, [torch.zeros(1)]]
)
@FORMS
def test_other_content_is_refused(tmp_path, value, archive):
    torch.save(value, tmp_path / "other.pth", _use_new_zipfile_serialization=archive)
    with pytest.raises(RescanError, match=r"other.pth: (refuses to run code|holds something other)"):
        weights.read_pth(tmp_path / "other.pth")


@FORMS
def test_damaged_files_are_said_in_one_line(tmp_path, archive):
    buffer = io.BytesIO()
    torch.save({"a": torch.rand(100)}, buffer, _use_new_zipfile_serialization=archive)
    whole = buffer.getvalue()
    path = tmp_path / "damaged.pth"
    for content in (b"", b"hello", b"PK\x03\x04", *(whole[: len(whole) * part // 8] for part in range(1, 8))):
        path.write_bytes(content)
        with pytest.raises(RescanError) as caught:
            weights.read_pth(path)
        assert "damaged.pth" in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(RescanError):
        weights.read_pth(tmp_path / "none.pth")


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(0, (7,), (1,)), (5, (2,), (1,)), (0, (2,), (-1,)), (-1, (2,), (1,)), (0, (2,), ())],
)
def test_a_tensor_outside_its_storage_is_not_read(offset, shape, strides):
    tensor = weights._tensor(weights._Storage("0", "<f4", 0), offset, shape, strides)
    with pytest.raises(ValueError, match="outside its storage"):
        weights._array(tensor, np.zeros(6, np.float32))


def pin_as(monkeypatch, name, **changed):
    """Change what the catalogue says of an encoder's weights."""
    record = ENCODERS[name]
    monkeypatch.setitem(ENCODERS, name, replace(record, weights=replace(record.weights, **changed)))


def pin(monkeypatch, tmp_path, state, name="densenet169", folder="data/weights"):
    """Put a .pth file into the folder under its pinned name."""
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    file = f"{name}-{hashlib.sha256(buffer.getvalue()).hexdigest()[:8]}.pth"
    pin_as(monkeypatch, name, file=file)
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / file).write_bytes(buffer.getvalue())
    return tmp_path / folder / file


def test_fetch_takes_a_file_put_there_by_hand(monkeypatch, tmp_path):
    old = "features.denseblock1.denselayer12.norm.1.weight"
    pin(
        monkeypatch,
        tmp_path,
        {
            old: torch.arange(3.0),
            "features.denseblock1.denselayer2.conv.2.weight": torch.ones(2),
            "fc.bias": torch.ones(1),
        },
    )
    monkeypatch.setattr(weights, "_download", lambda *_: pytest.fail("must not download"))
    made = weights.weights("densenet169")
    found = load_file(made)
    assert made.as_posix() == "data/weights/densenet169.safetensors"
    assert sorted(found) == [
        "fc.bias",
        "features.denseblock1.denselayer12.norm1.weight",
        "features.denseblock1.denselayer2.conv2.weight",
    ]
    np.testing.assert_array_equal(found["features.denseblock1.denselayer12.norm1.weight"], [0, 1, 2])


def test_fetch_refuses_a_wrong_checksum(monkeypatch, tmp_path):
    path = pin(monkeypatch, tmp_path, {"a": torch.ones(1)})
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(RescanError, match=r"damaged.*delete it"):
        weights.weights("densenet169")
    assert not path.with_name("densenet169.safetensors").exists()


def test_fetch_downloads(monkeypatch, tmp_path):
    path = pin(monkeypatch, tmp_path, {"a": torch.ones(3)})
    (tmp_path / "served").mkdir()
    path.rename(tmp_path / "served" / path.name)
    pin_as(monkeypatch, "densenet169", folder=(tmp_path / "served").as_uri() + "/")
    np.testing.assert_array_equal(load_file(weights.weights("densenet169"))["a"], [1, 1, 1])


def test_without_a_network_one_line_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    pin_as(monkeypatch, "resnet18", folder="https://127.0.0.1:9/")
    with pytest.raises(RescanError) as caught:
        weights.weights("resnet18")
    said = str(caught.value)
    assert "\n" not in said
    for part in (
        "data/weights/resnet18-f37072fd.pth",
        "https://127.0.0.1:9/resnet18-f37072fd.pth",
        "--config weights=none",
    ):
        assert part in said
    assert not list(tmp_path.glob("data/weights/*"))


def test_an_encoder_without_known_weights_is_said():
    with pytest.raises(RescanError, match="no pretrained weights are known"):
        weights.weights("lenet")


def test_the_pinned_files_are_those_of_torchvision():
    enums = {name[:-8].lower(): value for name, value in vars(models).items() if name.endswith("_Weights")}
    pinned = {encoder: record.weights for encoder, record in ENCODERS.items() if record.weights}
    assert pinned
    for encoder, published in pinned.items():
        if encoder in enums:
            assert published.file == RENEWED.get(url := enums[encoder].IMAGENET1K_V1.url.rpartition("/")[2], url)
            assert published.folder == PYTORCH


def test_se_resnext50_gets_the_weights_that_monai_would_give_it(monkeypatch, tmp_path):
    """The file's names and shapes, made from MONAI's; MONAI's own reading of them; and ours."""
    torch.manual_seed(0)
    expected = SEResNext50(spatial_dims=2, in_channels=3).state_dict()
    expected = {key: torch.rand(value.shape) if value.ndim else value for key, value in expected.items()}
    state = {}
    for key, value in expected.items():
        old = re.sub(r"(layer[1-4]\.\d\.conv\d)\.conv\.", r"\1.", key)
        old = re.sub(r"(layer[1-4]\.\d\.)conv(\d)\.adn\.N\.", r"\1bn\2.", old)
        old = old.replace("project.conv.", "downsample.0.").replace("project.adn.N.", "downsample.1.")
        old = old.replace("se_layer.fc.0.", "se_module.fc1.").replace("se_layer.fc.2.", "se_module.fc2.")
        state[old] = value[..., None, None] if old.endswith(("fc1.weight", "fc2.weight")) else value
    published = ENCODERS["se_resnext50"].weights
    assert published.folder + published.file == senet.SE_NET_MODELS["se_resnext50_32x4d"]
    monkeypatch.setattr(senet, "load_state_dict_from_url", lambda *_, **__: dict(state))
    reference = SEResNext50(spatial_dims=2, in_channels=3, pretrained=True).state_dict()
    assert all(torch.equal(reference[key], value) for key, value in expected.items())

    pin(monkeypatch, tmp_path, state, "se_resnext50")
    stages = {"main": {"epochs": 1, "optimizer": "adam"}}
    described = {"preparation": "p", "network": {"encoder": "se_resnext50"}, "stages": stages}
    network = build(Recipe.model_validate(described), 2, (3, 64, 64))
    load_encoder_weights(network, weights.weights("se_resnext50"))
    ours = network.encoder.body.state_dict()
    assert len(ours) > 300
    assert all(torch.equal(reference[key], value) for key, value in ours.items() if "num_batches" not in key)


def test_a_vision_transformers_old_names():
    """torchvision's own layer reads them, and gives them the names that we do."""
    block = MLPBlock(4, 6, 0.0)
    old = {f"linear_{number}.{kind}" for number in (1, 2) for kind in ("weight", "bias")}
    arrays = {
        name: torch.rand(block.state_dict()[name.replace("linear_1", "0").replace("linear_2", "3")].shape)
        for name in old
    }
    block.load_state_dict(dict(arrays))
    renamed = ENCODERS["vit_b_16"].weights.renamed
    for name, array in arrays.items():
        key, value = weights._today(renamed, f"encoder.layers.encoder_layer_11.mlp.{name}", array.numpy())
        assert key.startswith("encoder.layers.encoder_layer_11.mlp.")
        assert torch.equal(block.state_dict()[key.partition(".mlp.")[2]], torch.from_numpy(value))


def test_torch_is_not_imported():
    code = "import sys, rescan.data.sources.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
