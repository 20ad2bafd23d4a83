"""Networks as ONNX and TorchScript: the same outputs as torch's, of any number of images."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch
from export_parity import MOST, differences, settled, shape_of
from network_cases import recipe
from torch import nn
from torchvision import models

from rescan import catalogue
from rescan.errors import RescanError
from rescan.models import exported as forms
from rescan.models.encoder import Encoder
from rescan.models.networks import build
from rescan.models.vit import TokenGrid

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

SMALL = ("cnn5", "cnn5_3d", "radiograph_cnn", "mobilenet_v3_large")  # all: python -m tests.export_parity


@pytest.mark.parametrize("name", SMALL)
def test_an_encoder_gives_the_same_in_all_forms(name):
    torch.manual_seed(0)
    shape = shape_of(name)
    assert max(differences(settled(build(recipe(name), 3, shape)), shape).values()) <= MOST


@pytest.mark.parametrize("size", [32, 48])  # of the position embeddings' own grid, and one to which they are resized
def test_a_transformer_gives_the_same_in_all_forms(monkeypatch, size):
    torch.manual_seed(0)
    small = models.VisionTransformer(32, 16, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=16)
    torch.nn.init.normal_(small.encoder.pos_embedding)
    monkeypatch.setattr("rescan.models.vit.vit_b_16", lambda: Encoder(TokenGrid(small), 16, ""))
    shape = (3, size, size)
    assert max(differences(build(recipe("vit_b_16"), 3, shape).eval(), shape).values()) <= MOST


@pytest.mark.parametrize("dimensions", [2, 3])
def test_average_pooling_counts_its_padding_in_all_forms(dimensions):
    torch.manual_seed(0)
    conv, pad, pool = {
        2: (nn.Conv2d, nn.ConstantPad2d, nn.AvgPool2d),
        3: (nn.Conv3d, nn.ConstantPad3d, nn.AvgPool3d),
    }[dimensions]
    shape = (1, *[32] * dimensions)
    network = build(recipe("radiograph_cnn" if dimensions == 2 else "cnn5_3d"), 3, shape).eval()
    layers = conv(1, 8, 3), pool(3, 1, padding=1), pad(1, 0.0), pool(3, 1), conv(8, network.encoder.channels, 3)
    network.encoder.body = nn.Sequential(*layers)
    assert max(differences(network, shape).values()) <= MOST


@pytest.mark.parametrize("neck", sorted(catalogue.NECKS))
@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_necks_and_norms_give_the_same_in_all_forms(neck, norm):
    torch.manual_seed(0)
    named = {"name": neck, "batch_norm": True, "dropout": 0.5}
    shape = (3, 64, 64)
    network = build(recipe("cnn5", neck=named, norm=norm, hidden=[8], dropout=0.5), 3, shape)
    assert max(differences(settled(network), shape).values()) <= MOST


@pytest.mark.parametrize("normalization", sorted(catalogue.NORMALIZATIONS))
@pytest.mark.parametrize("channels", [1, 3])
def test_normalizations_are_inside(normalization, channels):
    torch.manual_seed(0)
    shape = (channels, 32, 32)
    heads = {"ordinal": {"link": "softmax"}, "regression": {"limit": 2.5}, "classification": {"hidden": [4]}}
    network = build(recipe("cnn5", heads=heads), 3, shape).eval()
    assert max(differences(network, shape, normalization).values()) <= MOST
    from rescan.models.normalization import normalize

    images = torch.rand(2, *shape) * 255
    with torch.no_grad():
        *outputs, vectors = forms.Exported(network, normalization, shape)(images)
        expected = network.vectors(normalize(images, normalization))
        torch.testing.assert_close(vectors, expected, rtol=1e-5, atol=1e-6)
        for output, own in zip(outputs, network.read(expected).values()):
            torch.testing.assert_close(output, own, rtol=1e-5, atol=1e-5)


def test_a_checkpointed_network_in_training_is_exported_as_it_predicts():
    torch.manual_seed(0)
    network = build(recipe("cnn5", checkpointing=True, dropout=0.5, hidden=[8]), 3, (3, 32, 32)).train()
    assert max(differences(network, (3, 32, 32)).values()) <= MOST
    assert network.training


def test_what_is_written_tells_nothing_of_this_machine():
    shape = (3, 32, 32)
    network = build(recipe("cnn5"), 3, shape)
    graph = forms.onnx_graph(network, "unit", shape)
    assert graph == forms.onnx_graph(network, "unit", shape)
    content = io.BytesIO(forms.script(forms.Exported(network, "unit", shape).eval(), shape, {"said": "so"}))
    archive = zipfile.ZipFile(content)
    texts = [archive.read(name) for name in archive.namelist()]
    assert not any(b"/models/" in text or b".py" in text for text in (graph, *texts))
    found = {"said": ""}
    torch.jit.load(io.BytesIO(content.getvalue()), _extra_files=found)
    assert found == {"said": b"so"}


def test_a_network_that_onnx_cannot_hold_is_refused(monkeypatch):
    network = build(recipe("cnn5"), 3, (3, 32, 32))
    monkeypatch.setattr(forms, "LARGEST", 100_000)
    with pytest.raises(RescanError, match=r"its weights are 0\.0 GB, an ONNX file holds 0\.0 at most"):
        forms.onnx_graph(network, "unit", (3, 32, 32))
