"""A study of volumes through the workflow: patches, projections, volumes, an autoencoder, a claim."""

import subprocess
import sys

import nibabel
import numpy as np
import pandas as pd
import pytest
from sample_files import read_json, read_table

pytest.importorskip("snakemake")

STUDY = """
title: Scans
data:
  source: {path: nowhere}
  layout: octa500
  classes: [normal, abnormal]
  labels: {NORMAL: normal, DR: abnormal, AMD: abnormal, CSC: abnormal, RVO: abnormal}
split: {test: 0.3, validation: 0.3, stratify_by: [fov]}
preparations:
  volume: &volume
    reads: volume
    channels: gray
    steps:
      - {name: crop_center, millimeters: [0, 3, 3]}
      - {name: resize_volume, size: [32, 32, 32]}
      - {name: clip_percentiles}
  flat:
    <<: *volume
    steps:
      - {name: crop_center, millimeters: [0, 3, 3]}
      - {name: clip_percentiles}
      - {name: project}
      - {name: resize, size: [32, 32]}
  patches:
    modality: enface_superficial
    channels: gray
    steps:
      - {name: crop_center, millimeters: [0, 3, 3]}
      - {name: patches}
      - {name: clahe, tiles: 2}
      - {name: resize, size: [32, 32]}
autoencoders:
  compressed: {preparation: volume, encoder: cnn5_3d, epochs: 1}
recipe:
  preparation: volume
  network: {encoder: cnn5_3d, weights: none, neck: flatten}
  normalization: unit
  stages: {main: {epochs: 1, batch_size: 8, optimizer: adam}}
arms:
  volume: {augmentation: {flip_horizontal: 0.5}}
  flat: {preparation: flat, network: {encoder: cnn5}}
  pretrained: {network: {weights: compressed}, stages: {main: {trainable: {from_block: 2}}}}
  patches: {preparation: patches, network: {encoder: cnn5}}
claims: [{better: volume, than: flat, metric: accuracy, who: a study}]
gradcam: {images_a_class: 1, beside: flat}
demo:
  data: {phantom: {name: octa, samples: 60, size: [40, 24, 24]}}
"""


@pytest.fixture(scope="module")
def finished(small, tmp_path_factory):
    return small.finish(tmp_path_factory.mktemp("volumes"), STUDY)


def results(folder, *names):
    return folder.joinpath("results/demo/small", *names)


def test_every_arm_scores_the_same_samples(finished):
    tests = {}
    for arm in ("volume", "flat", "pretrained", "patches"):
        table = read_table(results(finished, arm, "fold0_seed0/predictions.csv"))
        tests[arm] = set(table.loc[table["part"] == "test", "sample"])
    assert len({frozenset(samples) for samples in tests.values()}) == 1
    metrics = read_json(results(finished, "patches/metrics.json"))["parts"]["test"]
    assert metrics["patch"]["n"] == 4 * metrics["image"]["n"] == 4 * len(tests["patches"])


def test_fields_of_view_are_in_every_part_and_scored_apart(finished):
    splits = read_table(results(finished, "splits.csv")).merge(
        read_table(results(finished, "manifest.csv"))[["sample", "fov"]]
    )
    assert splits.groupby("part")["fov"].nunique().to_dict() == {"train": 2, "validation": 2, "test": 2}
    metrics = read_json(results(finished, "volume/metrics.json"))
    assert set(metrics["subgroups"]["fov"]) == {"3mm", "6mm"}
    assert 0 <= metrics["baselines"]["fov"]["test"]["metrics"]["accuracy"]["value"] <= 1


def test_the_claim_is_judged_by_a_paired_difference(finished):
    rows = pd.read_csv(results(finished, "comparison.csv"))
    (claim,) = rows[rows["kind"] == "claim"].to_dict("records")
    assert (claim["arm"], claim["against"], claim["metric"]) == ("volume", "flat", "accuracy")
    assert claim["verdict"] in ("supported", "contradicted", "not shown")
    assert claim["difference_low"] <= claim["difference"] <= claim["difference_high"]


def test_the_encoder_is_pretrained_once_for_its_run(finished):
    assert results(finished, "autoencoders/compressed/fold0_seed0/encoder.safetensors").is_file()
    assert results(finished, "autoencoders/compressed/fold0_seed0/reconstructions.png").is_file()


def test_maps_lie_on_the_source_s_grid(finished):
    chosen = pd.read_csv(results(finished, "volume/gradcam/chosen.csv"))
    maps = sorted(results(finished, "volume/gradcam/volumes").glob("*_map.nii.gz"))
    assert len(maps) == len(chosen) > 0
    manifest = read_table(results(finished, "manifest.csv")).set_index("sample")
    source = read_json(finished / "data/demo/small/source.json")["root"]
    for path, sample in zip(maps, chosen.sort_values("picture")["sample"]):
        loaded = nibabel.load(path)
        row = manifest.loc[sample]
        scans = sorted((finished / source / row["path"]).iterdir())
        extent = [float(value) for value in row["extent"].split()]
        voxels = np.linalg.norm(loaded.affine[:3, :3], axis=0)
        assert loaded.shape[1] == len(scans)
        assert voxels * loaded.shape == pytest.approx(extent[::-1])


def test_nothing_reruns_and_a_title_changes_the_page_only(small, finished):
    assert small.planned(finished) == []
    (finished / "small.yaml").write_text(STUDY.replace("title: Scans", "title: Volumes"))
    assert small.planned(finished) == ["report"]


def test_new_volumes_are_classified_with_their_maps(finished):
    source = read_json(finished / "data/demo/small/source.json")["root"]
    volume = finished / source / read_table(results(finished, "manifest.csv"))["path"][0]
    arm = results(finished, "volume")
    command = [
        sys.executable,
        "-m",
        "rescan",
        "predict",
        str(arm),
        str(volume),
        "--extent",
        "2",
        "6",
        "6",
        "--gradcam",
        "maps",
        "--out",
        "new.csv",
    ]
    process = subprocess.run(command, cwd=finished, capture_output=True, text=True, check=False, timeout=120)
    assert process.returncode == 0, process.stderr
    table = pd.read_csv(finished / "new.csv")
    assert table["predicted"].item() in ("normal", "abnormal")
    assert len(list((finished / "maps").glob("*.nii.gz"))) == 1
