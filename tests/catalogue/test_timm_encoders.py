"""timm's networks by name: known without timm and without torch."""

from __future__ import annotations

import math
import re
import subprocess
import sys

import pytest
from network_cases import recipe

from rescan import catalogue
from rescan.catalogue import NORMALIZATIONS, timm_encoders
from rescan.study import Explanation, Recipe

COMMIT = "0123456789abcdef" * 2 + "01234567"


@pytest.mark.parametrize(
    ("name", "repository", "normalization"),
    [
        ("timm/convnext_tiny", "timm/convnext_tiny.in12k_ft_in1k", "imagenet"),
        ("timm/convnext_tiny.fb_in1k", "timm/convnext_tiny.fb_in1k", "imagenet"),
        ("timm/vit_base_patch16_224", "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k", "centered"),
        ("timm/vit_base_patch16_224.dino", "timm/vit_base_patch16_224.dino", "imagenet"),
        ("timm/resnet50_clip.openai", "timm/resnet50_clip.openai", "clip"),
        ("timm/dpn68", "timm/dpn68.mx_in1k", "dpn"),
        ("timm/tf_efficientnet_lite0", "timm/tf_efficientnet_lite0.in1k", "centered"),
        ("timm/vit_base_patch16_clip_quickgelu_224.openai", "timm/vit_base_patch16_clip_224.openai", "clip"),
    ],
)
def test_names_weights_and_what_they_expect(name, repository, normalization):
    assert catalogue.check("encoder", name) == name
    record = catalogue.ENCODERS[name]
    assert record.weights == timm_encoders.published(name) == timm_encoders.HubWeights(repository)
    assert record.normalization == normalization
    assert timm_encoders.published(f"{name}@{COMMIT}") == timm_encoders.HubWeights(repository, revision=COMMIT)
    assert Recipe.model_validate(recipe(name).model_dump(exclude={"normalization"})).normalization == normalization
    assert recipe(name).normalization == normalization
    assert name not in list(catalogue.ENCODERS)


@pytest.mark.parametrize("name", [{"name": "timm/resnet18"}, 5, None, ["timm/resnet18"]])
def test_what_is_no_name_is_no_encoder(name):
    assert name not in catalogue.ENCODERS
    with pytest.raises(ValueError, match="encoder"):
        recipe(name)


def test_a_recipe_that_says_its_normalization_keeps_it():
    described = {**recipe("timm/vit_tiny_patch16_224").model_dump(), "normalization": "unit"}
    assert Recipe.model_validate(described).normalization == "unit"
    assert recipe("efficientnet_lite0").normalization == "centered"
    assert recipe("resnet18").normalization == "imagenet"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm/convnxt_tiny", "no encoder 'timm/convnxt_tiny'; did you mean 'timm/convnext_tiny'?"),
        ("timm/ConvNext_Tiny.fb_in1k", "did you mean 'timm/convnext_tiny.fb_in1k'?"),
        ("timm/convnext_tiny.fb_in2k", "timm has no weights 'fb_in2k' of convnext_tiny; did you mean 'fb_in22k'?"),
        ("timm/convnext_tiny@main", "no encoder 'timm/convnext_tiny@main'; did you mean 'timm/convnext_tiny'?"),
        ("timm/qqqq", "no encoder 'timm/qqqq': timm has no such network; its names are at https://huggingface.co/timm"),
        ("timm/../x", "timm has no such network"),
        ("timm/resnet18\n", "did you mean 'timm/resnet18'?"),
        ("timm/crossvit_9_240", "has no feature map, which pooling and Grad-CAM need; take another network of timm"),
    ],
)
def test_names_that_are_not_there(name, said):
    with pytest.raises(ValueError, match=re.escape(said)):
        catalogue.check("encoder", name)
    with pytest.raises(ValueError, match=re.escape(said)):
        Explanation(layer={name: -1})
    assert name not in catalogue.ENCODERS
    assert catalogue.ENCODERS.get(name) is None
    assert timm_encoders.published(name) is None


def test_what_is_not_for_timms_networks_is_said_in_one_line():
    for key, value, said in (("norm", "group", "norm: group"), ("checkpointing", True, "checkpointing: true")):
        with pytest.raises(ValueError, match=f"{said} is not for timm's networks, such as timm/resnet18; leave it out"):
            recipe("timm/resnet18", **{key: value})


def test_every_row_is_whole():
    assert len(timm_encoders.rows()) > 1000
    for name, row in timm_encoders.rows().items():
        assert re.match(timm_encoders.PATTERN, f"timm/{name}")
        assert int(row["size"]) > 0
        if (record := timm_encoders.record(f"timm/{name}")) is None:
            assert row["maps"] == "0"
            continue
        assert record.normalization in NORMALIZATIONS
        assert bool(record.weights) is bool(row["weights"])
        assert record.weights is None or record.weights.repository.count("/") == 1
        if row["maps"]:
            assert math.isfinite(record.cost.parameters * record.cost.multiply_adds * record.cost.kept)
            assert record.cost.parameters > 0
            assert int(row["cells"]) > 1


def test_the_table_is_that_of_the_installed_timm():
    timm = pytest.importorskip("timm", minversion="1.0.31")
    assert set(timm.list_models()) >= set(timm_encoders.rows())


def test_nothing_heavy_is_imported():
    code = (
        "import sys; from rescan.catalogue import check; check('encoder', 'timm/resnet18'); "
        "sys.exit('torch' in sys.modules or 'timm' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
