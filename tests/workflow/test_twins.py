"""Twin phantoms: where disease shows in depth only, 3D must win; where a projection shows all of it, 3D must not."""

import pandas as pd
import pytest

pytest.importorskip("snakemake")

STUDY = """
title: Twins
data:
  source: {path: nowhere}
  layout: octa500
  classes: [normal, abnormal]
  labels: {NORMAL: normal, DR: abnormal, AMD: abnormal, CNV: abnormal, CSC: abnormal, RVO: abnormal}
split: {test: 0.4, validation: 0.2, stratify_by: [fov], seeds: [0, 1]}
preparations:
  volume: &volume
    reads: volume
    channels: gray
    steps: &steps
      - {name: crop_center, millimeters: [0, 3, 3]}
      - {name: resize_volume, size: [32, 32, 32]}
      - {name: clip_percentiles}
  flat:
    <<: *volume
    steps:
      - {name: crop_center, millimeters: [0, 3, 3]}
      - {name: resize_volume, size: [32, 32, 32]}
      - {name: clip_percentiles}
      - {name: project}
recipe:
  preparation: volume
  network: {encoder: cnn5_3d, weights: none, neck: flatten}
  normalization: unit
  augmentation: {flip_horizontal: 0.5, flip_vertical: 0.5}
  stages: {main: {epochs: 15, batch_size: 8, optimizer: {name: adam, lr: 1e-3}, schedule: {name: cosine, warmup: 0.2}}}
arms:
  volume: {}
  flat: {preparation: flat, network: {encoder: cnn5}}
claims: [{better: volume, than: flat, metric: balanced_accuracy, who: the twins}]
demo:
  data: {phantom: {name: octa, samples: 160, size: [40, 24, 24], confound: 0.0, lesions: LESIONS}}
"""


@pytest.mark.parametrize(("lesions", "wins"), [("depth", True), ("enface", False)])
def test_volumes_win_only_where_depth_tells(small, tmp_path, lesions, wins):
    (tmp_path / "small.yaml").write_text(STUDY.replace("LESIONS", lesions))
    process = small.snakemake(tmp_path, "results/demo/small/comparison.csv", *small.configured(tmp_path))
    assert process.returncode == 0, process.stderr
    rows = pd.read_csv(tmp_path / "results/demo/small/comparison.csv")
    (claim,) = rows[(rows["kind"] == "claim") & (rows["part"] == "test")].to_dict("records")
    if wins:
        assert claim["verdict"] == "supported"
        assert claim["difference"] > 0.2
    else:
        assert claim["verdict"] != "supported"
        assert claim["value"] - claim["difference"] > 0.7  # the projection is enough to learn from
