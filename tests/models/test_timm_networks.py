"""Networks of timm as encoders: maps, the rule from tokens to a grid, blocks, weights; what can't be, in one line."""

from __future__ import annotations

import copy
import sys

import pytest
import torch
from network_cases import count, header_of, recipe

timm = pytest.importorskip("timm")

from rescan import catalogue  # noqa: E402
from rescan.errors import RescanError  # noqa: E402
from rescan.explanation.cam import gradcam  # noqa: E402
from rescan.models.model_files import load, load_encoder_weights, save  # noqa: E402
from rescan.models.networks import build, set_trainable, set_training  # noqa: E402
from rescan.models.summary import summary  # noqa: E402
from rescan.models.timm_networks import timm_encoder  # noqa: E402
from rescan.study import FromBlock  # noqa: E402

# By name: channels and cells of 64 × 96 pixels, and blocks. One of each kind of output.
NETWORKS = {
    "timm/resnet10t": (512, (2, 3), 5),  # maps
    "timm/convnext_atto": (320, (2, 3), 5),  # with a norm behind the pooling
    "timm/mobilenetv3_small_050": (288, (2, 3), 7),  # with a convolution behind it
    "timm/vit_tiny_patch16_224": (192, (4, 6), 13),  # tokens behind a class token
    "timm/swin_tiny_patch4_window7_224": (768, (2, 3), 5),  # channels last
    "timm/mixer_s32_224": (512, (2, 3), 9),  # tokens of no transformer
}
SHAPE = (3, 64, 96)
OLD = {"swin_tiny_patch4_window7_224", "hiera_tiny_224"} if timm.__version__.startswith("0.") else set()


def skip_of_old_timm(name):
    """Before 1.0, timm has no Hiera, and its Swin takes whole windows of 7 × 7 only."""
    if name.rpartition("/")[2] in OLD:
        pytest.skip("of a newer timm")


@pytest.fixture(scope="module", params=sorted(NETWORKS))
def built(request):
    """The name of an encoder and a network with it, built once."""
    skip_of_old_timm(request.param)
    torch.manual_seed(0)
    return request.param, build(recipe(request.param, hidden=[4]), 3, SHAPE)


def test_maps_blocks_and_a_step_of_training(built):
    name, network = built
    channels, cells, blocks = NETWORKS[name]
    encoder = network.encoder
    assert (encoder.channels, encoder.cells(SHAPE), len(encoder.blocks)) == (channels, cells, blocks)
    network.train()
    for images in (torch.rand(2, *SHAPE), torch.rand(2, 1, *SHAPE[1:])):
        network.zero_grad()
        network(images)["classification"].square().sum().backward()
        assert [key for key, weight in network.named_parameters() if weight.grad is None] == []
    set_trainable(network, FromBlock(from_block=blocks))
    set_training(network, FromBlock(from_block=blocks))
    trained = {key for key, weight in encoder.named_parameters() if weight.requires_grad}
    assert 0 < len(trained) < len(list(encoder.parameters())) / 2
    set_trainable(network, "all")
    apart = copy.deepcopy(encoder)
    apart.body.requires_grad_(False).apply(lambda layer: [weight.zero_() for weight in layer.parameters()])
    assert not torch.equal(apart.eval()(images), encoder.eval()(images))
    listed = summary(network, SHAPE)
    assert listed.total == sum(row.parameters for row in listed.layers) == count(network)


def test_the_state_has_timms_names_and_lacks_only_what_is_behind_the_maps(built):
    name, network = built
    whole = timm.create_model(name[5:], num_classes=7, **{"img_size": SHAPE[1:]} if "vit" in name else {})
    ours = network.encoder.body.state_dict()
    assert set(ours) <= set(whole.state_dict())
    assert {key.split(".")[0] for key in set(whole.state_dict()) - set(ours)} <= {
        "head",
        "fc",
        "classifier",
        "conv_head",
    }


def test_maps_of_grad_cam_have_the_images_size(built):
    name, network = built
    network.eval()
    raw, scaled = gradcam(network, torch.rand(2, *SHAPE), torch.tensor([0, 2]), "classification", network.target_layer)
    assert raw.shape == scaled.shape == (2, *SHAPE[1:])
    assert network.encoder.body.get_submodule(catalogue.ENCODERS[name].layers["features"]) is network.target_layer


def test_a_model_file_is_read_again(built, tmp_path):
    name, network = built
    described = recipe(name, hidden=[4])
    save(tmp_path / "model.safetensors", network, header_of(described, shape=SHAPE))
    again, header = load(tmp_path / "model.safetensors")
    assert header.recipe.network.encoder == name
    images = torch.rand(2, *SHAPE)
    with torch.no_grad():
        expected = network.eval()(images)["classification"]
        torch.testing.assert_close(again(images)["classification"], expected)


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "hiera_tiny_224"])
def test_tokens_lie_as_their_patches(name):
    """What changes most is the cell where the image changes."""
    skip_of_old_timm(name)
    torch.manual_seed(0)
    encoder = timm_encoder(f"timm/{name}", (96, 128))
    images = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        before = encoder.features(images)
        rows, columns = before.shape[2:]
        edge = 96 // rows
        for row, column in ((0, columns - 1), (rows - 1, 0), (1, 2)):
            changed = images.clone()
            patch = changed[:, :, row * edge : (row + 1) * edge, column * edge : (column + 1) * edge]
            patch += 3 * torch.rand_like(patch)
            difference = (encoder.features(changed) - before).square().sum(1)[0]
            assert divmod(int(difference.argmax()), columns) == (row, column)


def test_efficientnet_lite0_is_the_catalogues():
    ours, timms = (
        catalogue.resolve("encoder", "efficientnet_lite0")().eval(),
        timm_encoder("timm/tf_efficientnet_lite0", (64, 64)),
    )
    state = dict(zip(ours.body.state_dict(), timms.body.state_dict().values()))
    ours.body.load_state_dict(state)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours.features(images), timms.features(images))


@pytest.mark.parametrize("name", ["timm/vit_tiny_patch16_224", "timm/swin_tiny_patch4_window7_224"])
def test_a_hubs_file_fits_at_its_own_size_exactly_and_at_others_as_timm_fits_it(name, tmp_path):
    from safetensors.torch import save_file

    skip_of_old_timm(name)
    torch.manual_seed(1)
    whole = timm.create_model(name[5:], num_classes=10).eval()
    save_file(dict(whole.state_dict()), tmp_path / "weights.safetensors")
    for size in (224, 64):
        network = build(recipe(name), 2, (3, size, size)).eval()
        load_encoder_weights(network, tmp_path / "weights.safetensors")
        images = torch.rand(1, 3, size, size)
        with torch.no_grad():
            maps = network.encoder.features(images)
            if size == 224:
                expected = whole.forward_features(images)
                expected = expected[:, 1:].transpose(1, 2).reshape(maps.shape) if "vit" in name else expected
                expected = expected.permute(0, 3, 1, 2) if "swin" in name else expected
                torch.testing.assert_close(maps, expected)
            assert maps.isfinite().all()


@pytest.mark.parametrize(
    ("name", "deeper"),
    [("convnext_atto", {"depths": (2, 2, 8, 2)}), ("resnet10t", {"layers": [1, 1, 2, 1]})],
)
def test_a_deeper_network_of_the_family_is_another(name, deeper, tmp_path):
    from safetensors.torch import save_file

    network, file = build(recipe(f"timm/{name}"), 2, SHAPE), tmp_path / "weights.safetensors"
    own = timm.create_model(name).state_dict()
    save_file(own, file)
    load_encoder_weights(network, file, f"timm/{name}")
    loaded = network.encoder.body.state_dict()
    assert all(torch.equal(own[key], value) for key, value in loaded.items())
    save_file(timm.create_model(name, **deeper).state_dict(), file)
    said = r"has (stages|layer3)\.[\w.]+, which the encoder has not \(\d+ such\).*; give a file of this network$"
    with pytest.raises(RescanError, match=said):
        load_encoder_weights(network, file, f"timm/{name}")


def test_weights_for_another_size_that_cannot_be_fitted(tmp_path):
    from safetensors.torch import save_file

    save_file(timm.create_model("mixer_s32_224", num_classes=0).state_dict(), tmp_path / "weights.safetensors")
    network = build(recipe("timm/mixer_s32_224"), 2, (3, 64, 64))
    wrong = (
        r"^timm/mixer_s32_224: these weights .* another size \(by .* blocks\.0\.mlp_tokens\..*to its own.*, 224 × 224"
    )
    with pytest.raises(RescanError, match=wrong):
        load_encoder_weights(network, tmp_path / "weights.safetensors")


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        (
            "vit_tiny_patch16_224",
            (3, 100, 100),
            "100 × 100 pixels .not made of whole patches of 16 × 16.; .* 224 × 224",
        ),
        ("nest_tiny", (3, 64, 96), "64 × 96 pixels .*; resize to its own size, 224 × 224"),
        ("resnet10t", (1, 64, 64, 64), "is for 2D inputs"),
    ],
)
def test_sizes_that_do_not_fit_are_said_in_one_line(name, shape, said):
    with pytest.raises(RescanError, match=f"^preparation small: timm/{name} .*{said}") as raised:
        build(recipe(f"timm/{name}"), 2, shape)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["pit_ti_224", "pit_ti_distilled_224"])  # which return their class tokens only
def test_a_network_without_a_feature_map(name):
    with pytest.raises(RescanError, match=f"^timm/{name} has no feature map"):
        timm_encoder(f"timm/{name}", (224, 224))


def test_timm_that_is_not_there_or_older(monkeypatch, tmp_path):
    described = recipe("timm/resnet10t")
    save(tmp_path / "model.safetensors", build(described, 2, (3, 64, 64)), header_of(described, classes="ab"))
    monkeypatch.setattr(timm, "is_model", lambda _: False)
    with pytest.raises(RescanError, match=r"^timm/resnet18: timm .* has no resnet18; .* pip install -U timm$"):
        timm_encoder("timm/resnet18", (64, 64))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(RescanError, match=r"timm/resnet18 needs timm .*; install it: pip install 'rescan\[timm\]'$"):
        build(recipe("timm/resnet18"), 2, (3, 64, 64))
    needed = r"model\.safetensors: preparation small: timm/resnet10t needs timm .* pip install 'rescan\[timm\]'$"
    with pytest.raises(RescanError, match=needed):
        load(tmp_path / "model.safetensors")
