"""MONAI bundles: their metadata have the fields of MONAI's schema, and their config predicts what Rescan does."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from monai import bundle
from small_arms import CLASSES, IMAGES, small_arm, write_arm, write_images, write_network, write_volumes

from rescan.errors import RescanError
from rescan.handover.arm_export import export_arm
from rescan.handover.monai_steps import Prepare, samples
from rescan.predict import predict

# The fields, and their types, of MONAI's meta_schema_20240725.json, written anew: there is no network here.
TEXTS = "schema version monai_version pytorch_version numpy_version task description authors copyright data_source "
TEXTS += "data_type image_classes label_classes pred_classes intended_use"
TENSOR = {
    "type": "object",
    "properties": {
        **{key: {"type": "string"} for key in ("type", "format", "dtype")},
        "num_channels": {"type": "integer"},
        "spatial_shape": {"type": "array", "items": {"type": ["string", "integer"]}},
        "value_range": {"type": "array", "items": {"type": "number"}},
        "is_patch_data": {"type": "boolean"},
        "channel_def": {"type": "object"},
    },
    "required": ["type", "format", "num_channels", "spatial_shape", "dtype", "value_range"],
}
NAMED = {"type": "object", "patternProperties": {"^.+$": TENSOR}}
SCHEMA = {
    "type": "object",
    "properties": {
        **{key: {"type": "string"} for key in TEXTS.split()},
        **{key: {"type": "object"} for key in ("changelog", "required_packages_version", "eval_metrics")},
        "network_data_format": {
            "type": "object",
            "properties": {"inputs": NAMED, "outputs": NAMED},
            "required": ["inputs", "outputs"],
        },
    },
    "required": [
        *TEXTS.split()[:9],
        "required_packages_version",
        "network_data_format",
    ],
}


def ran(place, arm, data):
    """The table that the config of an arm's bundle makes, and the one that `rescan predict` makes."""
    export_arm(arm, place / "bundle", "monai")
    root = str(place / "bundle")
    bundle.run(config_file=f"{root}/configs/inference.json", bundle_root=root, dataset_dir=str(data), device="cpu")
    predict(arm, [data], place / "out.csv", None, "cpu")
    return [
        pd.read_csv(file, keep_default_na=False) for file in (place / "bundle/eval/predictions.csv", place / "out.csv")
    ]


@pytest.mark.parametrize(("encoder", "write"), [("cnn5", write_images), ("cnn5_3d", write_volumes)])
def test_a_bundle_predicts_as_rescan_does(tmp_path, encoder, write):
    arm, data = small_arm(tmp_path / "arm", encoder), write(tmp_path / "data")
    made, expected = ran(tmp_path, arm, data)
    assert list(made) == ["image", "predicted", *CLASSES]
    assert made[["image", "predicted"]].equals(expected[["image", "predicted"]])
    np.testing.assert_allclose(made[CLASSES].to_numpy(float), expected[CLASSES].to_numpy(float), atol=2e-6)
    assert {path.name for path in (tmp_path / "bundle").iterdir()} >= {"configs", "models", "docs", "LICENSE"}


def test_grades_of_the_neuron_are_read(tmp_path):
    heads = {"classification": {}, "regression": {}}
    for seed in (0, 1):
        write_network(tmp_path / f"arm/fold0_seed{seed}/model.safetensors", seed, heads=heads)
    linear = {"whole": [0.5, 0.5, 0.1], "crossfit": [[0.0, 1.0, 0.0]] * 5}
    cuts = {"whole": [0.5, 1.5], "crossfit": [[0.5, 1.5]] * 5}
    write_arm(tmp_path / "arm", head="linear", linear=linear, cuts=cuts)
    made, expected = ran(tmp_path, tmp_path / "arm", write_images(tmp_path / "data"))
    assert list(made) == ["image", "predicted", "grade"]
    np.testing.assert_allclose(made["grade"], expected["grade"], atol=1e-4)


def test_its_metadata_are_verified_and_its_network_fits_them(tmp_path):
    pytest.importorskip("jsonschema")
    small_arm(tmp_path / "arm")
    export_arm(tmp_path / "arm", tmp_path / "bundle", "monai")
    meta, config = (tmp_path / f"bundle/configs/{name}.json" for name in ("metadata", "inference"))
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    bundle.verify_metadata(meta_file=str(meta), filepath=str(tmp_path / "schema.json"))
    content = json.loads(meta.read_text())
    outputs = content["network_data_format"]["outputs"]["pred"]
    assert outputs["channel_def"]["5"] == "one fold 0 seed 1: classification_2"
    assert outputs["num_channels"] == 6
    assert content["network_data_format"]["inputs"]["image"]["spatial_shape"] == [32, 32]
    bundle.verify_net_in_out("network_def", str(meta), str(config), device="cpu", bundle_root=str(tmp_path / "bundle"))
    extras = {"metadata.json": "", "inference.json": ""}
    torch.jit.load(str(tmp_path / "bundle/models/model.ts"), _extra_files=extras)
    assert json.loads(extras["metadata.json"]) == content
    del content["authors"]
    meta.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="authors"):
        bundle.verify_metadata(meta_file=str(meta), filepath=str(tmp_path / "schema.json"))


def test_what_one_image_cannot_be_given_to_is_refused(tmp_path):
    write_network(tmp_path / "arm/fold0_seed0/model.safetensors")
    other = {"steps": [{"name": "clahe"}, *IMAGES["steps"]]}
    write_network(tmp_path / "arm/fold0_seed1/model.safetensors", 1, preparation=other)
    patches = {"steps": [{"name": "patches", "grid": [1, 1]}, *IMAGES["steps"]]}
    write_network(tmp_path / "patches/fold0_seed0/model.safetensors", preparation=patches)
    write_arm(tmp_path / "arm")
    write_arm(tmp_path / "patches", ["fold0_seed0"])
    write_network(tmp_path / "copies/fold0_seed0/model.safetensors")
    write_arm(tmp_path / "copies", ["fold0_seed0"], copies=1)
    for arm, fault in (("arm", "several ways"), ("patches", "several patches"), ("copies", "augmented copies")):
        with pytest.raises(RescanError, match=rf"^[^\n]*{fault}[^\n]*one image at a time; export [^\n]*$"):
            export_arm(tmp_path / arm, tmp_path / "bundle", "monai")
        assert not (tmp_path / "bundle").exists()


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    small_arm(tmp_path / "arm")
    export_arm(tmp_path / "arm", tmp_path / "bundle", "monai")
    (tmp_path / "data").mkdir()
    (tmp_path / "data/broken.png").write_bytes(b"no image")
    (data,) = samples(str(tmp_path / "bundle"), str(tmp_path / "data"))
    with pytest.raises(RescanError, match=r"broken\.png: "):
        Prepare(str(tmp_path / "bundle"))(data)
    with pytest.raises(RescanError, match=r"networks\.json: no such file"):
        Prepare(str(tmp_path))
