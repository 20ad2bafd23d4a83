"""Model files and pretrained weights: written, read, refused."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from network_cases import header_of, recipe
from safetensors.torch import save_file
from torch import nn
from torchvision.models import resnet34

from rescan.errors import RescanError
from rescan.models.model_files import load, load_encoder_weights, save
from rescan.models.networks import build


def test_save_and_load_give_the_same_network_and_header(tmp_path):
    described = recipe(neck="avg", hidden=[10])
    network = build(described, 3, (3, 64, 64)).to(memory_format=torch.channels_last)
    assert not network.encoder.body.layer1[0].conv1.weight.is_contiguous()
    header = header_of(described, study="prüfung")
    save(tmp_path / "model.safetensors", network, header)
    again, found = load(tmp_path / "model.safetensors")
    assert found == header
    assert not again.training
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(
            again(images)["classification"], network.eval()(images)["classification"], rtol=1e-5, atol=1e-6
        )


def test_save_takes_tensors_that_share_memory(tmp_path):
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    save(tmp_path / "tied.safetensors", tied, header_of(recipe()))
    assert (tmp_path / "tied.safetensors").exists()


def test_files_that_are_no_models_are_said_in_one_line(tmp_path, resnet18):
    with pytest.raises(RescanError, match="no such file"):
        load(tmp_path / "none.safetensors")
    (tmp_path / "text.safetensors").write_text("hello, this is not a model at all")
    with pytest.raises(RescanError, match="not a safetensors file"):
        load(tmp_path / "text.safetensors")
    save_file({"a": torch.zeros(2)}, str(tmp_path / "bare.safetensors"))
    with pytest.raises(RescanError, match="no recipe"):
        load(tmp_path / "bare.safetensors")
    for change in ({"classes": ["a"]}, {"recipe": {}}, {"input": [3]}):
        content = {**header_of(recipe(hidden=[10])).model_dump(mode="json"), **change}
        save_file(resnet18.state_dict(), str(tmp_path / "other.safetensors"), metadata={"rescan": json.dumps(content)})
        with pytest.raises(RescanError, match="cannot read this model") as caught:
            load(tmp_path / "other.safetensors")
        assert "\n" not in str(caught.value)
    save_file({"a": torch.zeros(2)}, str(tmp_path / "json.safetensors"), metadata={"rescan": "{"})
    with pytest.raises(RescanError, match="its header is no JSON object"):
        load(tmp_path / "json.safetensors")


def test_encoder_weights_load_without_the_old_head(tmp_path, resnet18):
    state = {
        key: torch.rand(value.shape)
        for key, value in resnet18.encoder.body.state_dict().items()
        if "num_batches" not in key
    }
    save_file(
        {**state, "fc.weight": torch.rand(1000, 512), "fc.bias": torch.rand(1000)}, str(tmp_path / "w.safetensors")
    )
    network = build(recipe(hidden=[10]), 3, (3, 64, 64))
    head = network.heads["classification"][0].weight.clone()
    load_encoder_weights(network, tmp_path / "w.safetensors")
    for key, value in state.items():
        assert torch.equal(network.encoder.body.state_dict()[key], value)
    assert torch.equal(network.heads["classification"][0].weight, head)


def test_encoder_weights_that_do_not_fit_are_refused(tmp_path, resnet18):
    state = {key: value.clone() for key, value in resnet18.encoder.body.state_dict().items()}
    missing = {key: value for key, value in state.items() if key != "conv1.weight"}
    save_file(missing, str(tmp_path / "missing.safetensors"))
    with pytest.raises(RescanError, match=r"lacks conv1\.weight \(99 of 100 weights fit\); give a file"):
        load_encoder_weights(resnet18, tmp_path / "missing.safetensors")
    save_file({**state, "conv1.weight": torch.rand(64, 2, 7, 7)}, str(tmp_path / "shape.safetensors"))
    with pytest.raises(RescanError, match=r"another shape of conv1\.weight"):
        load_encoder_weights(resnet18, tmp_path / "shape.safetensors")
    deeper = {**state, "layer1.2.conv1.weight": torch.rand(64, 64, 3, 3)}
    save_file(deeper, str(tmp_path / "deeper.safetensors"), {"rescan": '{"source": "w.pth"}'})
    with pytest.raises(RescanError, match=r"made of w\.pth\): has layer1\.2\.conv1\.weight, which the encoder has not"):
        load_encoder_weights(resnet18, tmp_path / "deeper.safetensors")
    save_file(resnet34().state_dict(), str(tmp_path / "r34.safetensors"))
    with pytest.raises(RescanError, match=r"\(100 of 100 weights fit\); it has those of resnet34$"):
        load_encoder_weights(resnet18, tmp_path / "r34.safetensors", "resnet18")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(tmp_path, resnet18, value):
    state = {key: weights.clone() for key, weights in resnet18.state_dict().items()}
    state["encoder.body.conv1.weight"][3, 1, 2, 2] = value
    resnet18.load_state_dict(state)
    save(tmp_path / "model.safetensors", resnet18, header_of(recipe(hidden=[10])))
    save(tmp_path / "encoder.safetensors", resnet18.encoder.body, header_of(recipe()))
    remedy = "holds values that are no numbers, as of a training that diverged; delete it and run"
    with pytest.raises(RescanError, match=rf"model\.safetensors: encoder\.body\.conv1\.weight {remedy} train again$"):
        load(tmp_path / "model.safetensors")
    other = build(recipe(hidden=[10]), 3, (3, 64, 64))
    with pytest.raises(RescanError, match=rf"encoder\.safetensors: conv1\.weight {remedy} weights or pretrain again$"):
        load_encoder_weights(other, tmp_path / "encoder.safetensors")


def test_every_flipped_bit_is_seen(tmp_path):
    path, network = tmp_path / "model.safetensors", build(recipe(hidden=[10]), 3, (3, 64, 64))
    save(path, network, header_of(recipe(hidden=[10])))
    whole, random = path.read_bytes(), np.random.default_rng(0)
    weights = 8 + int.from_bytes(whole[:8], "little")
    for place in (*random.integers(8, weights, 40), *random.integers(weights, len(whole), 10), len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1 << int(random.integers(8))
        path.write_bytes(changed)
        with pytest.raises(RescanError, match=r"^[^\n]*model\.safetensors: [^\n]* again$"):
            load(path)


def test_a_file_of_an_older_version_has_no_checksum(tmp_path):
    path, network = tmp_path / "model.safetensors", build(recipe(hidden=[10]), 3, (3, 64, 64))
    header = header_of(recipe(hidden=[10]))
    save_file(network.state_dict(), str(path), metadata={"rescan": header.model_dump_json()})
    assert load(path)[1] == header
