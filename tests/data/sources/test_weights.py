"""Fetching pinned weights."""

from __future__ import annotations

import hashlib
import io
import re
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from monai.networks.nets import senet
from monai.networks.nets.senet import SEResNext50
from safetensors.numpy import load_file
from torchvision import models
from torchvision.models.vision_transformer import MLPBlock

from rescan.catalogue.encoder_record import PYTORCH
from rescan.catalogue.encoders import ENCODERS
from rescan.catalogue.timm_encoders import HubWeights
from rescan.cli.steps import weights as step
from rescan.data.sources import weights
from rescan.data.sources.renamed import renewed
from rescan.errors import RescanError
from rescan.models.model_files import load_encoder_weights
from rescan.models.networks import build
from rescan.study import Recipe
from rescan.study.data import is_secure

# Files under the names that older versions of torchvision give them.
RENEWED = {
    "efficientnet_b0_rwightman-3dd342df.pth": "efficientnet_b0_rwightman-7f5810bc.pth",
    "efficientnet_b4_rwightman-7eb33cd5.pth": "efficientnet_b4_rwightman-23ab8bcd.pth",
    "efficientnet_b5_lukemelas-b6417697.pth": "efficientnet_b5_lukemelas-1a07897c.pth",
}


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


@pytest.mark.parametrize("place", [-1, 100])
def test_weights_with_a_flipped_bit_are_refused_when_they_are_read(monkeypatch, tmp_path, place):
    stages = {"main": {"epochs": 1, "optimizer": "adam"}}
    described = {"preparation": "p", "network": {"encoder": "resnet18"}, "stages": stages}
    network = build(Recipe.model_validate(described), 2, (3, 64, 64))
    pin(monkeypatch, tmp_path, network.encoder.body.state_dict(), "resnet18")
    path = weights.weights("resnet18")
    load_encoder_weights(network, path)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        RescanError, match=r"resnet18\.safetensors: its weights or its header are not as they were written"
    ):
        load_encoder_weights(network, path)


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


def test_all_published_files_lie_at_https_addresses():
    published = [encoder.weights for encoder in ENCODERS.values() if encoder.weights is not None]
    folders = {weights.folder for weights in published if not weights.package}
    assert folders
    assert all(is_secure(folder) for folder in folders)


def test_weights_of_timms_networks_come_from_the_hub(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    asked = []
    monkeypatch.setattr(weights.hub, "fetch", lambda *of: asked.append(of))
    made = weights.weights("timm/resnet18.a1_in1k")
    assert made.as_posix() == "data/weights/timm/resnet18.a1_in1k.safetensors"
    assert asked == [(HubWeights("timm/resnet18.a1_in1k"), made)]
    folder = "data/weights/timm/resnet18.a1_in1k"
    files = [made.as_posix(), f"{folder}/model.safetensors", f"{folder}/source.json"]
    assert weights.files_of("timm/resnet18.a1_in1k") == files
    with pytest.raises(RescanError, match=r"no encoder 'timm/resnet81'; did you mean 'timm/resnet\d+'\?"):
        weights.weights("timm/resnet81")


@pytest.mark.parametrize("encoder", ["lenet", "../x", "timm/gcvit_xxtiny"])
def test_an_encoder_without_known_weights_is_said_before_anything_is_written(encoder, monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(RescanError, match="no pretrained weights are known"):
        step(encoder)
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


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
    of_monai = senet.SE_NET_MODELS["se_resnext50_32x4d"]
    assert published.folder + published.file == of_monai.replace("http://", "https://")
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
        key, value = renewed(renamed, f"encoder.layers.encoder_layer_11.mlp.{name}", array.numpy())
        assert key.startswith("encoder.layers.encoder_layer_11.mlp.")
        assert torch.equal(block.state_dict()[key.partition(".mlp.")[2]], torch.from_numpy(value))


def test_torch_is_not_imported():
    code = "import sys, rescan.data.sources.weights; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
