"""Twin phantoms: where disease shows in depth only, 3D must win; where a projection shows all of it, 3D must not."""

import pytest

from rescan.data.audit.audit import audit
from rescan.data.index import index
from rescan.data.sources.download import download
from rescan.data.split import split
from rescan.evaluation.compare import compare
from rescan.evaluation.evaluate import evaluate
from rescan.evaluation.posttrain import posttrain
from rescan.paths import Paths
from rescan.preparation.preprocess import preprocess
from rescan.results.comparison import COMPARISON
from rescan.study import Run, Settings
from rescan.study.file import load
from rescan.training.infer import infer
from rescan.training.lease import Machine
from rescan.training.train import train

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
def test_volumes_win_only_where_depth_tells(tmp_path, monkeypatch, lesions, wins):
    """The steps are called here, not by the workflow: thirty jobs that each start Python would take twice as long."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twins.yaml").write_text(STUDY.replace("LESIONS", lesions))
    study, machine = load(tmp_path / "twins.yaml", Settings("demo")), Machine("cpu", 1)
    download(study)
    index(study)
    audit(study, 1)
    split(study)
    for preparation in study.preparations:
        preprocess(study, preparation, 1)
    for arm in study.arms:
        for seed in study.split.seeds:
            train(Run(study, arm, 0, seed), machine)
            infer(Run(study, arm, 0, seed), machine)
        posttrain(study, arm)
        evaluate(study, arm)
    compare(study)
    rows = COMPARISON.read(Paths(study.scale, study.name).comparison)
    (claim,) = rows[(rows["kind"] == "claim") & (rows["part"] == "test")].to_dict("records")
    if wins:
        assert claim["verdict"] == "supported"
        assert claim["difference"] > 0.2
    else:
        assert claim["verdict"] != "supported"
        assert claim["value"] - claim["difference"] > 0.7  # the projection is enough to learn from
