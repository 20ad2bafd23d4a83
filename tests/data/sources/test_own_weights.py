"""Weights in a file of one's own, from the file to the network that starts from it."""

from __future__ import annotations

import json
import logging
import re

import pytest
import torch
from monai.networks.nets.resnet import ResNet, get_medicalnet_pretrained_resnet_args
from safetensors.torch import load_file, save_file
from torchvision import models

from rescan import catalogue
from rescan.catalogue.encoders import ENCODERS
from rescan.cli.steps import weights as step
from rescan.data.sources.own_weights import check_weights
from rescan.data.sources.weights import weights
from rescan.errors import RescanError
from rescan.files import sha256
from rescan.models.model_files import load_encoder_weights
from rescan.models.networks import build
from rescan.models.weight_names import matched
from rescan.study import Recipe

LAYERS = {10: [1, 1, 1, 1], 18: [2, 2, 2, 2], 50: [3, 4, 6, 3]}


def recipe(encoder="resnet18", normalization="imagenet", **network):
    """A recipe with this network."""
    described = {
        "preparation": "p",
        "network": {"encoder": encoder, "weights": "none", **network},
        "normalization": normalization,
        "stages": {"main": {"epochs": 1, "optimizer": "adam"}},
    }
    return Recipe.model_validate(described)


def loaded(file, encoder="resnet18", shape=(3, 64, 64)):
    """An encoder with the weights in a file, brought to data/weights first."""
    network = build(recipe(encoder), 2, shape)
    start = load_encoder_weights(network, weights(encoder, file), encoder)
    assert (start.source, start.sha256) == (file.name, sha256(file))
    return network.encoder.body


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder to work in."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def classifier():
    """A whole network of torchvision, with weights of its own."""
    torch.manual_seed(0)
    return models.resnet18().eval()


def maps(network, images):
    """The last maps of torchvision's ResNet, layer by layer."""
    layers = [layer for name, layer in network.named_children() if name not in ("avgpool", "fc")]
    return torch.nn.Sequential(*layers)(images)


@pytest.mark.parametrize("form", ["whole.safetensors", "lightning.pth", "state.pt"])
def test_a_classifier_of_any_form_gives_its_maps(tmp_path, classifier, caplog, form):
    state, file = classifier.state_dict(), tmp_path / form
    if form == "whole.safetensors":
        save_file(state, str(file))
    elif form == "lightning.pth":
        torch.save({"epoch": 3, "state_dict": {f"model.{name}": value for name, value in state.items()}}, file)
    else:
        torch.save(state, file)
    with caplog.at_level(logging.INFO, "rescan"):
        body = loaded(file).eval()
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(body(images), maps(classifier, images))
    prefix = "model." if form == "lightning.pth" else ""
    assert re.search(rf"left out, as no part of the encoder: {prefix}fc\.(weight, {prefix}fc\.bias|bias)", caplog.text)


def test_a_published_file_under_its_old_names(tmp_path):
    """DenseNet's files say norm.1 for norm1."""
    state = models.densenet121().state_dict()
    old = {re.sub(r"(denselayer\d+\.(?:norm|conv))([12])\.", r"\1.\2.", name): value for name, value in state.items()}
    assert old.keys() != state.keys()
    torch.save(old, tmp_path / "densenet.pth")
    body = loaded(tmp_path / "densenet.pth", "densenet121").state_dict()
    assert all(torch.equal(state[name], value) for name, value in body.items() if "num_batches" not in name)


def test_weights_of_another_network_are_said_before_anything_is_made(tmp_path, classifier):
    save_file(classifier.state_dict(), str(tmp_path / "w.safetensors"))
    said = r"^[^\n]*w\.safetensors: has the weights of resnet18, not of resnet34; change the encoder or the file$"
    with pytest.raises(RescanError, match=said):
        weights("resnet34", tmp_path / "w.safetensors")
    assert not (tmp_path / "data").exists()


def test_a_file_for_a_network_of_timm_is_told_by_its_name_there(tmp_path):
    """timm's ResNet has the names and shapes of torchvision's; its ViT those of the shapes only."""
    file = tmp_path / "w.safetensors"
    for network, encoder in [(models.resnet18(), "timm/resnet18"), (models.vit_b_16(), "timm/vit_base_patch16_224")]:
        save_file(network.state_dict(), str(file))
        check_weights(str(file), encoder)
        check_weights(str(file), f"{encoder}.a1_in1k")
    save_file(models.resnet18().state_dict(), str(file))
    with pytest.raises(RescanError, match=r"has the weights of resnet18, not of timm/resnet50; change the encoder"):
        check_weights(str(file), "timm/resnet50")


def test_a_model_of_rescan_with_a_network_of_timm_starts_another_whatever_it_started_from(tmp_path):
    file = tmp_path / "model.safetensors"
    described = recipe().model_dump(mode="json")
    described["network"]["encoder"] = "timm/resnet18.a1_in1k"
    write_model(file, described)
    for encoder in ("timm/resnet18", "timm/resnet18.a2_in1k", f"timm/resnet18.a1_in1k@{'ab' * 20}"):
        check_weights(str(file), encoder, recipe(encoder))
    for encoder in ("resnet18", "timm/resnet34"):
        with pytest.raises(RescanError, match=rf"encoder timm/resnet18\.a1_in1k, not {encoder}$"):
            check_weights(str(file), encoder, recipe(encoder))


def test_the_same_file_gives_the_same_bytes(tmp_path, classifier):
    save_file(classifier.state_dict(), str(tmp_path / "w.safetensors"))
    first = weights("resnet18", tmp_path / "w.safetensors").read_bytes()
    assert weights("resnet18", tmp_path / "w.safetensors").read_bytes() == first
    (tmp_path / "other").mkdir()
    copy = tmp_path / "other" / "w.safetensors"
    copy.write_bytes((tmp_path / "w.safetensors").read_bytes())
    assert weights("resnet18", copy).read_bytes() == first
    assert len([*tmp_path.glob("data/weights/*.safetensors")]) == 2  # named after where the files lie


def write_model(file, described, key="recipe"):
    """A file as Rescan writes of a network."""
    torch.manual_seed(1)
    network = build(recipe(), 3, (3, 64, 64))
    module, content = (network, described) if key == "recipe" else (network.encoder.body, described["network"])
    save_file(module.state_dict(), str(file), {"rescan": json.dumps({key: content})})
    return network.encoder.body.state_dict()


@pytest.mark.parametrize("key", ["recipe", "settings"])
def test_a_model_of_rescan_starts_another(tmp_path, key):
    file = tmp_path / "model.safetensors"
    state = write_model(file, recipe().model_dump(mode="json"), key)
    check_weights(str(file), "resnet18", recipe())
    body = loaded(file).state_dict()
    assert all(torch.equal(state[name], value) for name, value in body.items())
    with pytest.raises(RescanError, match=r"model\.safetensors: is of a network with encoder resnet18, not vgg16"):
        check_weights(str(file), "vgg16", recipe("vgg16"))
    with pytest.raises(RescanError, match=r"with norm batch, not group"):
        check_weights(str(file), "resnet18", recipe(norm="group"))


def test_a_model_of_rescan_must_have_seen_images_of_the_same_scale(tmp_path):
    write_model(tmp_path / "model.safetensors", recipe(normalization="centered").model_dump(mode="json"))
    with pytest.raises(RescanError, match=r"normalization centered, not imagenet; set normalization: centered$"):
        check_weights(str(tmp_path / "model.safetensors"), "resnet18", recipe())


def medicalnet(depth):
    """A network as MedicalNet publishes its weights, and their file: MONAI knows the form."""
    torch.manual_seed(depth)
    bias, shortcuts = get_medicalnet_pretrained_resnet_args(depth)
    network = ResNet(
        "basic" if depth < 50 else "bottleneck",
        LAYERS[depth],
        [64, 128, 256, 512],
        spatial_dims=3,
        n_input_channels=1,
        conv1_t_stride=(1, 2, 2),
        shortcut_type=shortcuts,
        bias_downsample=bias,
        feed_forward=False,
    ).eval()
    return network, {"state_dict": {f"module.{name}": value for name, value in network.state_dict().items()}}


def test_files_of_the_form_of_medicalnets_give_the_maps_that_monai_computes(tmp_path):
    network, content = medicalnet(10)
    torch.save(content, tmp_path / "resnet_10_23dataset.pth")
    body = loaded(tmp_path / "resnet_10_23dataset.pth", "resnet10_3d", (1, 16, 32, 32)).eval()
    volumes = torch.rand(1, 1, 16, 32, 32)
    layers = [layer for name, layer in network.named_children() if name not in ("avgpool", "fc")]
    with torch.no_grad():
        torch.testing.assert_close(body(volumes), torch.nn.Sequential(*layers)(volumes))


def test_medicalnets_resnet50_has_the_weights_of_ours():
    content = medicalnet(50)[1]["state_dict"]
    found, ignored = matched(content, catalogue.resolve("encoder", "resnet50_3d")().body.state_dict())
    assert (len(found), ignored) == (5 * 53, [])
    assert all(torch.equal(value, content[f"module.{name}"]) for name, value in found.items())


def test_medicalnets_resnet18_has_other_shortcuts_than_ours(tmp_path):
    torch.save(medicalnet(18)[1], tmp_path / "resnet_18.pth")
    said = (
        r"resnet_18\.pth: has the weights of a ResNet18 in 3D whose shortcuts have no weights \(type A\), as MedicalNet"
    )
    with pytest.raises(RescanError, match=said):
        weights("resnet18_3d", tmp_path / "resnet_18.pth")


def test_half_precision_is_read_as_it_is(tmp_path, classifier):
    state = {name: value.bfloat16() for name, value in classifier.state_dict().items()}
    save_file(state, str(tmp_path / "half.safetensors"))
    made = load_file(weights("resnet18", tmp_path / "half.safetensors"))
    assert torch.equal(made["layer1.0.conv1.weight"], state["layer1.0.conv1.weight"].float())


def test_an_encoder_without_published_weights_may_have_its_own(tmp_path):
    assert ENCODERS["cnn5"].weights is None
    body = build(recipe("cnn5"), 2, (3, 64, 64)).encoder.body
    save_file(body.state_dict(), str(tmp_path / "five.safetensors"))
    found = loaded(tmp_path / "five.safetensors", "cnn5").state_dict()
    assert all(torch.equal(found[name], value) for name, value in body.state_dict().items())


@pytest.mark.parametrize("encoder", ["lenet", "../x"])
def test_an_unknown_encoder_is_said(tmp_path, encoder):
    with pytest.raises(RescanError, match="no encoder"):
        step(encoder, tmp_path / "w.safetensors")
    assert not [*tmp_path.iterdir()]
